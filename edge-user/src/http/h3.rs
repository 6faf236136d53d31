//! A connection of HTTP/3 (RFC 9114): requests in, answers out, GOAWAY at the end.
//!
//! | module | job |
//! |---|---|
//! | [`control`] | the client's unidirectional streams, checked |
//! | `exchange` | a request stream: a request in, an answer out |
//! | `content` | what follows the head of a request |
//! | [`frame`] | frames of a request stream |
//! | [`qpack`] | field sections, with the static table alone |
//! | [`head`] | field sections as heads and trailers, checked |
//! | [`message`] | one direction of a request stream: bytes in, a message out |
//! | [`refusal`] | every way in which a message is refused |
//! | [`tally`] | what was refused, counted |

mod content;
pub mod control;
mod exchange;
pub mod frame;
pub mod head;
pub mod message;
pub mod qpack;
pub mod refusal;
pub mod tally;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h3::quic::StreamId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until, timeout};

use super::bucket::Bucket;
use super::priority::Priority;
use super::{Place, origin_frame};
use crate::limits;
use crate::quic::engine::StreamFailure;
use crate::quic::streams::{Connection, RequestReader, RequestStream};
pub(super) use content::Content;
use control::{Incoming, Peer, Verdict};
use exchange::Outcome;
use refusal::{ControlRefusal, code};

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
    requests: JoinSet<Outcome>,
    /// What the client has said on its unidirectional streams, and those that are open.
    peer: Peer,
    incoming: Vec<(Incoming, RequestReader)>,
    /// Frames that are neither request nor content.
    frames: Bucket,
    /// Requests that came to nothing.
    resets: Bucket,
    /// It broke a rule, and is being closed.
    refused: bool,
    /// What the client has said of requests by PRIORITY_UPDATE, of those that came last.
    priorities: Rc<RefCell<BTreeMap<u64, Priority>>>,
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
        let announcing =
            connection.announcing(origin_frame::http3(&place, connection.server_name()));
        let control = timeout(limits::REQUEST_HEAD_WITHIN, builder.build(announcing)).await;
        let Ok(Ok(control)) = control else {
            // RFC 9114 section 6.2: the client must allow at least three of them.
            connection.close(code::GENERAL_PROTOCOL_ERROR, b"no room for control streams");
            return None;
        };
        let (frames, resets, now) = (
            (limits::CONTROL_FRAMES_AT_ONCE, limits::CONTROL_FRAMES_PER_SECOND),
            (limits::CLIENT_RESETS_AT_ONCE, limits::CLIENT_RESETS_PER_SECOND),
            tokio::time::Instant::now(),
        );
        Some(Box::new(Self {
            connection,
            control,
            place,
            requests: JoinSet::new(),
            peer: Peer::default(),
            incoming: Vec::new(),
            frames: Bucket::new(frames, now),
            resets: Bucket::new(resets, now),
            refused: false,
            priorities: Rc::default(),
            next: 0,
            refuse_from: LAST_STREAM,
        }))
    }

    async fn run(&mut self, mut drain: watch::Receiver<Option<Instant>>) -> Result<(), Lost> {
        let mut drained = pin!(drain.wait_for(Option::is_some));
        let deadline = poll_fn(|cx| {
            if let Poll::Ready(lost) = self.poll_serve(cx) {
                return Poll::Ready(Err(lost));
            }
            let deadline = ready!(drained.as_mut().poll(cx));
            Poll::Ready(Ok(deadline.ok().and_then(|deadline| *deadline)))
        })
        .await?;
        Box::pin(self.say_goodbye(deadline.unwrap_or_else(Instant::now))).await
    }

    /// RFC 9114 section 5.2: a first GOAWAY asks for no more requests, the second, when those
    /// under way must have arrived, says which ones are answered. All of them are.
    async fn say_goodbye(&mut self, deadline: Instant) -> Result<(), Lost> {
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

    async fn go_away(&mut self, from: u64) -> Result<(), Lost> {
        self.refuse_from = from;
        let id = StreamId::try_from(from).expect("at most 62 bits");
        self.control.inner.shutdown(&mut None, id).await.map_err(|_| Lost)
    }

    async fn serve_until(
        &mut self,
        mut done: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<()>,
    ) -> Result<(), Lost> {
        poll_fn(|cx| match self.poll_serve(cx) {
            Poll::Ready(lost) => Poll::Ready(Err(lost)),
            Poll::Pending => done(self, cx).map(Ok),
        })
        .await
    }

    /// Moves everything on; ready only when the connection is lost.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        if let Err(refusal) = self.read_unidirectional(cx) {
            self.refuse(refusal);
        }
        self.prioritize();
        while let Poll::Ready(Some(ended)) = self.requests.poll_join_next(cx) {
            self.ended(ended.unwrap_or(Outcome::Over));
        }
        loop {
            match ready!(self.connection.poll_accept_request(cx)) {
                Ok(stream) => self.accept(stream, cx),
                Err(_) => return Poll::Ready(Lost),
            }
        }
    }

    /// Reads what the client says on its unidirectional streams. GOAWAY is that it takes no pushes
    /// any more: it may go on to ask.
    fn read_unidirectional(&mut self, cx: &mut Context<'_>) -> Result<(), ControlRefusal> {
        if self.connection.is_unidirectional_stopped() {
            return Err(ControlRefusal::ClosedStream);
        }
        while let Poll::Ready(Ok(stream)) = self.connection.poll_accept_unidirectional(cx) {
            self.incoming.push((Incoming::default(), stream));
        }
        let mut at = 0;
        while let Some((incoming, stream)) = self.incoming.get_mut(at) {
            let verdict = match stream.poll_read(cx) {
                Poll::Ready(Ok(Some(bytes))) => incoming.handle_bytes(&mut self.peer, &bytes)?,
                Poll::Ready(Ok(None) | Err(StreamFailure::Terminated(_))) => {
                    incoming.handle_end()?;
                    self.incoming.swap_remove(at);
                    continue;
                }
                // That of the connection is seen where requests are awaited.
                Poll::Ready(Err(StreamFailure::Connection(_) | StreamFailure::Closed))
                | Poll::Pending => {
                    at += 1;
                    continue;
                }
            };
            if verdict == Verdict::Unwanted {
                stream.stop(code::STREAM_CREATION_ERROR);
                self.incoming.swap_remove(at);
            }
        }
        for _ in 0..self.peer.take_count() {
            if !self.frames.take(tokio::time::Instant::now()) {
                return Err(ControlRefusal::TooMany);
            }
        }
        Ok(())
    }

    /// RFC 9218 section 7: it may come before the request, and is what holds (section 10).
    fn prioritize(&mut self) {
        for (stream, priority) in self.peer.take_priorities() {
            self.connection.set_priority(stream, priority.of_stream(stream));
            let mut known = self.priorities.borrow_mut();
            known.insert(stream, priority);
            if known.len() > limits::MAX_REQUEST_STREAMS as usize {
                known.pop_first();
            }
        }
    }

    /// A request that came to nothing costs us as much as one that is answered, and the client
    /// nothing at all (CVE-2023-44487, CVE-2025-8671).
    fn ended(&mut self, outcome: Outcome) {
        if outcome == Outcome::Nothing && !self.resets.take(tokio::time::Instant::now()) {
            self.refuse(ControlRefusal::Resets);
        }
    }

    /// Closes the connection, once.
    fn refuse(&mut self, refusal: ControlRefusal) {
        if std::mem::replace(&mut self.refused, true) {
            return;
        }
        let rule = refusal.rule();
        exchange::count(&self.connection, &self.place, refusal.into(), rule);
        if refusal == ControlRefusal::FrameTooLong {
            self.connection.count_refused_frame();
        }
        self.connection.close(refusal.code(), rule.as_bytes());
    }

    fn accept(&mut self, stream: RequestStream, cx: &mut Context<'_>) {
        let id = stream.id();
        if id >= self.refuse_from {
            stream.reject(code::REQUEST_REJECTED);
            return;
        }
        self.next = id + STREAM_ID_STEP;
        let (connection, place) = (self.connection.clone(), self.place.clone());
        let updates = Rc::clone(&self.priorities);
        let mut request =
            Box::pin(async move { exchange::serve(stream, &connection, &place, &updates).await });
        self.frames.put(limits::CONTROL_FRAMES_PER_REQUEST);
        // Most are whole when they are seen, and their answers fit the client's window: these end
        // here. A task, which costs as much as such an answer, is for those that have to wait.
        match request.as_mut().poll(cx) {
            Poll::Ready(outcome) => self.ended(outcome),
            Poll::Pending => drop(self.requests.spawn_local(request)),
        }
    }
}

/// The connection is no more, or is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lost;
