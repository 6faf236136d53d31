//! A request of HTTP/1.1 to a server, and its response: hyper reads and writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, split};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

use super::connect::Transport;
use super::failure::Failure;
use super::health::beside;
use super::server::Asked;
use super::upload::Upload;
use crate::http::interim::Sink;
use crate::http::tunnel;
use crate::limits;
use crate::proxy::files::read::Permit;
use crate::proxy::forward::response_fields;

/// A connection, ready for a request or with one. It ends when this is dropped.
pub(super) struct Sender {
    requests: SendRequest<Upload>,
    connection: AbortHandle,
    _permit: Permit,
}

/// Why there is no response, and what was not sent: it can go to another server.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    pub(super) unsent: Option<Upload>,
}

impl Sender {
    /// Begins on a connection, which a task of its own moves on.
    pub(super) async fn begin(transport: Transport, permit: Permit) -> Result<Self, Failure> {
        let made = Builder::new()
            .max_buf_size(limits::HTTP1_BUFFER_BYTES)
            .max_header_size(limits::MAX_FIELD_SECTION_BYTES as usize)
            .max_headers(limits::MAX_FIELDS)
            .handshake(TokioIo::new(transport));
        let (requests, connection) = made.await.map_err(|_| Failure::Connect)?;
        let task = spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an origin ended");
            }
        });
        Ok(Self { requests, connection: task.abort_handle(), _permit: permit })
    }

    /// Whether a request can be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        self.requests.is_ready()
    }

    /// Sends a request and waits for the head of its response. Interim ones go to `interim`.
    pub(super) async fn ask(
        &mut self,
        mut request: Request<Upload>,
        interim: Sink,
    ) -> Result<Response<Incoming>, Unanswered> {
        if !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH) {
            // hyper takes a GET of unknown length for one without content.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        hyper::ext::on_informational(&mut request, move |head| {
            interim.push(passed_on(head.status(), head.headers(), head.version()));
        });
        self.requests.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message().map(Request::into_body);
            Unanswered { failure: failure(error.error()), unsent }
        })
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

impl Drop for Sender {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse() { Failure::Malformed } else { Failure::Closed }
}

/// The rest of a response, and the connection that it comes by.
pub(super) struct Download {
    incoming: Incoming,
    connection: Option<(Sender, Asked)>,
}

impl Download {
    pub(super) fn new(incoming: Incoming, sender: Sender, asked: Asked) -> Self {
        let mut download = Self { incoming, connection: Some((sender, asked)) };
        if download.is_end_stream() {
            download.release();
        }
        download
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn left(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let part = Pin::new(&mut self.incoming).poll_frame(cx);
        if matches!(part, Poll::Ready(None)) || self.is_end_stream() {
            self.release();
        }
        part.map_err(io::Error::other)
    }

    /// The connection is for the next request, once what is left of this one is sent.
    fn release(&mut self) {
        let Some((mut sender, asked)) = self.connection.take() else { return };
        if sender.is_ready() {
            return asked.server().put_idle(sender);
        }
        spawn_local(async move {
            if let Ok(Ok(())) = timeout(limits::ORIGIN_REST_WITHIN, sender.requests.ready()).await {
                asked.server().put_idle(sender);
            }
        });
    }
}

/// A connection that does not speak HTTP any more.
pub(super) struct Tunnel {
    reader: ReadHalf<TokioIo<Upgraded>>,
    upload: AbortHandle,
    _sender: Sender,
    _asked: Asked,
}

impl Tunnel {
    /// What comes after `response`, which has switched protocols. The server is sent what the client
    /// sends from now on.
    pub(super) async fn begin(
        mut response: Response<Incoming>,
        mut upload: Upload,
        sender: Sender,
        asked: Asked,
    ) -> Result<(Response<()>, Self), Unanswered> {
        let upgraded = hyper::upgrade::on(&mut response)
            .await
            .map_err(|error| Unanswered { failure: failure(&error), unsent: None })?;
        let (reader, writer) = split(TokioIo::new(upgraded));
        let upload = spawn_local(async move {
            tunnel::write_all(writer, async || upload.frame().await).await;
        });
        let head = response.map(drop);
        Ok((head, Self { reader, upload: upload.abort_handle(), _sender: sender, _asked: asked }))
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        tunnel::poll_chunk(Pin::new(&mut self.reader), cx).map_ok(Frame::data)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.upload.abort();
    }
}

/// The status of a response to a request of our own.
pub(super) async fn status(
    transport: Transport,
    request: Request<Empty<Bytes>>,
) -> Result<StatusCode, Failure> {
    let made = Builder::new().handshake(TokioIo::new(transport)).await;
    let (mut requests, connection) = made.map_err(|_| Failure::Connect)?;
    let response = beside(requests.send_request(request), connection).await;
    let response = response.ok_or(Failure::Closed)?.map_err(|error| failure(&error))?;
    Ok(response.status())
}
