//! What the nodes of a test share: secrets, liveness, a certificate; and a client that trusts it.

use std::sync::Arc;

use edge_user::config::NodeConfig;
use edge_user::fleet::{ConnectionIdConfig, EncapsulationSecret, Rotating, Secrets};
use edge_user::nodes::{Liveness, NodeTable};
use edge_user::quic::cid::Owners;
use edge_wire::cid::{DEFAULT_LEN, ServerId};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The name in the certificate.
pub const SERVER_NAME: &str = "localhost";

/// A fleet of live nodes.
pub struct Fleet {
    /// Keys; connection IDs are minted encrypted, under config 2, and config 1 is in clear.
    pub secrets: Arc<Secrets>,
    /// How the nodes fare.
    pub nodes: Arc<NodeTable>,
    /// TLS of every node, with the tickets of all.
    pub server_tls: Arc<rustls::ServerConfig>,
    /// TLS of a client that trusts the certificate and keeps tickets.
    pub client_tls: Arc<rustls::ClientConfig>,
}

impl Fleet {
    /// A fleet of these nodes, all live, with a certificate of its own.
    #[must_use]
    pub fn new(nodes: &[u16]) -> Self {
        let nodes: Vec<_> = nodes.iter().map(|id| node(*id)).collect();
        let certified = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])
            .expect("a certificate for localhost");
        let certificate = certified.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        Self {
            secrets: Arc::new(secrets(2)),
            nodes: Arc::new(NodeTable::new(&nodes)),
            server_tls: Arc::new(server_tls(certificate.clone(), key)),
            client_tls: Arc::new(client_tls(certificate)),
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

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_tls(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> rustls::ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("certificate and key belong together");
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("randomness");
    tls
}

fn client_tls(certificate: CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate that can be trusted");
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls
}
