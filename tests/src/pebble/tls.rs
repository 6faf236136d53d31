//! TLS of those who ask the authority, and of those who stand in front of it.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::message::{self, Request, Response};

/// The certificate of an ACME server's API, and who issued it. This has nothing to do with what the
/// server issues.
#[derive(Debug)]
pub(super) struct Credentials {
    authority: CertificateDer<'static>,
    authority_pem: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Credentials {
    /// For a server at `address`.
    pub(super) fn make(address: IpAddr) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "Landfast test of ACME");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec![address.to_string(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let (authority, authority_pem) = (authority.der().clone(), authority.pem());
        Ok(Self { authority, authority_pem, certificate, key })
    }

    /// Writes `certificate.pem`, `key.pem`, and the file to trust, whose path it returns.
    pub(super) fn write(&self, directory: &Path) -> Result<PathBuf> {
        fs::write(directory.join("certificate.pem"), self.certificate.pem())?;
        fs::write(directory.join("key.pem"), self.key.serialize_pem())?;
        let trust = directory.join("trust.pem");
        fs::write(&trust, &self.authority_pem)?;
        Ok(trust)
    }

    /// One who trusts it.
    pub(super) fn client(&self) -> Result<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut client = client.with_no_client_auth();
        // Sessions go by the server's name, and two servers are at this address.
        client.resumption = Resumption::disabled();
        Ok(client)
    }

    /// One who has it.
    pub(super) fn server(&self) -> Result<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        Ok(server.with_single_cert(vec![self.certificate.der().clone()], key)?)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Sends `request` by HTTPS to whoever is at `address`, which its certificate names.
pub(super) fn ask(
    client: &Arc<ClientConfig>,
    address: SocketAddr,
    request: &Request,
) -> Result<Response> {
    ask_as(client, address, &address.to_string(), request)
}

/// The same, for what the client knows as `host`.
pub(super) fn ask_as(
    client: &Arc<ClientConfig>,
    address: SocketAddr,
    host: &str,
    request: &Request,
) -> Result<Response> {
    let name = ServerName::IpAddress(address.ip().into());
    let connection = ClientConnection::new(Arc::clone(client), name)?;
    let stream = message::connect(address).with_context(|| format!("connect to {address}"))?;
    request.ask(&mut StreamOwned::new(connection, stream), host)
}

/// The server's side of a connection.
pub(super) type Accepted = StreamOwned<ServerConnection, TcpStream>;

/// Begins it; the handshake comes with what is read.
pub(super) fn accept(server: &Arc<ServerConfig>, stream: TcpStream) -> Result<Accepted> {
    Ok(StreamOwned::new(ServerConnection::new(Arc::clone(server))?, stream))
}

/// Says that nothing follows: a client takes what ends without this to be cut off.
pub(super) fn end(mut stream: Accepted) -> Result<()> {
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}
