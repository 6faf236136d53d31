//! Certificates and keys from PEM files.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::candidate::{Candidate, Unfit};
use super::live::{Checked, Live, Refused, Source};
use crate::config::{TlsConfig, TlsFiles};
use crate::limits;

/// Why there is no TLS, with the file that is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    /// A file is not PEM.
    #[error("{0} is not in PEM form: {1}")]
    Pem(PathBuf, String),
    /// A file without certificate.
    #[error(
        "{0} holds no certificate (no BEGIN CERTIFICATE): give the chain, the server's own first"
    )]
    NoCertificate(PathBuf),
    /// A chain that clients refuse.
    #[error("{0} holds {1} certificates, more than the {most} that clients take: give the chain only", most = limits::MAX_CHAIN_CERTIFICATES)]
    LongChain(PathBuf, usize),
    /// A file without key.
    #[error("{0} holds no private key (no BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")]
    NoKey(PathBuf),
    /// The two files do not belong together, or are of a kind that cannot be used.
    #[error("the certificate {certificate} and the key {key} cannot be used together: {reason}")]
    Unusable {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong with them.
        reason: Unfit,
    },
}

/// Files that were read and are fit, to be put in force.
#[derive(Debug)]
pub struct FilesRead {
    checked: Checked,
    warnings: Vec<String>,
}

/// What has come of files.
#[derive(Debug, Default)]
pub struct FilesInForce {
    /// Certificates that are in force now and were not before, in words.
    pub changes: Vec<String>,
    /// What is served, but not well.
    pub warnings: Vec<String>,
}

/// Reads all files of `config` and checks them against what `live` serves. A certificate that
/// clients will refuse because of its time is warned of, and served where nothing better is: it is
/// worse than none only in their eyes.
///
/// # Errors
/// Where one of them cannot be read, is not PEM, or cannot be used. Nothing has changed then.
pub fn read(config: &TlsConfig, live: &Live, now: SystemTime) -> Result<FilesRead, TlsError> {
    let mut candidates = Vec::new();
    let mut warnings = Vec::new();
    for files in config.files() {
        candidates.push(candidate(files)?);
        warnings.extend(open_to_others(&files.key));
    }
    let checked = live.check(Source::Files, candidates, now).map_err(|refused| {
        let Refused { id, reason } = refused;
        let mut files = config.files();
        let files = files.find(|files| *self::id(files) == *id).expect("its ID was made of them");
        let TlsFiles { certificate, key } = files.clone();
        TlsError::Unusable { certificate, key, reason }
    })?;
    for served in &checked.checked {
        warnings.extend(served.validity.warning(&served.id, now));
    }
    Ok(FilesRead { checked, warnings })
}

impl FilesRead {
    /// Puts them in force; connections that are up keep what they have.
    pub fn put_in_force(self, live: &Live, now: SystemTime) -> FilesInForce {
        let mut changes = Vec::new();
        for served in &self.checked.checked {
            let id = &served.id;
            changes.push(match served.validity.not_after.duration_since(now) {
                Ok(left) => {
                    let left = super::x509::in_words(left);
                    format!("the certificate {id} is another one, valid for {left}")
                }
                Err(_) => format!("the certificate {id} is another one"),
            });
        }
        live.put_checked(self.checked);
        FilesInForce { changes, warnings: self.warnings }
    }
}

/// The ID of what is in these files: the path, which messages can show.
pub(super) fn id(files: &TlsFiles) -> String {
    files.certificate.display().to_string()
}

fn candidate(files: &TlsFiles) -> Result<Candidate, TlsError> {
    let chain = chain(&files.certificate)?;
    let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
    let key = key(&files.key)?;
    Ok(Candidate::new(&id(files), chain, key.secret_der().to_vec()))
}

/// A warning where others than the owner may read the key. Its group may: keys are often shared
/// with one so that a service that is not root reads them.
fn open_to_others(key: &Path) -> Option<String> {
    let mode = std::fs::metadata(key).ok()?.mode() & 0o7777;
    let path = key.display();
    (mode & 0o007 != 0).then(|| {
        format!("the key {path} is open to every user of this host (mode {mode:04o}): run `chmod o= {path}`")
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read_bounded(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem(path.to_owned(), error.to_string()))?;
    match chain.len() {
        0 => Err(TlsError::NoCertificate(path.to_owned())),
        length if length > limits::MAX_CHAIN_CERTIFICATES => {
            Err(TlsError::LongChain(path.to_owned(), length))
        }
        _ => Ok(chain),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(&read_bounded(path)?).map_err(|error| match error {
        Error::NoItemsFound => TlsError::NoKey(path.to_owned()),
        // Not the reader's own words, which may quote a line of the key.
        _ => TlsError::Pem(path.to_owned(), "a section does not end, or is not base64".into()),
    })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(limits::MAX_PEM_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| TlsError::Read(path.to_owned(), error))
}
