//! Handles to an engine's connections and streams.
//!
//! They share the engine with the driver of the same thread, so none of them is `Send`. The
//! unidirectional streams that we open implement `h3::quic`, for h3 opens them and says goodbye; all
//! that a client sends is read by our own codecs, and h3 sees none of it.

mod no_stream;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, WriteBuf};
use quinn_proto::{ConnectionError, Dir, StreamId, VarInt};

pub use no_stream::NoStream;

use crate::quic::engine::{Engine, Key, StreamFailure};

/// The engine of this thread.
pub type SharedEngine = Rc<RefCell<Engine>>;

/// One connection, as its owner sees it.
#[derive(Clone)]
pub struct Connection {
    engine: SharedEngine,
    key: Key,
    name: Option<Rc<str>>,
    /// What is to follow SETTINGS on the control stream. Boxed, for it is there for a moment and its
    /// place in every handle.
    announcement: Option<Box<Bytes>>,
}

impl Connection {
    /// A handle to the connection, whose handshake has completed.
    #[must_use]
    pub fn new(engine: SharedEngine, key: Key) -> Self {
        let name = engine.borrow_mut().server_name(key).map(Into::into);
        Self { engine, key, name, announcement: None }
    }

    /// The name that the client asked for by SNI, in lower case.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// A handle for h3, with a whole frame that follows our SETTINGS: of a type that h3 does not know.
    #[must_use]
    pub fn announcing(&self, frame: Option<Bytes>) -> Self {
        Self { announcement: frame.map(Box::new), ..self.clone() }
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
    ) -> Poll<Result<RequestStream, ConnectionError>> {
        let id = ready!(self.engine.borrow_mut().poll_accept(self.key, Dir::Bi, cx))?;
        let stream = self.stream(id);
        let reader = RequestReader { stream: stream.clone(), ended: false };
        Poll::Ready(Ok(RequestStream { reader, writer: RequestWriter { stream, ended: false } }))
    }

    /// The next unidirectional stream.
    pub fn poll_accept_unidirectional(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RequestReader, ConnectionError>> {
        let id = ready!(self.engine.borrow_mut().poll_accept(self.key, Dir::Uni, cx))?;
        Poll::Ready(Ok(RequestReader { stream: self.stream(id), ended: false }))
    }

    /// Whether the client wants no more of a unidirectional stream of ours.
    #[must_use]
    pub fn is_unidirectional_stopped(&self) -> bool {
        self.engine.borrow_mut().is_unidirectional_stopped(self.key)
    }

    /// Writes on request streams with a higher number first. Nothing happens where it is not open.
    pub fn set_priority(&self, stream: u64, priority: i32) {
        self.engine.borrow_mut().set_priority(self.key, stream, priority);
    }

    /// Closes the connection with a code of HTTP/3. Who waits for it is told at once.
    pub fn close(&self, code: u64, reason: &[u8]) {
        let reason = Bytes::copy_from_slice(reason);
        self.engine.borrow_mut().close(self.key, varint(code), reason);
    }

    /// Counts a frame that declared too much.
    pub fn count_refused_frame(&self) {
        self.engine.borrow_mut().count_refused_frame();
    }

    /// Ready when the client has every response that was finished, or is gone.
    pub fn poll_delivered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.engine.borrow_mut().poll_delivered(self.key, cx)
    }

