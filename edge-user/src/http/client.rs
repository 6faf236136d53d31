//! Who asks over TCP, and what is answered: the part that HTTP/2 and HTTP/1.1 share.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{self, Body};
use super::check::{Asked, Rejection, check};
use super::content::Content;
use super::interim::Interim;
use super::websocket::Upgrade;
use super::{Place, Version};
use crate::limits;
use crate::tcp::tally::{Refusal, Tally};

/// What the requests of a worker's TCP connections are answered from.
pub(crate) struct Hosting {
    pub(crate) place: Rc<Place>,
    pub(crate) tally: Arc<Tally>,
    /// Where we speak HTTP/3 (RFC 7838).
    alt_svc: HeaderValue,
    /// Requests that were read, which are among those of `place`.
    pub(crate) http11: Cell<u64>,
    pub(crate) http2: Cell<u64>,
}

impl Hosting {
    /// HTTP/3 is spoken at UDP port `port`.
    pub(crate) fn new(place: Rc<Place>, tally: Arc<Tally>, port: u16) -> Self {
        let alt_svc = format!("h3=\":{port}\"; ma={}", limits::ALT_SVC_SECONDS);
        let alt_svc = HeaderValue::try_from(alt_svc).expect("digits are good in a value");
        let (http11, http2) = Default::default();
        Self { place, tally, alt_svc, http11, http2 }
    }

    /// One request more, which was read.
    fn count(&self, version: Version) {
        let of_version = if version == Version::Http2 { &self.http2 } else { &self.http11 };
        for count in [&*self.place.requests, of_version] {
            count.set(count.get() + 1);
        }
    }
}

/// A connection of a client's.
pub(crate) struct Client {
    pub(crate) hosting: Rc<Hosting>,
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// The name that it asked for by SNI.
    pub(crate) name: Option<Box<str>>,
}

impl Client {
    /// Counts a request and answers it.
    pub(crate) async fn answer(
        &self,
        version: Version,
        request: &Parts,
        upgrade: Option<Upgrade<'_>>,
        content: &mut Content,
        interim: &Interim,
    ) -> (Response<()>, Body) {
        let place = &self.hosting.place;
        let asked = Asked::of(version, request);
        let name = self.name.as_deref();
        if let Err(rejection) = check(&asked, name, &place.certificates, &place.covered) {
            return self.reject(version, request, upgrade, rejection);
        }
        self.hosting.count(version);
        let request = self.request(version, request, upgrade);
        let (head, body) = answer::answer(place, &request, content, interim).await;
        (self.complete(head), body)
    }

    /// Counts a request, and what it breaks.
    pub(crate) fn reject(
        &self,
        version: Version,
        request: &Parts,
        upgrade: Option<Upgrade<'_>>,
        rejection: Rejection,
    ) -> (Response<()>, Body) {
        self.hosting.count(version);
        self.refuse(rejection.refusal(), &rejection.rule());
        let request = self.request(version, request, upgrade);
        let (head, body) = answer::refuse(&self.hosting.place, &request, rejection);
        (self.complete(head), body)
    }

    fn request<'a>(
        &self,
        version: Version,
        request: &'a Parts,
        upgrade: Option<Upgrade<'a>>,
    ) -> answer::Request<'a> {
        answer::Request {
            method: &request.method,
            authority: answer::authority(&request.uri, &request.headers),
            path: request.uri.path(),
            query: request.uri.query(),
            headers: &request.headers,
            version,
            client: self.address,
            upgrade,
        }
    }

    /// With what every answer has.
    fn complete(&self, mut head: Response<()>) -> Response<()> {
        let Hosting { place, alt_svc, .. } = &*self.hosting;
        place.date.set(head.headers_mut());
        // In that of another host it would be nobody's word (RFC 7838 section 6).
        if head.status() != StatusCode::MISDIRECTED_REQUEST {
            // What a distribution says of it holds.
            head.headers_mut().entry(header::ALT_SVC).or_insert_with(|| alt_svc.clone());
        }
        head
    }

    /// Counts what was refused, and says why to whoever looks for it.
    pub(crate) fn refuse(&self, refusal: Refusal, rule: &dyn std::fmt::Display) {
        let [_, reason] = refusal.labels();
        tracing::debug!(client = %self.address, reason, %rule, "refused");
        self.hosting.tally.count(refusal);
    }

    /// Counts answers that the deadline of a drain cuts off.
    pub(crate) fn cut(&self, answers: u64) {
        let cut = &self.hosting.place.cut;
        cut.set(cut.get() + answers);
    }
}
