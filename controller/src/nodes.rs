//! Which nodes live, and what each of them has.
//!
//! A node is live while its lease is valid and it has said what it has. Losing the lease takes it
//! out of every count and changes nothing else: it goes on serving.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::ledger::{Change, Ledger, Stored};
use crate::records::{Kind, Node, NodeStanding};

/// Whether a node has an item as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It applied it.
    Yes,
    /// It did not say so yet.
    NotYet,
    /// It said that it cannot, and why.
    Refused(String),
}

/// One of the streams of a node: a later one takes the place of an earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(u64);

/// What is known of a node with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    /// The version of its program, as it says; fit to be shown.
    pub version: String,
    /// Everything up to this serial is applied, once it has said so.
    pub serial: Option<u64>,
    /// What it could not take, by key: since when, and why; fit to be shown.
    pub refused: BTreeMap<String, (u64, String)>,
    stream: StreamId,
    lease_ends: Instant,
}

impl Following {
    fn is_live(&self, now: Instant) -> bool {
        self.lease_ends > now && self.serial.is_some()
    }

    fn holds(&self, key: &str, serial: u64) -> Holds {
        match self.refused.get(key) {
            Some((since, reason)) if *since >= serial => Holds::Refused(reason.clone()),
            _ if self.serial.is_some_and(|applied| applied >= serial) => Holds::Yes,
            _ => Holds::NotYet,
        }
    }
}

#[derive(Default)]
struct State {
    following: BTreeMap<u16, Following>,
    /// Until a node has a later stream.
    latest: BTreeMap<u16, oneshot::Sender<Infallible>>,
    streams: u64,
}

