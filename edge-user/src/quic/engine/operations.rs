//! What an application does with an engine's connections and streams. Each operation that has
//! to wait keeps the waker of the last who asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    Connection, ConnectionError, ConnectionEvent, Dir, FinishError, ReadError, ReadableError,
    StreamId, Transmit, VarInt, WriteError,
};

use super::address_guard::AddressGuard;
use super::send_budget::Account;
use super::{Engine, Key};
use crate::limits;

/// Bytes taken from a stream at a time; quinn gives at most a packet's worth anyway.
const READ_BYTES: usize = 64 << 10;

/// A connection, and who waits for what of it.
pub(super) struct Live {
    pub(super) serial: u64,
    pub(super) quic: Connection,
    /// Where it may send to.
    pub(super) guard: AddressGuard,
    /// What it may hold of answers.
    account: Account,
    pub(super) pending: bool,
    pub(super) established: bool,
    /// When it is closed: a handshake that takes too long, or a close that was asked for.
    pub(super) closes_at: Option<Instant>,
    /// Noted in the engine's deadlines.
    pub(super) deadline: Option<Instant>,
    /// Code and reason of the application, until it is closed.
    close: Option<(VarInt, Bytes)>,
    lost: Option<ConnectionError>,
    /// Unidirectional streams we opened: they never finish.
    opened: usize,
    pub(super) readers: BTreeMap<StreamId, Waker>,
    pub(super) writers: BTreeMap<StreamId, Waker>,
    /// Streams whose next bytes wait for a share of the budget.
    ungranted: BTreeMap<StreamId, Waker>,
    /// By direction.
    pub(super) acceptors: [Option<Waker>; 2],
    /// By direction.
    pub(super) openers: [Option<Waker>; 2],
    pub(super) delivered: Option<Waker>,
    /// The client wants no more of a unidirectional stream that we opened.
    pub(super) unidirectional_stopped: bool,
}

/// Why a stream gives or takes no more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamFailure {
    /// The whole connection is lost.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The peer reset it or asked to stop, with this code.
    #[error("ended by the peer with code {0:#x}")]
    Terminated(u64),
    /// It was finished, reset or stopped on our side.
    #[error("no longer open")]
    Closed,
}

impl Live {
    pub(super) fn new(
        serial: u64,
        quic: Connection,
        guard: AddressGuard,
        account: Account,
        handshake_ends: Instant,
    ) -> Self {
        Self {
            serial,
            quic,
            guard,
            account,
            pending: false,
            established: false,
            closes_at: Some(handshake_ends),
            deadline: None,
            close: None,
            lost: None,
            opened: 0,
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
            ungranted: BTreeMap::new(),
            acceptors: [None, None],
            openers: [None, None],
            delivered: None,
            unidirectional_stopped: false,
        }
    }

    /// Takes in a datagram. Whether it was looked at.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        from: IpAddr,
        bytes: u64,
        event: ConnectionEvent,
    ) -> bool {
        let Self { quic, guard, .. } = self;
        let responses = |quic: &Connection| quic.stats().frame_rx.path_response;
        if !guard.receive(now, from, bytes, || responses(quic)) {
            return false;
        }
        quic.handle_event(event);
        guard.received(from, quic.remote_address().ip(), || responses(quic));
        true
    }

    /// The next datagrams that may leave.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if self.hold_for_close(now) {
            return None;
        }
        if !self.guard.in_doubt() {
            return self.quic.poll_transmit(now, segments, buffer);
        }
        // One by one, each counted. What may not leave is lost, as any datagram may be.
        loop {
            if !self.guard.may_begin(self.quic.remote_address().ip()) {
                return None;
            }
            let transmit = self.quic.poll_transmit(now, 1, buffer)?;
            if self.guard.send(transmit.destination.ip(), transmit.size as u64) {
                return Some(transmit);
            }
            buffer.clear();
        }
    }

    /// A client that asks for several things at one time may ask for many.
    pub(super) fn allow_more_requests(&mut self) {
        let most = limits::MAX_REQUEST_STREAMS;
        if self.quic.max_concurrent_streams(Dir::Bi) < u64::from(most)
            && self.quic.streams().remote_open_streams(Dir::Bi) > 1
        {
            self.quic.set_max_concurrent_streams(Dir::Bi, most.into());
        }
    }

    /// Lets writers go on that waited for a share of the budget.
    pub(super) fn wake_granted(&mut self) {
        if !self.ungranted.is_empty() && self.account.grant(limits::SEND_GRANT_MIN_BYTES) > 0 {
            wake_all(std::mem::take(&mut self.ungranted).into_values());
        }
    }

    /// Whether nothing may be sent for now, because a close that was asked for comes first.
    ///
    /// quinn-proto holds a CONNECTION_CLOSE back while the congestion window is full, and takes
    /// no acknowledgement once it is closed: the client would never learn of it. So with
    /// responses in flight nothing more is sent for as long as these take to be acknowledged.
    pub(super) fn hold_for_close(&mut self, now: Instant) -> bool {
        if self.close.is_none() {
            return false;
        }
        let in_flight = self.quic.streams().send_streams() > self.opened;
        let wait = 2 * self.quic.rtt();
        let wait = wait.clamp(limits::CLOSE_WAIT_MIN, limits::CLOSE_WAIT_MAX);
        self.closes_at.get_or_insert(if in_flight { now + wait } else { now });
        self.close_when_due(now);
        self.close.is_some()
    }

    pub(super) fn close_when_due(&mut self, now: Instant) {
        if self.closes_at.is_some_and(|at| at <= now) {
            self.closes_at = None;
            let overdue = || (VarInt::from_u32(0), Bytes::from_static(b"handshake too slow"));
            let (code, reason) = self.close.take().unwrap_or_else(overdue);
            self.quic.close(now, code, reason);
        }
    }

    /// The first reason stays; everybody who waits is told.
    pub(super) fn lose(&mut self, reason: ConnectionError) {
        self.lost.get_or_insert(reason);
        wake_all(std::mem::take(&mut self.readers).into_values());
        wake_all(std::mem::take(&mut self.writers).into_values());
        wake_all(std::mem::take(&mut self.ungranted).into_values());
        wake_all(self.acceptors.iter_mut().chain(&mut self.openers).filter_map(Option::take));
        wake_all(self.delivered.take());
    }
}

pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

impl Engine {
    fn live(&mut self, key: Key) -> Result<&mut Live, ConnectionError> {
        match self.connections.get_mut(key.handle.0).and_then(Option::as_mut) {
            Some(live) if live.serial == key.serial => match &live.lost {
                Some(reason) => Err(reason.clone()),
                None => Ok(live),
            },
            _ => Err(ConnectionError::LocallyClosed),
        }
    }

    /// The client's address as seen now.
    #[must_use]
    pub fn client(&mut self, key: Key) -> Option<SocketAddr> {
        self.live(key).ok().map(|live| live.quic.remote_address())
    }

    /// The name that the client asked for by SNI, once its ClientHello was read.
    #[must_use]
    pub fn server_name(&mut self, key: Key) -> Option<String> {
        let data = self.live(key).ok()?.quic.crypto_session().handshake_data()?;
        data.downcast::<HandshakeData>().ok()?.server_name
    }

    /// The smoothed round trip, or zero where the connection is lost.
    #[must_use]
    pub fn round_trip(&mut self, key: Key) -> Duration {
        self.live(key).map_or(Duration::ZERO, |live| live.quic.rtt())
    }

    /// The next stream that the client opened.
    pub fn poll_accept(
        &mut self,
        key: Key,
        direction: Dir,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamId, ConnectionError>> {
        let live = self.live(key)?;
        match live.quic.streams().accept(direction) {
            Some(id) => Poll::Ready(Ok(id)),
            None => {
                live.acceptors[direction as usize] = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Opens a stream, when the client allows one more.
    pub fn poll_open(
        &mut self,
        key: Key,
        direction: Dir,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamId, ConnectionError>> {
        let live = self.live(key)?;
        match live.quic.streams().open(direction) {
            Some(id) => {
                live.opened += usize::from(direction == Dir::Uni);
                Poll::Ready(Ok(id))
            }
            None => {
                live.openers[direction as usize] = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next bytes of a stream in order; `None` at its end.
    pub fn poll_read(
        &mut self,
        key: Key,
        id: StreamId,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamFailure>> {
        let live = self.live(key)?;
        let mut stream = live.quic.recv_stream(id);
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => {
                return Poll::Ready(Err(StreamFailure::Closed));
            }
        };
        let next = chunks.next(READ_BYTES);
        let transmit = chunks.finalize().should_transmit();
        let outcome = match next {
            Ok(chunk) => Poll::Ready(Ok(chunk.map(|chunk| alone(chunk.bytes)))),
            Err(ReadError::Reset(code)) => {
                Poll::Ready(Err(StreamFailure::Terminated(code.into_inner())))
            }
            Err(ReadError::Blocked) => {
                live.readers.insert(id, cx.waker().clone());
                Poll::Pending
            }
        };
        if transmit {
            self.enqueue(key.handle);
        }
        outcome
    }

    /// Takes as many of the bytes as fit off their front; waits where none does, because of the
    /// client's window, ours, or the worker's budget. They are not copied.
    pub fn poll_write(
        &mut self,
        key: Key,
        id: StreamId,
        bytes: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamFailure>> {
        let live = self.live(key)?;
        let granted = live.account.grant(bytes.len());
        if granted == 0 && !bytes.is_empty() {
            live.ungranted.insert(id, cx.waker().clone());
            return Poll::Pending;
        }
        // Dropped where the stream takes none of them, and so not held.
        let mut held = [live.account.hold(bytes.slice(..granted))];
        let outcome = match live.quic.send_stream(id).write_chunks(&mut held) {
            Ok(written) => {
                bytes.advance(written.bytes);
                Poll::Ready(Ok(()))
            }
            Err(WriteError::Blocked) => {
                live.writers.insert(id, cx.waker().clone());
                Poll::Pending
            }
            Err(WriteError::Stopped(code)) => {
                Poll::Ready(Err(StreamFailure::Terminated(code.into_inner())))
            }
            Err(WriteError::ClosedStream) => Poll::Ready(Err(StreamFailure::Closed)),
        };
        // Blocked streams have something to say too (RFC 9000 section 4.1).
        self.enqueue(key.handle);
        outcome
    }

    /// Ready when the client wants no more of what we send on a stream, or the connection is lost.
    pub fn poll_stopped(
        &mut self,
        key: Key,
        id: StreamId,
        cx: &mut Context<'_>,
    ) -> Poll<StreamFailure> {
        let live = match self.live(key) {
            Ok(live) => live,
            Err(error) => return Poll::Ready(error.into()),
        };
        match live.quic.send_stream(id).stopped() {
            Ok(None) => {
                live.writers.insert(id, cx.waker().clone());
                Poll::Pending
            }
            Ok(Some(code)) => Poll::Ready(StreamFailure::Terminated(code.into_inner())),
            Err(_) => Poll::Ready(StreamFailure::Closed),
        }
    }

    /// Streams with a higher number are written first. Nothing happens where it is not open.
    pub fn set_priority(&mut self, key: Key, stream: u64, priority: i32) {
        if let (Ok(live), Ok(id)) = (self.live(key), VarInt::from_u64(stream)) {
            // Closed by now, or not open yet.
            let _ = live.quic.send_stream(StreamId::from(id)).set_priority(priority);
        }
    }

    /// Ends a stream after what was written.
    ///
    /// # Errors
    /// Where the peer asked to stop, the stream is no longer open, or the connection is lost.
    pub fn finish(&mut self, key: Key, id: StreamId) -> Result<(), StreamFailure> {
        let live = self.live(key)?;
        // Whoever waited to be asked to stop waits no more.
        live.writers.remove(&id);
        let finished = match live.quic.send_stream(id).finish() {
            Ok(()) => Ok(()),
            Err(FinishError::Stopped(code)) => Err(StreamFailure::Terminated(code.into_inner())),
            Err(FinishError::ClosedStream) => Err(StreamFailure::Closed),
        };
        self.enqueue(key.handle);
        finished
    }

    /// Abandons what we send on a stream. Nothing happens where it is no longer open.
    pub fn reset(&mut self, key: Key, id: StreamId, code: VarInt) {
        if let Ok(live) = self.live(key) {
            live.writers.remove(&id);
            live.ungranted.remove(&id);
            if live.quic.send_stream(id).reset(code).is_ok() {
                self.enqueue(key.handle);
            }
        }
    }

    /// Asks the client to send no more on a stream. Nothing happens where it is at its end.
    pub fn stop(&mut self, key: Key, id: StreamId, code: VarInt) {
        if let Ok(live) = self.live(key) {
            live.readers.remove(&id);
            if live.quic.recv_stream(id).stop(code).is_ok() {
                self.enqueue(key.handle);
            }
        }
    }

    /// Closes a connection with an application's code. Who waits for it is told at once.
    pub fn close(&mut self, key: Key, code: VarInt, reason: Bytes) {
        if let Ok(live) = self.live(key) {
            live.close = Some((code, reason));
            live.lose(ConnectionError::LocallyClosed);
            self.enqueue(key.handle);
        }
    }

    /// Ready when the client has acknowledged every stream that was finished, or the connection
    /// is lost.
    pub fn poll_delivered(&mut self, key: Key, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(live) = self.live(key) else { return Poll::Ready(()) };
        if live.quic.streams().send_streams() <= live.opened {
            return Poll::Ready(());
        }
        live.delivered = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the client wants no more of a unidirectional stream that we opened. Who waits for one
    /// of the client's is told.
    #[must_use]
    pub fn is_unidirectional_stopped(&mut self, key: Key) -> bool {
        self.live(key).is_ok_and(|live| live.unidirectional_stopped)
    }

    /// Counts an HTTP/3 frame that declared too much.
    pub fn count_refused_frame(&mut self) {
        self.counters.frames_refused += 1;
    }
}

/// See [`limits::COPY_BELOW_BYTES`].
fn alone(bytes: Bytes) -> Bytes {
    if bytes.len() < limits::COPY_BELOW_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes }
}
