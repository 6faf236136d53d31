//! Handles to an engine's connections and streams, which implement `h3::quic`.
//!
//! They share the engine with the driver of the same thread, so none of them is `Send`. h3 sees
//! the unidirectional streams only: it counts request streams without end where one fails early,
//! so requests are accepted here and given to h3 one by one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, WriteBuf};
use quinn_proto::coding::Codec as _;
use quinn_proto::{ConnectionError, Dir, StreamId, VarInt};

use crate::limits;
use crate::quic::engine::{Engine, Key, StreamFailure};
use crate::quic::guard::FrameGuard;

/// The type of a DATA frame.
const DATA_FRAME: u8 = 0x00;
/// Type and length of a DATA frame at most.
const DATA_HEAD_BYTES: usize = 9;

/// The engine of this thread.
pub type SharedEngine = Rc<RefCell<Engine>>;

/// One connection, as its owner sees it.
#[derive(Clone)]
pub struct Connection {
    engine: SharedEngine,
    key: Key,
}

impl Connection {
    /// A handle to the connection.
    #[must_use]
    pub fn new(engine: SharedEngine, key: Key) -> Self {
        Self { engine, key }
    }

    /// The client's address as seen now.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.engine.borrow_mut().client(self.key)
    }

    /// The smoothed round trip.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.engine.borrow_mut().round_trip(self.key)
    }

    /// The next request stream.
    pub fn poll_accept_request(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream, ConnectionErrorIncoming>> {
        let id = ready!(self.engine.borrow_mut().poll_accept(self.key, Dir::Bi, cx))
            .map_err(connection_error)?;
        Poll::Ready(Ok(self.bidirectional(id)))
    }

    /// Ready when the client has every response that was finished, or is gone.
    pub fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.engine.borrow_mut().poll_delivered(self.key, cx)
    }

    fn bidirectional(&self, id: StreamId) -> BidiStream {
        BidiStream {
            send: SendStream::new(self.stream(id)),
            receive: RecvStream::new(self.stream(id), FrameGuard::request()),
        }
    }

    fn stream(&self, id: StreamId) -> Stream {
        Stream { engine: self.engine.clone(), key: self.key, id }
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Self;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let id = ready!(self.engine.borrow_mut().poll_accept(self.key, Dir::Uni, cx))
            .map_err(connection_error)?;
        Poll::Ready(Ok(RecvStream::new(self.stream(id), FrameGuard::unidirectional())))
    }

    /// Never: see [`Connection::poll_accept_request`].
    fn poll_accept_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<BidiStream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn opener(&self) -> Self {
        self.clone()
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        let id = ready!(self.engine.borrow_mut().poll_open(self.key, Dir::Bi, cx))
            .map_err(|error| stream_error(error.into()))?;
        Poll::Ready(Ok(self.bidirectional(id)))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendStream, StreamErrorIncoming>> {
        let id = ready!(self.engine.borrow_mut().poll_open(self.key, Dir::Uni, cx))
            .map_err(|error| stream_error(error.into()))?;
        Poll::Ready(Ok(SendStream::new(self.stream(id))))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        let reason = Bytes::copy_from_slice(reason);
        self.engine.borrow_mut().close(self.key, varint(code.value()), reason);
    }
}

struct Stream {
    engine: SharedEngine,
    key: Key,
    id: StreamId,
}

impl Stream {
    /// Ready when all of the bytes are taken.
    fn poll_write(
        &self,
        bytes: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamErrorIncoming>> {
        while !bytes.is_empty() {
            let written = self.engine.borrow_mut().poll_write(self.key, self.id, bytes, cx);
            ready!(written).map_err(stream_error)?;
        }
        Poll::Ready(Ok(()))
    }

    fn h3_id(&self) -> quic::StreamId {
        u64::from(self.id).try_into().expect("QUIC's stream IDs are h3's")
    }
}

/// What we send.
pub struct SendStream {
    stream: Stream,
    writing: Bytes,
    ended: bool,
}

impl SendStream {
    fn new(stream: Stream) -> Self {
        Self { stream, writing: Bytes::new(), ended: false }
    }

    fn reset_with(&mut self, code: u64) {
        self.ended = true;
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().reset(*key, *id, varint(code));
    }
}

impl quic::SendStream<Bytes> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.stream.poll_write(&mut self.writing, cx)
    }

    /// Copied: h3 gives heads of frames and fields here, which are short. Bodies take the way of
    /// [`BodyWriter`].
    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if !self.writing.is_empty() {
            let connection_error = ConnectionErrorIncoming::InternalError(
                "data was given before the last was sent".to_owned(),
            );
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        let mut data = data.into();
        self.writing = data.copy_to_bytes(data.remaining());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let Stream { engine, key, id } = &self.stream;
        let finished = engine.borrow_mut().finish(*key, *id).map_err(stream_error);
        self.ended |= finished.is_ok();
        Poll::Ready(finished)
    }

    fn reset(&mut self, code: u64) {
        self.reset_with(code);
    }

    fn send_id(&self) -> quic::StreamId {
        self.stream.h3_id()
    }
}

/// A response that was given up is reset, so that nobody takes it for whole.
impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.ended {
            self.reset_with(Code::H3_INTERNAL_ERROR.value());
        }
    }
}

