//! What clients of either version see.

use std::io;
use std::sync::Mutex;

use fleet_wire::secrets::Rotating;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::UnknownNames;
use crate::tls::Live;
use crate::tls::accept::{Acceptor, Met};
use crate::tls::tickets::FleetTickets;
use crate::tls::x509::Facts;

/// As an authority: takes any certificate, checks that its key signed, and looks at it afterwards.
#[derive(Debug)]
struct Authority {
    public_key: Vec<u8>,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Authority {
    /// rustls's own check reads the certificate, whose critical extension it does not know.
    fn verify(
        &self,
        message: &[u8],
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms.mapping;
        let of_scheme = known.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let mut algorithms = of_scheme.flat_map(|(_, algorithms)| *algorithms);
        let signature = signature.signature();
        algorithms
            .any(|algorithm| {
                algorithm.verify_signature(&self.public_key, message, signature).is_ok()
            })
            .then(HandshakeSignatureValid::assertion)
            .ok_or(rustls::CertificateError::BadSignature.into())
    }
}

impl ServerCertVerifier for Authority {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().expect("one thread") = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify(message, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// An answer for `a.example`.
struct Answering {
    challenges: Arc<Challenges>,
    public_key: Vec<u8>,
}

fn answering() -> Answering {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["a.example".into()]).expect("a name");
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&[7; 32])];
    let chain = vec![params.self_signed(&key).expect("signed").der().to_vec()];
    let challenges = Arc::new(Challenges::new());
    challenges.set_tls_alpn01("a.example", chain, key.serialize_der()).expect("good");
    Answering { challenges, public_key: key.public_key_raw().to_vec() }
}

/// What the client has of it (whether it saw a certificate with the answer, and that nothing but an
/// end follows), and what the server.
async fn talk(
    server: &Answering,
    version: &'static SupportedProtocolVersion,
    name: &'static str,
    protocols: &[&[u8]],
) -> (Result<Vec<u8>, rustls::Error>, Met<DuplexStream>) {
    let authority =
        Arc::new(Authority { public_key: server.public_key.clone(), seen: Mutex::default() });
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("known")
        .dangerous()
        .with_custom_certificate_verifier(authority.clone())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let client = async {
        let name = ServerName::try_from(name).expect("a name");
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, theirs).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN_ACME));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await?;
        Ok::<_, io::Error>(rest)
    };
    let acceptor = acceptor(&server.challenges);
    let (client, met) = tokio::join!(client, acceptor.meet(ours));
    let client = client.map_err(|error| {
        let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        inner.expect("an alert").clone()
    });
    let seen = authority.seen.lock().expect("one thread").take();
    let client = client.map(|rest| {
        assert_eq!(rest, b"", "no application data, and a close that is said");
        seen.expect("a certificate")
    });
    (client, met)
}

/// Of a node that serves nobody.
fn acceptor(challenges: &Arc<Challenges>) -> Acceptor {
    let certificates = Arc::new(Live::new(UnknownNames::Refuse));
    let keys = Rotating { current: [1; 32], previous: None, next: None };
    Acceptor::new(&certificates, &Arc::new(FleetTickets::new(&keys)), challenges)
}

/// RFC 8737 section 3.
#[tokio::test]
async fn an_authority_sees_the_answer_and_nothing_more() {
    let server = answering();
    for version in [&TLS12, &TLS13] {
        for protocols in [&[ALPN_ACME][..], &[&b"h2"[..], ALPN_ACME]] {
            let (client, met) = talk(&server, version, "a.example", protocols).await;
            let facts = Facts::of(&client.expect("an answer")).expect("a certificate");
            assert_eq!(facts.acme_identifier, Some([7; 32]));
            assert!(matches!(met, Met::Authority(Meeting::Answered)));
        }
    }
    assert_eq!(server.challenges.asked().tls_alpn01_answered, 4);
}

/// The answer is for authorities alone.
#[tokio::test]
async fn who_offers_something_else_gets_no_answer() {
    let server = answering();
    for version in [&TLS12, &TLS13] {
        for protocols in [&[][..], &[&b"h2"[..]], &[&b"h3"[..], b"http/1.1"]] {
            let (client, met) = talk(&server, version, "a.example", protocols).await;
            assert!(client.is_err());
            assert!(matches!(met, Met::UnknownName), "{protocols:?}");
        }
    }
    let asked = server.challenges.asked();
    assert_eq!((asked.tls_alpn01_answered, asked.tls_alpn01_unknown), (0, 0));
}

#[tokio::test]
async fn a_name_without_answer_gets_no_certificate() {
    let server = answering();
    for version in [&TLS12, &TLS13] {
        let (client, met) = talk(&server, version, "b.example", &[ALPN_ACME]).await;
        assert!(client.is_err());
        assert!(matches!(met, Met::Authority(Meeting::UnknownName)));
    }
    assert_eq!(server.challenges.asked().tls_alpn01_unknown, 2);
}

#[tokio::test]
async fn what_is_no_tls_is_a_failure() {
    let acceptor = acceptor(&answering().challenges);
    for bytes in [&b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"[..], b"\x16\x03\x01", b""] {
        let met = acceptor.meet(tokio::io::join(bytes, tokio::io::sink())).await;
        assert!(matches!(met, Met::Failed));
    }
}
