//! What h3 makes of the bytes of a request stream, without a network: the reader that ours is held
//! against.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use edge_user::limits;
use futures_util::FutureExt as _;
use h3::error::{Code, StreamError};
use h3::frame::FrameStream;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use h3::stream::BufRecvStream;
use http::{HeaderMap, Method, Request, Uri};

/// A message, whoever read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Method, scheme, authority, path, protocol; or the status.
    pub line: Vec<String>,
    /// The fields, by name; values of one name in their order, a cookie in one piece.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The content.
    pub content: Vec<u8>,
    /// The trailers, as the fields.
    pub trailers: Option<Vec<(String, Vec<u8>)>>,
}

/// Fields in an order that does not depend on a map's.
#[must_use]
pub fn sorted(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<_> = map.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let values =
        |name| map.get_all(name).iter().map(move |value: &http::HeaderValue| (name, value));
    let fields = names.into_iter().flat_map(values);
    fields
        .map(|(name, value): (&http::HeaderName, _)| (name.to_string(), value.as_bytes().to_vec()))
        .collect()
}

/// Method, scheme, authority, path and protocol, as [`Message`] has them.
#[must_use]
pub fn line(method: &Method, uri: &Uri, protocol: Option<&str>) -> Vec<String> {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let parts = [method.as_str(), uri.scheme_str().unwrap_or(""), authority, path];
    parts.into_iter().chain([protocol.unwrap_or("")]).map(str::to_owned).collect()
}

/// Has h3's server read a request.
///
/// # Errors
/// As h3 has it.
pub fn request(chunks: &[Bytes]) -> Result<Message, StreamError> {
    let mut builder = h3::server::builder();
    builder.max_field_section_size(limits::MAX_FIELD_SECTION_BYTES).send_grease(false);
    let transport = Transport::default();
    let control: h3::server::Connection<_, Bytes> =
        at_once(builder.build(transport)).expect("nothing to fail");
    let stream = FrameStream::new(BufRecvStream::new(Stream::of(chunks)));
    let (head, mut stream) = at_once(control.create_resolver(stream).resolve_request())?;
    let mut content = Vec::new();
    while let Some(data) = at_once(stream.recv_data())? {
        take(data, &mut content);
    }
    let trailers = at_once(stream.recv_trailers())?;
    let mut fields = head.headers().clone();
    join_cookies(&mut fields);
    let protocol = head.extensions().get::<h3::ext::Protocol>().map(h3::ext::Protocol::as_str);
    Ok(Message {
        line: line(head.method(), head.uri(), protocol),
        fields: sorted(&fields),
        content,
        trailers: trailers.as_ref().map(sorted),
    })
}

/// Has h3's client read the response to a GET.
///
/// # Errors
/// As h3 has it.
pub fn response(chunks: &[Bytes]) -> Result<Message, StreamError> {
    let mut builder = h3::client::builder();
    builder.max_field_section_size(limits::MAX_FIELD_SECTION_BYTES).send_grease(false);
    let transport = Transport { answer: Rc::new(chunks.to_vec()) };
    let built = at_once(builder.build::<_, _, Bytes>(transport)).expect("nothing to fail");
    let (_control, mut requests) = built;
    let get = Request::get("https://example.com/").body(()).expect("a request");
    let mut stream = at_once(requests.send_request(get)).expect("nothing to fail");
    let mut head = at_once(stream.recv_response())?;
    while head.status().is_informational() {
        head = at_once(stream.recv_response())?;
    }
    let mut content = Vec::new();
    while let Some(data) = at_once(stream.recv_data())? {
        take(data, &mut content);
    }
    let trailers = at_once(stream.recv_trailers())?;
    Ok(Message {
        line: vec![head.status().as_u16().to_string()],
        fields: sorted(head.headers()),
        content,
        trailers: trailers.as_ref().map(sorted),
    })
}

fn at_once<F: Future>(future: F) -> F::Output {
    future.now_or_never().expect("all bytes are there")
}

fn take(mut data: impl Buf, content: &mut Vec<u8>) {
    while data.has_remaining() {
        let chunk = data.chunk();
        content.extend_from_slice(chunk);
        let length = chunk.len();
        data.advance(length);
    }
}

/// RFC 9114 section 4.2.1, which h3 leaves to others.
fn join_cookies(fields: &mut HeaderMap) {
    let crumbs: Vec<_> = fields.get_all("cookie").iter().map(|it| it.as_bytes().to_vec()).collect();
    if !crumbs.is_empty() {
        let whole = http::HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).expect("of values");
        fields.insert("cookie", whole);
    }
}

/// A connection whose peer says nothing but, on a stream that is opened, an answer.
#[derive(Clone, Default)]
struct Transport {
    answer: Rc<Vec<Bytes>>,
}

/// A stream whose bytes are all there, and which takes everything.
#[derive(Clone, Default)]
struct Stream {
    bytes: VecDeque<Bytes>,
    id: u64,
}

thread_local! {
    /// Stream IDs, which h3 wants to be different.
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

impl Stream {
    fn of(chunks: &[Bytes]) -> Self {
        Self { bytes: chunks.iter().cloned().collect(), id: NEXT.replace(NEXT.get() + 4) }
    }
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = Stream;
    type OpenStreams = Self;

    fn poll_accept_recv(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn poll_accept_bidi(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn opener(&self) -> Self {
        self.clone()
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = Stream;
    type SendStream = Stream;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Stream, StreamErrorIncoming>> {
        Poll::Ready(Ok(Stream::of(&self.answer)))
    }

    fn poll_open_send(&mut self, _: &mut Context<'_>) -> Poll<Result<Stream, StreamErrorIncoming>> {
        Poll::Ready(Ok(Stream::of(&[])))
    }

    fn close(&mut self, _: Code, _: &[u8]) {}
}

impl quic::SendStream<Bytes> for Stream {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, _: T) -> Result<(), StreamErrorIncoming> {
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, _: u64) {}

    fn send_id(&self) -> StreamId {
        self.id.try_into().expect("a stream ID")
    }
}

impl quic::RecvStream for Stream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        Poll::Ready(Ok(self.bytes.pop_front()))
    }

    fn stop_sending(&mut self, _: u64) {}

    fn recv_id(&self) -> StreamId {
        self.id.try_into().expect("a stream ID")
    }
}

impl quic::BidiStream<Bytes> for Stream {
    type SendStream = Self;
    type RecvStream = Self;

    fn split(self) -> (Self, Self) {
        (Self { bytes: VecDeque::new(), id: self.id }, self)
    }
}
