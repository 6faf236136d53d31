//! Answers to the challenges of certificate authorities, on whichever node they knock
//! (RFC 8555 section 8, RFC 8737).

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::candidate::{Unfit, certify, chain_facts};
use super::x509::{Name, host_name};
use crate::limits;

/// The protocol that an authority offers when it looks for an answer by TLS-ALPN-01 (RFC 8737
/// section 6.2).
pub const ALPN_ACME: &[u8] = b"acme-tls/1";

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeRefused {
    /// Not base64url, too short or too long (RFC 8555 section 8.3).
    #[error("the token is none: 22 to {most} characters of base64url", most = limits::MAX_TOKEN_BYTES)]
    Token,
    /// Not the token, a dot and a thumbprint (RFC 8555 section 8.1).
    #[error("the key authorization is not the token, a dot, and a thumbprint")]
    KeyAuthorization,
    /// Not a SHA-256 in base64url (RFC 7638 section 3).
    #[error("the thumbprint is not 43 characters of base64url")]
    Thumbprint,
    /// Not a name that a client can ask for.
    #[error("it is for no DNS name")]
    Name,
    /// The certificate cannot be used.
    #[error("the certificate: {0}")]
    Certificate(#[from] Unfit),
    /// The certificate is not for the name, or for others too (RFC 8737 section 3).
    #[error("the certificate is not for that name alone")]
    OtherNames,
    /// The certificate answers no challenge (RFC 8737 section 3).
    #[error("the certificate has no critical acmeIdentifier with a SHA-256")]
    NoIdentifier,
    /// The table is full.
    #[error("{most} challenges are answered already", most = limits::MAX_CHALLENGES)]
    Full,
}

/// What was asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// By HTTP-01, answered from the table or from the thumbprint.
    pub http01_answered: u64,
    /// By HTTP-01, for a token that nobody knows.
    pub http01_unknown: u64,
    /// By TLS-ALPN-01, answered.
    pub tls_alpn01_answered: u64,
    /// By TLS-ALPN-01, for a name that nobody knows.
    pub tls_alpn01_unknown: u64,
}

#[derive(Default)]
struct Table {
    http01: HashMap<Box<str>, Arc<str>>,
    tls_alpn01: HashMap<Box<str>, Arc<CertifiedKey>>,
    thumbprint: Option<Box<str>>,
}

/// The challenges of a process, shared by whoever sets the answers and whoever gives them.
#[derive(Default)]
pub struct Challenges {
    table: RwLock<Table>,
    http01_answered: AtomicU64,
    http01_unknown: AtomicU64,
    tls_alpn01_answered: AtomicU64,
    tls_alpn01_unknown: AtomicU64,
}

impl Challenges {
    /// With no answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `token` by HTTP-01 with `key_authorization` (RFC 8555 section 8.3).
    ///
    /// # Errors
    /// Where one of them is none, or [`limits::MAX_CHALLENGES`] tokens are answered already.
    pub fn set_http01(&self, token: &str, key_authorization: &str) -> Result<(), ChallengeRefused> {
        if !is_token(token) {
            return Err(ChallengeRefused::Token);
        }
        match key_authorization.split_once('.') {
            Some((first, thumbprint)) if first == token && is_thumbprint(thumbprint) => {}
            _ => return Err(ChallengeRefused::KeyAuthorization),
        }
        insert(&mut self.write().http01, token, key_authorization.into())
    }

    /// Answers `token` no more. Says whether it was answered.
    pub fn remove_http01(&self, token: &str) -> bool {
        self.write().http01.remove(token).is_some()
    }

    /// Answers for `name` by TLS-ALPN-01 with this certificate (RFC 8737 section 3). `chain` and
    /// `key` as in [`Candidate::new`](super::Candidate::new).
    ///
    /// # Errors
    /// Where the certificate is not for `name` alone, lacks the answer, does not belong to the key,
    /// or [`limits::MAX_CHALLENGES`] names are answered for already.
    pub fn set_tls_alpn01(
        &self,
        name: &str,
        chain: Vec<Vec<u8>>,
        key: Vec<u8>,
    ) -> Result<(), ChallengeRefused> {
        let name = host_name(name).ok_or(ChallengeRefused::Name)?;
        let facts = chain_facts(&chain)?;
        if facts.names != [Name::Exact(name.clone())] {
            return Err(ChallengeRefused::OtherNames);
        }
        facts.acme_identifier.ok_or(ChallengeRefused::NoIdentifier)?;
        let certified = certify(chain, key, &facts.public_key, &aws_lc_rs::default_provider())?;
        insert(&mut self.write().tls_alpn01, &name, Arc::new(certified))
    }

    /// Answers for `name` no more. Says whether it was answered for.
    pub fn remove_tls_alpn01(&self, name: &str) -> bool {
        host_name(name).is_some_and(|name| self.write().tls_alpn01.remove(&name).is_some())
    }

    /// Answers every token by HTTP-01 with this thumbprint of an account's key (RFC 7638), or only
    /// those that are set. With it, whoever orders certificates with that account gets them for
    /// every name that leads here; nobody else does.
    ///
    /// # Errors
    /// Where it is none.
    pub fn set_thumbprint(&self, thumbprint: Option<&str>) -> Result<(), ChallengeRefused> {
        if !thumbprint.is_none_or(is_thumbprint) {
            return Err(ChallengeRefused::Thumbprint);
        }
        self.write().thumbprint = thumbprint.map(Into::into);
        Ok(())
    }

    /// The key authorization that answers `token`. Counted.
    #[must_use]
    pub fn http01(&self, token: &str) -> Option<Arc<str>> {
        let table = self.read();
        let set = table.http01.get(token).cloned();
        let answer = set.or_else(|| {
            let thumbprint = table.thumbprint.as_deref().filter(|_| is_token(token))?;
            Some(format!("{token}.{thumbprint}").into())
        });
        let counter = if answer.is_some() { &self.http01_answered } else { &self.http01_unknown };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// The certificate that answers for `name`. Not counted.
    fn tls_alpn01(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.read().tls_alpn01.get(&host_name(name)?).cloned()
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Asked {
            http01_answered: count(&self.http01_answered),
            http01_unknown: count(&self.http01_unknown),
            tls_alpn01_answered: count(&self.tls_alpn01_answered),
            tls_alpn01_unknown: count(&self.tls_alpn01_unknown),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // Every change under the lock is a single one.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert<T>(
    table: &mut HashMap<Box<str>, T>,
    key: &str,
    value: T,
) -> Result<(), ChallengeRefused> {
    if table.len() >= limits::MAX_CHALLENGES && !table.contains_key(key) {
        return Err(ChallengeRefused::Full);
    }
    table.insert(key.into(), value);
    Ok(())
}

/// At least 128 bits of entropy, in base64url without padding (RFC 8555 section 8.3).
fn is_token(token: &str) -> bool {
    (limits::MIN_TOKEN_BYTES..=limits::MAX_TOKEN_BYTES).contains(&token.len())
        && is_base64url(token)
}

fn is_thumbprint(text: &str) -> bool {
    text.len() == 43 && is_base64url(text)
}

fn is_base64url(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let answer = hello.server_name().and_then(|name| self.tls_alpn01(name));
        let counter =
            if answer.is_some() { &self.tls_alpn01_answered } else { &self.tls_alpn01_unknown };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.read();
        f.debug_struct("Challenges")
            .field("http01", &table.http01.len())
            .field("tls_alpn01", &table.tls_alpn01.len())
            .field("any_token", &table.thumbprint.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
