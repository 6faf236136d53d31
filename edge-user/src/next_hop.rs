//! The way to each node: device, MAC addresses, VLAN and MTU, kept up to date from netlink, so that
//! `steer_node` needs no look-up in the FIB (which costs more than all the rest of it).
//!
//! [`follow`] looks at routes, links and neighbours, and again whenever the kernel tells of a
//! change, at the latest after [`limits::NEXT_HOP_REFRESH`]. What it makes of them is worked out in
//! [`path`](mod@path), without a socket. It sends no packet of its own: where a neighbour is not
//! resolved, the kernel is asked to resolve it.

mod path;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use edge_wire::maps::Path;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::{Config, NodeConfig};
use crate::limits;
use crate::netlink::{self, WatchError};
use crate::nodes::{Liveness, NodeTable};
use crate::steering::tables::endpoints;
use path::{Network, NextHop};

/// What may change the way to a node.
const GROUPS: &[MulticastGroup] = &[
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Another node, and what of the way to it is known from its entry.
struct Target {
    node: u16,
    ipv4: Option<IpAddr>,
    ipv6: Option<IpAddr>,
    endpoints: [Path; 2],
}

impl Target {
    fn new(own: Option<&NodeConfig>, node: &NodeConfig) -> Self {
        Self {
            node: node.id,
            ipv4: node.ipv4.map(IpAddr::V4),
            ipv6: node.ipv6.map(IpAddr::V6),
            endpoints: endpoints(own, node),
        }
    }
}

/// Follows the ways from `node`, which is ours, to all others of `fleet`, as it is at each time,
/// until it is dropped. `store` gets a node's ID and its paths for IPv4 and IPv6 at every look. A
/// node that cannot be reached keeps its addresses, with interface 0. Neighbours are resolved for
/// live nodes only.
///
/// # Errors
/// Where netlink fails for good; what it answers to single questions is logged and asked again.
pub async fn follow(
    node: u16,
    mut fleet: watch::Receiver<Arc<[NodeConfig]>>,
    nodes: Arc<NodeTable>,
    mut store: impl FnMut(u16, Path, Path),
) -> Result<Infallible, WatchError> {
    // Dropped with this future, and the connections with it.
    let mut tasks = JoinSet::new();
    let changed = netlink::watch(&mut tasks, GROUPS)?;
    let (connection, handle, _messages) = rtnetlink::new_connection()?;
    tasks.spawn(connection);

    let mut known = HashMap::new();
    loop {
        let began = Instant::now();
        let targets = targets(node, &fleet.borrow_and_update());
        match survey(&handle, &targets, &nodes).await {
            Ok(paths) => {
                let mut before = std::mem::replace(&mut known, HashMap::with_capacity(paths.len()));
                for (node, [ipv4, ipv6]) in paths {
                    if before.remove(&node) != Some([ipv4, ipv6]) {
                        tell(node, &ipv4, &ipv6);
                    }
                    store(node, ipv4, ipv6);
                    known.insert(node, [ipv4, ipv6]);
                }
            }
            Err(error) => tracing::warn!(%error, "netlink does not tell the way to other nodes"),
        }
        let pause = began.elapsed() * limits::NEXT_HOP_PAUSE_FACTOR;
        tokio::select! {
            // No change in this time: a look all the same.
            _ = timeout(limits::NEXT_HOP_REFRESH, changed.notified()) => {}
            // Its sender lives as long as the process.
            Ok(()) = fleet.changed() => {}
            _ = tasks.join_next() => return Err(WatchError::Closed),
        }
        sleep(pause.clamp(limits::NEXT_HOP_DEBOUNCE, limits::NEXT_HOP_REFRESH)).await;
    }
}

/// Looks once at the ways to all other nodes: each node's ID, its paths for IPv4 and for IPv6.
///
/// # Errors
/// Where netlink does not answer.
pub fn look(config: &Config) -> io::Result<Vec<(u16, [Path; 2])>> {
    let targets = targets(config.node, &config.nodes);
    let nodes = NodeTable::new(&config.nodes);
    netlink::ask(async |handle| survey(&handle, &targets, &nodes).await)
}

fn targets(ours: u16, fleet: &[NodeConfig]) -> Vec<Target> {
    let own = fleet.iter().find(|node| node.id == ours);
    let others = fleet.iter().filter(|node| node.id != ours);
    others.map(|node| Target::new(own, node)).collect()
}

/// Looks at everything once.
async fn survey(
    handle: &Handle,
    targets: &[Target],
    nodes: &NodeTable,
) -> Result<Vec<(u16, [Path; 2])>, rtnetlink::Error> {
    let links = netlink::links(handle).await?;
    let network = Network {
        links: links.into_iter().map(|link| (link.index, link)).collect(),
        neighbours: netlink::neighbours(handle).await?,
    };
    let mut paths = Vec::with_capacity(targets.len());
    for target in targets {
        let live = nodes.liveness(target.node) == Liveness::Live;
        let [mut ipv4, mut ipv6] = target.endpoints;
        for (path, address) in [(&mut ipv4, target.ipv4), (&mut ipv6, target.ipv6)] {
            let Some(address) = address.filter(|_| path.destination != [0; 16]) else { continue };
            let route = netlink::route(handle, address).await?;
            let NextHop { path: found, unconfirmed } =
                network.next_hop(*path, address, route.as_ref());
            *path = found;
            if let Some((interface, neighbour)) = unconfirmed.filter(|_| live) {
                resolve(handle, interface, neighbour).await;
            }
        }
        paths.push((target.node, [ipv4, ipv6]));
    }
    Ok(paths)
}

async fn resolve(handle: &Handle, interface: u32, neighbour: IpAddr) {
    if let Err(error) = netlink::resolve(handle, interface, neighbour).await {
        tracing::debug!(%error, %neighbour, interface, "the kernel does not resolve a neighbour");
    }
}

fn tell(node: u16, ipv4: &Path, ipv6: &Path) {
    for (family, path) in [("ipv4", ipv4), ("ipv6", ipv6)] {
        if path.destination == [0; 16] {
            continue;
        }
        if path.interface == 0 {
            tracing::warn!(
                node,
                family,
                "the way to a node is not known: see its route and neighbour"
            );
        } else {
            let Path { interface, vlan, mtu, .. } = *path;
            tracing::debug!(node, family, interface, vlan, mtu, "the way to a node");
        }
    }
}
