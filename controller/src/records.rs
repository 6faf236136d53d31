//! What the controller remembers, and what of it nodes get.
//!
//! A record is stored under its key as JSON, sealed. Fields are only added, with a default, so
//! that an older store opens. Certificates and keys are PEM, times are seconds since 1970.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use fleet_wire::message::{self, Standing, item::Body};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

/// A record of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// The authority that signs identities.
    Authority(Authority),
    /// A node of the fleet.
    Node(Node),
    /// An invitation that nobody has used yet.
    Invitation(Invitation),
    /// The fleet's secrets.
    Secrets(Secrets),
    /// What an operator wants a certificate for.
    Request(Request),
    /// A certificate that is served.
    Certificate(Certificate),
    /// What is answered under which names.
    Distributions(Distributions),
    /// An account at an authority.
    Account(Account),
    /// An order in progress.
    Order(Order),
    /// An answer to an authority's challenge.
    Challenge(Challenge),
    /// In a backup only: what it is one of.
    Backup(Backup),
}

/// The controller's own authority: it signs the identities of nodes and of the controller, and
/// nothing that a client sees.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Authority {
    /// Its certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A node of the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// 0 to 4095; unique. That of a removed node goes to another after all that nobody had, and not
    /// while a live node has not heard of the removal.
    pub id: u16,
    /// What people call it; unique.
    pub name: String,
    /// The router or place it stands behind.
    pub site: String,
    /// Where other nodes, and the controller's probes, reach it by IPv4.
    pub ipv4: Option<Ipv4Addr>,
    /// Where other nodes, and the controller's probes, reach it by IPv6.
    pub ipv6: Option<Ipv6Addr>,
    /// The names whose certificates it gets, `*.` for one label. Empty: all.
    #[serde(default)]
    pub serves: Vec<String>,
    /// What it does with new traffic.
    pub standing: NodeStanding,
    /// SHA-256 of the public keys (SubjectPublicKeyInfo) of its identities: the one in use and
    /// the new one, in hexadecimal. A certificate whose key is not here is a stranger's.
    #[serde(default)]
    pub identities: Vec<String>,
    /// In a store that was made of a backup: the time whose identities it cannot know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// From when to when the controller gave identities that are in no record, because its store was
/// made of a backup. Both seconds are within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// When the backup was made; later, what comes after the identity that was found again.
    pub from: u64,
    /// When the store was made of it.
    pub until: u64,
}

/// What a node does with new traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeStanding {
    /// It has joined, and not every live node knows it yet.
    Joining,
    /// It takes new traffic.
    Serving,
    /// It takes none.
    Drained,
}

/// An invitation: whoever shows its token becomes the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invitation {
    /// The node as it will be, without identity.
    pub node: Node,
    /// SHA-256 of the token, in hexadecimal.
    pub token_sha256: String,
    /// When it is worth nothing any more.
    pub expires: u64,
}

/// The fleet's secrets, and where their rotation stands.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Secrets {
    /// In the form of the fleet file.
    pub fleet_file: String,
    /// Rotations in progress, by kind, as the rotation keeps them.
    #[serde(default)]
    pub rotations: serde_json::Map<String, serde_json::Value>,
}

/// What an operator wants a certificate for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What the certificate is called: its first name unless said otherwise.
    pub id: String,
    /// DNS names, the first is the subject.
    pub names: Vec<String>,
    /// Who issues it: a name of `[issuers]` in the configuration, or `internal`.
    pub issuer: String,
    /// The kind of its key.
    #[serde(default)]
    pub key_type: KeyType,
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA with 2,048 bits.
    Rsa2048,
}

impl KeyType {
    /// All of them, by the words of commands and the configuration.
    pub const NAMES: [(&str, Self); 3] =
        [("p256", Self::P256), ("p384", Self::P384), ("rsa2048", Self::Rsa2048)];
}

