//! Every value is sealed under a key that is not in the store: a stolen store or backup tells the
//! names of nodes and certificates, and nothing else.
//!
//! ```text
//! nonce (12) | sealed value | tag (16)
//! ```
//!
//! The record's key is authenticated, so that a value cannot be put in another's place.
//! AES-256-GCM-SIV (RFC 8452): a nonce that repeats must not give the key away.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;

use super::{Embedded, Snapshot, Store, StoreError, Transaction, Write, sync_directory_of};

const KEY_BYTES: usize = 32;

/// Why nothing can be sealed or opened. No message holds a byte of a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The key file is not there or cannot be read.
    #[error(
        "the sealing key {0} cannot be read: {1}; without it the store cannot be opened (docs/controller.md tells what to do when it is lost)"
    )]
    Read(PathBuf, #[source] std::io::Error),
    /// Somebody else could read it.
    #[error("the sealing key {} is open to others (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to another user.
    #[error("the sealing key {} belongs to user {owner}: run `chown {us} {}`", path.display(), path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we run as.
        us: u32,
    },
    /// It is no key file.
    #[error("the sealing key {0} is not 32 bytes long")]
    Form(PathBuf),
    /// It cannot be written.
    #[error("the sealing key {0} cannot be written: {1}")]
    Write(PathBuf, #[source] std::io::Error),
    /// A value that was sealed under another key, or changed.
    #[error(
        "the record {0} does not open under this sealing key: it is another store's key, or the record was changed"
    )]
    Open(String),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
}

/// The key in its file.
pub struct KeyFile(LessSafeKey);

impl KeyFile {
    /// Makes a new key at `path`, mode 0600.
    ///
    /// # Errors
    /// Where there is a file already, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, SealError> {
        let mut key = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| SealError::Random)?;
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let written = file.and_then(|mut file| {
            file.write_all(&key)?;
            file.sync_all()?;
            // A store that outlives its key opens for nobody.
            sync_directory_of(path)
        });
        written.map_err(|error| SealError::Write(path.to_owned(), error))?;
        Ok(Self::new(&key))
    }

    /// Reads the key at `path`, which must be readable by its owner alone.
    ///
    /// # Errors
    /// Where it cannot be read, is open to others, or is no key.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let read = |error| SealError::Read(path.to_owned(), error);
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SealError::Mode { path: path.to_owned(), mode });
        }
        let (owner, us) = (metadata.uid(), nix::unistd::geteuid().as_raw());
        if owner != us && owner != 0 {
            return Err(SealError::Owner { path: path.to_owned(), owner, us });
        }
        let mut key = Vec::new();
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key).map_err(read)?;
        let key: [u8; KEY_BYTES] = key.try_into().map_err(|_| SealError::Form(path.to_owned()))?;
        Ok(Self::new(&key))
    }

    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).expect("an AES-256 key is 32 bytes");
        Self(LessSafeKey::new(key))
    }

    fn seal(&self, record: &str, value: &[u8]) -> Result<Bytes, SealError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut sealed = value.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(record.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| SealError::Random)?;
        Ok([&nonce[..], &sealed].concat().into())
    }

    fn unseal(&self, record: &str, sealed: &[u8]) -> Result<Bytes, SealError> {
        let refused = || SealError::Open(record.to_owned());
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(refused)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(record.as_bytes()), &mut sealed);
        let length = opened.map_err(|_| refused())?.len();
        sealed.truncate(length);
        Ok(sealed.into())
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").finish_non_exhaustive()
    }
}

/// A store whose values are sealed.
pub struct Sealed<S> {
    inner: S,
    key: KeyFile,
}

impl<S: Store> Sealed<S> {
    /// Seals all that goes into `inner`, and opens what comes out.
    #[must_use]
    pub fn new(inner: S, key: KeyFile) -> Self {
        Self { inner, key }
    }

    /// The store with its values sealed.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl Sealed<Embedded> {
    /// Makes a new store at `to`, sealed under `key`, of a backup that is sealed under `old`.
    ///
    /// # Errors
    /// As [`Embedded::restore`], and where a value does not open under `old`.
    pub fn restore(
        from: &Path,
        old: &KeyFile,
        to: &Path,
        key: KeyFile,
    ) -> Result<Self, StoreError> {
        let reseal = |record: &str, value: Bytes| key.seal(record, &old.unseal(record, &value)?);
        let inner = Embedded::restore_with(from, to, reseal)?;
        Ok(Self { inner, key })
    }

    /// As [`Embedded::back_up`], with a note that is sealed like every record.
    ///
    /// # Errors
    /// Where it cannot be sealed, there is a file already, or it cannot be written.
    pub async fn back_up(
        &self,
        to: &Path,
        (record, value): (&str, &[u8]),
    ) -> Result<(), StoreError> {
        let value = self.key.seal(record, value)?;
        self.inner.back_up(to, (record, value)).await
    }
}

#[async_trait]
impl<S: Store> Store for Sealed<S> {
    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    async fn lead(&self) -> Result<u64, StoreError> {
        self.inner.lead().await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let mut snapshot = self.inner.snapshot().await?;
        for entry in &mut snapshot.entries {
            entry.value = self.key.unseal(&entry.key, &entry.value)?;
        }
        Ok(snapshot)
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<u64, StoreError> {
        for write in &mut transaction.writes {
            if let Write::Put(key, value) = write {
                *value = self.key.seal(key, value)?;
            }
        }
        self.inner.commit(transaction).await
    }
}
