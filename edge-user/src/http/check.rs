//! What is asked of a request before it is answered, whatever the version, where the library that
//! read it has not asked.
//!
//! h2 and hyper see to most of the form of names, values and pseudo-header fields, to fields that
//! belong to a connection, and to the length of what follows.

use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::Version;
use super::covered::Covered;
use super::h3::head::request::{RequestHead, Target};
use super::h3::tally::Refused;
use super::host::Host;
use crate::limits;
use crate::tcp::tally::Refusal;
use crate::tls::Live;

/// Why a request is not answered as it wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// More fields than anybody needs.
    Fields,
    /// It says not, or not well, whom it is for.
    Host,
    /// It is for somebody whom this connection is not good for.
    Misdirected,
    /// Its target is none of ours.
    Target,
    /// Its target is no URI, as it was sent.
    Uri,
    /// It expects what we do not know.
    Expectation,
    /// Its field names or values are none.
    Field,
    /// Its length is said more than once, or of a CONNECT.
    Length,
    /// Its content is coded for the transfer as we do not know.
    Coding,
    /// It says in two ways where it ends.
    Framing,
    /// Its lines, or those of its chunks, do not end as they should.
    Line,
}

impl Rejection {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            // RFC 6585 section 5.
            Self::Fields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Host | Self::Target | Self::Uri | Self::Field => StatusCode::BAD_REQUEST,
            Self::Length | Self::Framing | Self::Line => StatusCode::BAD_REQUEST,
            // RFC 9110 section 15.5.20.
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            // RFC 9110 section 10.1.1.
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            // RFC 9112 section 6.1.
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The rule that was broken, for whoever broke it.
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Fields => "too many header fields",
            Self::Host => "one good host is needed, the same wherever it is named",
            Self::Misdirected => "this connection is not for that host",
            Self::Target => "a target begins with one slash",
            Self::Uri => "a target is ASCII and has no fragment",
            Self::Expectation => "100-continue is all that can be expected",
            Self::Field => "a field is a token and a value without space around it",
            Self::Length => "a length is a number, said once, and not of a tunnel",
            Self::Coding => "chunked is the one transfer coding",
            Self::Framing => "a length or a transfer coding, not both",
            Self::Line => "a line ends with CR LF, and a chunk where it says",
        }
    }

    /// The reason that it is counted by, over TCP.
    pub(super) const fn refusal(self) -> Refusal {
        match self {
            Self::Fields => Refusal::HttpsFields,
            Self::Host => Refusal::HttpsHost,
            Self::Misdirected => Refusal::HttpsName,
            Self::Target | Self::Uri => Refusal::HttpsTarget,
            Self::Expectation => Refusal::HttpsExpectation,
            Self::Field | Self::Length | Self::Coding | Self::Framing | Self::Line => {
                Refusal::HttpsMalformed
            }
        }
    }

    /// The reason that it is counted by, over QUIC.
    pub(super) const fn refused(self) -> Refused {
        match self {
            Self::Fields => Refused::Fields,
            Self::Host => Refused::Host,
            Self::Misdirected => Refused::Name,
            Self::Target | Self::Uri => Refused::Target,
            Self::Expectation => Refused::Expectation,
            Self::Field | Self::Length | Self::Coding | Self::Framing | Self::Line => {
                Refused::Malformed
            }
        }
    }
}

/// In the extensions of a request: its target came with a fragment, which `Uri` cuts off (RFC 9113
/// section 8.3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment;

/// What is looked at of a request.
pub(super) struct Asked<'a> {
    version: Version,
    method: &'a Method,
    scheme: Option<&'a Scheme>,
    authority: Option<&'a str>,
    path: &'a str,
    has_fragment: bool,
    headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// As h2 and hyper read it.
    pub(super) fn of(version: Version, request: &'a Parts) -> Self {
        let Parts { method, uri, headers, .. } = request;
        let authority = uri.authority().map(|authority| authority.as_str());
        let has_fragment = request.extensions.get::<Fragment>().is_some();
        let (scheme, path) = (uri.scheme(), uri.path());
        Self { version, method, scheme, authority, path, has_fragment, headers }
    }

    /// As our own codec read it.
    pub(super) fn of_http3(request: &'a RequestHead) -> Self {
        let (scheme, authority) = match &request.target {
            Target::Resource(resource) | Target::Protocol(resource, _) => {
                (Some(&resource.scheme), &resource.authority)
            }
            Target::Tunnel(authority) => (None, authority),
        };
        Self {
            version: Version::Http3,
            method: &request.method,
            scheme,
            authority: Some(authority.as_str()),
            path: request.path(),
            // Our codec has looked at its target.
            has_fragment: false,
            headers: &request.fields,
        }
    }
}

