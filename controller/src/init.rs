//! A new controller, and one out of a backup: what is done while none runs.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fleet_wire::secrets::{FleetError, Secrets};
use serde::Serialize;

use crate::config::{Config, StoreFiles};
use crate::identity;
use crate::ledger::{Change, Ledger, LedgerError};
use crate::limits;
use crate::records::{Backup, Invitation, Lost, Node};
use crate::rotation::{Schedule, State};
use crate::store::{Embedded, KeyFile, SealError, Sealed, StoreError};

/// Why there is no new store. Nothing is left behind but directories and the sealing key.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealing key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What goes into the store.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The fleet's secrets.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The authority that signs identities.
    #[error("the authority of the fleet cannot be made: {0}")]
    Authority(String),
    /// A directory or file.
    #[error("{0}: {1}")]
    Directory(PathBuf, #[source] std::io::Error),
}

impl InitError {
    /// Whether trying again is of no use: see [`StoreError::is_lasting`].
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Store(error) => error.is_lasting(),
            Self::Seal(_) => true,
            Self::Ledger(error) => error.is_lasting(),
            Self::Fleet(_) | Self::Authority(_) | Self::Directory(..) => false,
        }
    }
}

/// What a new controller has.
#[derive(Debug, Serialize)]
pub struct Made {
    /// The store.
    pub store: PathBuf,
    /// What seals it.
    pub key_file: PathBuf,
    /// Whether that was made, too. Else it was there.
    pub key_is_new: bool,
}

/// Makes the sealing key unless there is one, and a store with the authority that signs identities
/// and these secrets of the fleet. A crash leaves the whole store there or none.
///
/// # Errors
/// Where there is a store already, or something cannot be written.
pub async fn init(config: &Config, secrets: Secrets) -> Result<Made, InitError> {
    let path = &config.store.path;
    refuse_existing(path)?;
    make_parent(path)?;
    let (key, key_is_new) = key_there_or_new(&config.store.key_file)?;
    let authority = identity::Authority::generate(time::OffsetDateTime::now_utc())
        .map_err(|e| InitError::Authority(e.to_string()))?;
    let secrets = State::begin(secrets, now(), &Schedule::new(config.rotation)).record();
    let beside = Beside::of(path);
    {
        let store = Sealed::new(Embedded::create(&beside.0)?, key);
        let ledger = Ledger::open(Arc::new(store)).await?;
        ledger.commit(Change::new().put(authority).put(secrets)).await?;
    }
    beside.becomes(path)?;
    let StoreFiles { path: store, key_file } = config.store.clone();
    Ok(Made { store, key_file, key_is_new })
}

/// The sealing key, and whether it was made now.
fn key_there_or_new(path: &Path) -> Result<(KeyFile, bool), InitError> {
    make_parent(path)?;
    Ok(match path.exists() {
        // Of an attempt that ended early, or of the operator's own making.
        true => (KeyFile::open(path)?, false),
        false => (KeyFile::create(path)?, true),
    })
}

/// What a store that was made of a backup holds, for who must know what came back.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The epoch that it begins.
    pub epoch: u64,
    /// When the backup was made, in seconds since 1970. `None`: it does not say, as a plain copy of
    /// a store.
    pub made: Option<u64>,
    /// Names of the nodes, those among them that were removed since.
    pub nodes: Vec<String>,
    /// Names of the nodes that are invited, also where the invitation was used since.
    pub invited: Vec<String>,
}

/// Makes the store of a backup, which must open under the sealing key, or that in the file `old`:
/// then the sealing key, made unless it is there, takes its place. The store begins a new epoch, in
/// which nodes are known by what identities they got after the backup.
///
/// # Errors
/// Where there is a store already, the backup is none, or the key is another one's.
pub async fn restore(
    config: &Config,
    from: &Path,
    old: Option<&Path>,
) -> Result<Restored, InitError> {
    let path = &config.store.path;
    refuse_existing(path)?;
    make_parent(path)?;
    let beside = Beside::of(path);
    let restored = {
        let store = match old {
            Some(old) => {
                let old = KeyFile::open(old)?;
                let (key, _) = key_there_or_new(&config.store.key_file)?;
                Sealed::restore(from, &old, &beside.0, key)?
            }
            None => {
                let key = KeyFile::open(&config.store.key_file)?;
                Sealed::new(Embedded::restore(from, &beside.0)?, key)
            }
        };
        // Reads every record: a backup of another key must not take the store's place.
        let ledger = Ledger::open(Arc::new(store)).await?;
        let made = note_what_is_lost(&ledger).await?;
        let invited = ledger.all::<Invitation>().into_iter().map(|it| it.value.node.name);
        Restored {
            epoch: ledger.position().epoch,
            made,
            nodes: ledger.all::<Node>().into_iter().map(|node| node.value.name).collect(),
            invited: invited.collect(),
        }
    };
    beside.becomes(path)?;
    Ok(restored)
}

/// Writes into the record of each node what time is lost, so that a node is known that renewed its
/// identity in it; and gives when it began.
async fn note_what_is_lost(ledger: &Ledger) -> Result<Option<u64>, LedgerError> {
    let Some(backup) = ledger.get::<Backup>("") else { return Ok(None) };
    let from = backup.value.made;
    let lost = Some(Lost { from, until: now() });
    for nodes in ledger.all::<Node>().chunks(limits::MAX_WRITES) {
        let marked = nodes.iter().map(|node| Node { lost, ..node.value.clone() });
        ledger.commit(marked.fold(Change::new(), Change::put)).await?;
    }
    // A store is no backup.
    ledger.commit(Change::new().delete(&backup.value)).await?;
    Ok(Some(from))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The store of this configuration, opened.
///
/// # Errors
/// Where there is none, another process has it, or its key is not there.
pub fn open(config: &Config) -> Result<Sealed<Embedded>, InitError> {
    // The key first: its message says what to do when it is lost.
    if !config.store.path.exists() {
        return Err(StoreError::Missing(config.store.path.clone()).into());
    }
    let key = KeyFile::open(&config.store.key_file)?;
    Ok(Sealed::new(Embedded::open(&config.store.path)?, key))
}

fn refuse_existing(path: &Path) -> Result<(), InitError> {
    match path.exists() {
        true => Err(StoreError::Exists(path.to_owned()).into()),
        false => Ok(()),
    }
}

fn make_parent(path: &Path) -> Result<(), InitError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(|error| InitError::Directory(parent.to_owned(), error))
}

/// A store that is not whole yet, removed unless it becomes the one.
struct Beside(PathBuf);

impl Beside {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self(path.with_file_name(format!(".{name}.{}", std::process::id())))
    }

    /// Unlike a rename, a link never replaces a store that appeared in the meantime.
    fn becomes(self, path: &Path) -> Result<(), InitError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let placed = fs::hard_link(&self.0, path)
            .and_then(|()| fs::File::open(directory)?.sync_all())
            .map_err(|error| (error.kind(), error));
        match placed {
            Err((std::io::ErrorKind::AlreadyExists, _)) => {
                Err(StoreError::Exists(path.to_owned()).into())
            }
            other => other.map_err(|(_, error)| InitError::Directory(path.to_owned(), error)),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Where nothing was made yet there is nothing to remove.
        let _ = fs::remove_file(&self.0);
    }
}
