//! A request of HTTP/1.1 to a server, and its response (RFC 9112).
//!
//! Whoever waits for the response reads and writes by itself, with no task and no queue between: a
//! response wakes the one who asked. httparse reads the lines; the rest is bytes that are sorted, in
//! code that sees no connection (`section`, `framing`, and most of `sending`). Decision 17 says why
//! this is not hyper's.

mod download;
mod framing;
mod section;
mod sending;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::task::unconstrained;

use super::connect::Transport;
use super::failure::Failure;
use super::upload::Upload;
use crate::http::interim::Interim;
use crate::limits;
use crate::proxy::files::read::Permit;
use crate::proxy::forward::{BadFraming, check_framing, is_named, response_fields};
pub(super) use download::{Download, Tunnel};
use framing::Framing;
use section::{Malformed, Section, may_be_response, response};
use sending::{Sending, Stopped};

/// A connection on which a request can be sent, and nothing else is under way.
pub(super) struct Connection {
    transport: Transport,
    _permit: Permit,
}

/// Why there is no response, and what was not sent: it can go to another server.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    pub(super) unsent: Option<Upload>,
}

/// What follows the head of a response, and the connection that it comes by.
pub(super) struct Rest {
    connection: Connection,
    received: Received,
    framing: Framing,
    /// The connection can carry another request when this one is over.
    is_kept: bool,
    /// What is not sent yet of the request.
    sending: Option<Sending>,
}

/// A request that was not answered yet.
struct Asking {
    connection: Connection,
    /// `None` when the server has all of it, or takes no more.
    sending: Option<Sending>,
    /// The server takes no more. It may still have said why.
    is_broken: bool,
    is_head: bool,
    section: Section,
    received: Received,
}

/// What was read and not looked at.
struct Received {
    buffer: BytesMut,
    /// Bytes that there is room for.
    room: usize,
}

impl Connection {
    pub(super) const fn new(transport: Transport, permit: Permit) -> Self {
        Self { transport, _permit: permit }
    }

