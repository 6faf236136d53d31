//! Streams of bytes to a server instead of a request: WebSockets by Upgrade (RFC 6455), and by
//! extended CONNECT (RFC 8441, RFC 9220). What is sent on them is the caller's.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use edge_user::http::h3::head::response::{Asked, ResponseHead};
use edge_user::http::h3::message::{self, Event};
use h2::ext::Protocol;
use h3::error::Code;
use http::Response;
use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};

use super::{Client, Exchange, Kind, Receiver, ReceiverKind, Sender, SenderKind, request};
use crate::credentials::SERVER_NAME;
use crate::raw;

/// RFC 6455 section 1.3 has it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What waits between a library and a stream.
const PIPE_BYTES: usize = 64 << 10;

/// The server's side over HTTP/3, which h3 does not know.
pub(super) struct Http3 {
    stream: RecvStream,
    message: message::Response,
}

impl Client {
    /// Asks for a WebSocket at a path, with more fields. The head is still to come.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn websocket(&self, path: &str, fields: &[(&str, &str)]) -> Result<Exchange> {
        let version = ("sec-websocket-version", "13");
        let own = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-key", KEY)];
        match &self.0 {
            Kind::Http11(_) => {
                let fields = [&own[..], &[version], fields].concat();
                self.begin(request("GET", path, &fields), false).await
            }
            Kind::Http2(_) => {
                let mut head = request("CONNECT", path, &[&[version], fields].concat());
                head.extensions_mut().insert(Protocol::from_static("websocket"));
                self.begin(head, true).await
            }
            Kind::Http3(client) => {
                let (mut send, stream) = client.0.connection().open_bi().await?;
                let fields = [&[(":protocol", "websocket"), version], fields].concat();
                send.write_all(&raw::request("CONNECT", SERVER_NAME, path, &fields)).await?;
                let message = message::Response::response(Asked::Connect);
                let receiver = ReceiverKind::Tunnel(Box::new(Http3 { stream, message }));
                Ok(Exchange {
                    sender: Sender(SenderKind::Tunnel(send)),
                    receiver: Receiver(receiver),
                })
            }
        }
    }
}

impl Exchange {
    /// What follows the head, for a library that reads and writes bytes. Needs tokio.
    #[must_use]
    pub fn into_bytes(self) -> DuplexStream {
        let (ours, theirs) = duplex(PIPE_BYTES);
        let Self { mut sender, mut receiver } = self;
        let (mut read, mut write) = split(ours);
        tokio::spawn(async move {
            let mut bytes = vec![0; PIPE_BYTES];
            while let Ok(length @ 1..) = read.read(&mut bytes).await {
                if sender.send(Bytes::copy_from_slice(&bytes[..length])).await.is_err() {
                    return;
                }
            }
            let _ = sender.finish(None).await;
        });
        tokio::spawn(async move {
            while let Ok(Some(part)) = receiver.part_at_leisure().await {
                if write.write_all(&part).await.is_err() {
                    return;
                }
            }
            let _ = write.shutdown().await;
        });
        theirs
    }
}

/// As the frames of the client.
pub(super) async fn send(stream: &mut SendStream, content: &[u8]) -> Result<()> {
    Ok(stream.write_all(&raw::frame(0, content)).await?)
}

/// RFC 9114 section 4.1.1. To drop what is received stops it: that first, for a server may take the
/// other for an end, and have done with it before this comes.
pub(super) fn cancel(mut stream: SendStream, receiver: Http3) {
    drop(receiver);
    let _ = stream.reset(VarInt::from_u64(Code::H3_REQUEST_CANCELLED.value()).unwrap_or_default());
}

impl Http3 {
    pub(super) async fn head(&mut self) -> Result<Response<()>> {
        let event = self.event().await?.context("the stream ends before a head")?;
        let (Event::Interim(head) | Event::Head(head)) = event else { bail!("{event:?}") };
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.fields);
        Ok(response)
    }

    pub(super) async fn part(&mut self) -> Result<Option<Bytes>> {
        match self.event().await? {
            Some(Event::Data(part)) => Ok(Some(part)),
            Some(Event::End) | None => Ok(None),
            Some(event) => bail!("{event:?} in a tunnel"),
        }
    }

    async fn event(&mut self) -> Result<Option<Event<ResponseHead>>> {
        loop {
            if let Some(event) = self.message.poll()? {
                return Ok(Some(event));
            }
            if self.message.is_at_fin() {
                return Ok(None);
            }
            match self.stream.read_chunk(PIPE_BYTES, true).await? {
                Some(chunk) => self.message.handle_bytes(chunk.bytes, false),
                None => self.message.handle_bytes(Bytes::new(), true),
            }
        }
    }
}
