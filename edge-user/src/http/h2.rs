//! A connection of HTTP/2 (RFC 9113) over TLS: h2 reads and writes, we answer.
//!
//! | module | job |
//! |---|---|
//! | [`meter`] | frames that cost more than they say, counted as they are read |
//! | `blocks` | header blocks, followed before h2 reads them |
//! | `streams` | the little that is remembered of a client's streams |
//! | [`insertion`] | a frame that h2 does not know, behind our SETTINGS |
//! | `exchange` | one request and its answer |
//! | `content` | what follows the head of a request |
//! | `parts` | what comes on a stream, of clients and of origins |

mod blocks;
mod content;
mod exchange;
pub(crate) mod insertion;
pub(crate) mod meter;
pub(crate) mod parts;
mod streams;

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::check::Fragment;
use super::client::Client;
use super::origin_frame;
use crate::limits;
use crate::tcp::connections::{Seat, Told};
use crate::tcp::stream::{Rest, Stream};
use crate::tcp::tally::Refusal;
pub(super) use content::Content;
use meter::{Excess, SharedMeter};

/// Serves a connection until the client is gone, or a drain has ended it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: Stream<S>,
    client: Client,
    seat: Seat,
    drain: watch::Receiver<Option<Instant>>,
) {
    seat.idle();
    if let Some(frame) = origin_frame::http2(&client.hosting.place, client.name.as_deref()) {
        stream.insert(frame);
    }
    let (meter, rest) = (stream.meter(), stream.rest());
    stream.gather();
    // Each stage on the heap by itself: a future is as large as its largest stage, and a connection
    // that has been set up mostly does nothing.
    let Some(connection) = Box::pin(begin(stream, &rest, &seat)).await else { return };
    let (requests, leaving, ending) = (JoinSet::new(), false, false);
    let client = Rc::new(client);
    let mut session =
        Box::new(Session { connection, requests, client, seat, meter, rest, leaving, ending });
    if session.run(drain).await == End::Said {
        session.rest.close().await;
    }
}

/// Our SETTINGS, and the client's preface (RFC 9113 section 3.4).
async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
    stream: Stream<S>,
    rest: &Rest<S>,
    seat: &Seat,
) -> Option<Connection<Stream<S>, Bytes>> {
    seat.expects_head();
    let mut builder = Builder::new();
    builder
        .initial_window_size(limits::STREAM_RECEIVE_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_RECEIVE_WINDOW_BYTES)
        .max_concurrent_streams(limits::MAX_REQUEST_STREAMS)
        // RFC 8441 section 3.
        .enable_connect_protocol()
        .max_header_list_size(limits::MAX_FIELD_SECTION_BYTES as u32)
        .max_send_buffer_size(limits::STREAM_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::PENDING_RESET_STREAMS)
        .max_local_error_reset_streams(Some(limits::ERROR_RESET_STREAMS))
        .max_concurrent_reset_streams(limits::REMEMBERED_RESET_STREAMS)
        .reset_stream_duration(limits::RESET_STREAM_REMEMBERED);
    let mut handshake = pin!(builder.handshake(stream));
    poll_fn(|cx| {
        if let Poll::Ready(connection) = handshake.as_mut().poll(cx) {
            // Another preface is another protocol: nothing is said to it.
            return Poll::Ready(connection.ok());
        }
        if let Poll::Ready(Err(_)) = rest.poll_flush(cx) {
            return Poll::Ready(None);
        }
        seat.poll_told(cx).map(|_| None)
    })
    .await
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By a word of either side: it is to be closed.
    Said,
    /// It is gone, or is not waited for any more.
    Cut,
}

/// A connection under way.
struct Session<S> {
    connection: Connection<Stream<S>, Bytes>,
    requests: JoinSet<()>,
    client: Rc<Client>,
    seat: Seat,
    meter: SharedMeter,
    rest: Rest<S>,
    /// It is not needed once there is no request.
    leaving: bool,
    /// A GOAWAY is on its way that ends the connection.
    ending: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(&mut self, mut drain: watch::Receiver<Option<Instant>>) -> End {
        let mut drained = pin!(drain.wait_for(Option::is_some));
        let deadline = poll_fn(|cx| {
            if let ControlFlow::Break(end) = self.serve(cx) {
                return Poll::Ready(Err(end));
            }
            let deadline = ready!(drained.as_mut().poll(cx));
            let deadline = deadline.ok().and_then(|deadline| *deadline);
            Poll::Ready(Ok(deadline.unwrap_or_else(Instant::now)))
        });
        match deadline.await {
            Ok(deadline) => Box::pin(self.say_goodbye(deadline)).await,
            Err(end) => end,
        }
    }

