//! Asks a node over the network what the authority will ask it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::barrier::Answered;
use super::challenge::Answer;

use crate::limits;

/// The protocol of RFC 8737 section 6.2.
const ALPN: &[u8] = b"acme-tls/1";

/// Where nodes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// HTTP-01 (RFC 8555 section 8.3: 80).
    pub http: u16,
    /// TLS-ALPN-01 (RFC 8737 section 3: 443).
    pub tls: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 80, tls: 443 }
    }
}

/// What the node at `address` answers to one challenge.
pub async fn ask(address: IpAddr, ports: Ports, answer: &Answer) -> Answered {
    let asked = async {
        match answer {
            Answer::Http01 { name, token, key_authorization } => {
                http_01((address, ports.http).into(), name, token, key_authorization).await
            }
            Answer::TlsAlpn01 { name, certificate, .. } => {
                tls_alpn_01((address, ports.tls).into(), name, certificate).await
            }
            Answer::Dns01 { .. } => Ok(()), // no node is asked
        }
    };
    match tokio::time::timeout(limits::PROBE_WITHIN, asked).await {
        Ok(Ok(())) => Answered::Right,
        Ok(Err(error)) => Answered::Wrong(format!("{address} {error}")),
        Err(_) => {
            Answered::Wrong(format!("{address} does not answer within {:?}", limits::PROBE_WITHIN))
        }
    }
}

async fn http_01(at: SocketAddr, name: &str, token: &str, wanted: &str) -> Result<(), String> {
    let text =
        |error: &dyn std::fmt::Display| format!("does not answer on port {}: {error}", at.port());
    let stream = TcpStream::connect(at).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| text(&e))?;
    let request = http::Request::get(format!("/.well-known/acme-challenge/{token}"))
        .header(http::header::HOST, name)
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| text(&error))?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), limits::MAX_PROBE_ANSWER_BYTES).collect().await;
        Ok::<_, String>((status, body.map_err(|error| text(&error))?.to_bytes()))
    };
    let (status, body) = tokio::select! {
        exchanged = exchange => exchanged?,
        Err(error) = connection => return Err(text(&error)),
    };
    // Space at the end is allowed (RFC 8555 section 8.3).
    if status == http::StatusCode::OK && body.trim_ascii_end() == wanted.as_bytes() {
        return Ok(());
    }
    Err(format!("answers something else ({status}, {} bytes) for {name}", body.len()))
}

async fn tls_alpn_01(at: SocketAddr, name: &str, wanted: &str) -> Result<(), String> {
    let text =
        |error: &dyn std::fmt::Display| format!("does not answer on port {}: {error}", at.port());
    let wanted = CertificateDer::from_pem_slice(wanted.as_bytes()).map_err(|error| text(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let public_key = {
        let (_, parsed) = X509Certificate::from_der(&wanted).map_err(|error| text(&error))?;
        SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec())
    };
    let algorithms = provider.signature_verification_algorithms;
    let exactly = Exactly { wanted, public_key, algorithms };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| text(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(exactly))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let server = ServerName::try_from(name.to_owned()).map_err(|error| text(&error))?;
    let stream = TcpStream::connect(at).await.map_err(|error| text(&error))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(server, stream)
        .await
        .map_err(|error| text(&error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(ALPN) => Ok(()),
        _ => Err(format!("does not speak acme-tls/1 for {name}")),
    }
}

/// Takes one certificate and no other, from whoever has its key. The key is taken out here: webpki
/// reads no certificate with an extension that is critical and that it does not know, as
/// acmeIdentifier is.
#[derive(Debug)]
struct Exactly {
    wanted: CertificateDer<'static>,
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *shown == self.wanted {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("it shows another certificate than the challenge's".into()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.algorithms;
        verify_tls13_signature_with_raw_key(message, &self.public_key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
