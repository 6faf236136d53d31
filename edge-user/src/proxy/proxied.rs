//! A request through an origin: what it is asked, and what the client gets of its response.

use std::cell::Cell;
use std::rc::Rc;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};

use super::forward::{self, From, Looping};
use super::in_force::Held;
use super::origins::failure::Failure;
use super::origins::{OfTrailers, Question};
use super::path::Path;
use crate::config::distributions::{Behaviour, Distribution, HeaderRules, Proxy};
use crate::config::origins::{HostSent, Server};
use crate::http::Version;
use crate::http::answer::{self, Body, error};
use crate::http::content::Content;
use crate::http::interim::Interim;

/// A request, and who answers it.
pub(super) struct Asked<'a> {
    pub(super) held: &'a Rc<Held>,
    pub(super) distribution: usize,
    pub(super) behaviour: &'a Behaviour,
    pub(super) path: &'a Path<'a>,
    pub(super) request: &'a answer::Request<'a>,
    /// The distribution's field for it, and the ID.
    pub(super) request_id: Option<(&'a HeaderName, &'a HeaderValue)>,
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
    let fields = fields.map_err(|looping| error(Looping::STATUS, &looping.to_string()))?;
    let fields = Cell::new(Some(fields));
    let origin = upstream.watched().origin();
    let (scheme, host) = (origin.scheme(), origin.host);
    let target = forward::target(proxy, &asked.behaviour.path, asked.path, asked.request.query);
    let head = |server: &Server, version: Version| {
        // It was not looping before.
        let fields = fields.take().unwrap_or_else(|| asked.fields(proxy).unwrap_or_default());
        let authority = match host {
            HostSent::Kept => asked.request.authority.unwrap_or_default().to_owned(),
            HostSent::Server => server.authority(scheme),
        };
        head(asked.request, fields, (scheme, &authority), target.clone(), version)
    };
    let headers = asked.request.headers;
    let content = std::mem::take(content);
    let has_content = !matches!(content, Content::Empty);
    let question = Question {
        head: &head,
        trailers: has_content.then(|| asked.of_trailers()),
        expects: has_content && headers.contains_key(header::EXPECT),
        content,
        is_safe: asked.request.method.is_safe(),
        interim: (asked.request.version != Version::Http11).then_some(interim),
    };
    match upstream.ask(question).await {
        Ok(mut answered) => {
            let version = answered.head.version();
            forward::response_fields(answered.head.headers_mut(), version);
            Ok((answered.head, answered.body))
        }
        Err(failure) => Err(missed(asked, proxy, failure)),
    }
}

fn missed(asked: &Asked<'_>, proxy: &Proxy, failure: Failure) -> (Response<()>, Body) {
    let origin = &*proxy.origin;
    tracing::debug!(client = %asked.request.client, origin, why = failure.name(), "not answered");
    error(failure.status(), &failure.to_string())
}

/// `Host` goes first, and with HTTP/2 in the target (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
fn head(
    request: &answer::Request<'_>,
    mut fields: HeaderMap,
    (scheme, authority): (&str, &str),
    target: PathAndQuery,
    version: Version,
) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method.clone();
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
