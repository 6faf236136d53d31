//! The issuer `internal`: an authority of the controller's own for server certificates, so that
//! everything runs with no network. Its key is another than that which signs the identities of
//! nodes: whoever trusts the one does not trust the other.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::acme::challenge::new_key;
use crate::certificate::{Unfit, Wanted, examine};
use crate::limits;
use crate::records::{self, Account, Certificate, Request};
use crate::store::sync_directory_of;

/// Its name in requests.
pub const NAME: &str = "internal";

/// Why the issuer does not issue.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// Making a certificate or key.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made is not what was wanted.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What is in the store.
    #[error("the record of the internal issuer cannot be read")]
    Record,
}

/// A new authority, as a record: kept in the place of an account, which nodes do not get.
///
/// # Errors
/// Where a key cannot be made.
pub fn create(now: u64) -> Result<Account, InternalError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Landfast internal issuer");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = moment(now);
    params.not_before = now - Duration::hours(1);
    params.not_after = now + limits::INTERNAL_AUTHORITY_LIFETIME;
    let certificate = params.self_signed(&key)?.pem();
    let credentials = serde_json::json!({ "certificate": certificate, "key": key.serialize_pem() });
    Ok(Account { issuer: NAME.to_owned(), credentials, stateless_thumbprint: None, next_key: None })
}

/// The authority's certificate in PEM: what clients trust.
///
/// # Errors
/// Where the record is not one of [`create`].
pub fn certificate(authority: &Account) -> Result<&str, InternalError> {
    authority.credentials["certificate"].as_str().ok_or(InternalError::Record)
}

/// Issues for a request, at once.
///
/// # Errors
/// Where its names may not be issued, or the record of the authority is broken.
pub fn issue(
    authority: &Account,
    request: &Request,
    wanted: &Wanted<'_>,
) -> Result<Certificate, InternalError> {
    let pem = certificate(authority)?;
    let key = authority.credentials["key"].as_str().ok_or(InternalError::Record)?;
    let issuer = Issuer::from_ca_cert_pem(pem, KeyPair::from_pem(key)?)?;
    let own = new_key(request.key_type)?;
    let mut params = CertificateParams::new(request.names.clone())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let now = moment(wanted.now);
    params.not_before = now - Duration::hours(1);
    params.not_after = now + limits::INTERNAL_LIFETIME;
    let leaf = params.signed_by(&own, &issuer)?.pem();
    let whole = examine(&format!("{leaf}{pem}"), &own.serialize_pem(), wanted)?;
    // Clients have the authority's certificate already, if they trust it.
    Ok(records::Certificate { chain: leaf, ..whole })
}

/// Writes what clients trust to a file, whole or not at all, unless it is there already.
///
/// # Errors
/// Where it cannot be written.
pub fn publish(pem: &str, path: &Path) -> std::io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == pem) {
        return Ok(());
    }
    let beside = path.with_extension("new");
    // One that a crash left; or that somebody put there, with a link to what they may not write.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    // Follows no link (open(2), O_EXCL).
    let mut file = options.write(true).create_new(true).mode(0o644).open(&beside)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    sync_directory_of(path)
}

fn moment(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::names::Policy;
    use crate::records::KeyType;

    const NOW: u64 = 1_800_000_000;

    fn issued(names: &[&str], key_type: KeyType) -> Result<Certificate, InternalError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let policy = Policy { addresses: true, reserved: true, ..Policy::default() };
        let wanted =
            Wanted { id: "a", names: Some(&names), policy: &policy, source: NAME, now: NOW };
        let request =
            Request { id: "a".into(), names: names.clone(), issuer: NAME.into(), key_type };
        issue(&create(NOW).unwrap(), &request, &wanted)
    }

    #[test]
    fn it_issues_what_is_requested() {
        for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let certificate = issued(&["a.test", "*.b.test", "192.0.2.1"], key_type).unwrap();
            assert_eq!(certificate.names, ["a.test", "*.b.test", "192.0.2.1"]);
            assert_eq!(certificate.not_after, NOW + 90 * 86_400);
        }
    }

    #[test]
    fn it_issues_for_no_name_that_must_not_be() {
        assert!(matches!(
            issued(&["*.test"], KeyType::P256),
            Err(InternalError::Unfit(Unfit::Name(_)))
        ));
    }

    #[test]
    fn what_to_trust_is_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("internal.pem");
        let authority = create(NOW).unwrap();
        publish(certificate(&authority).unwrap(), &path).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), certificate(&authority).unwrap());
    }
    #[test]
    fn what_to_trust_is_written_through_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("internal.pem"), directory.path().join("other"));
        fs::write(&other, "of somebody else").unwrap();
        std::os::unix::fs::symlink(&other, directory.path().join("internal.new")).unwrap();
        publish("new", &path).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
}