    fn stream(&self, id: StreamId) -> Stream {
        Stream { engine: self.engine.clone(), key: self.key, id }
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = NoStream;
    type OpenStreams = Self;

    /// Never: see [`Connection::poll_accept_unidirectional`].
    fn poll_accept_recv(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<NoStream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    /// Never: see [`Connection::poll_accept_request`].
    fn poll_accept_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<NoStream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn opener(&self) -> Self {
        self.clone()
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = NoStream;
    type SendStream = SendStream;

    /// Never: a server opens none (RFC 9114 section 6.1).
    fn poll_open_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<NoStream, StreamErrorIncoming>> {
        Poll::Pending
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendStream, StreamErrorIncoming>> {
        let id = ready!(self.engine.borrow_mut().poll_open(self.key, Dir::Uni, cx))
            .map_err(|error| stream_error(error.into()))?;
        // h3 opens the control stream first.
        Poll::Ready(Ok(SendStream::new(self.stream(id), self.announcement.take())))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        Self::close(self, code.value(), reason);
    }
}

#[derive(Clone)]
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
    ) -> Poll<Result<(), StreamFailure>> {
        while !bytes.is_empty() {
            ready!(self.engine.borrow_mut().poll_write(self.key, self.id, bytes, cx))?;
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
    /// What is to follow the first thing that is sent, where this is the control stream.
    announcement: Option<Box<Bytes>>,
    ended: bool,
}

/// How a control stream begins: its type, and that of SETTINGS (RFC 9114 sections 6.2.1 and 7.2.4).
const CONTROL_WITH_SETTINGS: [u8; 2] = [0x00, 0x04];

impl SendStream {
    fn new(stream: Stream, announcement: Option<Box<Bytes>>) -> Self {
        Self { stream, writing: Bytes::new(), announcement, ended: false }
    }

    fn reset_with(&mut self, code: u64) {
        self.ended = true;
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().reset(*key, *id, varint(code));
    }
}

impl quic::SendStream<Bytes> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let written = ready!(self.stream.poll_write(&mut self.writing, cx));
        // What is left of it is empty, and would hold all of it for as long as the stream lasts.
        self.writing = Bytes::new();
        Poll::Ready(written.map_err(stream_error))
    }

    /// Copied: h3 gives frames of control streams here, which are short.
    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if !self.writing.is_empty() {
            let connection_error = ConnectionErrorIncoming::InternalError(
                "data was given before the last was sent".to_owned(),
            );
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        let mut data = data.into();
        self.writing = data.copy_to_bytes(data.remaining());
        // Type and SETTINGS are one piece for h3, so that their end is a boundary of frames.
        if let Some(frame) = self.announcement.take()
            && self.writing.starts_with(&CONTROL_WITH_SETTINGS)
        {
            self.writing = [&self.writing[..], &frame].concat().into();
        }
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

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.ended {
            self.reset_with(Code::H3_INTERNAL_ERROR.value());
        }
    }
}

/// A request stream that is not read yet.
pub struct RequestStream {
    reader: RequestReader,
    writer: RequestWriter,
}

impl RequestStream {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.writer.stream.id.into()
    }

    /// Its two directions.
    #[must_use]
    pub fn split(self) -> (RequestReader, RequestWriter) {
        (self.reader, self.writer)
    }

    /// Gives up both directions.
    pub fn reject(mut self, code: u64) {
        self.reader.stop(code);
        self.writer.reset_with(code);
    }
}

/// What a client sends on a request stream, or on a unidirectional one.
pub struct RequestReader {
    stream: Stream,
    ended: bool,
}

impl RequestReader {
    /// The next bytes of it; `None` at its end.
    ///
    /// # Errors
    /// Where the client has reset it, or the connection is lost.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamFailure>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let Stream { engine, key, id } = &self.stream;
        let read = ready!(engine.borrow_mut().poll_read(*key, *id, cx));
        self.ended = !matches!(read, Ok(Some(_)));
        Poll::Ready(read)
    }

    /// Asks for no more of it.
    pub fn stop(&mut self, code: u64) {
        self.ended = true;
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().stop(*key, *id, varint(code));
    }
}

/// What is left of a request that was answered is not wanted (RFC 9114 section 4.1.1); mostly nothing
/// is left but its end, of which the client need not be told.
impl Drop for RequestReader {
    fn drop(&mut self) {
        let nobody = &mut Context::from_waker(Waker::noop());
        if !self.ended && !matches!(self.poll_read(nobody), Poll::Ready(Ok(None))) {
            self.stop(Code::H3_NO_ERROR.value());
        }
    }
}

/// What a client is answered on a request stream.
pub struct RequestWriter {
    stream: Stream,
    ended: bool,
}

impl RequestWriter {
    /// Takes as many of the bytes off as fit; ready when all are taken. They are not copied.
    ///
    /// # Errors
    /// Where the client wants no more, or the connection is lost.
    pub fn poll_write(
        &mut self,
        bytes: &mut Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamFailure>> {
        self.stream.poll_write(bytes, cx)
    }

    /// Streams with a higher number are written first.
    pub fn set_priority(&mut self, priority: i32) {
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().set_priority(*key, u64::from(*id), priority);
    }

    /// Ready when the client wants no answer any more, or the connection is lost.
    pub fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<StreamFailure> {
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().poll_stopped(*key, *id, cx)
    }

    /// Ends the response after what was written.
    ///
    /// # Errors
    /// As [`Self::poll_write`].
    pub fn finish(&mut self) -> Result<(), StreamFailure> {
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().finish(*key, *id)?;
        self.ended = true;
        Ok(())
    }

    /// Gives the response up.
    pub fn reset(mut self, code: u64) {
        self.reset_with(code);
    }

    fn reset_with(&mut self, code: u64) {
        self.ended = true;
        let Stream { engine, key, id } = &self.stream;
        engine.borrow_mut().reset(*key, *id, varint(code));
    }
}

/// A response that was given up is reset, so that nobody takes it for whole.
impl Drop for RequestWriter {
    fn drop(&mut self) {
        if !self.ended {
            self.reset_with(Code::H3_INTERNAL_ERROR.value());
        }
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