    /// Whether a request can be sent. What the server says meanwhile is nobody's response, and is the
    /// end of the connection, like its end (RFC 9112 section 9.5).
    pub(super) fn is_ready(&mut self) -> bool {
        let mut byte = [0];
        let read =
            poll_fn(|cx| Pin::new(&mut self.transport).poll_read(cx, &mut ReadBuf::new(&mut byte)));
        // A task that has spent its turn would be told that there is nothing, whatever there is.
        let read = pin!(unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Sends a request and waits for the head of its response. Interim ones go to `interim`.
    pub(super) async fn ask(
        self,
        request: Request<Upload>,
        interim: &Interim,
    ) -> Result<(Response<()>, Rest), Unanswered> {
        let mut asking = Asking {
            connection: self,
            is_head: request.method() == Method::HEAD,
            sending: Some(Sending::new(request)),
            is_broken: false,
            section: Section::default(),
            received: Received::new(),
        };
        let answered = poll_fn(|cx| asking.poll(cx, interim)).await;
        let (head, framing) = match answered {
            Ok(answered) => answered,
            Err(failure) => {
                let unsent = asking.sending.filter(|sending| !sending.has_begun());
                return Err(Unanswered { failure, unsent: unsent.map(Sending::into_upload) });
            }
        };
        let Asking { connection, sending, is_broken, received, .. } = asking;
        let is_kept = !is_broken && may_carry_another(&head);
        Ok((head, Rest { connection, received, framing, is_kept, sending }))
    }
}

impl Asking {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        interim: &Interim,
    ) -> Poll<Result<(Response<()>, Framing), Failure>> {
        loop {
            if let Poll::Ready(Err(failure)) = self.poll_send(cx) {
                return Poll::Ready(Err(failure));
            }
            let head = match self.take_head() {
                Ok(Some(head)) => head,
                Ok(None) => {
                    ready!(self.poll_read(cx))?;
                    continue;
                }
                Err(Malformed) => return Poll::Ready(Err(Failure::Malformed)),
            };
            let status = head.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                interim.push(passed_on(status, head.headers(), head.version()));
                // Some of the content may have waited for it.
                continue;
            }
            let framing = Framing::of(&head, self.is_head);
            return Poll::Ready(framing.map(|framing| (head, framing)).map_err(Failure::from));
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        match ready!(sending.poll(cx, &mut self.connection.transport)) {
            Err(Stopped::Client) => return Poll::Ready(Err(Failure::Closed)),
            Err(Stopped::Connection(error)) if !sending.has_begun() => {
                tracing::debug!(%error, "a connection to an origin was closed");
                return Poll::Ready(Err(Failure::Closed));
            }
            Err(Stopped::Connection(_)) => self.is_broken = true,
            Ok(()) => {}
        }
        self.sending = None;
        Poll::Ready(Ok(()))
    }

    /// The head that is in the buffer, if all of it is.
    fn take_head(&mut self) -> Result<Option<Response<()>>, Malformed> {
        if !may_be_response(&self.received.buffer) {
            return Err(Malformed);
        }
        let Some(section) = self.section.take(&mut self.received.buffer)? else { return Ok(None) };
        let mut head = response(&section)?;
        check_framing(&mut head).map_err(|BadFraming| Malformed)?;
        Ok(Some(head))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let read = ready!(self.received.poll_read(&mut self.connection.transport, cx));
        match read {
            Ok(0) => Poll::Ready(Err(Failure::Closed)),
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => {
                tracing::debug!(%error, "a connection to an origin ended");
                Poll::Ready(Err(Failure::Closed))
            }
        }
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Received {
    fn new() -> Self {
        Self { buffer: BytesMut::new(), room: limits::ORIGIN_READ_FIRST_BYTES }
    }

    /// Reads more behind what there is. Zero bytes are the end. A server that fills the room gets
    /// more of it the next time: most responses need little, and a few need much.
    fn poll_read(
        &mut self,
        transport: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < self.room / 2 {
            self.buffer.reserve(self.room);
        }
        let read = ready!(pin!(transport.read_buf(&mut self.buffer)).poll(cx));
        if self.buffer.len() == self.buffer.capacity() {
            self.room = (self.room * 2).min(limits::ORIGIN_READ_MOST_BYTES);
        }
        Poll::Ready(read)
    }
}

/// RFC 9112 section 9.3. Not, where the response says in two ways where it ends: somebody on the way
/// to us may have believed the other one (section 6.3).
fn may_carry_another(head: &Response<()>) -> bool {
    if [TRANSFER_ENCODING, CONTENT_LENGTH].iter().all(|name| head.headers().contains_key(name)) {
        return false;
    }
    let says = |option| is_named(head.headers(), CONNECTION, option);
    match head.version() {
        http::Version::HTTP_10 => says("keep-alive") && !says("close"),
        _ => !says("close"),
    }
}

/// An interim response as the client gets it.
pub(super) fn passed_on(
    status: StatusCode,
    fields: &HeaderMap,
    version: http::Version,
) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().clone_from(fields);
    response_fields(head.headers_mut(), version);
    // RFC 9110 section 8.6.
    head.headers_mut().remove(CONTENT_LENGTH);
    head
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::coop::poll_proceed;

    use super::*;
    use crate::proxy::files::read::OpenFiles;

    /// Also by one who has done much before: tokio gives each task so many reads and writes a turn.
    #[tokio::test]
    async fn a_connection_on_which_something_was_said_is_not_ready() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).await.expect("connected");
        let (mut server, _) = listener.accept().await.expect("connected");
        let permit = OpenFiles::at_most(1).try_one().expect("there is one");
        let mut connection = Connection::new(Transport::Clear(stream), permit);
        assert!(connection.is_ready());
        server.write_all(b"HTTP/1.1 200 OK").await.expect("sent");
        let Transport::Clear(stream) = &connection.transport else {
            unreachable!("it is in clear")
        };
        stream.readable().await.expect("it comes");
        poll_fn(|cx| {
            while let Poll::Ready(spent) = poll_proceed(cx) {
                spent.made_progress();
            }
            Poll::Ready(())
        })
        .await;
        assert!(!connection.is_ready());
    }

    #[test]
    fn a_connection_carries_another_request_where_the_end_of_the_response_is_certain() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nconnection: a, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\nconnection: keep-alive, close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", false),
        ] {
            let read = response(&bytes::Bytes::copy_from_slice(head.as_bytes())).expect("a head");
            assert_eq!(may_carry_another(&read), expected, "{head}");
        }
    }
}