    /// RFC 9113 section 6.8: a first GOAWAY asks for no more requests, the second, when the client
    /// has answered a PING that followed the first, says which ones are answered. All of them are.
    async fn say_goodbye(&mut self, deadline: Instant) -> End {
        self.connection.graceful_shutdown();
        let mut grace = pin!(sleep(limits::GOAWAY_GRACE_MAX));
        let mut deadline = pin!(sleep_until(deadline.into()));
        let mut waited = false;
        poll_fn(|cx| {
            if let ControlFlow::Break(end) = self.serve(cx) {
                return Poll::Ready(end);
            }
            waited = waited || grace.as_mut().poll(cx).is_ready();
            if waited && !self.is_busy() && !self.ending {
                // It never answered the PING. What it sends from here on is not processed.
                self.end(Reason::NO_ERROR);
                if let ControlFlow::Break(end) = self.serve(cx) {
                    return Poll::Ready(end);
                }
            }
            ready!(deadline.as_mut().poll(cx));
            // An answer that is whole, but not with the client yet, is cut off as well.
            let owed = self.is_busy() || self.seat.is_owing();
            self.client.cut(self.requests.len().max(usize::from(owed)) as u64);
            Poll::Ready(End::Cut)
        })
        .await
    }

    /// Moves everything on, and sends what came of it. A break where the connection has ended, or is
    /// to be dropped.
    fn serve(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        let turn = self.turn(cx);
        let flushed = self.rest.poll_flush(cx);
        turn?;
        match flushed {
            Poll::Ready(Err(_)) => ControlFlow::Break(End::Cut),
            _ => ControlFlow::Continue(()),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        while let Poll::Ready(Some(_)) = self.requests.poll_join_next(cx) {}
        self.accept_all(cx)?;
        for broken in self.meter.borrow_mut().take_broken() {
            self.client.refuse(broken.refusal, &broken);
        }
        let exceeded = self.meter.borrow().exceeded();
        if let Some(Excess { refusal, code, rule }) = exceeded
            && !self.ending
        {
            self.client.refuse(refusal, &rule);
            self.end(code);
            self.accept_all(cx)?;
        }
        if let Poll::Ready(told) = self.seat.poll_told(cx) {
            self.leave(told);
            self.accept_all(cx)?;
            if self.ending {
                // What the socket has no room for now is not waited for.
                return ControlFlow::Break(End::Cut);
            }
        }
        if self.leaving && !self.ending && !self.is_busy() {
            // Whether it has answered the PING or not. The last answer may be on its way still.
            self.end(Reason::NO_ERROR);
            self.accept_all(cx)?;
        }
        match self.is_busy() {
            true => self.seat.busy(),
            false => self.seat.idle(),
        }
        ControlFlow::Continue(())
    }

    fn is_busy(&self) -> bool {
        !self.requests.is_empty() || self.connection.has_streams()
    }

    /// RFC 9113 section 6.8: says which requests were processed, and that it was the last.
    fn end(&mut self, reason: Reason) {
        self.ending = true;
        self.connection.abrupt_shutdown(reason);
    }

    fn leave(&mut self, told: Told) {
        match told {
            Told::TooSlow => self.end(Reason::ENHANCE_YOUR_CALM),
            // A request that came just now is answered first.
            Told::Leave if self.is_busy() => {
                self.leaving = true;
                self.connection.graceful_shutdown();
            }
            Told::Leave => self.end(Reason::NO_ERROR),
        }
    }

    /// Reads what there is, and writes.
    fn accept_all(&mut self, cx: &mut Context<'_>) -> ControlFlow<End> {
        loop {
            let accepted = pin!(self.connection.accept()).poll(cx);
            match accepted {
                Poll::Pending => return ControlFlow::Continue(()),
                Poll::Ready(None) => return ControlFlow::Break(End::Said),
                Poll::Ready(Some(Err(error))) => {
                    self.lost(&error);
                    let end = if error.is_io() { End::Cut } else { End::Said };
                    return ControlFlow::Break(end);
                }
                Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond, cx),
            }
        }
    }

    /// The client broke a rule, or is gone, which needs no word.
    fn lost(&self, error: &h2::Error) {
        if self.ending || !error.is_library() || !error.is_go_away() {
            return;
        }
        let refusal = match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) => Refusal::HttpsFlood,
            _ => Refusal::HttpsMalformed,
        };
        self.client.refuse(refusal, error);
    }

    fn accept(
        &mut self,
        mut request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        cx: &mut Context<'_>,
    ) {
        let stream = respond.stream_id().as_u32();
        if self.meter.borrow_mut().take_fragment(stream) {
            request.extensions_mut().insert(Fragment);
        }
        let mut exchange = Box::pin(exchange::answer(request, respond, self.client.clone()));
        // Most answers fit the client's window: these end here. A task, which costs as much as such
        // an answer, is for those that have to wait.
        if exchange.as_mut().poll(cx).is_pending() {
            self.requests.spawn_local(exchange);
        }
    }
}
