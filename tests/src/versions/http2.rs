//! HTTP/2 over TLS, by h2.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::credentials::{SERVER_NAME, client_tls};

/// As much as browsers have, or less: a slow reader is noticed soon.
const WINDOW_BYTES: u32 = 256 << 10;

pub(super) struct Client(SendRequest<Bytes>);

pub(super) struct Sender(SendStream<Bytes>);

pub(super) struct Receiver {
    response: Option<ResponseFuture>,
    content: Option<RecvStream>,
    taken: usize,
}

/// TLS of a client that speaks this alone.
pub(super) fn tls(
    authority: &CertificateDer<'static>,
    protocol: &[u8],
) -> Result<rustls::ClientConfig> {
    let mut tls = client_tls(authority)?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(tls)
}

impl Client {
    pub(super) async fn connect(
        address: SocketAddr,
        authority: &CertificateDer<'static>,
    ) -> Result<Self> {
        let tls = TlsConnector::from(Arc::new(tls(authority, b"h2")?));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = tls.connect(SERVER_NAME.try_into()?, stream).await?;
        let made = Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(4 * WINDOW_BYTES)
            .handshake(stream);
        let (requests, connection) = made.await?;
        // Ends with the connection.
        tokio::spawn(connection);
        Ok(Self(requests))
    }

    pub(super) async fn begin(
        &self,
        head: Request<()>,
        has_content: bool,
    ) -> Result<(Sender, Receiver)> {
        let mut requests = self.0.clone().ready().await?;
        let (response, sender) = requests.send_request(head, !has_content)?;
        let receiver = Receiver { response: Some(response), content: None, taken: 0 };
        Ok((Sender(sender), receiver))
    }
}

impl Sender {
    pub(super) async fn send(&mut self, mut content: Bytes) -> Result<()> {
        while !content.is_empty() {
            self.0.reserve_capacity(content.len());
            let room =
                poll_fn(|cx| self.0.poll_capacity(cx)).await.context("the stream ended")??;
            self.0.send_data(content.split_to(room.min(content.len())), false)?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<()> {
        match trailers {
            Some(trailers) => self.0.send_trailers(trailers)?,
            None => self.0.send_data(Bytes::new(), true)?,
        }
        Ok(())
    }
}

impl Receiver {
    pub(super) async fn head(&mut self) -> Result<Response<()>> {
        let response = self.response.as_mut().context("there was one")?;
        let head = poll_fn(|cx| {
            if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                return Poll::Ready(interim.map(Err));
            }
            pin!(&mut *response).poll(cx).map_ok(Ok)
        });
        Ok(match head.await? {
            Err(interim) => interim,
            Ok(response) => {
                let (head, content) = response.into_parts();
                (self.response, self.content) = (None, Some(content));
                Response::from_parts(head, ())
            }
        })
    }

    pub(super) async fn part(&mut self) -> Result<Option<Bytes>> {
        let content = self.content.as_mut().context("the head comes first")?;
        if self.taken > 0 {
            content.flow_control().release_capacity(std::mem::take(&mut self.taken))?;
        }
        let part = content.data().await.transpose()?;
        self.taken = part.as_ref().map_or(0, Bytes::len);
        Ok(part)
    }

    pub(super) async fn trailers(&mut self) -> Result<HeaderMap> {
        let content = self.content.as_mut().context("the head comes first")?;
        Ok(content.trailers().await?.unwrap_or_default())
    }
}
