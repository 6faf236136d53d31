//! TLS over TCP for certificate authorities alone: TLS-ALPN-01 (RFC 8737).

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::Challenges;
use super::challenges::ALPN_ACME;

/// A record with the fatal alert `no_application_protocol` (RFC 8446 sections 5.1 and 6, RFC 7301
/// section 3.2). rustls would send it only to clients that we have a certificate for.
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// What came of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// The authority has the certificate with the answer.
    Answered,
    /// It asked for a name that we have no answer for.
    UnknownName,
    /// The client offered something else, or nothing.
    OtherProtocol,
    /// It is no TLS, or the handshake failed.
    Failed,
}

/// Answers authorities.
#[derive(Clone, Debug)]
pub struct Responder {
    config: Arc<ServerConfig>,
}

impl Responder {
    /// With the certificates of `challenges`, in TLS 1.2 and 1.3 (RFC 8737 section 3 asks for 1.2 or
    /// higher). Nothing is resumed.
    #[must_use]
    pub fn new(challenges: &Arc<Challenges>) -> Self {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider has both versions")
                .with_no_client_auth()
                .with_cert_resolver(challenges.clone());
        config.alpn_protocols = vec![ALPN_ACME.to_vec()];
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Self { config: Arc::new(config) }
    }

    /// Shakes hands, and closes: no application data is exchanged (RFC 8737 section 3). It may take
    /// for ever.
    pub async fn meet<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Meeting {
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else {
            return Meeting::Failed;
        };
        if !offers_acme(&start) {
            // Where it cannot be sent, nobody waits for it.
            let _ = refuse(start.io).await;
            return Meeting::OtherProtocol;
        }
        match start.into_stream(Arc::clone(&self.config)).await {
            Ok(mut stream) => {
                let _ = stream.shutdown().await;
                Meeting::Answered
            }
            Err(error) if has_no_certificate(&error) => Meeting::UnknownName,
            Err(_) => Meeting::Failed,
        }
    }
}

fn offers_acme<S: AsyncRead + AsyncWrite + Unpin>(start: &StartHandshake<S>) -> bool {
    let hello = start.client_hello();
    hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_ACME))
}

async fn refuse<S: AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    stream.write_all(&NO_APPLICATION_PROTOCOL).await?;
    stream.shutdown().await
}

/// Whether the resolver had none, which has counted it.
fn has_no_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(inner, Some(rustls::Error::General(_)))
}

#[cfg(test)]
mod tests;
