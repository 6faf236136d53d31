//! What a node holds of the controller's state, and what a bundle changes in it. It reads no clock
//! and no socket, and puts nothing in force: whoever calls [`State::take`] does, and says by
//! [`State::settle`] what could not be. Only then is anything answered, so that the controller's
//! word "every node holds it" is true.

mod held;
mod refusals;

use std::collections::HashMap;
use std::sync::Arc;

use fleet_wire::key;
use fleet_wire::message::{Applied, Bundle, Item, Position, Refused};
use prost::Message;

use super::item::{self, Unusable, Value};
use super::last_good::LastGood;
use held::{Held, addresses, claim};
use refusals::{Refusal, Refusals};

/// Why a stream ends: what it brings is of a controller that we do not follow, or of none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfollowed {
    /// A store from before a restore, or a controller that leads no more.
    #[error("it stands at {theirs}, this node at {ours}: an older store or an older leader")]
    Older {
        /// Where this node is.
        ours: Position,
        /// Where the bundle leads.
        theirs: Position,
    },
    /// Not what a controller sends.
    #[error("a bundle without a position")]
    NoPosition,
    /// The answer would not fit: what is refused must not be taken for held.
    #[error("more is refused than a report can say")]
    TooMuchRefused,
}

/// What one part of a bundle changes.
#[derive(Debug, Default)]
pub struct Step {
    /// In the order in which they are put in force.
    pub changes: Vec<Change>,
    /// Where the node is once they are in force, if this was the last part.
    reaches: Option<Position>,
    /// Whether they lead to the whole state: nothing else is refused of it then.
    whole: bool,
}

/// What becomes of one item.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new, or another one.
    Put {
        /// Its key.
        key: String,
        /// As the controller sent it.
        item: Arc<Item>,
        /// The same, checked.
        value: Value,
    },
    /// It is gone.
    Remove {
        /// Its key.
        key: String,
    },
}

impl Change {
    /// The key of the item.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Remove { key } => key,
        }
    }
}

/// What a node holds, and where it stands.
#[derive(Debug, Default)]
pub struct State {
    /// This node's ID: its own entry stays.
    node: u16,
    held: Held,
    position: Option<Position>,
    refused: Refusals,
    under_way: UnderWay,
}

/// A bundle of which the last part is not here yet.
#[derive(Debug, Default)]
struct UnderWay {
    /// All of the whole state so far, beside what is held.
    whole: Option<Held>,
    refused: Vec<Refusal>,
    position: Option<Position>,
}

impl State {
    /// Of node `node`, which holds nothing.
    #[must_use]
    pub fn new(node: u16) -> Self {
        Self { node, ..Self::default() }
    }

