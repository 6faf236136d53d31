//! A request through an origin: what it is asked, and what the client gets of its response.

use std::cell::Cell;
use std::rc::Rc;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use super::fixed;
use super::forward::{self, From, Looping};
use super::in_force::Held;
use super::origins::failure::Failure;
use super::origins::{Answered, OfTrailers, Question};
use super::path::Path;
use crate::access_log::note::Note;
use crate::config::distributions::{Behaviour, Distribution, HeaderRules, Proxy};
use crate::config::origins::{HostSent, Server};
use crate::http::Version;
use crate::http::answer::{self, Body, error};
use crate::http::content::Content;
use crate::http::interim::Interim;
use crate::http::websocket::{self, Upgrade};
use crate::proxy::files::read::OpenFiles;

/// A request, and who answers it.
pub(super) struct Asked<'a> {
    pub(super) held: &'a Rc<Held>,
    pub(super) distribution: usize,
    pub(super) behaviour: &'a Behaviour,
    pub(super) path: &'a Path<'a>,
    pub(super) request: &'a answer::Request<'a>,
    /// The distribution's field for it, and the ID.
    pub(super) request_id: Option<(&'a HeaderName, &'a HeaderValue)>,
    pub(super) note: &'a Note,
    pub(super) open: &'a OpenFiles,
}

/// The origin's response, or what we have to say instead of it.
pub(super) async fn answer(
    asked: &Asked<'_>,
    proxy: &Proxy,
    content: &mut Content,
    interim: &Interim,
) -> Result<(Response<()>, Body), (Response<()>, Body)> {
    let upstream = asked.held.upstream(&proxy.origin);
    let Some(upstream) = upstream else { return Err(missed(asked, proxy, Failure::NoServer)) };
    let fields = asked.fields(proxy);
    let mut fields = fields.map_err(|looping| error(Looping::STATUS, &looping.to_string()))?;
    if asked.request.method == Method::OPTIONS && !forward::count_hop(&mut fields) {
        return Err(fixed::nothing());
    }
    let fields = Cell::new(Some(fields));
    let origin = upstream.watched().origin();
    let (scheme, host) = (origin.scheme(), origin.host);
    let target = forward::target(proxy, &asked.behaviour.path, asked.path, asked.request.query);
    // Our own: a client of HTTP/2 or HTTP/3 has none.
    let key = asked.request.upgrade.map(|_| websocket::key());
    let head = |server: &Server, version: Version| {
        // It was not looping before.
        let mut fields = fields.take().unwrap_or_else(|| asked.fields(proxy).unwrap_or_default());
        let authority = match host {
            HostSent::Kept => asked.request.authority.unwrap_or_default().to_owned(),
            HostSent::Server => server.authority(scheme),
        };
        let method = match &key {
            Some(key) => ask_for_websocket(&mut fields, key, version),
            None => asked.request.method.clone(),
        };
        head(method, fields, (scheme, &authority), target.clone(), version)
    };
    let headers = asked.request.headers;
    let content = std::mem::take(content);
    let has_content = !matches!(content, Content::Empty);
    let question = Question {
        head: &head,
        trailers: has_content.then(|| asked.of_trailers()),
        expects: has_content && key.is_none() && headers.contains_key(header::EXPECT),
        content,
        note: asked.note,
        client: asked.request.client.ip(),
        open: asked.open,
        is_websocket: key.is_some(),
        is_safe: asked.request.method.is_safe(),
        interim: (asked.request.version != Version::Http11).then_some(interim),
    };
    let answered = upstream.ask(question).await;
    let answered = answered.and_then(|Answered { mut head, body, is_websocket }| {
        let fields = head.headers_mut();
        let accepted = fields.remove(header::SEC_WEBSOCKET_ACCEPT);
        // A forwarded message is of our version (RFC 9112 section 2.3).
        let version = std::mem::take(head.version_mut());
        forward::response_fields(head.headers_mut(), version);
        if let (Some(upgrade), Some(key)) = (asked.request.upgrade, &key) {
            begin_websocket(&mut head, upgrade, is_websocket, (key, accepted))?;
        }
        // RFC 9110 sections 15.3.5 and 15.4.5.
        let has_none = matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok((head, if has_none { Body::Empty } else { body }))
    });
    answered.map_err(|failure| missed(asked, proxy, failure))
}

