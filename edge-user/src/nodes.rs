//! Who of the fleet is alive: what the configuration or the controller said at first, what operators
//! said since.

use std::sync::atomic::{AtomicU8, Ordering};

use edge_wire::maps::{MAX_NODES, NodeState};

use crate::config::NodeConfig;

/// How a node fares. *Unknown* is not *dead*: only of a dead node's connections may a stateless
/// reset be sent (RFC 9000 section 21.11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    /// Nobody can tell. Its packets are neither forwarded nor answered.
    Unknown,
    /// It serves: its packets are sent to it.
    Live,
    /// Agreed dead: its connections may be reset.
    Dead,
}

impl From<Liveness> for NodeState {
    fn from(liveness: Liveness) -> Self {
        match liveness {
            Liveness::Unknown => Self::Unknown,
            Liveness::Live => Self::Live,
            Liveness::Dead => Self::Dead,
        }
    }
}

const NO_SUCH_NODE: u8 = 0;
const UNKNOWN: u8 = 1;
const LIVE: u8 = 2;
const DEAD: u8 = 3;

const fn stored(liveness: Liveness) -> u8 {
    match liveness {
        Liveness::Unknown => UNKNOWN,
        Liveness::Live => LIVE,
        Liveness::Dead => DEAD,
    }
}

/// The liveness of every node. Shared by all workers; read where a connection ID names another
/// node, written by operators. Each entry stands for itself, so the loads are relaxed.
pub struct NodeTable {
    states: [AtomicU8; MAX_NODES as usize],
}

/// The fleet has no node with this ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no node of the fleet has the ID {0}")]
pub struct UnknownNode(pub u16);

impl NodeTable {
    /// The table as the configuration has it. Nodes with an ID above 4095, which the configuration
    /// refuses, are left out.
    #[must_use]
    pub fn new(nodes: &[NodeConfig]) -> Self {
        let table = Self { states: [const { AtomicU8::new(NO_SUCH_NODE) }; MAX_NODES as usize] };
        for node in nodes {
            if let Some(state) = table.states.get(usize::from(node.id)) {
                state.store(stored(node.liveness), Ordering::Relaxed);
            }
        }
        table
    }

    /// How the node fares; [`Liveness::Unknown`] where there is none with this ID.
    #[must_use]
    pub fn liveness(&self, node: u16) -> Liveness {
        let state = self.states.get(usize::from(node));
        match state.map_or(NO_SUCH_NODE, |state| state.load(Ordering::Relaxed)) {
            LIVE => Liveness::Live,
            DEAD => Liveness::Dead,
            _ => Liveness::Unknown,
        }
    }

    /// Notes how a node fares.
    ///
    /// # Errors
    /// Where the fleet has no such node.
    pub fn set(&self, node: u16, liveness: Liveness) -> Result<(), UnknownNode> {
        let state = self.states.get(usize::from(node)).ok_or(UnknownNode(node))?;
        if state.load(Ordering::Relaxed) == NO_SUCH_NODE {
            return Err(UnknownNode(node));
        }
        state.store(stored(liveness), Ordering::Relaxed);
        Ok(())
    }

    /// Takes a node in. One that is there already stays as operators say that it fares. How it fares
    /// from now on; nothing for an ID above 4095.
    pub fn put(&self, node: u16, liveness: Liveness) -> Option<Liveness> {
        let state = self.states.get(usize::from(node))?;
        if state.load(Ordering::Relaxed) == NO_SUCH_NODE {
            state.store(stored(liveness), Ordering::Relaxed);
        }
        Some(self.liveness(node))
    }

    /// Forgets a node: nobody can tell how it fares.
    pub fn remove(&self, node: u16) {
        if let Some(state) = self.states.get(usize::from(node)) {
            state.store(NO_SUCH_NODE, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u16, liveness: Liveness) -> NodeConfig {
        let name = format!("n{id}");
        NodeConfig { id, name, site: "here".into(), ipv4: None, ipv6: None, liveness }
    }

    #[test]
    fn a_node_is_as_the_configuration_has_it_until_it_is_set() {
        let table = NodeTable::new(&[node(0, Liveness::Dead), node(4095, Liveness::Live)]);
        assert_eq!(table.liveness(0), Liveness::Dead);
        assert_eq!(table.liveness(4095), Liveness::Live);
        table.set(4095, Liveness::Unknown).expect("configured");
        assert_eq!(table.liveness(4095), Liveness::Unknown);
        table.set(4095, Liveness::Dead).expect("configured, though unknown");
        assert_eq!(table.liveness(4095), Liveness::Dead);
    }

    #[test]
    fn a_node_that_is_put_again_stays_as_operators_set_it() {
        let table = NodeTable::new(&[]);
        assert_eq!(table.put(7, Liveness::Live), Some(Liveness::Live));
        table.set(7, Liveness::Dead).expect("put");
        assert_eq!(table.put(7, Liveness::Live), Some(Liveness::Dead));
        table.remove(7);
        assert_eq!(table.liveness(7), Liveness::Unknown);
        assert_eq!(table.set(7, Liveness::Live), Err(UnknownNode(7)));
        assert_eq!(table.put(7, Liveness::Live), Some(Liveness::Live), "it is another one");
        assert_eq!(table.put(4096, Liveness::Live), None);
    }

    #[test]
    fn an_id_that_no_node_has_is_unknown_and_cannot_be_set() {
        let table = NodeTable::new(&[node(1, Liveness::Live)]);
        for id in [0, 2, 4095, 4096, u16::MAX] {
            assert_eq!(table.liveness(id), Liveness::Unknown);
            assert_eq!(table.set(id, Liveness::Live), Err(UnknownNode(id)));
        }
    }
}