    /// Where the node stands: what it says in its `Hello`.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Everything that is held, by key.
    pub fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.held.items.values()
    }

    /// What is held under `key`.
    #[must_use]
    pub fn item(&self, key: &str) -> Option<&Arc<Item>> {
        self.held.items.get(key)
    }

    /// What is refused of the state, still: what the node says in its `Hello`.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        self.refused.said()
    }

    /// The state of an earlier run, to be put in force before any stream. It was checked when it
    /// came.
    #[must_use]
    pub fn restore(last_good: &LastGood) -> Step {
        let changes = last_good.items.iter().filter_map(|item| put(Arc::clone(item))).collect();
        Step { changes, reaches: Some(last_good.position), whole: false }
    }

    /// Notes what an earlier run refused, once what it held is in force again.
    pub fn refused_before(&mut self, refused: &[Refused]) {
        for Refused { key, reason } in refused {
            self.refused.put(Refusal::of(key, reason), self.held.bytes);
        }
    }

    /// What is held and where the node stands, to be kept for the next run.
    #[must_use]
    pub fn last_good(&self) -> Option<LastGood> {
        let items = self.items().cloned().collect();
        let ours = format!("{}{}", key::NODE, self.node);
        let for_next_start =
            [&ours[..], key::SECRETS, key::DISTRIBUTIONS].map(|key| self.refused.item(key));
        Some(LastGood {
            position: self.position?,
            items,
            refused: self.refused(),
            for_next_start: for_next_start.into_iter().flatten().cloned().collect(),
        })
    }

    /// What is refused and may be taken now, as a bundle that leads to where the node stands. The
    /// answer to it is none that the controller waits for.
    #[must_use]
    pub fn again(&self) -> Option<Bundle> {
        let between_bundles = self.under_way.position.is_none();
        let items = if between_bundles { self.refused.items() } else { Vec::new() };
        let position = self.position.filter(|_| !items.is_empty())?;
        Some(Bundle { position: Some(position), last: true, items, ..Bundle::default() })
    }

    /// A stream begins. What an earlier one left unfinished is sent again.
    pub fn begin(&mut self) {
        self.under_way = UnderWay::default();
    }

    /// Takes one part of a bundle. What can be told of an item from itself and those that are held
    /// is judged here; the rest when the step is put in force.
    ///
    /// # Errors
    /// Where the stream is not to be followed any further. What is held stays.
    pub fn take(&mut self, bundle: Bundle) -> Result<Step, Unfollowed> {
        let theirs = bundle.position.ok_or(Unfollowed::NoPosition)?;
        for ours in [self.position, self.under_way.position].into_iter().flatten() {
            if !ours.follows(&theirs) {
                return Err(Unfollowed::Older { ours, theirs });
            }
        }
        if bundle.whole != self.under_way.whole.is_some() {
            // The whole state anew, or changes where one was given up.
            self.begin();
        }
        self.under_way.position = Some(theirs);
        let changes = if bundle.whole {
            self.stage(bundle.items, bundle.removed);
            if bundle.last { self.difference() } else { Vec::new() }
        } else {
            self.changes(bundle.items, bundle.removed)
        };
        Ok(Step { changes, reaches: bundle.last.then_some(theirs), whole: bundle.whole })
    }

    /// Notes that a step is in force but for what `refused` names, which stays as it was. The
    /// answer, where the step ends a bundle.
    ///
    /// # Errors
    /// Where no report could hold all that is refused.
    pub fn settle(
        &mut self,
        step: Step,
        refused: Vec<Refused>,
    ) -> Result<Option<Applied>, Unfollowed> {
        let Step { changes, reaches, whole } = step;
        let reasons: HashMap<_, _> =
            refused.iter().map(|refused| (refused.key.as_str(), refused.reason.as_str())).collect();
        if whole && reaches.is_some() {
            self.refused = Refusals::default();
        }
        for change in changes {
            if let Some(reason) = reasons.get(change.key()) {
                self.under_way.refused.push(match &change {
                    Change::Put { item, .. } => Refusal::for_now(item, reason),
                    Change::Remove { key } => Refusal::of(key, reason),
                });
                continue;
            }
            self.refused.remove(change.key());
            match change {
                Change::Put { item, .. } => self.held.put(item),
                Change::Remove { key } => self.held.remove(&key),
            }
        }
        if whole && reaches.is_none() {
            return Ok(None);
        }
        for refusal in &self.under_way.refused {
            self.refused.put(refusal.clone(), self.held.bytes);
        }
        self.refused.fit()?;
        let Some(position) = reaches else { return Ok(None) };
        let UnderWay { refused, .. } = std::mem::take(&mut self.under_way);
        let refused = refused.iter().map(Refusal::said).collect();
        let applied = Applied { position: Some(position), refused };
        if applied.encoded_len() > fleet_wire::MAX_MESSAGE_BYTES / 2 {
            return Err(Unfollowed::TooMuchRefused);
        }
        self.position = Some(position);
        Ok(Some(applied))
    }

    /// Puts a part of the whole state beside what is held.
    fn stage(&mut self, items: Vec<Item>, removed: Vec<String>) {
        let UnderWay { whole, refused, .. } = &mut self.under_way;
        let whole = whole.get_or_insert_default();
        let mut addresses = addresses(whole);
        for item in items {
            let item = Arc::new(item);
            let checked = item::check(&item).and_then(|value| {
                whole.room_for(&item, 0, 0)?;
                claim(&mut addresses, &value)
            });
            match checked {
                Ok(()) => whole.put(item),
                Err(unusable) => {
                    refused.push(refusal(&item, &unusable));
                    // The old one stays, and so do its addresses.
                    if let Some(old) = self.held.items.get(&item.key) {
                        if let Ok(value) = item::check(old) {
                            // Whoever came before it keeps the address.
                            drop(claim(&mut addresses, &value));
                        }
                        whole.put(Arc::clone(old));
                    }
                }
            }
        }
        removed.iter().for_each(|key| whole.remove(key));
    }

    /// From what is held to the whole state.
    fn difference(&mut self) -> Vec<Change> {
        let whole = self.under_way.whole.take().unwrap_or_default();
        let gone = self.held.items.keys().filter(|key| !whole.items.contains_key(*key));
        let gone: Vec<_> = gone.cloned().collect();
        let other = whole.items.into_values().filter(|item| self.held.is_other(item));
        let mut changes: Vec<_> = other.filter_map(put).collect();
        changes.extend(self.removals(gone));
        changes
    }

    /// From what is held to what is changed in it.
    fn changes(&mut self, items: Vec<Item>, removed: Vec<String>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut addresses = addresses(&self.held);
        let (mut more_items, mut more_bytes) = (0, 0);
        for item in items {
            let item = Arc::new(item);
            let checked = item::check(&item).and_then(|value| {
                self.held.room_for(&item, more_items, more_bytes)?;
                claim(&mut addresses, &value).map(|()| value)
            });
            match checked {
                Ok(value) => {
                    if self.held.is_other(&item) {
                        more_items += usize::from(!self.held.items.contains_key(&item.key));
                        more_bytes += item.encoded_len();
                        changes.push(Change::Put { key: item.key.clone(), item, value });
                    } else {
                        // What was refused in its place is none of the state any more.
                        self.refused.remove(&item.key);
                    }
                }
                Err(unusable) => self.under_way.refused.push(refusal(&item, &unusable)),
            }
        }
        changes.extend(self.removals(removed));
        changes
    }

    /// What may go of `gone`. What is not held is gone already, unless it has just come.
    fn removals(&mut self, gone: Vec<String>) -> Vec<Change> {
        let ours = format!("{}{}", key::NODE, self.node);
        let (needed, gone): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|key| *key == ours || key == key::SECRETS);
        let reason = Unusable::Needed.to_string();
        self.under_way.refused.extend(needed.iter().map(|key| Refusal::of(key, &reason)));
        gone.into_iter().map(|key| Change::Remove { key }).collect()
    }
}

fn put(item: Arc<Item>) -> Option<Change> {
    // It was checked when it came.
    let value = item::check(&item).ok()?;
    Some(Change::Put { key: item.key.clone(), item, value })
}

fn refusal(item: &Arc<Item>, unusable: &Unusable) -> Refusal {
    match unusable {
        // Once the other one is gone.
        Unusable::AddressOf(_) => Refusal::for_now(item, &unusable.to_string()),
        _ => Refusal::of(&item.key, &unusable.to_string()),
    }
}

#[cfg(test)]
mod tests;
