//! The nodes of the fleet in the kernel's map: they come, change and go while packets are steered.

use aya::maps::{Array, MapData};
use edge_wire::maps::{self, Ipv6Entry, Node, NodeEntry, NodeState, Path};

use super::{Steering, SteeringError, tables};
use crate::config::NodeConfig;
use crate::nodes::{Liveness, UnknownNode};

impl Steering {
    /// Takes a node in, or its new addresses, seen from `own`. Encapsulated packets are accepted from
    /// it from now on; none is sent to it before [`Steering::set_next_hops`] says how. Of a node whose
    /// addresses are the same nothing changes but `liveness`.
    ///
    /// # Errors
    /// Where the map cannot be written, or has no place for the ID.
    pub fn put_node(
        &mut self,
        own: &NodeConfig,
        node: &NodeConfig,
        liveness: Liveness,
    ) -> Result<(), SteeringError> {
        let [ipv4, ipv6] = tables::endpoints(Some(own), node);
        let state = NodeState::from(liveness) as u32;
        match self.nodes.get(&node.id) {
            Some(now) if leads_to(now, &ipv4, &ipv6) => {}
            Some(_) => {
                // An entry is not written at one stroke: while its addresses change nothing is sent.
                self.change_node(node.id, |entry| entry.state = NodeState::Unknown as u32)?;
                self.change_node(node.id, |entry| (entry.ipv4, entry.ipv6) = (ipv4, ipv6))?;
            }
            None => {
                let entry = Node { state: NodeState::Unknown as u32, ipv4, ipv6 };
                self.write_node(node.id, &entry, 0)?;
                self.nodes.insert(node.id, entry);
            }
        }
        self.change_node(node.id, |entry| entry.state = state)
    }

    /// Forgets a node, if there is one: nothing is sent to it, and nothing accepted from its
    /// addresses.
    ///
    /// # Errors
    /// Where the map cannot be written.
    pub fn remove_node(&mut self, id: u16) -> Result<(), SteeringError> {
        if !self.nodes.contains_key(&id) {
            return Ok(());
        }
        self.change_node(id, |entry| entry.state = NodeState::Unknown as u32)?;
        let nobody =
            Node { state: NodeState::Unknown as u32, ipv4: Path::UNKNOWN, ipv6: Path::UNKNOWN };
        self.write_node(id, &nobody, 0)?;
        self.nodes.remove(&id);
        Ok(())
    }

    /// Has packets of the node's connections forwarded, passed, or answered by resets.
    ///
    /// # Errors
    /// Where there is no such node, or the map cannot be written.
    pub fn set_node(&mut self, id: u16, liveness: Liveness) -> Result<(), SteeringError> {
        self.change_node(id, |node| node.state = NodeState::from(liveness) as u32)
    }

    /// Notes the way to a node, as [`next_hop::follow`](crate::next_hop::follow) finds it. A way that
    /// was looked for before the node went or moved leads nowhere any more, and is not noted.
    ///
    /// # Errors
    /// Where the map cannot be written.
    pub fn set_next_hops(&mut self, id: u16, ipv4: Path, ipv6: Path) -> Result<(), SteeringError> {
        match self.nodes.get(&id) {
            Some(now) if leads_to(now, &ipv4, &ipv6) && (now.ipv4, now.ipv6) != (ipv4, ipv6) => {
                self.change_node(id, |node| (node.ipv4, node.ipv6) = (ipv4, ipv6))
            }
            _ => Ok(()),
        }
    }

    fn change_node(
        &mut self,
        id: u16,
        change: impl FnOnce(&mut Node),
    ) -> Result<(), SteeringError> {
        let mut node = self.nodes.get(&id).copied().ok_or(UnknownNode(id))?;
        change(&mut node);
        let nodes: Array<&mut MapData, NodeEntry> = self.map(maps::NODES)?;
        let before =
            nodes.get(&u32::from(id), 0).map_err(|error| SteeringError::map(maps::NODES, error))?;
        // What is spent between these two calls is spent for nothing.
        self.write_node(id, &node, before.spent_ns)?;
        self.nodes.insert(id, node);
        Ok(())
    }

    fn write_node(&mut self, id: u16, node: &Node, spent_ns: u64) -> Result<(), SteeringError> {
        let index = u32::from(id);
        // The state is in the other entry: whoever makes a node live has its addresses there before.
        self.write(maps::NODES_IPV6, [(index, Ipv6Entry::new(node))])?;
        self.write(maps::NODES, [(index, NodeEntry { spent_ns, ..NodeEntry::new(node) })])
    }
}

/// Whether these paths have the ends that the node's entry has.
fn leads_to(node: &Node, ipv4: &Path, ipv6: &Path) -> bool {
    let ends = |path: &Path| (path.source, path.destination);
    ends(&node.ipv4) == ends(ipv4) && ends(&node.ipv6) == ends(ipv6)
}
