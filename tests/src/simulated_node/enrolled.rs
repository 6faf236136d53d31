//! A node's identity, by the way that a node gets one: an invitation, a key of its own, and TLS
//! that trusts the authority in the invitation and no other.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use fleet_wire::invitation::Invitation;
use fleet_wire::message::enrolment_client::EnrolmentClient;
use fleet_wire::message::{EnrolRequest, Identity};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, danger};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// A node with an identity.
#[derive(Clone)]
pub struct Enrolled {
    /// As the controller gave it.
    pub identity: Identity,
    authority: [u8; 32],
    key: Arc<KeyPair>,
}

impl Enrolled {
    /// Shows the invitation to the controller at `address`.
    ///
    /// # Errors
    /// Where the controller is another one than the invitation is of, or refuses.
    pub async fn by(invitation: &Invitation, address: SocketAddr) -> Result<Self> {
        let key = Arc::new(KeyPair::generate()?);
        let request = CertificateParams::default().serialize_request(&*key)?.der().to_vec();
        let channel = channel(address, tls(invitation.authority, None)?).await?;
        let token = invitation.secret.to_vec().into();
        let asked = EnrolRequest { token, request: request.into() };
        let identity = EnrolmentClient::new(channel).enrol(asked).await?.into_inner();
        Ok(Self { identity, authority: invitation.authority, key })
    }

    /// A connection under this identity.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn connect(&self, address: SocketAddr) -> Result<Channel> {
        channel(address, tls(self.authority, Some(self))?).await
    }
}

async fn channel(address: SocketAddr, config: ClientConfig) -> Result<Channel> {
    let config = Arc::new(config);
    let connect = tower::service_fn(move |_| {
        let connector = TlsConnector::from(Arc::clone(&config));
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::IpAddress(address.ip().into());
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, tcp).await?))
        }
    });
    // The name is for the header only: the connector is above.
    let endpoint = Endpoint::from_static("http://controller");
    endpoint.connect_with_connector(connect).await.context("no connection")
}

fn tls(authority: [u8; 32], enrolled: Option<&Enrolled>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned { authority, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match enrolled {
        None => builder.with_no_client_auth(),
        Some(Enrolled { identity, key, .. }) => {
            let chain = identity.chain.iter().map(|der| CertificateDer::from(der.to_vec()));
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            builder.with_client_auth_cert(chain.collect(), key.into())?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Trusts one authority, known by the hash of its certificate, which the server sends.
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
        let pinned = |der: &&CertificateDer<'_>| digest(&SHA256, der).as_ref() == self.authority;
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let authority = intermediates.iter().find(pinned).ok_or(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier =
            verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
        let verifier: &dyn danger::ServerCertVerifier = &*verifier;
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
