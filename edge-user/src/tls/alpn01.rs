//! TLS over TCP for certificate authorities: TLS-ALPN-01 (RFC 8737).

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::StartHandshake;

use super::Challenges;
use super::accept::refusal;
use super::challenges::ALPN_ACME;

/// What came of an authority's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// The authority has the certificate with the answer.
    Answered,
    /// It asked for a name that we have no answer for.
    UnknownName,
    /// The handshake failed otherwise.
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
    /// for ever. The answer is made by this call, the rest by what it gives.
    pub(super) fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        start: StartHandshake<S>,
    ) -> impl Future<Output = Meeting> + use<S> {
        let handshake = start.into_stream(Arc::clone(&self.config));
        async move {
            match handshake.await {
                Ok(mut stream) => {
                    // Where it cannot be said, nobody waits for it.
                    let _ = stream.shutdown().await;
                    Meeting::Answered
                }
                // The resolver had none, which it has counted.
                Err(error) if matches!(refusal(&error), Some(rustls::Error::General(_))) => {
                    Meeting::UnknownName
                }
                Err(_) => Meeting::Failed,
            }
        }
    }
}

/// Whether an authority asks: nobody else offers this.
pub(super) fn offers_acme<S: AsyncRead + AsyncWrite + Unpin>(start: &StartHandshake<S>) -> bool {
    let hello = start.client_hello();
    hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_ACME))
}

#[cfg(test)]
mod tests;