impl Asked<'_> {
    /// Whom it is for, where that is said once or twice in the same words.
    fn host_text(&self) -> Option<&str> {
        let mut fields = self.headers.get_all(header::HOST).iter();
        match (self.authority, fields.next(), fields.next()) {
            (Some(authority), None, None) if self.version != Version::Http11 => Some(authority),
            (Some(authority), Some(host), None) if host == authority => Some(authority),
            (None, Some(host), None) => host.to_str().ok(),
            _ => None,
        }
    }

    /// Whether the connection of a client that asked for the certificate of `name` is good for whom
    /// it is for.
    fn check_host(
        &self,
        name: Option<&str>,
        certificates: &Live,
        covered: &Covered,
    ) -> Result<(), Rejection> {
        let (text, revision) = (self.host_text(), certificates.revision());
        if text.is_some_and(|text| covered.is_known(revision, name, text)) {
            return Ok(());
        }
        let host =
            Host::of_https(self.version, self.authority, self.headers).ok_or(Rejection::Host)?;
        if !certificates.covers(name, host.server_name()) {
            return Err(Rejection::Misdirected);
        }
        text.into_iter().for_each(|text| covered.note(revision, name, text));
        Ok(())
    }
}

/// Checks a request of a client that asked for the certificate of `name`.
pub(super) fn check(
    request: &Asked<'_>,
    name: Option<&str>,
    certificates: &Live,
    covered: &Covered,
) -> Result<(), Rejection> {
    let Asked { version, method, scheme, path, headers, .. } = *request;
    if headers.len() > limits::MAX_FIELDS {
        return Err(Rejection::Fields);
    }
    framing(method, headers)?;
    if version == Version::Http2 && !headers.iter().all(is_field) {
        return Err(Rejection::Field);
    }
    let mut expected = headers.get_all(header::EXPECT).iter();
    if expected.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Rejection::Expectation);
    }
    request.check_host(name, certificates, covered)?;
    // What is asked of a scheme, this connection has for https alone (RFC 9110 section 7.4).
    if scheme.is_some_and(|scheme| *scheme != Scheme::HTTPS) {
        return Err(Rejection::Misdirected);
    }
    match is_target(method, path) {
        true if request.has_fragment => Err(Rejection::Uri),
        true => Ok(()),
        false => Err(Rejection::Target),
    }
}

/// Whoever is behind us shall have no choice where a request ends. hyper takes a length that is
/// repeated once (RFC 9112 section 6.3) and throws one away that stands beside chunks.
fn framing(method: &Method, headers: &HeaderMap) -> Result<(), Rejection> {
    let (lengths, codings) =
        (headers.get_all(header::CONTENT_LENGTH), headers.get_all(header::TRANSFER_ENCODING));
    let mut lengths = lengths.iter();
    // RFC 9110 section 8.6: digits. h2 takes none for 0.
    let is_length =
        |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_some_and(|value| !is_length(value)) || lengths.next().is_some() {
        return Err(Rejection::Length);
    }
    let mut codings = codings.iter();
    let coded = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(Rejection::Coding),
    };
    // What follows would be the tunnel's (RFC 9110 section 9.3.6).
    match *method == Method::CONNECT && (coded || headers.contains_key(header::CONTENT_LENGTH)) {
        true => Err(Rejection::Length),
        false => Ok(()),
    }
}

/// RFC 9113 section 8.2.1, where h2 looks away: at a quotation mark in a name, and at space around
/// a value.
fn is_field((name, value): (&HeaderName, &HeaderValue)) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    !is_space(value.first()) && !is_space(value.last()) && !name.as_str().contains('"')
}

/// Fields that may not be trailers; those that are about a connection are among them.
const NO_TRAILERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether these may be trailers (RFC 9110 section 6.5.1): nothing that says where a message ends,
/// where it goes, or what is to be done with it before its content is read.
pub(super) fn may_be_trailers(fields: &HeaderMap) -> bool {
    !NO_TRAILERS.iter().any(|name| fields.contains_key(*name))
}

