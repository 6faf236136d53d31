//! HTTP/3, by quinn and h3.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use bytes::{Buf as _, Bytes};
use h3::error::Code;

use http::{HeaderMap, Request, Response};
use rustls::pki_types::CertificateDer;

use crate::http3::{self, Http3};

pub(super) struct Client(pub(super) Http3);

type Stream = h3_quinn::BidiStream<Bytes>;

pub(super) struct Sender(
    h3::client::RequestStream<<Stream as h3::quic::BidiStream<Bytes>>::SendStream, Bytes>,
);

pub(super) struct Receiver(
    h3::client::RequestStream<<Stream as h3::quic::BidiStream<Bytes>>::RecvStream, Bytes>,
);

impl Client {
    pub(super) async fn connect(
        address: SocketAddr,
        authority: &CertificateDer<'static>,
    ) -> Result<Self> {
        let config = http3::client_config(authority)?;
        let endpoint = http3::endpoint(Ipv4Addr::UNSPECIFIED.into(), config)?;
        Ok(Self(Http3::connect_to(&endpoint, address).await?))
    }

    pub(super) async fn begin(
        &self,
        head: Request<()>,
        has_content: bool,
    ) -> Result<(Sender, Receiver)> {
        let mut stream = self.0.begin(head).await?;
        if !has_content {
            // A server that has its answer may have said that it needs no more (RFC 9114 section 4.1).
            let _ = stream.finish().await;
        }
        let (sender, receiver) = stream.split();
        Ok((Sender(sender), Receiver(receiver)))
    }
}

impl Sender {
    pub(super) async fn send(&mut self, content: Bytes) -> Result<()> {
        Ok(self.0.send_data(content).await?)
    }

    pub(super) async fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<()> {
        if let Some(trailers) = trailers {
            self.0.send_trailers(trailers).await?;
        }
        Ok(self.0.finish().await?)
    }
}

impl Receiver {
    pub(super) async fn head(&mut self) -> Result<Response<()>> {
        Ok(self.0.recv_response().await?)
    }

    pub(super) async fn part(&mut self) -> Result<Option<Bytes>> {
        let part = self.0.recv_data().await?;
        Ok(part.map(|mut part| part.copy_to_bytes(part.remaining())))
    }

    pub(super) async fn trailers(&mut self) -> Result<HeaderMap> {
        Ok(self.0.recv_trailers().await?.unwrap_or_default())
    }
}

/// RFC 9114 section 4.1.1. To drop what is received stops it.
pub(super) fn cancel(mut sender: Sender, receiver: Receiver) {
    sender.0.stop_stream(Code::H3_REQUEST_CANCELLED);
    drop(receiver);
}
