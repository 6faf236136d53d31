//! A connection of HTTP/1.1 (RFC 9112) over TLS: hyper reads and writes, we answer.
//!
//! What a client sends after the head, and nobody wants, is read and thrown away before the answer,
//! within bounds. Where it does not end, or is not to be waited for, the connection ends after the answer: what
//! follows would be taken for a request (RFC 9112 section 9.3). `guard` sees what hyper does not show.

pub(crate) mod guard;
pub(super) mod upgraded;

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready as ready_or_wait};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::Version;
use super::answer::{self, Body};
use super::check::Rejection;
use super::client::Client;
use super::content::{self, Cut, RuleNote};
use super::interim::Interim;
use super::websocket::{self, BadHandshake, Upgrade};
use crate::limits;
use crate::tcp::connections::{Seat, Told};
use crate::tcp::stream::Stream;
use crate::tcp::tally::Refusal;
use guard::{Guard, Guarded};
use upgraded::{Next, Tunnel};

/// Serves a connection until the client is gone, or a drain has ended it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: Stream<S>,
    client: Client,
    seat: Seat,
    drain: watch::Receiver<Option<Instant>>,
) {
    let rest = stream.rest();
    let stream = Guarded::new(stream);
    let shared = Rc::new(Shared {
        client,
        seat,
        guard: stream.guard(),
        next: Next::default(),
        refused: RuleNote::default(),
        wanted: Rc::default(),
    });
    shared.seat.idle();
    let connection = http1::Builder::new()
        // Times are those of the seat, which knows what it waits for.
        .header_read_timeout(None)
        .max_buf_size(limits::HTTP1_BUFFER_BYTES)
        .max_header_size(limits::MAX_FIELD_SECTION_BYTES as usize)
        .max_headers(limits::MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), Service(shared.clone()));
    let mut session = Session { connection, shared };
    let mut ended = session.run(drain.clone()).await;
    let Session { connection, shared } = session;
    if let Some(tunnel) = shared.next.take() {
        let parts = connection.into_parts();
        let stream = parts.io.into_inner().into_inner();
        ended = tunnel.run(stream, parts.read_buf, &shared.seat, drain).await;
        if !ended {
            shared.client.cut(1);
        }
    }
    if ended {
        rest.close().await;
    }
}

/// What the exchanges of a connection share.
struct Shared {
    client: Client,
    seat: Seat,
    /// What was seen of requests on their way to hyper.
    guard: Guard,
    /// What the connection becomes after the answer that it is at.
    next: Next,
    /// By which rule the content turned out to be none.
    refused: RuleNote,
    /// The content of the request that it is at was asked for.
    wanted: Rc<Cell<bool>>,
}

struct Session<S: AsyncRead + AsyncWrite + Unpin> {
    connection: http1::Connection<TokioIo<Guarded<Stream<S>>>, Service>,
    shared: Rc<Shared>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Whether the connection is to be closed as is due, rather than dropped.
    async fn run(&mut self, mut drain: watch::Receiver<Option<Instant>>) -> bool {
        let mut drained = pin!(drain.wait_for(Option::is_some));
        let deadline = poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_serve(cx) {
                return Poll::Ready(Err(ended));
            }
            let deadline = ready_or_wait!(drained.as_mut().poll(cx));
            Poll::Ready(Ok(deadline.ok().and_then(|deadline| *deadline)))
        });
        let deadline = match deadline.await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(ended) => return ended,
        };
        // The answers from here on say `Connection: close`, and where there is none to give the
        // connection ends at once (RFC 9112 section 9.6).
        Pin::new(&mut self.connection).graceful_shutdown();
        let mut deadline = pin!(sleep_until(deadline.into()));
        poll_fn(|cx| {
            if let Poll::Ready(ended) = self.poll_serve(cx) {
                return Poll::Ready(ended);
            }
            ready_or_wait!(deadline.as_mut().poll(cx));
            if self.shared.seat.is_owing() {
                self.shared.client.cut(1);
            }
            Poll::Ready(false)
        })
        .await
    }

    /// Moves the connection on; ready at its end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Poll::Ready(ended) = self.connection.poll_without_shutdown(cx) {
            return Poll::Ready(self.ended(ended));
        }
        match ready_or_wait!(self.shared.seat.poll_told(cx)) {
            Told::TooSlow => Poll::Ready(false),
            // A request that came just now is answered first.
            Told::Leave => {
                Pin::new(&mut self.connection).graceful_shutdown();
                self.connection.poll_without_shutdown(cx).map(|ended| self.ended(ended))
            }
        }
    }

    fn ended(&self, ended: hyper::Result<()>) -> bool {
        match ended {
            Ok(()) => true,
            Err(error) if error.is_parse() => {
                self.shared.client.refuse(Refusal::HttpsMalformed, &error);
                true
            }
            // The client is gone, or did not say goodbye.
            Err(_) => false,
        }
    }
}

struct Service(Rc<Shared>);

type Answer = Result<Response<Answered>, Infallible>;

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Answered>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let exchange = Exchange::begin(&self.0);
        let (request, content) = request.into_parts();
        let Shared { guard, refused, wanted, .. } = &*self.0;
        let (guard, refused, wanted) = (guard.clone(), Rc::clone(refused), Rc::clone(wanted));
        wanted.set(false);
        Box::pin(async move {
            Ok(match websocket::of_http11(request.version, &request.method, &request.headers) {
                Ok(Some(upgrade)) => exchange.upgrade(&request, upgrade).await,
                Ok(None) => {
                    let mut content = match content.is_end_stream() {
                        true => content::Content::Empty,
                        false => {
                            let content = Content { incoming: content, guard, refused, wanted };
                            content::Content::Http11(content)
                        }
                    };
                    exchange.answer(&request, &mut content).await
                }
                Err(error) => exchange.refuse(error),
            })
        })
    }
}

