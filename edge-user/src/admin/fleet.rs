//! The nodes of the fleet in a running edge: how they fare by the word of operators, and which there
//! are by the word of a controller.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::control::Control;
use super::protocol::NodeStatus;
use crate::config::{JoinError, NodeConfig};
use crate::limits;
use crate::nodes::{Liveness, UnknownNode};
use crate::relay::RelayOrder;
use crate::steering::SteeringError;

/// Why a node's liveness is not set.
#[derive(Debug, thiserror::Error)]
pub enum SetNodeError {
    /// The fleet has no such node.
    #[error(transparent)]
    UnknownNode(#[from] UnknownNode),
    /// It is the one that was asked, and so it lives.
    #[error("node {0} is this node itself: tell the others, and stop this one by `drain`")]
    Ourselves(u16),
    /// The workers know, the kernel does not.
    #[error("the kernel's entry of node {0} cannot be changed: {1}")]
    Kernel(u16, SteeringError),
}

/// Why a node is not taken in, changed or forgotten. What there was of it stays, unless said.
#[derive(Debug, thiserror::Error)]
pub enum ChangeNodeError {
    /// Sockets and kernel maps have our own addresses from the start on.
    #[error("it is this node itself, with another address: restart it to take that")]
    OwnAddress,
    /// A process that serves is a node.
    #[error("it is this node itself, which serves")]
    Ourselves,
    /// Its addresses lead elsewhere.
    #[error(transparent)]
    Addresses(#[from] JoinError),
    /// No connection ID has room for it.
    #[error("{0} is no ID of a node")]
    Id(u16),
    /// The kernel. Nothing is sent to the node until it is put again.
    #[error("the kernel's entry of it cannot be changed: {0}")]
    Kernel(#[from] SteeringError),
    /// The relay does not answer in time. The same change may be made again.
    #[error("the relay does not answer")]
    Relay,
}

impl Control {
    /// The nodes of the fleet as they are now, ourselves included.
    #[must_use]
    pub fn nodes(&self) -> Arc<[NodeConfig]> {
        Arc::clone(&self.fleet.borrow())
    }

    /// The same, and whenever it changes.
    #[must_use]
    pub fn watch_nodes(&self) -> watch::Receiver<Arc<[NodeConfig]>> {
        self.fleet.subscribe()
    }

    /// Takes a node in, or what changed of it. When this returns, packets of it are accepted
    /// everywhere in the process, and the way to it is looked for. It fares as its entry says, or as
    /// an operator has said since.
    ///
    /// # Errors
    /// Where it cannot be, or a part of the process does not follow.
    pub async fn put_node(&self, node: &NodeConfig) -> Result<(), ChangeNodeError> {
        let before = self.nodes();
        let known = before.iter().find(|known| known.id == node.id);
        let same = |known: &NodeConfig| NodeConfig { liveness: node.liveness, ..known.clone() };
        if known.is_some_and(|known| same(known) == *node) {
            return Ok(());
        }
        let is_ours = node.id == self.config().node;
        let addresses = |node: &NodeConfig| (node.ipv4, node.ipv6);
        if is_ours && known.map(addresses) != Some(addresses(node)) {
            return Err(ChangeNodeError::OwnAddress);
        }
        self.config().fits(node)?;
        let liveness =
            self.table.put(node.id, node.liveness).ok_or(ChangeNodeError::Id(node.id))?;
        if let Some(steering) = self.steering().as_mut() {
            steering.put_node(self.config().our_node(), node, liveness)?;
        }
        let others = before.iter().filter(|known| known.id != node.id).cloned();
        self.have_nodes(others.chain([node.clone()])).await?;
        tracing::info!(node = node.id, name = node.name, site = node.site, "a node is known so");
        Ok(())
    }

    /// Forgets a node: nothing is sent to it, and nothing that it sends on is accepted. Connections
    /// that it had are of nobody then, and answered by no reset: it may serve on.
    ///
    /// # Errors
    /// Where it is this node, or a part of the process does not follow.
    pub async fn remove_node(&self, id: u16) -> Result<(), ChangeNodeError> {
        if id == self.config().node {
            return Err(ChangeNodeError::Ourselves);
        }
        let before = self.nodes();
        if before.iter().all(|known| known.id != id) {
            return Ok(());
        }
        // The workers stop to send to it before anybody forgets where it is.
        self.table.remove(id);
        if let Some(steering) = self.steering().as_mut() {
            steering.remove_node(id)?;
        }
        self.have_nodes(before.iter().filter(|known| known.id != id).cloned()).await?;
        tracing::info!(node = id, "a node is known no more");
        Ok(())
    }

    /// These are the nodes from now on, for the relay and all who follow the list.
    async fn have_nodes(
        &self,
        nodes: impl Iterator<Item = NodeConfig>,
    ) -> Result<(), ChangeNodeError> {
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_by_key(|node| node.id);
        let nodes: Arc<[NodeConfig]> = nodes.into();
        if let Some(relay) = &self.relay {
            let (done, heard) = oneshot::channel();
            let told = async {
                relay.orders.send(RelayOrder::Nodes(Arc::clone(&nodes), done)).await.ok()?;
                heard.await.ok()
            };
            let told = timeout(limits::REPORT_WITHIN, told).await.ok().flatten();
            told.ok_or(ChangeNodeError::Relay)?;
        }
        // Last: where something did not follow, the same change is made again, not taken for made.
        self.fleet.send_replace(nodes);
        Ok(())
    }

    /// Notes how a node fares, for the workers and in the kernel.
    ///
    /// # Errors
    /// Where the fleet has no such node, it is this one, or the kernel refuses.
    pub fn set_node(&self, id: u16, liveness: Liveness) -> Result<(), SetNodeError> {
        if id == self.config().node && liveness != Liveness::Live {
            return Err(SetNodeError::Ourselves(id));
        }
        let before = self.table.liveness(id);
        self.table.set(id, liveness)?;
        if let Some(steering) = self.steering().as_mut() {
            steering.set_node(id, liveness).map_err(|error| SetNodeError::Kernel(id, error))?;
        }
        tracing::info!(node = id, ?before, now = ?liveness, "a node's liveness is set");
        Ok(())
    }

    pub(super) fn node_list(&self) -> Vec<NodeStatus> {
        let status = |node: &NodeConfig| NodeStatus {
            id: node.id,
            name: node.name.clone(),
            site: node.site.clone(),
            liveness: self.table.liveness(node.id),
            this: node.id == self.config().node,
        };
        self.nodes().iter().map(status).collect()
    }
}