/// Writes the body of a response on its stream, past h3, which would have it copied: after the
/// head was sent, and before the stream is finished.
pub struct BodyWriter {
    stream: Stream,
}

impl BodyWriter {
    /// Writes a chunk as a DATA frame (RFC 9114 section 7.2.1), and waits until the stream has
    /// taken all of it.
    ///
    /// # Errors
    /// Where the client wants no more, or the connection is lost.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StreamErrorIncoming> {
        let mut frame = [0; DATA_HEAD_BYTES + limits::COPY_BELOW_BYTES];
        let mut room = &mut frame[..];
        room.put_u8(DATA_FRAME);
        VarInt::try_from(chunk.len()).expect("no chunk has 2^62 bytes").encode(&mut room);
        let mut rest = chunk;
        if rest.len() < limits::COPY_BELOW_BYTES {
            room.put_slice(&rest);
            rest.clear();
        }
        let filled = DATA_HEAD_BYTES + limits::COPY_BELOW_BYTES - room.len();
        let head = Bytes::copy_from_slice(&frame[..filled]);
        for mut part in [head, rest] {
            poll_fn(|cx| self.stream.poll_write(&mut part, cx)).await?;
        }
        Ok(())
    }
}

/// What we receive, guarded.
pub struct RecvStream {
    stream: Stream,
    guard: FrameGuard,
    ended: bool,
}

impl RecvStream {
    fn new(stream: Stream, guard: FrameGuard) -> Self {
        Self { stream, guard, ended: false }
    }

    fn stop(&mut self, code: Code) {
        quic::RecvStream::stop_sending(self, code.value());
    }

    /// A request that declares too much is refused; a control stream that does ends the
    /// connection (RFC 9114 section 10.5).
    fn refuse(&mut self) -> StreamErrorIncoming {
        let code = Code::H3_EXCESSIVE_LOAD.value();
        let Stream { engine, key, id } = &self.stream;
        let mut engine = engine.borrow_mut();
        engine.count_refused_frame();
        self.ended = true;
        if id.dir() == Dir::Bi {
            engine.stop(*key, *id, varint(code));
            engine.reset(*key, *id, varint(code));
            return StreamErrorIncoming::StreamTerminated { error_code: code };
        }
        engine.close(*key, varint(code), Bytes::from_static(b"frame too large"));
        let connection_error = ConnectionErrorIncoming::ApplicationClose { error_code: code };
        StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let Stream { engine, key, id } = &self.stream;
        let data = ready!(engine.borrow_mut().poll_read(*key, *id, cx));
        match data {
            Ok(Some(bytes)) if self.guard.check(&bytes).is_err() => Poll::Ready(Err(self.refuse())),
            Ok(Some(bytes)) => Poll::Ready(Ok(Some(bytes))),
            Ok(None) => {
                self.ended = true;
                Poll::Ready(Ok(None))
            }
            Err(failure) => {
                self.ended = true;
                Poll::Ready(Err(stream_error(failure)))
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        self.ended = true;
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().stop(*key, *id, varint(code));
    }

    fn recv_id(&self) -> quic::StreamId {
        self.stream.h3_id()
    }
}

/// What is left of a request that was answered is not wanted (RFC 9114 section 4.1.1). Mostly
/// nothing is left but its end, of which the client need not be told.
impl Drop for RecvStream {
    fn drop(&mut self) {
        let nobody = &mut Context::from_waker(Waker::noop());
        if !matches!(quic::RecvStream::poll_data(self, nobody), Poll::Ready(Ok(None))) {
            self.stop(Code::H3_NO_ERROR);
        }
    }
}

/// A request stream.
pub struct BidiStream {
    send: SendStream,
    receive: RecvStream,
}

impl BidiStream {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.send.stream.id.into()
    }

    /// Refuses the request unread.
    pub fn reject(mut self, code: Code) {
        self.receive.stop(code);
        self.send.reset_with(code.value());
    }

    /// What writes the response's body.
    #[must_use]
    pub fn body_writer(&self) -> BodyWriter {
        let Stream { engine, key, id } = &self.send.stream;
        BodyWriter { stream: Stream { engine: engine.clone(), key: *key, id: *id } }
    }
}

impl quic::BidiStream<Bytes> for BidiStream {
    type SendStream = SendStream;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream, RecvStream) {
        (self.send, self.receive)
    }
}

impl quic::SendStream<Bytes> for BidiStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        quic::SendStream::poll_ready(&mut self.send, cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        quic::SendStream::poll_finish(&mut self.send, cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset_with(code);
    }

    fn send_id(&self) -> quic::StreamId {
        self.send.stream.h3_id()
    }
}

impl quic::RecvStream for BidiStream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> quic::StreamId {
        self.receive.recv_id()
    }
}

fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn connection_error(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn stream_error(failure: StreamFailure) -> StreamErrorIncoming {
    match failure {
        StreamFailure::Connection(error) => StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: connection_error(error),
        },
        StreamFailure::Terminated(error_code) => {
            StreamErrorIncoming::StreamTerminated { error_code }
        }
        StreamFailure::Closed => StreamErrorIncoming::Unknown(Box::new(StreamFailure::Closed)),
    }
}
