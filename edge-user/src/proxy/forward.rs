//! What an origin is sent of a client's request, and a client of the origin's response: fields to
//! fields, and nothing else.
//!
//! A request goes on as the client made it, but for three things. What belongs to the client's
//! connection stays here (RFC 9110 section 7.6.1). What origins believe of a proxy is said by us and
//! by nobody else. And no field takes another's place by a name that an origin reads alike.

mod names;
mod whence;

use std::net::SocketAddr;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::apply;
use super::fixed::segments;
use super::path::{Path, escaped_query};
use crate::config::distributions::{Append, Forwarded, HeaderRules, PathPattern, Proxy};
use crate::http::Version;
use crate::limits;
use names::{
    folded, is_alias, is_claim, is_for_no_client, is_for_no_origin, is_for_no_trailer, is_kept,
    is_of_connection,
};
use whence::say_whence;

/// What we are called in `Via` (RFC 9110 section 7.6.3): the same on every node, so that a request
/// that goes round among them is known.
pub const PSEUDONYM: &str = "landfast";

/// Where a request comes from, and what it was for.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// The client's address, as seen.
    pub client: SocketAddr,
    /// The host, and the port where it was said.
    pub authority: &'a str,
    /// The version that the client speaks.
    pub protocol: Version,
    /// The distribution's field for it, and the ID.
    pub request_id: Option<(&'a HeaderName, &'a HeaderValue)>,
}

/// The request has been here before, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request goes in circles: its origin leads back here")]
pub struct Looping;

impl Looping {
    /// RFC 5842 section 7.2.
    pub const STATUS: StatusCode = StatusCode::LOOP_DETECTED;
}

