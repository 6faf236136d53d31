//! Who has how many of the listener's places: so that one host, or one node, keeps no other out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::limits;

/// The places of each host, a few of all that there are.
#[derive(Clone)]
pub(super) struct Hosts {
    most: usize,
    known: Arc<Mutex<HashMap<IpAddr, Weak<Semaphore>>>>,
}

impl Hosts {
    /// Each has so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: Arc::default() }
    }

    /// Those of the host with this address.
    pub(super) fn of(&self, address: IpAddr) -> Arc<Semaphore> {
        let host = host(address);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = known.get(&host).and_then(Weak::upgrade) {
            return places;
        }
        // Only those are kept that somebody holds one of, of which there are few.
        known.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(self.most));
        known.insert(host, Arc::downgrade(&places));
        places
    }
}

/// A host has the whole of an IPv6 /64 to choose addresses of (RFC 4291 section 2.5.1).
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Room for nodes, and apart from it for who is none.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    nodes: Arc<Mutex<ByNode>>,
    strangers: Arc<Semaphore>,
    hosts: Hosts,
}

/// The connections of each node, the oldest first.
#[derive(Default)]
struct ByNode {
    made: u64,
    connections: BTreeMap<u16, VecDeque<(u64, oneshot::Sender<Infallible>)>>,
}

/// A place. Dropping it leaves it to others.
pub(super) struct Place {
    /// Done once the place is another connection's. Of strangers, none is ever taken away.
    pub(super) taken: Option<oneshot::Receiver<Infallible>>,
    _of_node: Option<OfNode>,
    _among_all: OwnedSemaphorePermit,
    _of_host: Option<OwnedSemaphorePermit>,
}

/// One of the connections of a node.
struct OfNode {
    nodes: Arc<Mutex<ByNode>>,
    node: u16,
    number: u64,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits::MAX_CONNECTIONS)),
            nodes: Arc::default(),
            strangers: Arc::new(Semaphore::new(limits::MAX_STRANGERS)),
            hosts: Hosts::new(limits::MAX_STRANGERS_OF_HOST),
        }
    }

    /// For a node, which may have a few: its oldest gives way. So a node that has lost connections
    /// without a word gets in, and one that opens many is the only one that loses any.
    pub(super) fn of_node(&self, node: u16) -> Option<Place> {
        let among_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let (held, taken) = oneshot::channel();
        let mut nodes = lock(&self.nodes);
        nodes.made += 1;
        let number = nodes.made;
        let connections = nodes.connections.entry(node).or_default();
        connections.push_back((number, held));
        if connections.len() > limits::MAX_CONNECTIONS_OF_NODE {
            connections.pop_front();
        }
        let of_node = OfNode { nodes: Arc::clone(&self.nodes), node, number };
        Some(Place {
            taken: Some(taken),
            _of_node: Some(of_node),
            _among_all: among_all,
            _of_host: None,
        })
    }

    /// For who has no certificate, or one that is worth nothing (any more).
    pub(super) fn of_stranger(&self, address: IpAddr) -> Option<Place> {
        let of_host = self.hosts.of(address).try_acquire_owned().ok()?;
        let among_all = Arc::clone(&self.strangers).try_acquire_owned().ok()?;
        Some(Place { taken: None, _of_node: None, _among_all: among_all, _of_host: Some(of_host) })
    }
}

impl Drop for OfNode {
    fn drop(&mut self) {
        let mut nodes = lock(&self.nodes);
        if let Some(connections) = nodes.connections.get_mut(&self.node) {
            connections.retain(|(number, _)| *number != self.number);
            if connections.is_empty() {
                nodes.connections.remove(&self.node);
            }
        }
    }
}

fn lock(nodes: &Mutex<ByNode>) -> MutexGuard<'_, ByNode> {
    // Nothing is done under the lock that could leave half of a change.
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_connection_of_a_node_gives_way_and_no_other_nodes() {
        let places = Places::new();
        let mut other = places.of_node(2).expect("room");
        let mut held: Vec<_> = (0..limits::MAX_CONNECTIONS_OF_NODE)
            .map(|_| places.of_node(1).expect("room"))
            .collect();
        let is_taken = |place: &mut Place| {
            let taken = place.taken.as_mut().expect("a node's");
            taken.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        assert!(!held.iter_mut().any(is_taken));
        held.push(places.of_node(1).expect("room"));
        let gone: Vec<_> = held.iter_mut().map(is_taken).collect();
        assert_eq!(gone.iter().position(|&gone| gone), Some(0));
        assert_eq!(gone.iter().filter(|&&gone| gone).count(), 1);
        held.pop();
        held.push(places.of_node(1).expect("room"));
        assert_eq!(held.iter_mut().filter_map(|it| is_taken(it).then_some(())).count(), 1);
        assert!(!is_taken(&mut other));
        drop((held, other));
        assert!(lock(&places.nodes).connections.is_empty(), "nothing of who is gone is kept");
    }

    #[test]
    fn one_host_leaves_places_for_strangers_to_others() {
        let places = Places::new();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (one, neighbour) = (address("2001:db8:1:1::1"), address("2001:db8:1:1:ffff::2"));
        let mut held = Vec::new();
        for number in 0..limits::MAX_STRANGERS_OF_HOST {
            let from = if number % 2 == 0 { one } else { neighbour };
            held.push(places.of_stranger(from).expect("room"));
        }
        assert!(places.of_stranger(one).is_none() && places.of_stranger(neighbour).is_none());
        let (other, mapped) = (address("192.0.2.1"), address("::ffff:192.0.2.1"));
        for number in 0..limits::MAX_STRANGERS_OF_HOST {
            let from = if number % 2 == 0 { other } else { mapped };
            held.push(places.of_stranger(from).expect("room for another"));
        }
        assert!(places.of_stranger(mapped).is_none());
        held.clear();
        assert!(places.of_stranger(one).is_some());
        assert_eq!(places.hosts.known.lock().expect("not broken").len(), 1, "no host is kept");
    }
}
