//! The store of a controller that is alone: one file, crash safe (redb).

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition,
};

use super::{Check, Entry, SealError, Snapshot, Store, StoreError, Tombstone, Transaction, Write};
use crate::limits;

/// The version of the tables below.
pub const SCHEMA: u64 = 1;

/// Numbers of the store itself.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// Key -> revision and value.
const RECORDS: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("records");
/// Revision and key of what is gone.
const TOMBSTONES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("tombstones");

const SCHEMA_NUMBER: &str = "schema";
const EPOCH: &str = "epoch";
const TERM: &str = "term";
const REVISION: &str = "revision";
/// See [`Snapshot::tombstones_from`].
const FORGOTTEN: &str = "forgotten";

/// A store in a file of its own. One process at a time has it open.
pub struct Embedded {
    database: Arc<Database>,
    path: PathBuf,
    epoch: u64,
}

impl Embedded {
    /// Makes a new store at `path`, mode 0600.
    ///
    /// # Errors
    /// Where there is a file already, or it cannot be written.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let database = new_file(path)?;
        let broken = |error: redb::Error| StoreError::Broken(path.to_owned(), error.to_string());
        begin(&database, now_seconds(), [0; 3]).map_err(broken)?;
        Self::over(database, path)
    }

    /// Opens the store at `path`.
    ///
    /// # Errors
    /// Where there is none, another process has it, or a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let database = Database::open(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.to_owned()),
            other => StoreError::Broken(path.to_owned(), other.to_string()),
        })?;
        Self::over(database, path)
    }

    fn over(database: Database, path: &Path) -> Result<Self, StoreError> {
        let broken = |error: redb::Error| StoreError::Broken(path.to_owned(), error.to_string());
        let found = number(&database, SCHEMA_NUMBER).map_err(broken)?;
        if found > SCHEMA {
            return Err(StoreError::Newer { path: path.to_owned(), found });
        }
        let epoch = number(&database, EPOCH).map_err(broken)?;
        Ok(Self { database: Arc::new(database), path: path.to_owned(), epoch })
    }

    /// Writes all that is here now to a new store at `to`: a backup, while this one is in use. It
    /// gets a `note` besides, a record that this store does not have.
    ///
    /// # Errors
    /// Where there is a file already, or it cannot be written.
    pub async fn back_up(&self, to: &Path, note: (&str, Bytes)) -> Result<(), StoreError> {
        let to = to.to_owned();
        let epoch = self.epoch;
        let note = (note.0.to_owned(), note.1);
        self.blocking(move |database| {
            let copied = new_file(&to)?;
            copy(database, &copied, epoch, note)
                .map_err(|error| StoreError::Broken(to.clone(), error.to_string()))
        })
        .await
    }

    /// Makes a new store at `to` of the backup at `from`. It begins a new epoch, so that nodes
    /// take it for the later one, although its revisions are earlier.
    ///
    /// # Errors
    /// Where the backup cannot be read, or there is a store already.
    pub fn restore(from: &Path, to: &Path) -> Result<Self, StoreError> {
        Self::restore_with(from, to, |_, value| Ok(value))
    }

    /// As [`Embedded::restore`], with each value as `reseal` makes it of the record's key and the
    /// value that was there.
    ///
    /// # Errors
    /// As there, and where `reseal` refuses.
    pub fn restore_with(
        from: &Path,
        to: &Path,
        reseal: impl Fn(&str, Bytes) -> Result<Bytes, SealError>,
    ) -> Result<Self, StoreError> {
        let backup = Self::open(from)?;
        let broken = |error: redb::Error| StoreError::Broken(to.to_owned(), error.to_string());
        let mut all = snapshot(&backup.database).map_err(broken)?;
        for Entry { key, value, .. } in &mut all.entries {
            *value = reseal(key, std::mem::take(value))?;
        }
        let term = number(&backup.database, TERM).map_err(broken)?;
        let database = new_file(to)?;
        let epoch = now_seconds().max(backup.epoch + 1);
        write_all(&database, epoch, term, &all).map_err(broken)?;
        Self::over(database, to)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.map_err(|error| StoreError::Broken(self.path.clone(), error.to_string()))?
    }

    fn broken(&self) -> impl Fn(redb::Error) -> StoreError + Send + 'static {
        let path = self.path.clone();
        move |error| StoreError::Broken(path.clone(), error.to_string())
    }
}

#[async_trait]
impl Store for Embedded {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn lead(&self) -> Result<u64, StoreError> {
        let broken = self.broken();
        self.blocking(move |database| next_term(database).map_err(broken)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let broken = self.broken();
        self.blocking(move |database| snapshot(database).map_err(broken)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<u64, StoreError> {
        if transaction.writes.len() > limits::MAX_WRITES {
            return Err(StoreError::TooLarge(transaction.writes.len()));
        }
        let broken = self.broken();
        self.blocking(move |database| match commit(database, &transaction) {
            Ok(done) => done,
            Err(error) => Err(broken(error)),
        })
        .await
    }
}

/// A store's file must be readable by its owner alone from its first moment.
fn new_file(path: &Path) -> Result<Database, StoreError> {
    let broken = |error: String| StoreError::Broken(path.to_owned(), error);
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path);
    match file {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(StoreError::Exists(path.to_owned()));
        }
        Err(error) => return Err(broken(error.to_string())),
    }
    Database::create(path).map_err(|error| {
        // Not one half of a store, which the next attempt would take for one.
        let _ = fs::remove_file(path);
        broken(error.to_string())
    })
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn begin(
    database: &Database,
    epoch: u64,
    [term, revision, forgotten]: [u64; 3],
) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut numbers = write.open_table(NUMBERS)?;
        numbers.insert(SCHEMA_NUMBER, SCHEMA)?;
        numbers.insert(EPOCH, epoch)?;
        numbers.insert(TERM, term)?;
        numbers.insert(REVISION, revision)?;
        numbers.insert(FORGOTTEN, forgotten)?;
        write.open_table(RECORDS)?;
        write.open_table(TOMBSTONES)?;
    }
    write.commit()?;
    Ok(())
}

