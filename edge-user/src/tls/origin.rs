//! TLS to the servers of origins: whom we believe, and what we speak.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

use crate::config::origins::{OriginTls, Protocol};
use crate::http::Version;
use crate::limits;

/// Why an origin cannot be asked over TLS.
#[derive(Debug, thiserror::Error)]
pub enum OriginTlsError {
    /// The file of its authorities.
    #[error("{0}: {1}")]
    Ca(PathBuf, String),
    /// The system's authorities, of which none was found.
    #[error(
        "the system has no certificate authorities to believe an origin by: install ca-certificates, or name a file in `ca`"
    )]
    NoAuthorities,
    /// The cryptography does not take it.
    #[error("TLS to origins: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Makes connections to the servers of one origin.
pub struct Connector {
    connector: TlsConnector,
    fingerprint: u64,
    /// When it was last said why a server's TLS is not acceptable.
    complained: Mutex<Option<Instant>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the authorities that `tls` believes.
    ///
    /// # Errors
    /// Where there are none that can be used.
    pub fn new(tls: &OriginTls, protocol: Protocol) -> Result<Self, OriginTlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let mut fingerprint = DefaultHasher::new();
        let builder = match tls.verify {
            true => {
                let roots = Arc::new(authorities(tls.ca.as_deref())?);
                for root in &roots.roots {
                    (&*root.subject, &*root.subject_public_key_info).hash(&mut fingerprint);
                }
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
                let verifier =
                    verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_webpki_verifier(verifier)
            }
            false => {
                let schemes = provider.signature_verification_algorithms.supported_schemes();
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(schemes)))
            }
        };
        let fingerprint = fingerprint.finish();
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = match protocol {
            Protocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocol::Http11 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        config.resumption = rustls::client::Resumption::in_memory_sessions(limits::ORIGIN_SESSIONS);
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, fingerprint, complained: Mutex::default() })
    }

    /// Differs where other authorities are believed.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether it is to be said why a server's TLS is not acceptable: now and then, for every request
    /// may find it so.
    pub fn complains(&self, now: Instant) -> bool {
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= limits::COMPLAIN_AGAIN);
        if is_due {
            *last = Some(now);
        }
        is_due
    }

    /// Shakes hands with the server `name`, a DNS name or an address.
    ///
    /// # Errors
    /// Where it is another one, or nothing that we speak.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        name: &str,
        stream: S,
    ) -> io::Result<(TlsStream<S>, Version)> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = self.connector.connect(name, stream).await?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            // RFC 9110 section 4.3.3 asks for no more.
            _ => Version::Http11,
        };
        Ok((stream, version))
    }
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, OriginTlsError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            let refused = |why: String| OriginTlsError::Ca(file.to_owned(), why);
            let read = CertificateDer::pem_file_iter(file);
            for certificate in read.map_err(|error| refused(error.to_string()))? {
                let certificate = certificate.map_err(|error| refused(error.to_string()))?;
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(refused("no certificate is in it".into()));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::debug!(%error, "an authority of the system cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(OriginTlsError::NoAuthorities);
            }
        }
    }
    Ok(roots)
}

/// Believes whoever answers, as the operator has asked for. That it has the key of the certificate
/// that it shows is not looked at either: it may be anybody's.
#[derive(Debug)]
struct Unverified(Vec<SignatureScheme>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_server_is_said_once_in_a_while() {
        let tls = OriginTls { verify: false, ca: None, server_name: None };
        let connector = Connector::new(&tls, Protocol::Auto).expect("it believes all");
        let now = Instant::now();
        let later = now + limits::COMPLAIN_AGAIN;
        let said = [now, now, later, later].map(|now| connector.complains(now));
        assert_eq!(said, [true, false, true, false]);
    }
}
