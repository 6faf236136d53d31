//! Where the controller keeps what it must not lose: records under keys, each with the revision
//! that wrote it.
//!
//! One trait, so that a controller alone keeps a file and several share a store. What several need
//! is in its shape: a revision counts every change in the whole store, which a watch can follow;
//! and each commit carries the term of its leader, which fences off one that leads no more.

mod embedded;
mod seal;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

pub use embedded::{Embedded, SCHEMA};
pub use seal::{KeyFile, SealError, Sealed};

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: a kind, a slash, and which one.
    pub key: String,
    /// Its content.
    pub value: Bytes,
    /// The revision that wrote it.
    pub revision: u64,
}

/// A deletion that is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// What is gone.
    pub key: String,
    /// The revision that deleted it.
    pub revision: u64,
}

/// Everything at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last change that is in it.
    pub revision: u64,
    /// By key.
    pub entries: Vec<Entry>,
    /// By revision.
    pub tombstones: Vec<Tombstone>,
    /// All deletions after this revision are among `tombstones`.
    pub tombstones_from: u64,
}

/// What must still be so for a transaction to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// There is no such record.
    Absent(String),
    /// The record is as this revision wrote it.
    At(String, u64),
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Writes a record, new or not.
    Put(String, Bytes),
    /// Deletes a record, if it is there.
    Delete(String),
}

/// All of it is done, under one revision, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// The leader's term. A store refuses one that is not the latest.
    pub term: u64,
    /// All of them must hold.
    pub checks: Vec<Check>,
    /// In this order.
    pub writes: Vec<Write>,
}

/// Why a store does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("there is no store at {0}: `landfast-controller init` makes one")]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a store at {0} already; a new one would forget every node and certificate")]
    Exists(PathBuf),
    /// Another process has it open.
    #[error("the store {0} is in use: is a controller running?")]
    InUse(PathBuf),
    /// Written by a later version of this program.
    #[error(
        "the store {path} has schema {found}, and this version knows up to {SCHEMA}: use a newer landfast-controller"
    )]
    Newer {
        /// Which store.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// A check of a transaction did not hold: somebody else was faster.
    #[error("{0} has changed meanwhile")]
    Conflict(String),
    /// Another controller leads.
    #[error("another controller leads now (term {latest}, ours was {ours})")]
    Fenced {
        /// Ours.
        ours: u64,
        /// The store's.
        latest: u64,
    },
    /// A transaction that is too large.
    #[error("a change of {0} records is too large")]
    TooLarge(usize),
    /// What was sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The file, or what is in it.
    #[error("the store {0}: {1}")]
    Broken(PathBuf, String),
}

impl StoreError {
    /// Whether trying again is of no use before somebody does something about a file.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Newer { .. } | Self::Seal(_))
    }
}

/// Keeps records.
#[async_trait]
pub trait Store: Send + Sync {
    /// Which store this is. A restored backup has a later epoch than the one that was backed up.
    fn epoch(&self) -> u64;

    /// Begins a new term, later than all before. Commits of earlier ones are refused from now on.
    ///
    /// # Errors
    /// Where it cannot be kept.
    async fn lead(&self) -> Result<u64, StoreError>;

    /// Everything there is.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Does all of the transaction or nothing, and returns its revision once it would survive a
    /// crash.
    ///
    /// # Errors
    /// Where a check does not hold, another controller leads, or it cannot be kept.
    async fn commit(&self, transaction: Transaction) -> Result<u64, StoreError>;
}

/// Waits until the name of a new file is on the disk, too: `fsync` of the file alone does not
/// promise that (fsync(2)).
///
/// # Errors
/// Where the file system refuses.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
