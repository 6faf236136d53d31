//! Certificates that are looked at before they are served: a chain and its key in, a record out.
//!
//! Whatever is not exactly what was wanted is refused with a reason, and what was served before
//! stays.

pub mod import;
pub mod names;

use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::identity::{hex, sha256};
use crate::limits;
use crate::records::Certificate;
use names::{Policy, Refusal};

/// Why a certificate is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No certificate, or one that cannot be read.
    #[error("the chain cannot be read: {0}")]
    Chain(String),
    /// No key, or one that cannot be read.
    #[error(
        "the key cannot be read: it must be one private key in PEM (PKCS #8, PKCS #1 or SEC 1)"
    )]
    Key,
    /// They do not belong together.
    #[error("the key is not that of the certificate")]
    OtherKey,
    /// It is for others than were wanted.
    #[error("the certificate is for {found}, and {wanted} was wanted")]
    OtherNames {
        /// Its names.
        found: String,
        /// Those that were wanted.
        wanted: String,
    },
    /// A name that must not be issued.
    #[error(transparent)]
    Name(#[from] Refusal),
    /// It is over, or has not begun.
    #[error(
        "the certificate is valid from {not_before} to {not_after} (seconds since 1970), and it is {now}: is this machine's clock right?"
    )]
    Dates {
        /// From when.
        not_before: u64,
        /// Until when.
        not_after: u64,
        /// By our clock.
        now: u64,
    },
    /// One does not sign the one before it.
    #[error("the chain is broken: certificate {0} is not signed by the one after it")]
    Link(usize),
}

/// What a certificate has to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What it is called.
    pub id: &'a str,
    /// Exactly these names; any that may be issued, where it is imported.
    pub names: Option<&'a [String]>,
    /// What names may be issued.
    pub policy: &'a Policy,
    /// Where it is from.
    pub source: &'a str,
    /// Our clock, seconds since 1970.
    pub now: u64,
}

/// A record of `chain` and `key`, both PEM, where they are what is wanted: the key is the
/// certificate's, the names are those, it is valid now, and each certificate of the chain signs the
/// one before it (RFC 8446 section 4.4.2).
///
/// # Errors
/// With what is not so.
pub fn examine(chain: &str, key: &str, wanted: &Wanted<'_>) -> Result<Certificate, Unfit> {
    let ders = chain_of(chain)?;
    let key_der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| Unfit::Key)?;
    let signing =
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key_der).map_err(|_| Unfit::Key)?;
    CertifiedKey::new(ders.clone(), signing).keys_match().map_err(|_| Unfit::OtherKey)?;
    let parsed: Vec<_> = ders
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed))
        .collect::<Result<_, _>>()
        .map_err(|error| Unfit::Chain(error.to_string()))?;
    let names = names_of(&parsed[0])?;
    if let Some(wanted) = wanted.names
        && !names::same(&names, wanted)
    {
        return Err(Unfit::OtherNames { found: names.join(", "), wanted: wanted.join(", ") });
    }
    for name in &names {
        wanted.policy.check(name)?;
    }
    let (not_before, not_after) = dates(&parsed[0]);
    let now = wanted.now;
    if now < not_before || now >= not_after {
        return Err(Unfit::Dates { not_before, not_after, now });
    }
    links(&ders, &parsed, &names[0], now)?;
    Ok(Certificate {
        id: wanted.id.to_owned(),
        names,
        chain: chain.to_owned(),
        key: pkcs8_pem(&key_der, key)?,
        not_before,
        not_after,
        source: wanted.source.to_owned(),
        fingerprint: fingerprint(&ders[0]),
    })
}

/// SHA-256 of a certificate in DER, in hexadecimal.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    hex(&sha256(der))
}

/// The server's own certificate out of a chain in PEM.
///
/// # Errors
/// Where there is none.
pub fn leaf(chain: &str) -> Result<CertificateDer<'static>, Unfit> {
    Ok(chain_of(chain)?.swap_remove(0))
}

fn chain_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, Unfit> {
    let most = limits::MAX_CHAIN;
    let ders: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).take(most + 1).collect();
    match ders {
        Err(error) => Err(Unfit::Chain(error.to_string())),
        Ok(ders) if ders.is_empty() => Err(Unfit::Chain("there is no certificate in it".into())),
        Ok(ders) if ders.len() > most => {
            Err(Unfit::Chain(format!("it has more than {most} certificates")))
        }
        Ok(ders) => Ok(ders),
    }
}

/// Names of the subject alternative name extension; the common name says nothing (RFC 9525
/// section 2.1).
fn names_of(certificate: &X509Certificate<'_>) -> Result<Vec<String>, Unfit> {
    let unreadable = |what: &str| Unfit::Chain(what.to_owned());
    let extension = certificate
        .subject_alternative_name()
        .map_err(|error| Unfit::Chain(error.to_string()))?
        .ok_or_else(|| unreadable("the certificate has no subject alternative name"))?;
    let names: Vec<String> = extension
        .value
        .general_names
        .iter()
        .map(|name| match name {
            GeneralName::DNSName(name) => Ok(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => names::address(bytes)
                .map(|address| address.to_string())
                .ok_or_else(|| unreadable("the certificate has an address of no known length")),
            _ => Err(unreadable("the certificate has a name that is neither DNS nor an address")),
        })
        .collect::<Result<_, _>>()?;
    if names.is_empty() { Err(unreadable("the certificate has no name")) } else { Ok(names) }
}

fn dates(certificate: &X509Certificate<'_>) -> (u64, u64) {
    let validity = certificate.validity();
    let seconds = |time: i64| u64::try_from(time).unwrap_or_default();
    (seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp()))
}

/// That each certificate is signed by the next, and may sign it.
fn links(
    ders: &[CertificateDer<'static>],
    parsed: &[X509Certificate<'_>],
    name: &str,
    now: u64,
) -> Result<(), Unfit> {
    for (at, pair) in parsed.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(Unfit::Link(at));
        }
    }
    let Some((last, before)) = ders.split_last().filter(|(_, before)| !before.is_empty()) else {
        return Ok(()); // nothing to be signed by: one's own, or of an authority that clients know
    };
    let unreadable = |error: &dyn std::fmt::Display| Unfit::Chain(error.to_string());
    let mut roots = RootCertStore::empty();
    roots.add(last.clone()).map_err(|error| unreadable(&error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.into())
        .build()
        .map_err(|error| unreadable(&error))?;
    let server =
        ServerName::try_from(name.replace('*', "any")).map_err(|error| unreadable(&error))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    verifier
        .verify_server_cert(&before[0], &before[1..], &server, &[], now)
        .map(|_| ())
        .map_err(|error| unreadable(&error))
}

/// The key in PKCS #8, which nodes take.
fn pkcs8_pem(der: &PrivateKeyDer<'_>, pem: &str) -> Result<String, Unfit> {
    match der {
        PrivateKeyDer::Pkcs8(_) => Ok(pem.to_owned()),
        _ => {
            let key = rcgen::KeyPair::from_pem(pem).map_err(|_| Unfit::Key)?;
            Ok(key.serialize_pem())
        }
    }
}

#[cfg(test)]
mod tests;
