//! Keys, signing requests, and answers to challenges.

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize,
};
use serde::{Deserialize, Serialize};

use crate::config::ChallengeKind;
use crate::records::{Challenge, KeyType};

/// How one name of an order is shown to be ours, in words that outlive the process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// RFC 8555 section 8.3: nodes answer under this token.
    Http01 {
        /// For which name.
        name: String,
        /// Which challenge.
        token: String,
        /// What is answered.
        key_authorization: String,
    },
    /// RFC 8737: nodes show this certificate.
    TlsAlpn01 {
        /// For which name.
        name: String,
        /// PEM.
        certificate: String,
        /// PKCS #8 in PEM.
        key: String,
    },
    /// RFC 8555 section 8.4: a TXT record, set by the hook.
    Dns01 {
        /// For which name, without `*.`.
        name: String,
        /// What the record says.
        value: String,
    },
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Answer").field(&self.name()).finish()
    }
}

impl Answer {
    /// An answer of this kind for `name`, whose challenge has this token, value and digest.
    ///
    /// # Errors
    /// Where a certificate for TLS-ALPN-01 cannot be made.
    pub fn new(
        kind: ChallengeKind,
        name: &str,
        token: &str,
        authorization: &instant_acme::KeyAuthorization,
    ) -> Result<Self, rcgen::Error> {
        let name = name.to_owned();
        Ok(match kind {
            ChallengeKind::Http01 => Self::Http01 {
                name,
                token: token.to_owned(),
                key_authorization: authorization.as_str().to_owned(),
            },
            ChallengeKind::Dns01 => Self::Dns01 { name, value: authorization.dns_value() },
            ChallengeKind::TlsAlpn01 => {
                let (certificate, key) = tls_alpn(&name, authorization.digest().as_ref())?;
                Self::TlsAlpn01 { name, certificate, key }
            }
        })
    }

    /// For which name it is.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Http01 { name, .. } | Self::TlsAlpn01 { name, .. } | Self::Dns01 { name, .. } => {
                name
            }
        }
    }

    /// What nodes get of it; of DNS-01 nothing.
    #[must_use]
    pub fn record(&self) -> Option<Challenge> {
        match self.clone() {
            Self::Http01 { token, key_authorization, .. } => {
                Some(Challenge::Http01 { token, key_authorization })
            }
            Self::TlsAlpn01 { name, certificate, key } => {
                Some(Challenge::TlsAlpn01 { name, certificate, key })
            }
            Self::Dns01 { .. } => None,
        }
    }
}

/// A new key of this kind.
///
/// # Errors
/// Where the library cannot make one.
pub fn new_key(kind: KeyType) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyType::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    }
}

/// A signing request (RFC 8555 section 7.4) for names, by a key in PEM: DER.
///
/// # Errors
/// Where the key or a name cannot be read.
pub fn signing_request(names: &[String], key: &str) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&KeyPair::from_pem(key)?)?.der().to_vec())
}

/// A self-signed certificate with the digest of a key authorization (RFC 8737 section 3), and its
/// key, both PEM.
fn tls_alpn(name: &str, digest: &[u8]) -> Result<(String, String), rcgen::Error> {
    let key = new_key(KeyType::P256)?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}
