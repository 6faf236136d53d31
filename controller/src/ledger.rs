//! The controller's state in memory, of which every change is in the store first.
//!
//! A change is committed, then seen here, then told to whoever waits. What nodes get is the
//! [`book`]: the same records, seen as items with the serial of their last change. A serial is a
//! revision of the store, so it outlives the process, and a node that comes back after a restart
//! goes on where it was.

pub mod book;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use fleet_wire::message::Position;
use tokio::sync::{Mutex, watch};

use crate::limits;
use crate::records::{Kind, Record};
use crate::store::{Check, Snapshot, Store, StoreError, Transaction, Write};
use book::Book;

/// A record, and the revision that wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// The revision that wrote it, for [`Change::if_unchanged`].
    pub revision: u64,
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record in the store that this version cannot read.
    #[error("the record {0} cannot be read: {1}")]
    Form(String, String),
    /// A record that is too large to be sent to nodes.
    #[error("{0} is too large: {1} bytes, at most {most} are possible", most = limits::MAX_RECORD_BYTES)]
    TooLarge(String, usize),
    /// A record whose key is too long to be one of an item.
    #[error("the key of a record has {0} bytes, at most {most} are possible", most = limits::MAX_KEY_BYTES)]
    LongKey(usize),
    /// More than nodes take.
    #[error("the fleet is full: nodes take {most} items", most = fleet_wire::MAX_ITEMS)]
    Full,
    /// The process ends.
    #[error("the controller stops: its next start shows whether the change is made")]
    Stopping,
}

impl LedgerError {
    /// Whether trying again is of no use: see [`StoreError::is_lasting`].
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Store(error) => error.is_lasting(),
            Self::Form(..) => true,
            Self::TooLarge(..) | Self::LongKey(_) | Self::Full | Self::Stopping => false,
        }
    }
}

/// Changes that are made together, or not at all.
#[derive(Debug, Default)]
pub struct Change {
    checks: Vec<Check>,
    puts: Vec<(String, Record)>,
    deletes: Vec<String>,
}

impl Change {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record, new or not.
    #[must_use]
    pub fn put(mut self, record: impl Kind) -> Self {
        self.puts.push((record.key(), record.into_record()));
        self
    }

    /// Deletes a record, if it is there.
    #[must_use]
    pub fn delete(mut self, record: &impl Kind) -> Self {
        self.deletes.push(record.key());
        self
    }

    /// Only if there is no such record.
    #[must_use]
    pub fn if_absent(mut self, record: &impl Kind) -> Self {
        self.checks.push(Check::Absent(record.key()));
        self
    }

    /// Only if the record is as it was read.
    #[must_use]
    pub fn if_unchanged(mut self, record: &Stored<impl Kind>) -> Self {
        self.checks.push(Check::At(record.value.key(), record.revision));
        self
    }
}

/// What is in force.
struct State {
    records: BTreeMap<String, Stored<Arc<Record>>>,
    book: Book,
}

/// The state, its store, and who waits for changes.
pub struct Ledger {
    shared: Arc<Shared>,
    /// One change at a time, so that memory sees them in the store's order.
    turn: Arc<Mutex<()>>,
}

/// What a change goes on with when nobody waits for it any more.
struct Shared {
    store: Arc<dyn Store>,
    state: RwLock<State>,
    moved: watch::Sender<Position>,
}

