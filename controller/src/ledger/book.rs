//! What nodes get, by the serial of its last change: so that what a node lacks is found from where
//! it stands, and a slow node costs nothing but its cursor.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use fleet_wire::message::Item;
use prost::Message;

use crate::limits;
use crate::records::{Audience, Node, Record};

/// An item as every node that gets it gets it.
#[derive(Clone, Debug)]
struct Leaf {
    item: Arc<Item>,
    bytes: usize,
    audience: Audience,
    serial: u64,
}

/// A part of what a node lacks.
#[derive(Debug)]
pub struct Part {
    /// Items that are new or changed.
    pub items: Vec<Arc<Item>>,
    /// Keys of items that are gone, or no longer for this node.
    pub removed: Vec<String>,
    /// Where the node is once it has this part.
    pub cursor: Cursor,
    /// Whether nothing is left.
    pub last: bool,
}

/// What a node has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Where the node began that gets everything: what was gone before, it never had.
    whole_from: Option<u64>,
    /// The last change that was sent; there are several of one serial.
    after: (u64, String),
}

impl Cursor {
    /// Whether what is sent from here is the whole state.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole_from.is_some()
    }

    /// The same place, for what follows once everything was sent up to `serial`.
    #[must_use]
    pub fn from_serial(serial: u64) -> Self {
        // No key is greater than those of its serial.
        Self { whole_from: None, after: (serial + 1, String::new()) }
    }
}

/// The items of a fleet, and those that were.
#[derive(Debug, Default)]
pub struct Book {
    leaves: BTreeMap<String, Leaf>,
    /// Serial and key of each change: of what is here its last, and of what is gone its end.
    order: BTreeMap<(u64, String), Fate>,
    gone: BTreeMap<String, u64>,
    /// Whom each item was for before its last change, as far as this process has seen it: they are
    /// told that it is gone, or not for them any more, and nobody else learns that it was there.
    had: BTreeMap<String, Audience>,
    /// Up to this serial an earlier process knew whom items were for, and this one does not.
    had_from: u64,
    /// Deletions up to this serial are forgotten.
    forgotten: u64,
    /// The latest change.
    latest: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Here,
    Gone,
}

impl Book {
    /// An empty one, that will know all deletions after serial `forgotten`, and gets what an earlier
    /// process left at serial `opened_at`.
    #[must_use]
    pub fn new(forgotten: u64, opened_at: u64) -> Self {
        Self { forgotten, latest: forgotten, had_from: opened_at, ..Self::default() }
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The serial of an item's last change.
    #[must_use]
    pub fn serial_of(&self, key: &str) -> Option<u64> {
        self.leaves.get(key).map(|leaf| leaf.serial)
    }

    /// When an item was deleted, while that is remembered.
    #[must_use]
    pub fn gone_since(&self, key: &str) -> Option<u64> {
        self.gone.get(key).copied()
    }

    /// Whether a node gets an item.
    #[must_use]
    pub fn is_for(&self, key: &str, node: &Node) -> bool {
        self.leaves.get(key).is_some_and(|leaf| node.is_among(&leaf.audience))
    }

    /// Takes a record at its new serial. Most kinds are no item.
    pub fn put(&mut self, serial: u64, key: &str, record: &Record) {
        let Some((body, audience)) = record.item() else {
            return self.remove(serial, key);
        };
        self.forget(key);
        let item = Item { key: key.to_owned(), body: Some(body) };
        let leaf = Leaf { bytes: item.encoded_len(), item: Arc::new(item), audience, serial };
        self.leaves.insert(key.to_owned(), leaf);
        self.order.insert((serial, key.to_owned()), Fate::Here);
        self.latest = self.latest.max(serial);
    }

    /// Notes that a record is gone. One that was no item leaves nothing behind.
    pub fn remove(&mut self, serial: u64, key: &str) {
        if !self.leaves.contains_key(key) {
            return;
        }
        self.forget(key);
        self.entomb(serial, key);
    }

    /// Notes a deletion of an earlier process.
    pub fn entomb(&mut self, serial: u64, key: &str) {
        self.gone.insert(key.to_owned(), serial);
        self.order.insert((serial, key.to_owned()), Fate::Gone);
        self.latest = self.latest.max(serial);
        while self.gone.len() > limits::MAX_TOMBSTONES {
            let oldest = self.order.iter().find(|(_, fate)| **fate == Fate::Gone);
            let Some(((serial, key), _)) = oldest else { return };
            let (serial, key) = (*serial, key.clone());
            self.forget(&key);
            self.had.remove(&key);
            self.forgotten = self.forgotten.max(serial);
        }
    }

    fn forget(&mut self, key: &str) {
        if let Some(leaf) = self.leaves.remove(key) {
            self.order.remove(&(leaf.serial, key.to_owned()));
            match self.had.get_mut(key) {
                Some(had) => had.widen(leaf.audience),
                None => drop(self.had.insert(key.to_owned(), leaf.audience)),
            }
        }
        if let Some(serial) = self.gone.remove(key) {
            self.order.remove(&(serial, key.to_owned()));
        }
    }

    /// Where `node` begins that has everything up to serial `has`: with what changed since, or with
    /// everything, where deletions since then are forgotten or the serial is of no history of ours.
    /// So does a node that gets only some certificates and missed changes under an earlier process:
    /// which of those were of its own is not known.
    #[must_use]
    pub fn cursor(&self, has: Option<u64>, now: u64, node: &Node) -> Cursor {
        let from = if node.serves.is_empty() { self.forgotten } else { self.had_from };
        match has {
            Some(has) if has >= from.max(self.forgotten) && has <= now => Cursor::from_serial(has),
            _ => Cursor { whole_from: Some(now), after: (0, String::new()) },
        }
    }

    /// Whether all that was deleted since is known: not for a cursor that is very late.
    #[must_use]
    pub fn knows(&self, cursor: &Cursor) -> bool {
        match cursor.whole_from {
            Some(began) => began >= self.forgotten,
            None => cursor.after.0 > self.forgotten,
        }
    }

    /// What `node` gets next: items of at most `max_bytes` together, but at least one.
    #[must_use]
    pub fn part(&self, cursor: &Cursor, node: &Node, max_bytes: usize) -> Part {
        let mut part =
            Part { items: Vec::new(), removed: Vec::new(), cursor: cursor.clone(), last: true };
        let mut bytes = 0;
        let from = (Bound::Excluded(&cursor.after), Bound::Unbounded);
        for (place, fate) in self.order.range::<(u64, String), _>(from) {
            let (serial, key) = place;
            let leaf = self
                .leaves
                .get(key)
                .filter(|leaf| *fate == Fate::Here && node.is_among(&leaf.audience));
            // Somebody who begins never had what was gone by then, and what was never for a node is
            // not named to it.
            let had = cursor.whole_from.is_none_or(|began| *serial > began)
                && (node.serves.is_empty()
                    || self.had.get(key).is_some_and(|audience| node.is_among(audience)));
            let cost = leaf.map_or(key.len(), |leaf| leaf.bytes);
            if bytes > 0 && bytes + cost > max_bytes && (leaf.is_some() || had) {
                part.last = false;
                break;
            }
            match leaf {
                Some(leaf) => part.items.push(Arc::clone(&leaf.item)),
                None if had => part.removed.push(key.clone()),
                None => {
                    part.cursor.after = place.clone();
                    continue;
                }
            }
            bytes += cost;
            part.cursor.after = place.clone();
        }
        part
    }
}

#[cfg(test)]
mod tests;
