//! Whether every node that serves holds the secrets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Proof;
use crate::ledger::Ledger;
use crate::nodes::{Holds, Nodes};
use crate::records::Node;

/// Asks the nodes, and remembers since when each is away.
///
/// A node that has just lost its stream serves on with what it has, and is back in a moment: it is
/// waited for until it has been away for a whole lease. So after a start of the controller nothing
/// is proved before the nodes of its predecessor had time to come back.
pub struct Prover {
    ledger: Arc<Ledger>,
    nodes: Arc<Nodes>,
    lease: Duration,
    away: Mutex<BTreeMap<u16, Instant>>,
}

impl Prover {
    /// Of these nodes, whose leases are so long.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, nodes: Arc<Nodes>, lease: Duration) -> Self {
        Self { ledger, nodes, lease, away: Mutex::default() }
    }

    /// Which nodes do not hold the secrets as of `serial`, by what is known `now`.
    pub fn proof(&self, serial: u64, now: Instant) -> Proof {
        let live: BTreeMap<_, _> =
            self.nodes.holds(fleet_wire::key::SECRETS, serial).into_iter().collect();
        // Whoever removed a node wants no proof of it.
        let enrolled = self.ledger.all::<Node>().into_iter().map(|node| node.value.id);
        let mut before = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let mut away = BTreeMap::new();
        let mut proof = Proof::default();
        for node in enrolled {
            match live.get(&node) {
                Some(Holds::Yes) => {}
                Some(Holds::NotYet) => proof.awaited.push(node),
                Some(Holds::Refused(reason)) => proof.refused.push((node, reason.clone())),
                None => {
                    let since = *before.get(&node).unwrap_or(&now);
                    away.insert(node, since);
                    if now.duration_since(since) < self.lease {
                        proof.awaited.push(node);
                    }
                }
            }
        }
        *before = away;
        proof
    }
}
