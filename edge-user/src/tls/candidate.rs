//! A certificate that asks to be served, and what it takes to be.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::x509::{Facts, Name, Validity};
use crate::limits;

/// A certificate with its key, of whom nothing is known yet.
pub struct Candidate {
    /// What whoever sends it calls it. A later one of the same ID takes its place.
    pub id: Arc<str>,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: Vec<u8>,
}

impl Candidate {
    /// `chain` in DER, the server's own certificate first; `key` in DER, as PKCS #8, SEC1 or
    /// PKCS #1. Neither is looked at here.
    #[must_use]
    pub fn new(id: &str, chain: Vec<Vec<u8>>, key: Vec<u8>) -> Self {
        Self { id: id.into(), chain, key }
    }

    /// Tells apart what is sent again from what has changed.
    fn digest(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in self.chain.iter().chain([&self.key]) {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        into_array(hash.finish())
    }

    /// Whether it is, byte for byte, what `served` was made of.
    pub(super) fn is(&self, served: &Served) -> bool {
        self.digest() == served.digest
    }

    /// Checks all but the time: chain, names, and that key and certificate belong together.
    pub(super) fn admit(self, provider: &CryptoProvider) -> Result<Served, Unfit> {
        let digest = self.digest();
        let Facts { names, validity, public_key, .. } = chain_facts(&self.chain)?;
        match names.len() {
            0 => return Err(Unfit::NoName),
            count if count > limits::MAX_CERTIFICATE_NAMES => return Err(Unfit::ManyNames(count)),
            _ => {}
        }
        let certified = certify(self.chain, self.key, &public_key, provider)?;
        let fingerprint = into_array(digest::digest(&digest::SHA256, &certified.cert[0]));
        Ok(Served {
            id: self.id,
            names,
            validity,
            preference: preference(certified.key.algorithm()),
            certified: Arc::new(certified),
            fingerprint,
            digest,
        })
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Candidate");
        shown.field("id", &self.id).field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Why a certificate is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Without certificate.
    #[error("the chain is empty")]
    NoCertificate,
    /// A chain that clients refuse.
    #[error("the chain has {0} certificates: clients take {most}", most = limits::MAX_CHAIN_CERTIFICATES)]
    LongChain(usize),
    /// No certificate; the first is number 1.
    #[error("certificate {0} of the chain cannot be read: {1}")]
    Unreadable(usize, String),
    /// One whose issuer is not the next one (RFC 8446 section 4.4.2); the first is number 1.
    #[error("certificate {0} of the chain is not issued by the one that follows it")]
    Order(usize),
    /// Nobody could be served with it.
    #[error("it is for no name: its subjectAltName has neither a DNS name nor an address")]
    NoName,
    /// More names than anybody issues.
    #[error("it is for {0} names: at most {most} are taken", most = limits::MAX_CERTIFICATE_NAMES)]
    ManyNames(usize),
    /// The key is of no kind that can be used.
    #[error("its key cannot be used")]
    Key,
    /// The key is another one's.
    #[error("its key belongs to another certificate")]
    KeyOfAnother,
    /// Its time is over, and one that works is in force.
    #[error("it has ended, the one in force has not")]
    Ended,
    /// Its time has not come, and one that works is in force.
    #[error("it is not valid yet, the one in force is")]
    NotYet,
    /// The table is full.
    #[error("{most} certificates are served already", most = limits::MAX_CERTIFICATES)]
    Full,
}

/// Checks that `chain` is one, and tells what its first certificate says.
pub(super) fn chain_facts(chain: &[Vec<u8>]) -> Result<Facts, Unfit> {
    if chain.len() > limits::MAX_CHAIN_CERTIFICATES {
        return Err(Unfit::LongChain(chain.len()));
    }
    let mut all = Vec::with_capacity(chain.len());
    for (place, certificate) in (1..).zip(chain) {
        all.push(Facts::of(certificate).map_err(|error| Unfit::Unreadable(place, error))?);
    }
    let links = all.windows(2).position(|pair| pair[0].issuer != pair[1].subject);
    if let Some(place) = links {
        return Err(Unfit::Order(place + 1));
    }
    all.into_iter().next().ok_or(Unfit::NoCertificate)
}

/// Puts certificate and key together, where `public_key`, the certificate's, is that of `key`.
/// rustls would compare them itself, but reads no certificate with a critical extension that it does
/// not know, as one that answers a challenge has (RFC 8737 section 3).
pub(super) fn certify(
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
    public_key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Unfit> {
    let key = PrivateKeyDer::try_from(key).map_err(|_| Unfit::Key)?;
    // What the library says of a key it cannot read is not shown: it has seen the key.
    let key = provider.key_provider.load_private_key(key).map_err(|_| Unfit::Key)?;
    if key.public_key().is_none_or(|ours| *ours != *public_key) {
        return Err(Unfit::KeyOfAnother);
    }
    Ok(CertifiedKey::new(chain.into_iter().map(CertificateDer::from).collect(), key))
}

fn into_array(digest: digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Which kind of key is tried first, where a client takes several: the cheaper signature.
fn preference(algorithm: SignatureAlgorithm) -> u8 {
    match algorithm {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::RSA => 2,
        _ => 1,
    }
}

/// A certificate that is fit to be served.
pub(super) struct Served {
    pub(super) id: Arc<str>,
    pub(super) names: Vec<Name>,
    pub(super) validity: Validity,
    /// The lower, the earlier tried.
    pub(super) preference: u8,
    pub(super) certified: Arc<CertifiedKey>,
    /// SHA-256 of the server's own certificate.
    pub(super) fingerprint: [u8; 32],
    digest: [u8; 32],
}

impl Served {
    /// Whether a client that offers `schemes` can check its signature.
    pub(super) fn suits(&self, schemes: &[SignatureScheme]) -> bool {
        self.certified.key.choose_scheme(schemes).is_some()
    }

    /// Whether it is for `name`, a DNS name in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|its| match its {
            Name::Exact(its) => **its == *name,
            // RFC 9525 section 6.3: for one label more.
            Name::Below(above) => parent == Some(above),
            Name::Address(_) => false,
        })
    }

    /// Why it may not take the place of `old` at `now`: one that works outlives one that does not.
    pub(super) fn may_follow(&self, old: Option<&Self>, now: SystemTime) -> Result<(), Unfit> {
        match old {
            Some(old) if old.validity.holds(now) && !self.validity.holds(now) => {
                Err(if self.validity.not_after < now { Unfit::Ended } else { Unfit::NotYet })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Served");
        shown.field("id", &self.id).field("names", &self.names).finish_non_exhaustive()
    }
}
