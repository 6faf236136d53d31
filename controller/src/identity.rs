//! The controller's own authority, and the certificates by which nodes and controller know each
//! other. No client ever sees one of them.
//!
//! A node's certificate is good for a day and names the node; what makes it good is that the
//! node's record has its key. So a node that is removed is a stranger at once, whatever it holds.

mod lost;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use fleet_wire::NODE_URI;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use time::OffsetDateTime;

use crate::limits;
use crate::records;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The record of the authority, or the library.
    #[error("the controller's own authority cannot be used: {0}")]
    Authority(String),
    /// What a node sent.
    #[error("the certificate request is not one: {0}")]
    Request(String),
}

/// The controller's own authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A node's new certificate.
pub struct Identity {
    /// The chain, the node's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// What the node's record gets: SHA-256 of the public key, in hexadecimal.
    pub key_sha256: String,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As the certificate says.
    pub node: u16,
    /// SHA-256 of its public key, in hexadecimal: the node's record must have it.
    pub key_sha256: String,
    /// When we made the certificate, in seconds since 1970.
    pub issued: u64,
    /// When it ends.
    pub ends: u64,
}

impl Authority {
    /// Makes a new one, as it is stored.
    ///
    /// # Errors
    /// Where the library cannot make one.
    pub fn generate(now: OffsetDateTime) -> Result<records::Authority, IdentityError> {
        let broken = |error: rcgen::Error| IdentityError::Authority(error.to_string());
        let key = KeyPair::generate().map_err(broken)?;
        let mut params = named("Landfast controller", now, limits::AUTHORITY_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).map_err(broken)?;
        Ok(records::Authority { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The one that is stored.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn open(record: &records::Authority) -> Result<Self, IdentityError> {
        let broken = |error: rcgen::Error| IdentityError::Authority(error.to_string());
        let key = KeyPair::from_pem(&record.key).map_err(broken)?;
        let certificate = CertificateDer::from_pem_slice(record.certificate.as_bytes())
            .map_err(|error| IdentityError::Authority(error.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(broken)?;
        Ok(Self { issuer, certificate })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate, which an invitation carries.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.certificate)
    }

    /// An identity for a node: of the request only the public key is used, and only where the
    /// request is signed with the private one (RFC 2986 section 3).
    ///
    /// # Errors
    /// Where the request is none.
    pub fn identify(
        &self,
        node: u16,
        request: &[u8],
        now: OffsetDateTime,
    ) -> Result<Identity, IdentityError> {
        let broken = |error: rcgen::Error| IdentityError::Request(error.to_string());
        let request = CertificateSigningRequestDer::from(request);
        let request = CertificateSigningRequestParams::from_der(&request).map_err(broken)?;
        let key_sha256 = hex(&sha256(&request.public_key.subject_public_key_info()));
        let mut params = named(&format!("node {node}"), now, limits::IDENTITY_LIFETIME);
        let uri = Ia5String::try_from(format!("{NODE_URI}{node}")).map_err(broken)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&request.public_key, &self.issuer).map_err(broken)?;
        Ok(Identity {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key_sha256,
        })
    }

    /// TLS of the listener that nodes connect to, under these names and addresses: TLS 1.3, and a
    /// certificate of ours from whoever has one. Who has none can enrol, and nothing else.
    ///
    /// # Errors
    /// Where the library cannot make one.
    pub fn server_config(
        &self,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<ServerConfig, IdentityError> {
        let broken = |error: rcgen::Error| IdentityError::Authority(error.to_string());
        let key = KeyPair::generate().map_err(broken)?;
        let mut params = named("Landfast controller", now, limits::SERVER_LIFETIME);
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(broken)?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(broken)?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        self.tls(chain, key).map_err(|error| IdentityError::Authority(error.to_string()))
    }

    fn tls(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, Box<dyn std::error::Error>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would show the certificate of an earlier day.
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl Peer {
    /// Who a certificate of our authority is for. Whether it still is one of ours, the node's
    /// record says.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let node = names.value.general_names.iter().find_map(|name| match name {
            x509_parser::extensions::GeneralName::URI(uri) => {
                uri.strip_prefix(NODE_URI)?.parse().ok()
            }
            _ => None,
        })?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
        let validity = parsed.validity();
        Some(Self {
            node,
            key_sha256: hex(&sha256(parsed.public_key().raw)),
            // As `named` has it.
            issued: seconds(validity.not_before)? + limits::CLOCK_TOLERANCE.as_secs(),
            ends: seconds(validity.not_after)?,
        })
    }

    /// Whether the node's record knows this key.
    #[must_use]
    pub fn is(&self, node: &records::Node) -> bool {
        node.id == self.node && node.identities.contains(&self.key_sha256)
    }
}

impl records::Node {
    /// The same node with a new identity beside the one that it has `used` to ask for it: so a
    /// renewal whose answer is lost, however often, cuts nobody off.
    #[must_use]
    pub fn with_identity(mut self, used: Option<&str>, key_sha256: String) -> Self {
        self.identities.clear();
        self.identities.extend(used.filter(|used| *used != key_sha256).map(str::to_owned));
        self.identities.push(key_sha256);
        self
    }
}

/// Valid from a little before now, for clocks that are behind.
fn named(name: &str, now: OffsetDateTime, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - limits::CLOCK_TOLERANCE;
    params.not_after = now + lifetime;
    params
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// In hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).expect("a time")
    }

    fn authority() -> Authority {
        Authority::open(&Authority::generate(now()).expect("made")).expect("opened")
    }

    fn request(key: &KeyPair) -> Vec<u8> {
        let request = CertificateParams::default().serialize_request(key).expect("a request");
        request.der().to_vec()
    }

    #[test]
    fn a_node_is_known_by_its_number_and_its_key() {
        let (authority, key) = (authority(), KeyPair::generate().expect("a key"));
        let identity = authority.identify(7, &request(&key), now()).expect("an identity");
        let peer = Peer::of(&identity.chain[0]).expect("a node's");
        let issued = 1_800_000_000;
        let ends = issued + limits::IDENTITY_LIFETIME.as_secs();
        let key_sha256 = identity.key_sha256.clone();
        assert_eq!(peer, Peer { node: 7, key_sha256, issued, ends });
        assert_eq!(Peer::of(&identity.chain[1]), None, "the authority is no node");
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let (authority, key) = (authority(), KeyPair::generate().expect("a key"));
        let mut forged = request(&key);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert!(authority.identify(7, &forged, now()).is_err());
        assert!(authority.identify(7, b"no request", now()).is_err());
    }

    #[test]
    fn the_identity_that_was_used_and_the_new_one_are_good() {
        let node = records::Node {
            id: 7,
            name: "a".into(),
            site: "s".into(),
            ipv4: None,
            ipv6: None,
            serves: Vec::new(),
            standing: records::NodeStanding::Serving,
            identities: Vec::new(),
            lost: None,
        };
        let peer = |key: &str| Peer { node: 7, key_sha256: key.into(), issued: 0, ends: 1 };
        let node = node.with_identity(None, "a".into()).with_identity(Some("a"), "b".into());
        assert!(peer("a").is(&node) && peer("b").is(&node));
        // Twice the answer is lost: it still has only its first.
        let node = node.with_identity(Some("a"), "c".into()).with_identity(Some("a"), "d".into());
        assert!(peer("a").is(&node) && peer("d").is(&node));
        assert!(!peer("b").is(&node) && !peer("c").is(&node));
        assert!(!Peer { node: 8, ..peer("a") }.is(&node));
    }
}
