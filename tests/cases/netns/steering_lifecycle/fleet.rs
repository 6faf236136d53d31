//! Nodes come, move and go while a node with XDP steers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::BytesMut;
use edge_user::config::{Liveness, NodeConfig};
use edge_user::next_hop;
use edge_user::quic::driver::ToWorker;
use edge_user::quic::{Datagram, Via};
use edge_user::relay::{RelayHandle, ToRelay};
use edge_user::steering::Steering;
use edge_wire::Reason;
use tokio::sync::mpsc;

use super::pair::{FAR_IPV4, NEAR_IPV4, Pair, eventually, ip, secrets};
use super::relayed::{ANYCAST, config, payload, relaying, steered};

const PATIENCE: Duration = Duration::from_secs(5);

/// Node 1, which steers, and node 2, whose relay runs while it is looked at.
struct Fleet<'a> {
    pair: &'a Pair,
    steering: Steering,
    nodes: Vec<NodeConfig>,
    worker: UdpSocket,
}

impl<'a> Fleet<'a> {
    /// Node 1 knows itself alone.
    fn new(pair: &'a Pair) -> Self {
        let nodes = config(pair, 1).nodes;
        // With both at first, so that neighbours are resolved.
        pair.near(|| steered(pair).detach()).expect("detached");
        let mut alone = config(pair, 1);
        alone.nodes.truncate(1);
        let steering = pair.near(|| Steering::attach(&alone, &secrets(), 0, 1)).expect("attached");
        let worker = pair.near(|| UdpSocket::bind((ANYCAST[0], 443))).expect("bound");
        worker.set_read_timeout(Some(PATIENCE)).expect("set");
        Self { pair, steering, nodes, worker }
    }

    /// Takes node 2 in at an address, and the way there.
    fn put(&mut self, ipv4: Ipv4Addr) {
        let node = NodeConfig { ipv4: Some(ipv4), ..self.nodes[1].clone() };
        self.steering.put_node(&self.nodes[0], &node, Liveness::Live).expect("put");
        for (id, [ipv4, ipv6]) in self.ways() {
            self.steering.set_next_hops(id, ipv4, ipv6).expect("noted, or of no use");
        }
    }

    fn ways(&self) -> Vec<(u16, [edge_wire::maps::Path; 2])> {
        self.pair.near(|| next_hop::look(&config(self.pair, 1))).expect("netlink")
    }

    fn counted(&self, reason: Reason) -> u64 {
        self.steering.reasons().expect("readable").node[reason as usize]
    }

    /// A client's packet for a connection of node 2 comes to node 1.
    fn client_sends(&self) {
        self.pair.far(|| {
            let client = UdpSocket::bind((FAR_IPV4, 4711)).expect("bound");
            client.send_to(&payload(2), (ANYCAST[0], 443)).expect("sent");
        });
    }

    /// Node 2 sends on what is node 1's.
    fn node_sends(&self, relay: &RelayHandle) {
        let datagram = Datagram {
            client: "203.0.113.9:4711".parse().expect("address"),
            destination: SocketAddr::new(ANYCAST[0], 443),
            ecn: None,
            payload: BytesMut::from(&payload(1)[..]),
            via: Via::Wire,
        };
        relay.inbox.try_send(ToRelay { node: 1, datagram }).expect("there is room");
    }

    /// Beside what nobody's connection is of, which is passed to the worker too.
    fn is_taken_in(&self) {
        let mut received = [0; 1500];
        let client = "203.0.113.9".parse::<IpAddr>().expect("address");
        loop {
            let (length, from) = self.worker.recv_from(&mut received).expect("taken in");
            if from.ip() == client {
                assert_eq!(&received[..length], &payload(1)[..]);
                return;
            }
            assert_eq!(&received[..length], &payload(2)[..]);
        }
    }
}

fn arrives(inbox: &mut mpsc::Receiver<ToWorker>) {
    eventually("the worker of node 2 has it", || {
        matches!(inbox.try_recv(), Ok(ToWorker::Datagram(_)))
    });
}

#[test]
fn a_node_is_steered_to_from_its_coming_to_its_going_and_believed_as_long() {
    let pair = Pair::new();
    let mut fleet = Fleet::new(&pair);
    // A veth device receives what its peer's XDP program sends only with a program of its own.
    let peer = pair.far(|| {
        ip(&format!("route add 192.0.2.1 via {NEAR_IPV4}"));
        Steering::observe("far", 9, true).expect("attached")
    });
    relaying(&pair, |relay, inbox| {
        let unknown = |fleet: &Fleet<'_>, count| {
            let before = fleet.counted(Reason::Forwarded);
            fleet.client_sends();
            eventually("nobody's", || fleet.counted(Reason::OwnerUnknown) == count);
            assert_eq!(fleet.counted(Reason::Forwarded), before);
        };
        let stranger = |fleet: &Fleet<'_>, count| {
            fleet.node_sends(relay);
            eventually("a stranger's", || fleet.counted(Reason::EncapsulationSender) == count);
        };
        unknown(&fleet, 1);
        stranger(&fleet, 1);

        fleet.put(FAR_IPV4);
        fleet.client_sends();
        arrives(inbox);
        fleet.node_sends(relay);
        fleet.is_taken_in();

        // Whoever has its old address now is not the node.
        fleet.put(Ipv4Addr::new(192, 168, 77, 99));
        stranger(&fleet, 2);

        fleet.put(FAR_IPV4);
        fleet.client_sends();
        arrives(inbox);

        fleet.steering.remove_node(2).expect("removed");
        unknown(&fleet, 2);
        stranger(&fleet, 3);
        // A look that began before it went is late.
        for (id, [ipv4, ipv6]) in fleet.ways() {
            fleet.steering.set_next_hops(id, ipv4, ipv6).expect("of no use");
        }
        unknown(&fleet, 3);
        stranger(&fleet, 4);
    });
    pair.far(|| peer.detach()).expect("detached");
    pair.near(|| fleet.steering.detach()).expect("detached");
}