/// An absolute path (RFC 9110 section 7.1) that nobody takes for a host (RFC 3986 section 4.2), or
/// the asterisk of OPTIONS. CONNECT has a target of its own, and is refused for what it is.
fn is_target(method: &Method, path: &str) -> bool {
    match *method {
        // An authority, or the path of extended CONNECT (RFC 8441 section 4).
        Method::CONNECT if path.is_empty() => true,
        Method::OPTIONS if path == "*" => true,
        _ => path.starts_with('/') && !path.starts_with("//"),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::UnknownNames;
    use crate::tls::Source;
    use crate::tls::live::samples;

    fn checked(request: http::request::Builder) -> Result<(), Rejection> {
        let live = samples::live(UnknownNames::Refuse, &[&["a.example", "*.b.example"]]);
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let (asked, covered) = (Asked::of(Version::Http2, &parts), Covered::default());
        let checked = check(&asked, Some("a.example"), &live, &covered);
        // What is remembered says the same.
        assert_eq!(check(&asked, Some("a.example"), &live, &covered), checked);
        checked
    }

    #[test]
    fn a_request_for_a_name_of_the_certificate_is_good() {
        for uri in ["https://a.example/", "https://A.example:443/b?c", "https://x.b.example/"] {
            assert_eq!(checked(Request::get(uri)), Ok(()), "{uri}");
        }
        let expects = Request::post("https://a.example/").header("expect", "100-Continue");
        assert_eq!(checked(expects), Ok(()));
        for request in [of_length(1), coded(&["Chunked"]), connect()] {
            assert_eq!(checked(request), Ok(()));
        }
        assert_eq!(checked(Request::get("https://a.example/").header("etag", "\"x\"")), Ok(()));
    }

    /// What was found is good for as long as the certificates are the same.
    #[test]
    fn a_host_whose_certificate_is_gone_is_no_more_remembered() {
        let live = samples::live(UnknownNames::Refuse, &[&["a.example", "b.example"]]);
        let (parts, ()) = Request::get("https://b.example/").body(()).expect("good").into_parts();
        let (asked, covered) = (Asked::of(Version::Http2, &parts), Covered::default());
        let checked = |name| check(&asked, Some(name), &live, &covered);
        assert_eq!(checked("a.example"), Ok(()));
        assert_eq!(checked("c.example"), Err(Rejection::Misdirected), "of another connection");
        assert_eq!(checked("a.example"), Ok(()));
        live.remove(Source::Files, &["0"]);
        assert_eq!(checked("a.example"), Err(Rejection::Misdirected));
    }

    fn of_length(times: usize) -> http::request::Builder {
        let post = Request::post("https://a.example/");
        (0..times).fold(post, |request, _| request.header("content-length", "3"))
    }

    fn coded(codings: &[&str]) -> http::request::Builder {
        let post = Request::post("https://a.example/");
        codings.iter().fold(post, |request, coding| request.header("transfer-encoding", *coding))
    }

    fn connect() -> http::request::Builder {
        Request::connect("a.example:443")
    }

    #[test]
    fn what_breaks_a_rule_is_rejected_by_it() {
        let get = |uri: &str| Request::get(uri);
        let quoted = HeaderName::from_lowercase(b"x\"").expect("the library takes it");
        for (request, rejection) in [
            (get("/"), Rejection::Host),
            (get("https://a.example/").header("host", "b.example"), Rejection::Host),
            (get("https://c.example/"), Rejection::Misdirected),
            (get("https://192.0.2.1/"), Rejection::Misdirected),
            (get("http://a.example/"), Rejection::Misdirected),
            (get("https://a.example//b.example/"), Rejection::Target),
            (get("https://a.example/").header("expect", "200-ok"), Rejection::Expectation),
            (get("https://a.example/").header("x", " y"), Rejection::Field),
            (get("https://a.example/").header("x", "y\t"), Rejection::Field),
            (get("https://a.example/").header(quoted, "y"), Rejection::Field),
            (of_length(2), Rejection::Length),
            (get("https://a.example/").header("content-length", ""), Rejection::Length),
            (coded(&["gzip, chunked"]), Rejection::Coding),
            (coded(&["chunked", "chunked"]), Rejection::Coding),
            (connect().header("content-length", "0"), Rejection::Length),
            (connect().header("transfer-encoding", "chunked"), Rejection::Length),
        ] {
            assert_eq!(checked(request), Err(rejection));
        }
        let fields = |count| {
            (0..count).fold(get("https://a.example/"), |request, _| request.header("x", "y"))
        };
        assert_eq!(checked(fields(limits::MAX_FIELDS)), Ok(()));
        assert_eq!(checked(fields(limits::MAX_FIELDS + 1)), Err(Rejection::Fields));
    }
}
