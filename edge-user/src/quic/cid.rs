//! Connection IDs: minted so that they name their owner, and read back.
//!
//! | module | job |
//! |---|---|
//! | `mint` | makes them |
//! | `nonces` | what makes each differ |

mod mint;
mod nonces;

use std::sync::Arc;

use edge_wire::Reason;
use edge_wire::cid::{Candidate, ServerId};
use edge_wire::dissect;
use edge_wire::maps::DecodeConfig;

use crate::nodes::{Liveness, NodeTable};
use crate::quic::Via;
use fleet_wire::secrets::Secrets;
pub use mint::{Mint, MintError};

/// Whose connection a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The worker that asks.
    ThisWorker,
    /// Another worker of this process.
    OtherWorker(u8),
    /// Another node, which is live.
    OtherNode(u16),
    /// Another node, agreed dead: its connections may be reset.
    DeadNode(u16),
    /// This node, but a worker or a process that is no more: reset.
    Gone,
    /// Nobody that we know of: silence (RFC 9000 section 21.11).
    Unknown,
    /// Nobody yet: the connection ID is the client's own.
    NewConnection,
    /// Too short for a QUIC header.
    NotQuic,
}

/// What becomes of a datagram on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into this worker's engine.
    Engine,
    /// To another worker of this process.
    Worker(u8),
    /// To another node, in user space.
    Node(u16),
    /// Nowhere.
    Drop(Reason),
}

impl Owner {
    /// Where a datagram of this owner's goes. What a worker handed over goes no further, and
    /// what came from a node never to a node again. `relay`: whether user space forwards at all.
    #[must_use]
    pub fn route(self, via: Via, relay: bool) -> Route {
        match self {
            Self::NotQuic => Route::Drop(Reason::NotQuic),
            Self::OtherWorker(worker) if via != Via::Worker => Route::Worker(worker),
            Self::OtherNode(node) if via == Via::Wire && relay => Route::Node(node),
            Self::OtherWorker(_) | Self::OtherNode(_) => Route::Drop(Reason::OwnerElsewhere),
            Self::ThisWorker
            | Self::DeadNode(_)
            | Self::Gone
            | Self::Unknown
            | Self::NewConnection => Route::Engine,
        }
    }
}

/// Reads owners from connection IDs, for one worker.
#[derive(Clone)]
pub struct Owners {
    configs: Arc<[DecodeConfig; 8]>,
    own: ServerId,
    workers: u8,
    nodes: Arc<NodeTable>,
}

impl Owners {
    /// For the worker `own`, one of `workers` in its process.
    #[must_use]
    pub fn new(secrets: &Secrets, own: ServerId, workers: u8, nodes: Arc<NodeTable>) -> Self {
        Self { configs: Arc::new(secrets.decode_configs()), own, workers, nodes }
    }

    /// The same by other secrets.
    #[must_use]
    pub fn with_secrets(&self, secrets: &Secrets) -> Self {
        Self { configs: Arc::new(secrets.decode_configs()), ..self.clone() }
    }

    /// The same for another worker of the process.
    #[must_use]
    pub fn for_worker(&self, worker: u8) -> Self {
        Self { own: ServerId { worker, ..self.own }, ..self.clone() }
    }

    /// The worker that asks.
    #[must_use]
    pub fn own(&self) -> ServerId {
        self.own
    }

    /// How many workers the process has.
    #[must_use]
    pub fn workers(&self) -> u8 {
        self.workers
    }

    /// Whose connection the datagram's first packet belongs to.
    #[must_use]
    pub fn of(&self, datagram: &[u8]) -> Owner {
        match dissect::candidate_of(datagram) {
            Ok(candidate) => match self.decode(&candidate) {
                Some(minted_by) => self.owner(minted_by),
                // A client's first, random ID may have the length of ours.
                None if is_long(datagram) => Owner::NewConnection,
                None => Owner::Unknown,
            },
            Err(Reason::NewConnection) => Owner::NewConnection,
            Err(_) => Owner::NotQuic,
        }
    }

    /// Who minted the ID; [`Owner::Unknown`] where it is not of our making.
    #[must_use]
    pub fn of_id(&self, id: &[u8]) -> Owner {
        let minted_by = Candidate::of_id(id).and_then(|candidate| self.decode(&candidate));
        minted_by.map_or(Owner::Unknown, |minted_by| self.owner(minted_by))
    }

    fn owner(&self, owner: ServerId) -> Owner {
        if owner.node != self.own.node {
            return match self.nodes.liveness(owner.node) {
                Liveness::Live => Owner::OtherNode(owner.node),
                Liveness::Dead => Owner::DeadNode(owner.node),
                Liveness::Unknown => Owner::Unknown,
            };
        }
        if owner.generation != self.own.generation || owner.worker >= self.workers {
            Owner::Gone
        } else if owner.worker == self.own.worker {
            Owner::ThisWorker
        } else {
            Owner::OtherWorker(owner.worker)
        }
    }

    fn decode(&self, candidate: &Candidate) -> Option<ServerId> {
        self.configs[candidate.config_id() as usize].owner(candidate)
    }
}

fn is_long(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x80 != 0)
}

#[cfg(test)]
mod tests;
