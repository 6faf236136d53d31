//! Requests of HTTP/2 to a server, and their responses: h2 reads and writes.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::ext::Protocol;
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinHandle, spawn_local};
use tokio::time::Instant;

use super::connect::Transport;
use super::failure::Failure;
use super::health::beside;
use super::http11::{Unanswered, passed_on};
use super::server::Asked;
use super::upload::Upload;
use crate::http::h2::parts::Parts;
use crate::http::interim::Interim;
use crate::http::websocket;
use crate::limits;
use crate::proxy::files::read::Permit;
use crate::proxy::forward::{BadFraming, check_framing};

/// The connections to a server.
#[derive(Default)]
pub(super) struct Shared(RefCell<Vec<Rc<Session>>>);

/// One of them. It ends when nobody has it any more.
pub(super) struct Session {
    requests: SendRequest<Bytes>,
    connection: AbortHandle,
    /// Requests that it carries.
    carried: Rc<Cell<usize>>,
    used: Cell<Instant>,
    /// The server takes no more requests on it.
    is_left: Cell<bool>,
    /// Until it is known whether the server takes WebSockets.
    ping: Mutex<Option<PingPong>>,
    _permit: Permit,
}

impl Shared {
    /// One that has room for a request.
    pub(super) fn take(&self) -> Option<Rc<Session>> {
        let mut sessions = self.0.borrow_mut();
        sessions.retain(|session| !session.connection.is_finished());
        sessions.iter().find(|session| session.has_room()).cloned()
    }

