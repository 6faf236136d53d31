//! From what the file says and what the controller gives to what a process runs by.

use std::net::IpAddr;

use super::{Config, Liveness, NodeConfig};

/// Why a node cannot take part in the fleet that the controller tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The node is not in the list.
    #[error("the controller's list of nodes lacks this node, {0}")]
    NotThere(u16),
    /// A packet to it goes to whichever node is near.
    #[error(
        "{1} is an anycast address in the configuration, and node {0}'s own by the controller: invite it with an address that only it has"
    )]
    Anycast(u16, IpAddr),
    /// Two entries of one ID.
    #[error("the controller's list of nodes has node {0} twice")]
    Twice(u16),
}

impl Config {
    /// With the fleet as the controller has it, of which we are `node`. We ourselves are live.
    /// Entries of other nodes are not judged beyond their IDs: one that is of no use
    /// ([`Config::fits`]) must not keep this node from serving.
    ///
    /// # Errors
    /// Where the list lacks us, or has us at an address that cannot be ours.
    pub fn joined(mut self, node: u16, mut nodes: Vec<NodeConfig>) -> Result<Self, JoinError> {
        let mut ids: Vec<_> = nodes.iter().map(|entry| entry.id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(JoinError::Twice(twice[0]));
        }
        let ours = nodes.iter_mut().find(|entry| entry.id == node);
        let ours = ours.ok_or(JoinError::NotThere(node))?;
        self.fits(ours)?;
        ours.liveness = Liveness::Live;
        self.site.clone_from(&ours.site);
        Ok(Self { node, nodes, ..self })
    }

    /// Whether packets for `node` can be sent to its addresses: none of them is anycast.
    ///
    /// # Errors
    /// Where one is.
    pub fn fits(&self, node: &NodeConfig) -> Result<(), JoinError> {
        let own = node.ipv4.map(IpAddr::V4).into_iter().chain(node.ipv6.map(IpAddr::V6));
        let mut anycast = own.filter(|address| self.listen.anycast.contains(address));
        anycast.next().map_or(Ok(()), |address| Err(JoinError::Anycast(node.id, address)))
    }
}