/// The fields that an origin is sent, of those that a client sent. `rules` are those of the
/// distribution and of the behaviour, in this order. Whom the request is for is not among them: it
/// goes with the target.
///
/// # Errors
/// Where it goes in circles.
pub fn request_fields(
    client: &HeaderMap,
    rules: &[&HeaderRules],
    from: &From<'_>,
    forwarded: Forwarded,
) -> Result<HeaderMap, Looping> {
    let loops = client.get_all(header::VIA).iter().flat_map(listed).filter(is_ours).count();
    if loops > limits::MAX_VIA_LOOPS {
        return Err(Looping);
    }
    // Via, and three that say where from, and what rules and the ID add.
    let mut fields = HeaderMap::with_capacity(client.len() + 8);
    let taken = Taken { rules, request_id: from.request_id.map(|(name, _)| name), forwarded };
    for (name, value) in client {
        if !taken.covers(name) {
            fields.append(name.clone(), value.clone());
        }
    }
    remove_named(&mut fields, client);
    // Whoever gets it may send trailers (RFC 9110 section 10.1.4). The codings that TE names besides
    // are for the connection.
    if is_named(client, header::TE, "trailers") {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // Crumbs become one (RFC 9113 section 8.2.3, RFC 9114 section 4.2.1).
    join(&mut fields, header::COOKIE, b"; ", None);
    say_whence(&mut fields, from);
    join(&mut fields, header::VIA, b", ", Some(HeaderValue::from_static(via(from.protocol))));
    if let Some((name, id)) = from.request_id {
        fields.insert(name.clone(), id.clone());
    }
    rules.iter().for_each(|rules| apply(rules, &mut fields));
    Ok(fields)
}

/// Counts a hop of OPTIONS off (RFC 9110 section 7.6.2): whether it may go on. A number that is none
/// is nobody's word.
#[must_use]
pub fn count_hop(fields: &mut HeaderMap) -> bool {
    let value = fields.get(header::MAX_FORWARDS);
    let Some(left) = value.and_then(|value| value.to_str().ok()?.parse::<u32>().ok()) else {
        return true;
    };
    match left.checked_sub(1) {
        Some(left) => fields.insert(header::MAX_FORWARDS, left.into()).is_some(),
        None => false,
    }
}

/// Takes out of the trailer section of a request what an origin that makes one of both sections
/// would take for what [`request_fields`] left out or said itself.
pub fn request_trailers(
    trailers: &mut HeaderMap,
    rules: &[&HeaderRules],
    request_id: Option<&HeaderName>,
) {
    let taken = Taken { rules, request_id, forwarded: Forwarded::Replace };
    retain(trailers, |name| {
        let is_of_rules = taken.of_rules().any(|ours| ours == name);
        !is_of_rules && !taken.covers(name) && !is_for_no_trailer(&folded(name.as_str()))
    });
}

/// Sees to it that a response's length is one number or none: what libraries take for good on one side
/// ends connections on the other.
///
/// # Errors
/// Where it says several lengths, or one that is no number (RFC 9110 section 8.6), or is in a coding
/// that nobody takes off (RFC 9112 section 6.1).
pub fn check_framing(head: &mut Response<()>) -> Result<(), BadFraming> {
    if !is_chunked_or_plain(head.headers()) {
        return Err(BadFraming);
    }
    let repeated = repeated_length(head.headers())?;
    let status = head.status();
    // RFC 9110 section 8.6.
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        head.headers_mut().remove(header::CONTENT_LENGTH);
    } else if let Some(length) = repeated {
        head.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    Ok(())
}

fn is_chunked_or_plain(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(header::TRANSFER_ENCODING).iter().flat_map(listed);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// The length, where it is said several times and not once or never.
fn repeated_length(fields: &HeaderMap) -> Result<Option<HeaderValue>, BadFraming> {
    let mut lines = fields.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    let is_length = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if lines.next().is_none() && is_length(first.as_bytes()) {
        return Ok(None);
    }
    let mut all = fields.get_all(header::CONTENT_LENGTH).iter().flat_map(listed);
    let first = all.next().filter(|first| is_length(first)).ok_or(BadFraming)?;
    match all.all(|other| other == first) {
        true => HeaderValue::from_bytes(first).map(Some).map_err(|_| BadFraming),
        false => Err(BadFraming),
    }
}

/// Nobody can say where the response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response's length cannot be told")]
pub struct BadFraming;

/// Takes out of an origin's response what belongs to its connection; adds Via. `version` is that of
/// the response.
pub fn response_fields(fields: &mut HeaderMap, version: http::Version) {
    // RFC 9112 section 6.3: it frames nothing, and is not believed.
    if fields.contains_key(header::TRANSFER_ENCODING) {
        fields.remove(header::CONTENT_LENGTH);
    }
    // Most servers name `keep-alive` alone, which goes whatever they name.
    let options = fields.get_all(header::CONNECTION);
    let keeps_alive = |option: &[u8]| option.eq_ignore_ascii_case(b"keep-alive");
    if !options.iter().flat_map(listed).all(keeps_alive) {
        let named = fields.clone();
        remove_named(fields, &named);
    }
    retain(fields, |name| !is_of_connection(name.as_str()) && !is_for_no_client(name.as_str()));
    let via = match version {
        http::Version::HTTP_2 => via(Version::Http2),
        http::Version::HTTP_3 => via(Version::Http3),
        http::Version::HTTP_11 => via(Version::Http11),
        _ => "1.0 landfast",
    };
    join(fields, header::VIA, b", ", Some(HeaderValue::from_static(via)));
}

/// Takes out of the trailer section of a response what stands in none.
pub fn response_trailers(trailers: &mut HeaderMap) {
    retain(trailers, |name| !is_for_no_trailer(&folded(name.as_str())));
}

/// Makes `fields` those of a request of HTTP/1.1: there TE is about the connection, which says so
/// (RFC 9110 section 10.1.4).
pub fn for_http11(fields: &mut HeaderMap) {
    if fields.contains_key(header::TE) {
        fields.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
}

/// What an origin is asked for: the path in the form by which the behaviour was chosen, so that the
/// origin reads the same in it, and the query as the client wrote it.
#[must_use]
pub fn target(
    proxy: &Proxy,
    pattern: &PathPattern,
    path: &Path<'_>,
    query: Option<&str>,
) -> PathAndQuery {
    let sent = match proxy.append {
        Append::Rest => path.after_segments(segments(pattern)),
        Append::Path | Append::Nothing => path.escaped(),
    };
    let mut target = String::with_capacity(sent.len() + query.map_or(1, |query| query.len() + 1));
    target += if sent.is_empty() { "/" } else { sent };
    if let Some(query) = query {
        target.push('?');
        target += &escaped_query(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(target))
        .expect("both are escaped, and their lengths have bounds")
}

/// Which fields of a client's have no place in a request to an origin.
struct Taken<'a> {
    rules: &'a [&'a HeaderRules],
    request_id: Option<&'a HeaderName>,
    forwarded: Forwarded,
}

impl Taken<'_> {
    fn covers(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        let by_name = is_of_connection(name)
            || is_for_no_origin(name)
            || self.forwarded == Forwarded::Replace && is_claim(name)
            || self.request_id.is_some_and(|id| id.as_str() == name);
        by_name || self.is_alias_of_ours(name)
    }

    /// The names that rules alone say: not those that stand beside the client's.
    fn of_rules(&self) -> impl Iterator<Item = &HeaderName> {
        self.rules
            .iter()
            .flat_map(|rules| rules.remove.iter().chain(rules.set.iter().map(|(name, _)| name)))
    }

    /// Whether an origin could take it for a field that is ours to say or to leave out.
    fn is_alias_of_ours(&self, name: &str) -> bool {
        if self.of_rules().chain(self.request_id).any(|ours| is_alias(name, ours.as_str())) {
            return true;
        }
        let folded = folded(name);
        let is_ours = || is_of_connection(&folded) || is_for_no_origin(&folded) || is_kept(&folded);
        *folded != *name && is_ours()
    }
}

/// Takes out what the `Connection` of `sent` names (RFC 9110 section 7.6.1), but for what nobody can
/// take away.
fn remove_named(fields: &mut HeaderMap, sent: &HeaderMap) {
    for option in sent.get_all(header::CONNECTION).iter().flat_map(listed) {
        // In lower case, where it is the name of a field at all.
        let Ok(name) = HeaderName::from_bytes(option) else { continue };
        if !is_kept(name.as_str()) {
            fields.remove(name);
        }
    }
}

/// Makes one line of those with this name and `last`: some programs read the first line alone, some
/// the last.
fn join(fields: &mut HeaderMap, name: HeaderName, between: &[u8], last: Option<HeaderValue>) {
    if !fields.contains_key(&name) {
        // Mostly.
        return last.map_or((), |last| drop(fields.insert(name, last)));
    }
    let (mut joined, mut count) = (Vec::new(), 0);
    for line in fields.get_all(&name).iter().chain(&last).filter(|line| !line.is_empty()) {
        if count > 0 {
            joined.extend_from_slice(between);
        }
        joined.extend_from_slice(line.as_bytes());
        count += 1;
    }
    let line = match last {
        // Mostly there is one, and it is the value that we have.
        Some(last) if count == 1 => Some(last),
        None if count < 2 => None,
        _ => HeaderValue::from_maybe_shared(Bytes::from(joined)).ok(),
    };
    if let Some(line) = line {
        fields.insert(name, line);
    }
}

/// Whether `option` is a member of the list that a field is.
pub(super) fn is_named(fields: &HeaderMap, name: HeaderName, option: &str) -> bool {
    let mut listed = fields.get_all(name).iter().flat_map(listed);
    listed.any(|member| member.eq_ignore_ascii_case(option.as_bytes()))
}

/// The members of a list (RFC 9110 section 5.6.1).
fn listed(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let members = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    members.filter(|member| !member.is_empty())
}

/// With [`PSEUDONYM`].
const fn via(version: Version) -> &'static str {
    match version {
        Version::Http11 => "1.1 landfast",
        Version::Http2 => "2 landfast",
        Version::Http3 => "3 landfast",
    }
}

/// Whether a member of `Via` is of this fleet: `received-protocol RWS received-by [ RWS comment ]`.
fn is_ours(member: &&[u8]) -> bool {
    let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(PSEUDONYM.as_bytes()))
}

/// Keeps the fields whose names are good.
fn retain(fields: &mut HeaderMap, is_good: impl Fn(&HeaderName) -> bool) {
    let bad: Vec<_> = fields.keys().filter(|name| !is_good(name)).cloned().collect();
    for name in bad {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests;
