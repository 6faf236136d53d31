//! Who asks over TCP, and what is answered: the part that HTTP/2 and HTTP/1.1 share.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{self, Body};
use super::check::{Asked, check};
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
        let Hosting { place, alt_svc, http11, http2, .. } = &*self.hosting;
        place.requests.set(place.requests.get() + 1);
        let of_version = if version == Version::Http2 { http2 } else { http11 };
        of_version.set(of_version.get() + 1);
        let asked = Asked::of(version, request);
        let checked = check(&asked, self.name.as_deref(), &place.certificates, &place.covered);
        let request = answer::Request {
            method: &request.method,
            authority: answer::authority(&request.uri, &request.headers),
            path: request.uri.path(),
            query: request.uri.query(),
            headers: &request.headers,
            version,
            client: self.address,
            upgrade,
        };
        let (mut head, body) = match checked {
            Ok(()) => answer::answer(place, &request, content, interim).await,
            Err(rejection) => {
                self.refuse(rejection.refusal(), &rejection.rule());
                answer::refuse(place, &request, rejection)
            }
        };
        place.date.set(head.headers_mut());
        // In that of another host it would be nobody's word (RFC 7838 section 6).
        if head.status() != StatusCode::MISDIRECTED_REQUEST {
            // What a distribution says of it holds.
            head.headers_mut().entry(header::ALT_SVC).or_insert_with(|| alt_svc.clone());
        }
        (head, body)
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