    /// A new one for this request and others.
    pub(super) fn put(&self, session: Rc<Session>) {
        self.0.borrow_mut().push(session);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// How many of them carry no request.
    pub(super) fn idle(&self) -> usize {
        let is_idle = |session: &&Rc<Session>| {
            session.carried.get() == 0 && !session.connection.is_finished()
        };
        self.0.borrow().iter().filter(is_idle).count()
    }

    /// Takes no more requests to it.
    pub(super) fn remove(&self, session: &Rc<Session>) {
        self.0.borrow_mut().retain(|other| !Rc::ptr_eq(session, other));
    }

    /// Closes those that nobody has used for so long.
    pub(super) fn sweep(&self, keep_alive: Duration) {
        self.0.borrow_mut().retain(|session| {
            session.carried.get() > 0 || session.used.get().elapsed() < keep_alive
        });
    }
}

impl Session {
    /// Begins on a connection, which a task of its own moves on.
    pub(super) async fn begin(transport: Transport, permit: Permit) -> Result<Rc<Self>, Failure> {
        let made = Builder::new()
            .enable_push(false)
            .initial_window_size(limits::ORIGIN_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(limits::ORIGIN_CONNECTION_WINDOW_BYTES)
            .max_header_list_size(limits::MAX_FIELD_SECTION_BYTES as u32)
            .max_send_buffer_size(limits::STREAM_SEND_BUFFER_BYTES)
            .handshake(transport);
        let (requests, mut connection) = made.await.map_err(|_| Failure::Connect)?;
        let ping = Mutex::new(connection.ping_pong());
        let task = spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an origin ended");
            }
        });
        let (connection, carried) = (task.abort_handle(), Rc::default());
        let used = Cell::new(Instant::now());
        let is_left = Cell::new(false);
        Ok(Rc::new(Self { requests, connection, carried, used, is_left, ping, _permit: permit }))
    }

    fn has_room(&self) -> bool {
        let most = self.requests.current_max_send_streams().min(limits::ORIGIN_STREAMS);
        !self.is_left.get() && self.carried.get() < most
    }

    /// Whether the server takes extended CONNECT (RFC 8441 section 3). Its first SETTINGS say so, and
    /// are there when it has answered a PING.
    pub(super) async fn takes_websockets(&self) -> bool {
        // Whoever comes meanwhile waits as well.
        let mut asked = self.ping.lock().await;
        if let Some(ping) = &mut *asked {
            // One that went away may have asked already.
            let _ = ping.send_ping(Ping::opaque());
            let _ = poll_fn(|cx| ping.poll_pong(cx)).await;
            *asked = None;
        }
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Sends a request and waits for the head of its response. Interim ones go to `interim`.
    pub(super) async fn ask(
        self: &Rc<Self>,
        request: Request<Upload>,
        interim: &Interim,
    ) -> Result<(Response<()>, Carried, RecvStream), Unanswered> {
        let carried = Carried::new(self);
        let mut requests = self.requests.clone();
        if poll_fn(|cx| requests.poll_ready(cx)).await.is_err() {
            return Err(Unanswered { failure: Failure::Closed, unsent: Some(request.into_body()) });
        }
        let (mut head, upload) = request.into_parts();
        if head.method == Method::CONNECT {
            // No other is sent to an origin.
            head.extensions.insert(Protocol::from_static(websocket::NAME));
        }
        let whole = upload.is_end_stream();
        let sent = requests.send_request(Request::from_parts(head, ()), whole);
        let (mut response, stream) = match sent {
            Ok(sent) => sent,
            // Nothing was sent.
            Err(error) => {
                return Err(Unanswered { failure: self.failure(&error), unsent: Some(upload) });
            }
        };
        let mut carried = carried;
        if !whole {
            carried.upload = Some(spawn_local(send(stream, upload)));
        }
        let answered = poll_fn(|cx| {
            while let Poll::Ready(Some(Ok(head))) = response.poll_informational(cx) {
                // RFC 9113 section 8.6: there is no 101.
                if head.status() != StatusCode::SWITCHING_PROTOCOLS {
                    interim.push(passed_on(head.status(), head.headers(), http::Version::HTTP_2));
                }
            }
            pin!(&mut response).poll(cx)
        });
        match answered.await {
            Ok(response) => {
                let (head, stream) = response.into_parts();
                let mut head = Response::from_parts(head, ());
                let checked = check_framing(&mut head);
                let failure = Failure::Malformed;
                checked.map_err(|BadFraming| Unanswered { failure, unsent: None })?;
                Ok((head, carried, stream))
            }
            Err(error) => Err(Unanswered { failure: self.failure(&error), unsent: None }),
        }
    }

    fn failure(&self, error: &h2::Error) -> Failure {
        // RFC 9113 section 6.8: it says so of requests alone that it has not looked at.
        if error.is_go_away() && error.is_remote() {
            self.is_left.set(true);
            return Failure::Refused;
        }
        failure(error)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn failure(error: &h2::Error) -> Failure {
    if error.reason() == Some(Reason::REFUSED_STREAM) {
        Failure::Refused
    } else if error.is_library() {
        Failure::Malformed
    } else {
        Failure::Closed
    }
}

/// A request that a connection carries, until this is dropped.
pub(super) struct Carried {
    session: Rc<Session>,
    upload: Option<JoinHandle<()>>,
}

impl Carried {
    fn new(session: &Rc<Session>) -> Self {
        session.carried.set(session.carried.get() + 1);
        Self { session: Rc::clone(session), upload: None }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.session.carried.set(self.session.carried.get() - 1);
        self.session.used.set(Instant::now());
        if let Some(upload) = &self.upload {
            upload.abort();
        }
    }
}

/// Sends the content as the server has room for it, and resets the stream where it is cut.
async fn send(mut stream: SendStream<Bytes>, mut upload: Upload) {
    while let Some(part) = upload.frame().await {
        let Ok(part) = part else { return stream.send_reset(Reason::CANCEL) };
        match part.into_data() {
            Ok(chunk) => {
                if !send_chunk(&mut stream, chunk).await {
                    return;
                }
            }
            Err(part) => {
                if let Ok(trailers) = part.into_trailers() {
                    let _ = stream.send_trailers(trailers);
                    return;
                }
            }
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}

async fn send_chunk(stream: &mut SendStream<Bytes>, mut chunk: Bytes) -> bool {
    while !chunk.is_empty() {
        stream.reserve_capacity(chunk.len());
        let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return false };
        if stream.send_data(chunk.split_to(room.min(chunk.len())), false).is_err() {
            return false;
        }
    }
    true
}

/// The rest of a response.
pub(super) struct Download {
    parts: Parts,
    _carried: Carried,
    _asked: Asked,
}

impl Download {
    pub(super) fn new(stream: RecvStream, carried: Carried, asked: Asked) -> Self {
        Self { parts: Parts::new(stream), _carried: carried, _asked: asked }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.parts.is_end_stream()
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.parts.poll_frame(cx).map_err(io::Error::other)
    }
}

/// The status of a response to a request of our own.
pub(super) async fn status(
    transport: Transport,
    request: Request<()>,
) -> Result<StatusCode, Failure> {
    let made = h2::client::handshake(transport).await;
    let (mut requests, connection) = made.map_err(|_| Failure::Connect)?;
    let asked = async move { requests.send_request(request, true)?.0.await };
    let response = beside(asked, connection).await.ok_or(Failure::Closed)?;
    Ok(response.map_err(|error| failure(&error))?.status())
}