fn number(database: &Database, name: &str) -> Result<u64, redb::Error> {
    let read = database.begin_read()?;
    let numbers = read.open_table(NUMBERS)?;
    Ok(numbers.get(name)?.map_or(0, |number| number.value()))
}

fn next_term(database: &Database) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    let term = {
        let mut numbers = write.open_table(NUMBERS)?;
        let term = value(&numbers, TERM)? + 1;
        numbers.insert(TERM, term)?;
        term
    };
    write.commit()?;
    Ok(term)
}

fn value(numbers: &Table<'_, &str, u64>, name: &str) -> Result<u64, redb::Error> {
    Ok(numbers.get(name)?.map_or(0, |number| number.value()))
}

fn snapshot(database: &Database) -> Result<Snapshot, redb::Error> {
    let read = database.begin_read()?;
    let numbers = read.open_table(NUMBERS)?;
    let number = |name| -> Result<u64, redb::Error> {
        Ok(numbers.get(name)?.map_or(0, |number| number.value()))
    };
    let mut entries = Vec::new();
    for record in read.open_table(RECORDS)?.iter()? {
        let (key, record) = record?;
        let (revision, value) = record.value();
        let value = Bytes::copy_from_slice(value);
        entries.push(Entry { key: key.value().to_owned(), value, revision });
    }
    let mut tombstones = Vec::new();
    for tombstone in read.open_table(TOMBSTONES)?.iter()? {
        let (tombstone, _) = tombstone?;
        let (revision, key) = tombstone.value();
        tombstones.push(Tombstone { key: key.to_owned(), revision });
    }
    let (revision, tombstones_from) = (number(REVISION)?, number(FORGOTTEN)?);
    Ok(Snapshot { revision, entries, tombstones, tombstones_from })
}

fn copy(
    from: &Database,
    to: &Database,
    epoch: u64,
    (key, value): (String, Bytes),
) -> Result<(), redb::Error> {
    let mut all = snapshot(from)?;
    all.entries.push(Entry { key, value, revision: all.revision });
    write_all(to, epoch, number(from, TERM)?, &all)
}

fn write_all(to: &Database, epoch: u64, term: u64, all: &Snapshot) -> Result<(), redb::Error> {
    let Snapshot { revision, entries, tombstones, tombstones_from } = all;
    begin(to, epoch, [term, *revision, *tombstones_from])?;
    let write = to.begin_write()?;
    {
        let mut records = write.open_table(RECORDS)?;
        for Entry { key, value, revision } in entries {
            records.insert(key.as_str(), (*revision, &value[..]))?;
        }
        let mut table = write.open_table(TOMBSTONES)?;
        for Tombstone { key, revision } in tombstones {
            table.insert((*revision, key.as_str()), ())?;
        }
    }
    write.commit()?;
    Ok(())
}

/// The outer error is the database's, the inner one is ours: then nothing is written.
fn commit(
    database: &Database,
    transaction: &Transaction,
) -> Result<Result<u64, StoreError>, redb::Error> {
    let write = database.begin_write()?;
    let revision = {
        let mut numbers = write.open_table(NUMBERS)?;
        let latest = value(&numbers, TERM)?;
        if transaction.term != latest {
            return Ok(Err(StoreError::Fenced { ours: transaction.term, latest }));
        }
        let mut records = write.open_table(RECORDS)?;
        for check in &transaction.checks {
            let (key, expected) = match check {
                Check::Absent(key) => (key, None),
                Check::At(key, revision) => (key, Some(*revision)),
            };
            if records.get(key.as_str())?.map(|record| record.value().0) != expected {
                return Ok(Err(StoreError::Conflict(key.clone())));
            }
        }
        let revision = value(&numbers, REVISION)? + 1;
        numbers.insert(REVISION, revision)?;
        let mut tombstones = write.open_table(TOMBSTONES)?;
        for change in &transaction.writes {
            match change {
                Write::Put(key, value) => {
                    records.insert(key.as_str(), (revision, &value[..]))?;
                }
                Write::Delete(key) => {
                    if records.remove(key.as_str())?.is_some() {
                        tombstones.insert((revision, key.as_str()), ())?;
                    }
                }
            }
        }
        while tombstones.len()? > limits::MAX_TOMBSTONES as u64 {
            let Some((oldest, _)) = tombstones.pop_first()? else { break };
            numbers.insert(FORGOTTEN, oldest.value().0)?;
        }
        revision
    };
    write.commit()?;
    Ok(Ok(revision))
}