impl Ledger {
    /// Reads everything, and leads from now on.
    ///
    /// # Errors
    /// Where the store or a record cannot be read.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, LedgerError> {
        let term = store.lead().await?;
        let Snapshot { revision, entries, tombstones, tombstones_from } = store.snapshot().await?;
        let position = Position { epoch: store.epoch(), term, serial: revision };
        let mut book = Book::new(tombstones_from, revision);
        let mut records = BTreeMap::new();
        for tombstone in tombstones {
            book.entomb(tombstone.revision, &tombstone.key);
        }
        for entry in entries {
            let record: Record = serde_json::from_slice(&entry.value)
                .map_err(|error| LedgerError::Form(entry.key.clone(), error.to_string()))?;
            book.put(entry.revision, &entry.key, &record);
            let stored = Stored { value: Arc::new(record), revision: entry.revision };
            records.insert(entry.key, stored);
        }
        let state = RwLock::new(State { records, book });
        let shared = Shared { store, state, moved: watch::Sender::new(position) };
        Ok(Self { shared: Arc::new(shared), turn: Arc::default() })
    }

    /// Where the state stands.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.shared.moved.borrow()
    }

    /// Sees each later position, at once or together.
    #[must_use]
    pub fn moved(&self) -> watch::Receiver<Position> {
        self.shared.moved.subscribe()
    }

    /// The record of this kind and name; a kind that has one record only has no name.
    #[must_use]
    pub fn get<K: Kind>(&self, name: &str) -> Option<Stored<K>> {
        self.read(|state| {
            let stored = state.records.get(&format!("{}{name}", K::PREFIX))?;
            let value = K::of(&stored.value)?.clone();
            Some(Stored { value, revision: stored.revision })
        })
    }

    /// All records of a kind, by key.
    #[must_use]
    pub fn all<K: Kind>(&self) -> Vec<Stored<K>> {
        self.find(|_| true)
    }

    /// The records of a kind that are as `is_wanted` says, by key; the others are not copied.
    /// Nothing is changed while it looks: it should be quick.
    #[must_use]
    pub fn find<K: Kind>(&self, mut is_wanted: impl FnMut(&K) -> bool) -> Vec<Stored<K>> {
        self.read(|state| {
            let range = state.records.range(K::PREFIX.to_owned()..);
            range
                .take_while(|(key, _)| key.starts_with(K::PREFIX))
                .filter_map(|(_, stored)| {
                    let value = K::of(&stored.value).filter(|value| is_wanted(value))?.clone();
                    Some(Stored { value, revision: stored.revision })
                })
                .collect()
        })
    }

    /// What nodes get. Held for as long as `look` runs: it should be quick.
    pub fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.read(|state| look(&state.book))
    }

    /// Makes a change; once this returns it survives a crash, and everybody who waits is told.
    ///
    /// Whoever stops waiting for it leaves no half of it: it is not begun, or it is made as if
    /// somebody waited. A node ends a request of its own when it likes.
    ///
    /// # Errors
    /// Where a condition of the change does not hold ([`StoreError::Conflict`]), or it cannot be
    /// kept; then nothing is changed.
    pub async fn commit(&self, change: Change) -> Result<Position, LedgerError> {
        let Change { checks, puts, deletes } = change;
        let mut writes = Vec::with_capacity(puts.len() + deletes.len());
        for (key, record) in &puts {
            if key.len() > limits::MAX_KEY_BYTES {
                return Err(LedgerError::LongKey(key.len()));
            }
            let value = serde_json::to_vec(record)
                .map_err(|error| LedgerError::Form(key.clone(), error.to_string()))?;
            if value.len() > limits::MAX_RECORD_BYTES {
                return Err(LedgerError::TooLarge(key.clone(), value.len()));
            }
            writes.push(Write::Put(key.clone(), Bytes::from(value)));
        }
        writes.extend(deletes.iter().cloned().map(Write::Delete));
        // Here, not in the task: who gives up waiting for a turn leaves nothing behind.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if self.read(|state| state.book.len()) + puts.len() > fleet_wire::MAX_ITEMS {
            return Err(LedgerError::Full);
        }
        let shared = Arc::clone(&self.shared);
        let made = tokio::spawn(async move {
            let made = shared.make(checks, writes, puts, deletes).await;
            drop(turn);
            made
        });
        match made.await {
            Ok(made) => made,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(LedgerError::Stopping),
            },
        }
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        // A writer that panicked would have left whole records: each is put in one step.
        look(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    /// Store, memory, and who waits, in this order, by who has the turn.
    async fn make(
        &self,
        checks: Vec<Check>,
        writes: Vec<Write>,
        puts: Vec<(String, Record)>,
        deletes: Vec<String>,
    ) -> Result<Position, LedgerError> {
        let Position { epoch, term, .. } = *self.moved.borrow();
        let serial = self.store.commit(Transaction { term, checks, writes }).await?;
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            for (key, record) in puts {
                state.book.put(serial, &key, &record);
                state.records.insert(key, Stored { value: Arc::new(record), revision: serial });
            }
            for key in deletes {
                if state.records.remove(&key).is_some() {
                    state.book.remove(serial, &key);
                }
            }
        }
        let position = Position { epoch, term, serial };
        self.moved.send_replace(position);
        Ok(position)
    }
}

#[cfg(test)]
mod tests;