/// What follows the head of a request.
pub struct Content {
    incoming: Incoming,
    guard: Guard,
    pub(super) refused: RuleNote,
    wanted: Rc<Cell<bool>>,
}

impl Content {
    /// Whether all of it was read.
    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// As `http_body::Body::poll_frame`. The first time it says 100 to a client that waits for it.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.wanted.set(true);
        let part = Pin::new(&mut self.incoming).poll_frame(cx);
        // hyper may wait for an end that has come, or take for one what is none.
        if self.guard.content_is_broken() {
            return Poll::Ready(Some(Err(self.is_refused(Rejection::Line.rule()))));
        }
        Poll::Ready(ready_or_wait!(part).map(|part| {
            part.map_err(|error| match is_malformed(&error) {
                true => self.is_refused("malformed HTTP/1.1"),
                false => Cut::Gone,
            })
        }))
    }

    fn is_refused(&self, rule: &'static str) -> Cut {
        self.refused.set(Some(rule));
        Cut::Refused(rule)
    }
}

/// Chunks that are none are to hyper what cannot be read.
fn is_malformed(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let kind = source.map(io::Error::kind);
    error.is_parse()
        || error.is_user()
        || matches!(kind, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

/// Reads to the end, within bounds. Whether it was the end.
async fn discard(mut content: content::Content) -> bool {
    let mut left = limits::MAX_DISCARDED_BYTES;
    let read = async {
        loop {
            match content.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    let Some(rest) = left.checked_sub(length) else { return false };
                    left = rest;
                }
            }
        }
    };
    timeout(limits::DISCARD_WITHIN, read).await.unwrap_or(false)
}

/// A request and its answer. Dropped with the end of the answer.
struct Exchange {
    shared: Rc<Shared>,
    /// What hyper did not show.
    rejection: Option<Rejection>,
}

impl Exchange {
    fn begin(shared: &Rc<Shared>) -> Self {
        shared.seat.has_head();
        shared.seat.busy();
        Self { shared: Rc::clone(shared), rejection: shared.guard.next_head().err() }
    }

    async fn ask(
        &self,
        request: &Parts,
        upgrade: Option<Upgrade<'_>>,
        content: &mut content::Content,
    ) -> (Response<()>, Body) {
        // Nobody takes interim responses out: hyper sends none but 100.
        let interim = Interim::default();
        let client = &self.shared.client;
        match self.rejection {
            None => client.answer(Version::Http11, request, upgrade, content, &interim).await,
            Some(rejection) => client.reject(Version::Http11, request, upgrade, rejection),
        }
    }

    /// Whether it is certain where the request ends.
    fn has_end(&self) -> bool {
        matches!(self.rejection, None | Some(Rejection::Uri))
            && !self.shared.guard.content_is_broken()
    }

    async fn answer(self, request: &Parts, content: &mut content::Content) -> Response<Answered> {
        let Shared { client, refused, wanted, .. } = &*self.shared;
        let has_content = !content.is_end_stream();
        let is_waiting = request.headers.contains_key(header::EXPECT);
        let (mut head, body) = self.ask(request, None, content).await;
        // What nobody wanted is in the way of the next request.
        let whole = match std::mem::take(content) {
            // Who waits for 100 is not asked to go on (RFC 9110 section 10.1.1). It may send what it
            // has announced, or the next request: nobody could tell which.
            _ if has_content && !wanted.get() && is_waiting => false,
            _ if !self.has_end() => false,
            content if content.is_end_stream() => true,
            content => discard(content).await,
        };
        if let Some(rule) = refused.take() {
            client.refuse(Refusal::HttpsMalformed, &rule);
        }
        // What follows a CONNECT was meant for a tunnel, not for us (RFC 9110 section 9.3.6).
        if !whole || request.method == Method::CONNECT {
            head.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        head.map(|()| Answered { body, _exchange: self })
    }

    /// Answers a request for a WebSocket. Where there is one the connection goes on with it.
    async fn upgrade(self, request: &Parts, upgrade: Upgrade<'_>) -> Response<Answered> {
        let (follows, reader) = upgraded::content();
        let mut content = content::Content::Upgraded(Box::new(follows));
        let (mut head, mut body) = self.ask(request, Some(upgrade), &mut content).await;
        if head.status() == StatusCode::SWITCHING_PROTOCOLS {
            let body = std::mem::replace(&mut body, Body::Empty);
            self.shared.next.set(Some(Tunnel::new(reader, body)));
        } else {
            // What follows may be what was meant for a WebSocket.
            head.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        head.map(|()| Answered { body, _exchange: self })
    }

    /// Of a request for a WebSocket that is none.
    fn refuse(self, error: BadHandshake) -> Response<Answered> {
        self.shared.client.refuse(Refusal::HttpsMalformed, &error);
        let (mut head, body) = answer::error(StatusCode::BAD_REQUEST, &error.to_string());
        // What follows may be what it has meant for another protocol.
        head.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        head.map(|()| Answered { body, _exchange: self })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.shared.seat.idle();
    }
}

/// What follows the head of an answer.
struct Answered {
    body: Body,
    _exchange: Exchange,
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
