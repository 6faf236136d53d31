//! HTTP/1.1 in clear, one request a connection: an authority gets its answer, everybody else is
//! sent to https.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::tally::{Refusal, Tally};
use super::within;
use crate::http::check::Rejection;
use crate::http::h1::guard::Guarded;
use crate::http::host::{HTTPS_PORT, Host};
use crate::limits;
use crate::tls::{Challenges, Live};

/// Where an authority looks for the answer to a token (RFC 8555 section 8.3).
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// What requests are answered from.
#[derive(Debug)]
pub(super) struct Clear {
    pub(super) challenges: Arc<Challenges>,
    pub(super) certificates: Arc<Live>,
    pub(super) tally: Arc<Tally>,
    pub(super) https_port: u16,
}

impl Clear {
    /// One request, and its answer.
    pub(super) async fn connection(self: Arc<Self>, stream: TcpStream) {
        let stream = Guarded::new(stream);
        let guard = stream.guard();
        let service = service_fn(|request: Request<Incoming>| {
            let answer = match guard.next_head() {
                Ok(()) => self.answer(&request),
                Err(rejection) => self.reject(rejection),
            };
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HTTP_HEAD_WITHIN)
            .max_buf_size(limits::HTTP_HEAD_BYTES)
            .max_headers(limits::HTTP_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        match within(limits::HTTP_CONNECTION_TIME, connection).await {
            None => self.tally.count(Refusal::HttpSlow),
            Some(Err(error)) if error.is_timeout() => self.tally.count(Refusal::HttpSlow),
            Some(Err(error)) if error.is_parse() => self.tally.count(Refusal::HttpMalformed),
            // Whoever goes before the end has not been refused.
            Some(Ok(()) | Err(_)) => {}
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let target = request.uri().path_and_query().map(http::uri::PathAndQuery::as_str);
        // `OPTIONS *` and CONNECT name nothing that https would have (RFC 9112 section 3.2).
        let target = target.filter(|target| target.starts_with('/'));
        let (Some(host), Some(target)) = (Host::of(request.uri(), request.headers()), target)
        else {
            self.tally.count(Refusal::HttpHost);
            return text(StatusCode::BAD_REQUEST, "whom is this for?\n");
        };
        if let Some(token) = request.uri().path().strip_prefix(CHALLENGE) {
            return self.challenge(request.method(), token);
        }
        // Else whoever asks under a name of his own could have caches and clients sent there.
        if !self.certificates.serves(host.server_name()) {
            self.tally.count(Refusal::HttpName);
            return text(StatusCode::MISDIRECTED_REQUEST, "nobody of this name is here\n");
        }
        self.redirect(&host, target)
    }

    /// Of a request that breaks a rule which hyper does not know.
    fn reject(&self, rejection: Rejection) -> Response<Full<Bytes>> {
        self.tally.count(Refusal::HttpMalformed);
        text(rejection.status(), rejection.rule())
    }

    /// Whatever the name: the token says which order it is about.
    fn challenge(&self, method: &Method, token: &str) -> Response<Full<Bytes>> {
        let get = matches!(*method, Method::GET | Method::HEAD);
        match get.then(|| self.challenges.http01(token)).flatten() {
            Some(answer) => {
                typed(StatusCode::OK, "application/octet-stream", answer.as_bytes().to_vec())
            }
            None => text(StatusCode::NOT_FOUND, "no such challenge\n"),
        }
    }

    /// With the method that it came with (RFC 9110 section 15.4.9).
    fn redirect(&self, host: &Host, target: &str) -> Response<Full<Bytes>> {
        let location = match self.https_port {
            HTTPS_PORT => format!("https://{host}{target}"),
            port => format!("https://{host}:{port}{target}"),
        };
        let Ok(location) = header::HeaderValue::try_from(location) else {
            self.tally.count(Refusal::HttpMalformed);
            return text(StatusCode::BAD_REQUEST, "this is no target\n");
        };
        self.tally.count_redirect();
        let mut response = text(StatusCode::PERMANENT_REDIRECT, "");
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
