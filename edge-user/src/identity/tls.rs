//! Which controller is believed, and by what we are known to it. TLS 1.3 only (RFC 8446).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore,
    SignatureScheme, WantsVerifier,
};

use super::{ConnectError, Identity, Unsound};

/// Who is invited: believes the authority of the invitation, and is known by nothing yet.
pub(super) fn invited(authority: [u8; 32]) -> Result<ClientConfig, ConnectError> {
    let provider = provider();
    let verifier = Arc::new(Pinned { authority, provider: Arc::clone(&provider) });
    let config = builder(provider)
        .map_err(|error| ConnectError::Key(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(over_http2(config))
}

/// Who has an identity: believes its authority, and is known by its certificate.
pub(super) fn known(identity: &Identity) -> Result<ClientConfig, ConnectError> {
    let config = of(identity).map_err(|error| ConnectError::Key(error.to_string()))?;
    Ok(over_http2(config))
}

fn of(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let chain = identity.chain.to_vec();
    let key = PrivateKeyDer::Pkcs8(identity.key.clone_key());
    builder(provider())?
        .with_root_certificates(roots(&identity.authority)?)
        .with_client_auth_cert(chain, key)
}

/// Whether the parts of `identity` belong together: at the begin of its time, its authority and
/// its key make it a node.
pub(super) fn check(identity: &Identity) -> Result<(), Unsound> {
    of(identity).map_err(|_| Unsound::Key)?;
    let roots = roots(&identity.authority).map_err(|_| Unsound::Certificate)?;
    let begin = identity.facts.begins.duration_since(std::time::UNIX_EPOCH);
    let begin = UnixTime::since_unix_epoch(begin.unwrap_or_default());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|_| Unsound::Certificate)?;
    let [own, others @ ..] = &*identity.chain else { return Err(Unsound::Empty) };
    let verified = verifier.verify_client_cert(own, others, begin);
    verified.map(drop).map_err(|_| Unsound::Signature)
}

/// Whether an invitation's hash is that of `certificate`.
pub(super) fn is_pinned(certificate: &CertificateDer<'_>, authority: [u8; 32]) -> bool {
    digest(&SHA256, certificate).as_ref() == authority
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

fn over_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would be that of an earlier certificate.
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Believes one authority, known by the hash of its certificate, which the controller sends.
#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates.iter().find(|sent| is_pinned(sent, self.authority));
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let roots = roots(&pinned.ok_or(unknown)?.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let verifier: &dyn ServerCertVerifier = &*verifier;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