/// What a server is asked for a WebSocket, and by which method (RFC 6455 section 4.1, RFC 8441
/// section 5).
fn ask_for_websocket(fields: &mut HeaderMap, key: &HeaderValue, version: Version) -> Method {
    if version == Version::Http2 {
        fields.remove(header::SEC_WEBSOCKET_KEY);
        return Method::CONNECT;
    }
    // There are no trailers, and Connection has another word to say.
    fields.remove(header::TE);
    fields.insert(header::SEC_WEBSOCKET_KEY, key.clone());
    fields.insert(header::UPGRADE, HeaderValue::from_static(websocket::NAME));
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    Method::GET
}

/// Makes the head of a response what the client's version begins a WebSocket by, if it does: 101 and
/// 200 stand for one another.
fn begin_websocket(
    head: &mut Response<()>,
    upgrade: Upgrade<'_>,
    begins: bool,
    (key, accepted): (&HeaderValue, Option<HeaderValue>),
) -> Result<(), Failure> {
    let is_switch = head.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_switch && accepted.as_ref() != Some(&websocket::accept(key)) {
        // RFC 6455 section 4.1: whoever answers so does not speak the protocol.
        return Err(Failure::Malformed);
    }
    match upgrade {
        // It would be taken for the beginning of one.
        Upgrade::Connect | Upgrade::Unknown if !begins && head.status().is_success() => {
            return Err(Failure::NoWebSocket);
        }
        Upgrade::Keyed(key) if begins => {
            *head.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let fields = head.headers_mut();
            fields.insert(header::UPGRADE, HeaderValue::from_static(websocket::NAME));
            fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            fields.insert(header::SEC_WEBSOCKET_ACCEPT, websocket::accept(key));
        }
        Upgrade::Connect if begins => *head.status_mut() = StatusCode::OK,
        _ => {}
    }
    Ok(())
}

fn missed(asked: &Asked<'_>, proxy: &Proxy, failure: Failure) -> (Response<()>, Body) {
    let origin = &*proxy.origin;
    asked.note.reason.set(Some(failure.name()));
    tracing::debug!(client = %asked.request.client, origin, why = failure.name(), "not answered");
    error(failure.status(), &failure.to_string())
}

/// `Host` goes first, and with HTTP/2 in the target (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
fn head(
    method: Method,
    mut fields: HeaderMap,
    (scheme, authority): (&str, &str),
    target: PathAndQuery,
    version: Version,
) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = method;
    if version == Version::Http2 {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Scheme::try_from(scheme).ok();
        parts.authority = Authority::try_from(authority).ok();
        parts.path_and_query = Some(target);
        *head.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *head.version_mut() = http::Version::HTTP_2;
    } else {
        *head.uri_mut() = Uri::from(target);
        forward::for_http11(&mut fields);
        if let Ok(host) = HeaderValue::from_str(authority) {
            fields.insert(header::HOST, host);
        }
    }
    *head.headers_mut() = fields;
    head
}

impl Asked<'_> {
    fn fields(&self, proxy: &Proxy) -> Result<HeaderMap, Looping> {
        let distribution = &self.held.distributions().served[self.distribution];
        let rules = rules(distribution, self.behaviour);
        let from = From {
            client: self.request.client,
            authority: self.request.authority.unwrap_or_default(),
            protocol: self.request.version,
            request_id: self.request_id,
        };
        forward::request_fields(self.request.headers, &rules, &from, proxy.forwarded)
    }

    /// What is done to trailers, when they come.
    fn of_trailers(&self) -> OfTrailers {
        let (held, distribution) = (Rc::clone(self.held), self.distribution);
        let place = |behaviour: &&Behaviour| std::ptr::eq(*behaviour, self.behaviour);
        let behaviours = &held.distributions().served[distribution].behaviours;
        let behaviour = behaviours.iter().position(|behaviour| place(&behaviour)).unwrap_or(0);
        Box::new(move |trailers| {
            let distribution = &held.distributions().served[distribution];
            let rules = rules(distribution, &distribution.behaviours[behaviour]);
            forward::request_trailers(trailers, &rules, distribution.request_id.as_ref());
        })
    }
}

fn rules<'a>(distribution: &'a Distribution, behaviour: &'a Behaviour) -> [&'a HeaderRules; 2] {
    [&distribution.request_headers, &behaviour.request_headers]
}