/// A certificate that is served, with its key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// As of the [`Request`], or what it was imported as.
    pub id: String,
    /// Its names, as they stand in it.
    pub names: Vec<String>,
    /// The chain, the server's own first.
    pub chain: String,
    /// PKCS #8.
    pub key: String,
    /// From when it is valid.
    pub not_before: u64,
    /// Until when.
    pub not_after: u64,
    /// Where it is from: an issuer's name, `internal`, or `imported`.
    pub source: String,
    /// SHA-256 of the server's certificate in DER, in hexadecimal.
    pub fingerprint: String,
}

/// What is answered under which names, as an operator has put it: checked.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Distributions {
    /// The tables of it, with their comments.
    pub file: String,
}

/// An account at an authority.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What the ACME library keeps of it: secret.
    pub credentials: serde_json::Value,
    /// The thumbprint of its key (RFC 8555 section 8.1), where nodes answer HTTP-01 for any token.
    #[serde(default)]
    pub stateless_thumbprint: Option<String>,
    /// A key that is to take the place of the present one: PKCS #8 in DER, in base64url. It is here
    /// before the authority is told of it.
    #[serde(default)]
    pub next_key: Option<String>,
}

/// An order in progress: what is needed to go on with it after a crash.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Of the [`Request`] it is for.
    pub id: String,
    /// As the order's state machine keeps it.
    pub state: serde_json::Value,
}

/// An answer to an authority's challenge, on every node until the order is done.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// RFC 8555 section 8.3.
    Http01 {
        /// Which one.
        token: String,
        /// What is answered.
        key_authorization: String,
    },
    /// RFC 8737.
    TlsAlpn01 {
        /// For which name.
        name: String,
        /// The certificate that answers.
        certificate: String,
        /// Its key, PKCS #8.
        key: String,
    },
}

/// What a backup says of itself. It is sealed like all the rest: who can write the file cannot make
/// the backup older than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// When it was begun: what was changed before is in it.
    pub made: u64,
}

/// Who gets an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every node.
    All,
    /// Nodes that serve one of these names.
    Names(Vec<String>),
}

impl Audience {
    /// Takes those of another to its own.
    pub fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Names(names), Self::Names(others)) => {
                for name in others {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
            }
        }
    }
}

/// A kind of record, to be found among all.
pub trait Kind: Clone + Send + Sync + 'static {
    /// The beginning of its keys.
    const PREFIX: &'static str;

    /// The record's key: prefix and name.
    fn key(&self) -> String;

    /// As one of all kinds.
    fn into_record(self) -> Record;

    /// Out of any kind.
    fn of(record: &Record) -> Option<&Self>;
}

macro_rules! kinds {
    ($($kind:ident: $prefix:expr, $record:ident => $name:expr;)*) => {
        $(impl Kind for $kind {
            const PREFIX: &'static str = $prefix;

            fn key(&self) -> String {
                let $record = self;
                format!("{}{}", Self::PREFIX, $name)
            }

            fn into_record(self) -> Record {
                Record::$kind(self)
            }

            fn of(record: &Record) -> Option<&Self> {
                match record {
                    Record::$kind(this) => Some(this),
                    _ => None,
                }
            }
        })*
    };
}

kinds! {
    Authority: "authority", _authority => "";
    Node: fleet_wire::key::NODE, node => node.id;
    Invitation: "invitation/", invitation => invitation.node.name;
    Secrets: fleet_wire::key::SECRETS, _secrets => "";
    Request: "request/", request => request.id;
    Certificate: fleet_wire::key::CERTIFICATE, certificate => certificate.id;
    Distributions: fleet_wire::key::DISTRIBUTIONS, _distributions => "";
    Account: fleet_wire::key::ACCOUNT, account => account.issuer;
    Order: "order/", order => order.id;
    Challenge: "challenge/", challenge => challenge.name();
    Backup: "backup", _backup => "";
}

impl Challenge {
    fn name(&self) -> String {
        match self {
            Self::Http01 { token, .. } => format!("http-01/{token}"),
            Self::TlsAlpn01 { name, .. } => format!("tls-alpn-01/{name}"),
        }
    }
}

