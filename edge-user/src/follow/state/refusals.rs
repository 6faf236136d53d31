//! What a node could not take of the controller's state.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet_wire::message::{Item, Refused};
use prost::Message;

use super::Unfollowed;
use crate::limits;

/// An item that is refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    key: String,
    reason: String,
    /// The item, where another try may end otherwise.
    item: Option<Arc<Item>>,
}

impl Refusal {
    /// For good, or until another item comes under its key.
    pub(super) fn of(key: &str, reason: &str) -> Self {
        let clip = |text: &str, most| text[..text.floor_char_boundary(most)].to_owned();
        let key = clip(key, limits::MAX_ITEM_KEY_BYTES);
        Self { key, reason: clip(reason, limits::MAX_REFUSAL_BYTES), item: None }
    }

    /// For now: it may be taken when what else is held, or the process, has changed.
    pub(super) fn for_now(item: &Arc<Item>, reason: &str) -> Self {
        Self { item: Some(Arc::clone(item)), ..Self::of(&item.key, reason) }
    }

    pub(super) fn said(&self) -> Refused {
        Refused { key: self.key.clone(), reason: self.reason.clone() }
    }
}

/// Everything that is refused still, by key.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_key: BTreeMap<String, Refusal>,
    /// Of the items that are kept to be tried again.
    bytes: usize,
    /// Of what a report says of them.
    bytes_said: usize,
}

impl Refusals {
    /// Notes it in place of an earlier one with its key. The item is kept only where there is room
    /// for it beside `held_bytes`.
    pub(super) fn put(&mut self, mut refusal: Refusal, held_bytes: usize) {
        self.remove(&refusal.key);
        let bytes = refusal.item.as_ref().map_or(0, |item| item.encoded_len());
        match self.bytes + bytes + held_bytes > limits::MAX_HELD_BYTES {
            true => refusal.item = None,
            false => self.bytes += bytes,
        }
        self.bytes_said += bytes_said(&refusal);
        self.by_key.insert(refusal.key.clone(), refusal);
    }

    pub(super) fn remove(&mut self, key: &str) {
        let Some(old) = self.by_key.remove(key) else { return };
        self.bytes -= old.item.as_ref().map_or(0, |item| item.encoded_len());
        self.bytes_said -= bytes_said(&old);
    }

    /// All of them, as a report says it.
    pub(super) fn said(&self) -> Vec<Refused> {
        self.by_key.values().map(Refusal::said).collect()
    }

    /// What is under `key`, where that is worth another try.
    pub(super) fn item(&self, key: &str) -> Option<&Arc<Item>> {
        self.by_key.get(key)?.item.as_ref()
    }

    /// Those that are worth another try.
    pub(super) fn items(&self) -> Vec<Item> {
        let items = self.by_key.values().filter_map(|refusal| refusal.item.as_ref());
        items.map(|item| Item::clone(item)).collect()
    }

    /// # Errors
    /// Where no report could hold them all.
    pub(super) fn fit(&self) -> Result<(), Unfollowed> {
        match self.bytes_said > fleet_wire::MAX_MESSAGE_BYTES / 2 {
            true => Err(Unfollowed::TooMuchRefused),
            false => Ok(()),
        }
    }
}

/// With the frame of a message and of two fields.
fn bytes_said(refusal: &Refusal) -> usize {
    refusal.key.len() + refusal.reason.len() + 12
}
