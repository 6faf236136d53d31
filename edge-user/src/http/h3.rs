//! A connection of HTTP/3 (RFC 9114): requests in, answers out, GOAWAY at the end.
//!
//! | module | job |
//! |---|---|
//! | `exchange` | a request stream: a request in, an answer out |
//! | `content` | what follows the head of a request |
//! | [`frame`] | frames of a request stream |
//! | [`qpack`] | field sections, with the static table alone |
//! | [`head`] | field sections as heads and trailers, checked |
//! | [`message`] | one direction of a request stream: bytes in, a message out |
//! | [`refusal`] | every way in which a message is refused |
//! | [`tally`] | what was refused, counted |

mod content;
mod exchange;
pub mod frame;
pub mod head;
pub mod message;
pub mod qpack;
pub mod refusal;
pub mod tally;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h3::error::{Code, ConnectionError};
use h3::quic::StreamId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{Sleep, sleep_until, timeout};

use super::Place;
use crate::limits;
use crate::quic::streams::{Connection, RequestStream};
pub(super) use content::Content;
use refusal::code;

/// Stream IDs of requests are multiples of this.
const STREAM_ID_STEP: u64 = 4;
/// The highest ID of a request stream: a first GOAWAY with it refuses nothing yet.
const LAST_STREAM: u64 = (1 << 62) - STREAM_ID_STEP;

/// Serves a connection until the client is gone, or a drain has ended it.
pub async fn serve(
    connection: Connection,
    place: Rc<Place>,
    drain: watch::Receiver<Option<Instant>>,
) {
    // Each stage on the heap by itself: a future is as large as its largest stage, and a connection
    // that has been set up mostly does nothing.
    let Some(mut session) = Box::pin(Session::begin(connection, place)).await else { return };
    // How it ended is the client's affair; what was counted is in the report.
    let _ = session.run(drain).await;
    // Dropped now, which closes the connection with H3_NO_ERROR.
}

/// A connection under way.
struct Session {
    connection: Connection,
    control: h3::server::Connection<Connection, Bytes>,
    place: Rc<Place>,
    requests: JoinSet<()>,
    /// The lowest stream ID that was not accepted yet.
    next: u64,
    /// Requests from this stream ID on are refused: what the last GOAWAY said.
    refuse_from: u64,
}

impl Session {
    /// Opens our control streams. `None` where the client is gone before, or gives us no room for
    /// them: a connection that nobody serves would be kept by PING for ever, in the place of another.
    async fn begin(connection: Connection, place: Rc<Place>) -> Option<Box<Self>> {
        let mut builder = h3::server::builder();
        builder.max_field_section_size(limits::MAX_FIELD_SECTION_BYTES).send_grease(false);
        // RFC 9220 section 3.
        builder.enable_extended_connect(true);
        let control = timeout(limits::REQUEST_HEAD_WITHIN, builder.build(connection.clone())).await;
        let Ok(Ok(control)) = control else {
            // RFC 9114 section 6.2: the client must allow at least three of them.
            connection
                .close(Code::H3_GENERAL_PROTOCOL_ERROR.value(), b"no room for control streams");
            return None;
        };
        Some(Box::new(Self {
            connection,
            control,
            place,
            requests: JoinSet::new(),
            next: 0,
            refuse_from: LAST_STREAM,
        }))
    }

    async fn run(
        &mut self,
        mut drain: watch::Receiver<Option<Instant>>,
    ) -> Result<(), ConnectionError> {
        let mut drained = pin!(drain.wait_for(Option::is_some));
        let deadline = poll_fn(|cx| {
            if let Poll::Ready(error) = self.poll_serve(cx) {
                return Poll::Ready(Err(error));
            }
            let deadline = ready!(drained.as_mut().poll(cx));
            Poll::Ready(Ok(deadline.ok().and_then(|deadline| *deadline)))
        })
        .await?;
        Box::pin(self.say_goodbye(deadline.unwrap_or_else(Instant::now))).await
    }

    /// RFC 9114 section 5.2: a first GOAWAY asks for no more requests, the second, when those
    /// under way must have arrived, says which ones are answered. All of them are.
    async fn say_goodbye(&mut self, deadline: Instant) -> Result<(), ConnectionError> {
        self.go_away(LAST_STREAM).await?;
        let grace = (3 * self.connection.round_trip())
            .clamp(limits::GOAWAY_GRACE_MIN, limits::GOAWAY_GRACE_MAX);
        let mut grace = pin!(sleep_until((Instant::now() + grace).min(deadline).into()));
        self.serve_until(|_, cx| grace.as_mut().poll(cx)).await?;
        self.go_away(self.next).await?;
        let mut deadline: Pin<&mut Sleep> = pin!(sleep_until(deadline.into()));
        self.serve_until(|session, cx| {
            let finished =
                session.requests.is_empty() && session.connection.poll_delivered(cx).is_ready();
            if finished {
                return Poll::Ready(());
            }
            ready!(deadline.as_mut().poll(cx));
            // An answer that is whole, but not with the client yet, is cut off as well.
            let cut = session.requests.len().max(1) as u64;
            session.place.cut.set(session.place.cut.get() + cut);
            Poll::Ready(())
        })
        .await
    }

    async fn go_away(&mut self, from: u64) -> Result<(), ConnectionError> {
        self.refuse_from = from;
        let id = StreamId::try_from(from).expect("at most 62 bits");
        self.control.inner.shutdown(&mut None, id).await
    }

    async fn serve_until(
        &mut self,
        mut done: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<()>,
    ) -> Result<(), ConnectionError> {
        poll_fn(|cx| match self.poll_serve(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => done(self, cx).map(Ok),
        })
        .await
    }

    /// Moves everything on; ready only when the connection is lost.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        // Control streams. `None` says that the client has sent GOAWAY: it pushes nothing, and
        // may go on to ask.
        if let Poll::Ready(Err(error)) = self.control.poll_accept_request_stream(cx) {
            return Poll::Ready(error);
        }
        while let Poll::Ready(Some(_)) = self.requests.poll_join_next(cx) {}
        // When this fails the connection is lost, and h3 says how.
        while let Poll::Ready(Ok(stream)) = self.connection.poll_accept_request(cx) {
            self.accept(stream, cx);
        }
        Poll::Pending
    }

    fn accept(&mut self, stream: RequestStream, cx: &mut Context<'_>) {
        let id = stream.id();
        if id >= self.refuse_from {
            stream.reject(code::REQUEST_REJECTED);
            return;
        }
        self.next = id + STREAM_ID_STEP;
        let (connection, place) = (self.connection.clone(), self.place.clone());
        let mut request =
            Box::pin(async move { exchange::serve(stream, &connection, &place).await });
        // Most are whole when they are seen, and their answers fit the client's window: these end
        // here. A task, which costs as much as such an answer, is for those that have to wait.
        if request.as_mut().poll(cx).is_pending() {
            self.requests.spawn_local(request);
        }
    }
}

/// A timeout that reads no clock and takes no timer where the future is ready at once, as most are.
async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout(limit, future).await,
    }
}