impl Record {
    /// What nodes get of it, under the same key, and which of them.
    #[must_use]
    pub fn item(&self) -> Option<(Body, Audience)> {
        match self {
            Self::Node(node) => Some((Body::Node(node.message()), Audience::All)),
            Self::Secrets(secrets) => {
                let fleet_file = Bytes::from(secrets.fleet_file.clone());
                Some((Body::Secrets(message::Secrets { fleet_file }), Audience::All))
            }
            Self::Certificate(certificate) => {
                let audience = Audience::Names(certificate.names.clone());
                Some((Body::Certificate(certificate.message()?), audience))
            }
            Self::Distributions(distributions) => {
                let file = Bytes::from(distributions.file.clone());
                Some((Body::Distributions(message::Distributions { file }), Audience::All))
            }
            Self::Account(Account { stateless_thumbprint, .. }) => {
                let thumbprint = stateless_thumbprint.clone()?;
                Some((Body::Account(message::Account { thumbprint }), Audience::All))
            }
            Self::Challenge(challenge) => Some((challenge.body()?, Audience::All)),
            Self::Authority(_)
            | Self::Invitation(_)
            | Self::Request(_)
            | Self::Order(_)
            | Self::Backup(_) => None,
        }
    }
}

impl Node {
    fn message(&self) -> message::Node {
        let standing = match self.standing {
            NodeStanding::Joining => Standing::Joining,
            NodeStanding::Serving => Standing::Serving,
            NodeStanding::Drained => Standing::Drained,
        };
        let bytes =
            |address: Option<&[u8]>| address.map(Bytes::copy_from_slice).unwrap_or_default();
        message::Node {
            id: self.id.into(),
            name: self.name.clone(),
            site: self.site.clone(),
            ipv4: bytes(self.ipv4.map(|address| address.octets()).as_ref().map(|v4| &v4[..])),
            ipv6: bytes(self.ipv6.map(|address| address.octets()).as_ref().map(|v6| &v6[..])),
            standing: standing.into(),
        }
    }

    /// Whether it gets what is for `audience`.
    #[must_use]
    pub fn is_among(&self, audience: &Audience) -> bool {
        match audience {
            Audience::All => true,
            Audience::Names(_) if self.serves.is_empty() => true,
            Audience::Names(names) => {
                names.iter().any(|name| self.serves.iter().any(|served| covers(served, name)))
            }
        }
    }
}

/// Whether `served` is `name`, or its wildcard (RFC 9525 section 6.3: one label).
fn covers(served: &str, name: &str) -> bool {
    let parent = |name: &str| name.split_once('.').map(|(_, parent)| parent.to_ascii_lowercase());
    served.eq_ignore_ascii_case(name)
        || served.strip_prefix("*.").is_some_and(|served| {
            parent(name).is_some_and(|parent| parent.eq_ignore_ascii_case(served))
        })
}

impl Certificate {
    fn message(&self) -> Option<message::Certificate> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect();
        let chain = chain.ok()?.iter().map(|der| Bytes::copy_from_slice(der)).collect();
        Some(message::Certificate { chain, key: pkcs8(&self.key)? })
    }
}

impl Challenge {
    fn body(&self) -> Option<Body> {
        Some(match self.clone() {
            Self::Http01 { token, key_authorization } => {
                Body::Http01(message::Http01 { token, key_authorization })
            }
            Self::TlsAlpn01 { name, certificate, key } => {
                let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
                let certificate = Bytes::copy_from_slice(&der);
                Body::TlsAlpn01(message::TlsAlpn01 { name, certificate, key: pkcs8(&key)? })
            }
        })
    }
}

fn pkcs8(pem: &str) -> Option<Bytes> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(Bytes::copy_from_slice(key.secret_pkcs8_der()))
}

/// A `Debug` with the fields that are no secret.
macro_rules! shown {
    ($($kind:ident { $($field:ident),* })*) => {
        $(impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($kind))$(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        })*
    };
}

shown! {
    Authority {}
    Secrets {}
    Certificate { id, names, not_before, not_after, source, fingerprint }
    Distributions {}
    Account { issuer }
    Order { id }
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The name of an HTTP-01 challenge is its token, which is public once it is answered.
        f.debug_tuple("Challenge").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests;
