//! Certificates of one's own: PEM files, read again when they change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Unfit, Wanted, examine};
use crate::limits;
use crate::records::Certificate;

/// The source of an imported certificate.
pub const SOURCE: &str = "imported";

/// Where a certificate of one's own is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// What it is called.
    pub id: String,
    /// The chain in PEM, the server's own certificate first.
    pub chain: PathBuf,
    /// Its private key in PEM, closed to others.
    pub key: PathBuf,
}

/// Why files are not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// One cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    /// One is too large to be what it should.
    #[error("{0} is larger than {most} bytes", most = limits::MAX_IMPORT_BYTES)]
    TooLarge(PathBuf),
    /// Others can read the key.
    #[error("the key {0} is open to others: run `chmod 600 {0}`")]
    Open(PathBuf),
    /// What is in them.
    #[error("{0}: {1}")]
    Unfit(PathBuf, #[source] Unfit),
}

/// A file as it was: another time, size or inode is another content.
type Stamp = (u64, u64, i64, i64);

/// Files, and what of them was read last.
#[derive(Debug)]
pub struct Watched {
    files: Files,
    seen: Option<[Stamp; 2]>,
}

impl Watched {
    /// Not read yet.
    #[must_use]
    pub const fn new(files: Files) -> Self {
        Self { files, seen: None }
    }

    /// The files.
    #[must_use]
    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// What is new since the last look: a certificate, or why it is not taken. A pair that is half
    /// written is refused, and looked at again once the other half has changed.
    pub fn look(&mut self, wanted: &Wanted<'_>) -> Option<Result<Certificate, ImportError>> {
        let stamps = [stamp(&self.files.chain), stamp(&self.files.key)];
        let stamps = match stamps {
            [Ok(chain), Ok(key)] => Some([chain, key]),
            _ => None,
        };
        if stamps.is_some() && stamps == self.seen {
            return None;
        }
        let was_away = self.seen.is_none();
        self.seen = stamps;
        let read = read(&self.files, wanted);
        // A file that is not there is told once, not at every look.
        (stamps.is_some() || !was_away).then_some(read)
    }
}

/// Reads and examines a pair of files.
///
/// # Errors
/// With what is wrong with them.
pub fn read(files: &Files, wanted: &Wanted<'_>) -> Result<Certificate, ImportError> {
    let metadata =
        fs::metadata(&files.key).map_err(|error| ImportError::Read(files.key.clone(), error))?;
    if metadata.mode() & 0o007 != 0 {
        return Err(ImportError::Open(files.key.clone()));
    }
    let (chain, key) = (text(&files.chain)?, text(&files.key)?);
    let wanted = Wanted { id: &files.id, source: SOURCE, ..*wanted };
    examine(&chain, &key, &wanted).map_err(|unfit| ImportError::Unfit(files.chain.clone(), unfit))
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn text(path: &Path) -> Result<String, ImportError> {
    let read = |error| ImportError::Read(path.to_owned(), error);
    if fs::metadata(path).map_err(read)?.len() > limits::MAX_IMPORT_BYTES {
        return Err(ImportError::TooLarge(path.to_owned()));
    }
    fs::read_to_string(path).map_err(read)
}