/// The nodes that follow, for everybody who asks.
pub struct Nodes {
    ledger: Arc<Ledger>,
    lease: Duration,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Nodes {
    /// Nobody yet. A node without a report for `lease` is not live.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, lease: Duration) -> Self {
        Self { ledger, lease, state: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// A node begins a stream; an earlier one of it counts no more. It says what it has, and what of
    /// that it refuses; version and reasons are fit to be shown, and keys that are no item's are not
    /// kept. What is received with the stream is done once there is a later one, or the lease of
    /// this one is over for long.
    pub fn begin(
        &self,
        node: u16,
        version: &str,
        has: Option<u64>,
        refused: Vec<(String, String)>,
        now: Instant,
    ) -> (StreamId, oneshot::Receiver<Infallible>) {
        let refused = self.ledger.book(|book| {
            let is_item = |(key, _): &(String, String)| book.serial_of(key).is_some();
            let since = |(key, reason)| (key, (has.unwrap_or(0), reason));
            refused.into_iter().filter(is_item).map(since).collect()
        });
        let (is_latest, later) = oneshot::channel();
        let stream = {
            let mut state = self.state();
            state.streams += 1;
            let stream = StreamId(state.streams);
            let (version, lease_ends) = (version.to_owned(), now + self.lease);
            let following = Following { version, serial: has, refused, stream, lease_ends };
            state.following.insert(node, following);
            state.latest.insert(node, is_latest);
            stream
        };
        self.tell();
        (stream, later)
    }

    /// A report of any kind. `false`: the node has a later stream, and this one is to end.
    pub fn report(&self, node: u16, stream: StreamId, now: Instant) -> bool {
        let mut state = self.state();
        let Some(following) = state.of(node, stream) else { return false };
        let was_live = following.is_live(now);
        following.lease_ends = now + self.lease;
        let is_live = following.is_live(now);
        drop(state);
        if was_live != is_live {
            self.tell();
        }
        true
    }

    /// The node applied everything up to `serial`, all but `refused`: what changed since it said the
    /// same before, or the `whole` state.
    ///
    /// What it refused earlier it has taken, if that is not refused again and was in what it was
    /// sent. Which that is, is told by serials: to remember the keys that were sent would take more
    /// memory than all the rest, where a thousand nodes begin at once.
    pub fn applied(
        &self,
        node: u16,
        stream: StreamId,
        serial: u64,
        whole: bool,
        refused: Vec<(String, String)>,
    ) {
        {
            let mut state = self.state();
            let Some(following) = state.of(node, stream) else { return };
            let before = following.serial.replace(serial);
            following.refused.retain(|key, _| {
                match self.ledger.book(|book| book.serial_of(key)) {
                    None => false, // nobody refuses what is gone
                    Some(at) => {
                        let under_way = at > serial;
                        under_way || !whole && before.is_some_and(|before| at <= before)
                    }
                }
            });
            self.ledger.book(|book| {
                for (key, reason) in refused {
                    // Nobody refuses what never was, either.
                    if book.serial_of(&key).is_some() {
                        following.refused.insert(key, (serial, reason));
                    }
                }
            });
        }
        self.tell();
    }

    /// Nodes whose lease is valid and that said what they have.
    #[must_use]
    pub fn live(&self) -> Vec<u16> {
        let now = Instant::now();
        let state = self.state();
        let live = state.following.iter().filter(|(_, following)| following.is_live(now));
        live.map(|(node, _)| *node).collect()
    }

    /// Of every live node that this item is for: whether it holds it as of `serial`.
    #[must_use]
    pub fn holds(&self, key: &str, serial: u64) -> Vec<(u16, Holds)> {
        let now = Instant::now();
        let live: Vec<_> = {
            let state = self.state();
            let live = state.following.iter().filter(|(_, following)| following.is_live(now));
            live.map(|(node, following)| (*node, following.holds(key, serial))).collect()
        };
        let is_for = |node: u16| {
            let record = self.ledger.get::<Node>(&node.to_string());
            record.is_some_and(|record| self.ledger.book(|book| book.is_for(key, &record.value)))
        };
        live.into_iter().filter(|(node, _)| is_for(*node)).collect()
    }

    /// The earliest serial that a live node has: everything up to it is everywhere. `None`: nobody
    /// lives.
    #[must_use]
    pub fn everywhere(&self) -> Option<u64> {
        let now = Instant::now();
        let state = self.state();
        let live = state.following.values().filter(|following| following.is_live(now));
        live.filter_map(|following| following.serial).min()
    }

    /// What is known of each node that has a stream, and whether it is live.
    #[must_use]
    pub fn following(&self) -> BTreeMap<u16, (Following, bool)> {
        let now = Instant::now();
        let state = self.state();
        let with_life = |(node, following): (&u16, &Following)| {
            (*node, (following.clone(), following.is_live(now)))
        };
        state.following.iter().map(with_life).collect()
    }

    /// Sees each change: something applied or refused, a stream begun, a lease lost.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells when leases end, for as long as the runtime runs.
    pub async fn watch_leases(&self) -> Infallible {
        let mut ticks = tokio::time::interval(self.lease / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut live = self.live();
        loop {
            ticks.tick().await;
            self.forget_the_lost();
            let now = self.live();
            for node in live.iter().filter(|node| !now.contains(node)) {
                tracing::warn!(node, "the node is not live any more: it is not waited for");
            }
            if live != now {
                live = now;
                self.tell();
            }
        }
    }

    /// Lets nodes that have joined take traffic, once every live node knows them: before, packets
    /// of their connections would not be forwarded to them.
    pub async fn let_in(&self) -> Infallible {
        // The nodes of an earlier controller come back before their leases with it would have ended.
        tokio::time::sleep(self.lease).await;
        let (mut changed, mut moved) = (self.changed(), self.ledger.moved());
        loop {
            for joining in self.ready_to_serve() {
                let node = Node { standing: NodeStanding::Serving, ..joining.value.clone() };
                let change = Change::new().if_unchanged(&joining).put(node);
                match self.ledger.commit(change).await {
                    Ok(_) => tracing::info!(
                        node = joining.value.id,
                        name = joining.value.name,
                        "every live node knows the node: it takes traffic"
                    ),
                    Err(error) => {
                        tracing::warn!(node = joining.value.id, %error, "the node is not let in yet")
                    }
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = moved.changed() => {}
            }
        }
    }

    /// Nodes that have joined, live, and known to all that live.
    fn ready_to_serve(&self) -> Vec<Stored<Node>> {
        let is_joining = |node: &Node| node.standing == NodeStanding::Joining;
        let mut joining = self.ledger.find::<Node>(is_joining);
        if joining.is_empty() {
            return joining;
        }
        let now = Instant::now();
        let state = self.state();
        let live: BTreeMap<_, _> =
            state.following.iter().filter(|(_, following)| following.is_live(now)).collect();
        // Every node gets the list of nodes: nobody needs to be asked whether it is for them. A
        // thousand nodes that join together are a million pairs.
        joining.retain(|node| {
            let (key, serial) = (node.value.key(), node.revision);
            let knows = |following: &&Following| following.holds(&key, serial) == Holds::Yes;
            live.contains_key(&node.value.id) && live.values().all(knows)
        });
        joining
    }

    /// What is not live and not about to be: removed nodes, and those that are away for long.
    fn forget_the_lost(&self) {
        let now = Instant::now();
        let State { following, latest, .. } = &mut *self.state();
        following.retain(|_, following| following.lease_ends + self.lease > now);
        latest.retain(|node, _| following.contains_key(node));
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could leave half of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, node: u16, stream: StreamId) -> Option<&mut Following> {
        self.following.get_mut(&node).filter(|following| following.stream == stream)
    }
}

#[cfg(test)]
mod tests;
