//! What the nodes of a test share: secrets, liveness, a certificate; and a client that trusts it.
//! In memory for engines, in files for processes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use edge_user::config::{NodeConfig, UnknownNames};
use edge_user::nodes::{Liveness, NodeTable};
use edge_user::quic::cid::Owners;
use edge_user::tls::{Candidate, Live, Source};
use edge_wire::cid::{DEFAULT_LEN, ServerId};
use fleet_wire::secrets::{ConnectionIdConfig, EncapsulationSecret, Rotating, Secrets};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData as _,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The name in the certificate, which every client asks for.
pub const SERVER_NAME: &str = "landfast.test";

/// A certificate, and who issued it.
pub struct Certificates {
    authority: CertificateDer<'static>,
    authority_pem: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// Files that processes serve with, and that clients trust.
#[derive(Debug)]
pub struct Files {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// What clients trust, PEM.
    pub authority: PathBuf,
    /// The same, for clients in this process.
    pub authority_der: CertificateDer<'static>,
}

impl Certificates {
    /// Makes an authority and a certificate for [`SERVER_NAME`].
    ///
    /// # Errors
    /// Where the cryptographic library refuses.
    pub fn make() -> Result<Self> {
        Self::of(&[SERVER_NAME])
    }

    /// Makes an authority and a certificate for these names.
    ///
    /// # Errors
    /// Where the cryptographic library refuses.
    pub fn of(names: &[&str]) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        // Another name than the certificate's, which would look like its own issuer.
        authority.distinguished_name.push(DnType::CommonName, "Landfast test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let (authority, authority_pem) = (authority.der().clone(), authority.pem());
        Ok(Self { authority, authority_pem, certificate, key })
    }

    /// SHA-256 of the certificate's public key (RFC 7469 section 2.4), in Base64: browsers go by it.
    #[must_use]
    pub fn pin(&self) -> String {
        let key = self.key.subject_public_key_info();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key);
        base64::prelude::BASE64_STANDARD.encode(digest)
    }

    /// Writes them to `directory`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<Files> {
        let files = Files {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            authority: directory.join("authority.pem"),
            authority_der: self.authority.clone(),
        };
        let texts = [
            (&files.certificate, &self.certificate.pem()),
            (&files.key, &self.key.serialize_pem()),
            (&files.authority, &self.authority_pem),
        ];
        for (path, text) in texts {
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        }
        // An edge warns of a key that others may read, at each reload.
        fs::set_permissions(&files.key, Permissions::from_mode(0o600))?;
        Ok(files)
    }

    fn server_tls(&self) -> Result<rustls::ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key)?;
        tls.alpn_protocols = vec![b"h3".to_vec()];
        tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(tls)
    }

    fn live(&self) -> Live {
        let live = Live::new(UnknownNames::Refuse);
        let chain = vec![self.certificate.der().to_vec()];
        let candidate = Candidate::new(SERVER_NAME, chain, self.key.serialize_der());
        let refused = live.put(Source::Files, vec![candidate], SystemTime::now());
        assert!(refused.is_empty(), "{refused:?}");
        live
    }
}

/// TLS of a client that trusts `authority` and remembers sessions.
///
/// # Errors
/// Where the certificate is none.
pub fn client_tls(authority: &CertificateDer<'static>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone())?;
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    Ok(tls)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A fleet of live nodes.
pub struct Fleet {
    /// Keys; connection IDs are minted encrypted, under config 2, and config 1 is in clear.
    pub secrets: Arc<Secrets>,
    /// How the nodes fare.
    pub nodes: Arc<NodeTable>,
    /// TLS of every node, with the tickets of all.
    pub server_tls: Arc<rustls::ServerConfig>,
    /// Who is served by it.
    pub certificates: Arc<Live>,
    /// TLS of a client that trusts the certificate and keeps tickets.
    pub client_tls: Arc<rustls::ClientConfig>,
}

impl Fleet {
    /// A fleet of these nodes, all live, with a certificate of its own.
    #[must_use]
    pub fn new(nodes: &[u16]) -> Self {
        let nodes: Vec<_> = nodes.iter().map(|id| node(*id)).collect();
        let certificates = Certificates::make().expect("a certificate");
        Self {
            secrets: Arc::new(secrets(2)),
            nodes: Arc::new(NodeTable::new(&nodes)),
            server_tls: Arc::new(certificates.server_tls().expect("TLS of a server")),
            certificates: Arc::new(certificates.live()),
            client_tls: Arc::new(client_tls(&certificates.authority).expect("TLS of a client")),
        }
    }

    /// Who owns what, as one worker of a node sees it.
    #[must_use]
    pub fn owners(&self, own: ServerId, workers: u8) -> Owners {
        Owners::new(&self.secrets, own, workers, self.nodes.clone())
    }
}

fn node(id: u16) -> NodeConfig {
    NodeConfig {
        id,
        name: format!("node{id}"),
        site: "site".to_owned(),
        ipv4: None,
        ipv6: None,
        liveness: Liveness::Live,
    }
}

/// Secrets with an encrypted and a plain config, of which `mint` mints.
#[must_use]
pub fn secrets(mint: u8) -> Secrets {
    let rotating = |seed| Rotating { current: [seed; 32], previous: None, next: None };
    Secrets {
        connection_ids: vec![
            id_config(1, DEFAULT_LEN, None),
            id_config(2, DEFAULT_LEN, Some([0x42; 16])),
        ],
        mint,
        encapsulation_keys: vec![EncapsulationSecret { key_id: 0, key: [0x33; 16] }],
        encapsulate_with: 0,
        tickets: rotating(0x44),
        tokens: rotating(0x55),
        worker_hash: [0x66; 16],
    }
}

/// A config of connection IDs, with a reset key of its own.
#[must_use]
pub fn id_config(config_id: u8, length: usize, key: Option<[u8; 16]>) -> ConnectionIdConfig {
    ConnectionIdConfig { config_id, length, key, reset_key: [0x11 * config_id; 32] }
}
