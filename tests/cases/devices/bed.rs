//! Node 1 with XDP in the near namespace and node 2 without in the far one, on the devices of a
//! case. Clients are in the far namespace too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::BytesMut;
use edge_user::config::{Config, SteeringMode};
use edge_user::next_hop;
use edge_user::quic::driver::ToWorker;
use edge_user::quic::{Datagram, Via};
use edge_user::relay::{Relay, RelayHandle, ToRelay};
use edge_user::steering::Steering;
use edge_wire::Reason;
use edge_wire::cid::{Codec, DEFAULT_LEN, ServerId};
use edge_wire::maps::Path;
use tokio::sync::mpsc;

use crate::netns::steering_lifecycle::pair::{CONFIG_ID, Pair, eventually, ip, secrets};

const ANYCAST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// A network that both namespaces are on: this side's addresses and the other's.
#[derive(Clone, Copy)]
pub(super) struct Network {
    pub(super) near: (Ipv4Addr, Ipv6Addr),
    pub(super) far: (Ipv4Addr, Ipv6Addr),
}

impl Network {
    /// 192.168.`number`.0/24 and fd`number`::/64, of a number of two digits. 77 is the pair's own.
    pub(super) fn numbered(number: u8) -> Self {
        let first = 0xfd00 + u16::from(number / 10 * 16 + number % 10);
        let host = |host: u8| {
            let ipv6 = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, host.into());
            (Ipv4Addr::new(192, 168, number, host), ipv6)
        };
        Self { near: host(1), far: host(2) }
    }

    /// Gives both sides' devices their addresses, and switches them on.
    pub(super) fn set_up(&self, pair: &Pair, near: &str, far: &str) {
        let set_up = |device: &str, (ipv4, ipv6): (Ipv4Addr, Ipv6Addr)| {
            ip(&format!("addr add {ipv4}/24 dev {device}"));
            ip(&format!("addr add {ipv6}/64 dev {device} nodad"));
            ip(&format!("link set {device} up"));
        };
        pair.near(|| set_up(near, self.near));
        pair.far(|| set_up(far, self.far));
    }

    /// The configuration of node 1, whose XDP program is on `interface`; both nodes have their
    /// addresses in this network.
    pub(super) fn config(&self, pair: &Pair, interface: &str) -> Config {
        let mut config = pair.config();
        config.listen.anycast = ANYCAST.to_vec();
        config.listen.interfaces = vec![interface.into()];
        for (node, (ipv4, ipv6)) in config.nodes.iter_mut().zip([self.near, self.far]) {
            (node.ipv4, node.ipv6) = (Some(ipv4), Some(ipv6));
        }
        config
    }
}

/// Does `work`, which gets the name of the side, in either namespace.
pub(super) fn on_both(pair: &Pair, work: impl Fn(&str) + Sync) {
    pair.near(|| work("near"));
    pair.far(|| work("far"));
}

/// The way to node 2 in both families, once both are known.
pub(super) fn ways(config: &Config) -> [Path; 2] {
    let mut found = None;
    eventually("the way to node 2", || {
        let ways = next_hop::look(config).expect("netlink");
        found = ways.first().map(|(_, paths)| *paths);
        found.is_some_and(|paths| paths.iter().all(|path| path.interface != 0))
    });
    found.expect("waited for")
}

/// Node 1 with XDP, which knows the way to node 2, and the relay of node 2.
pub(super) struct Bed<'a> {
    pair: &'a Pair,
    steering: Steering,
    handle: &'a RelayHandle,
    inbox: mpsc::Receiver<ToWorker>,
}

/// Runs `work` on the bed. `far` is the device that frames of the near side arrive by.
pub(super) fn on_bed(pair: &Pair, config: &Config, far: &str, work: impl FnOnce(&mut Bed<'_>)) {
    let steering = pair.near(|| {
        ip("addr add 192.0.2.1/32 dev lo");
        ip("addr add 2001:db8::1/128 dev lo");
        ways(config);
        Steering::attach(config, &secrets(), 0, 1).expect("attached")
    });
    let mut of_node_2 = config.clone();
    of_node_2.node = 2;
    of_node_2.steering.mode = SteeringMode::UserSpace;
    // A veth device receives what its peer's XDP program sends only with a program of its own.
    let peer = pair.far(|| Steering::observe(far, 9, true).expect("attached"));
    let (relay, handle) =
        pair.far(|| Relay::bind(&of_node_2, &secrets(), 0, 1)).expect("the port is free");
    let (to_worker, inbox) = mpsc::channel(16);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(relay.run(vec![to_worker])).expect("runs");
        });
        let mut bed = Bed { pair, steering, handle: &handle, inbox };
        work(&mut bed);
        pair.near(|| bed.steering.detach()).expect("detached");
        drop(handle); // ends the relay
    });
    pair.far(|| peer.detach()).expect("detached");
}

impl Bed<'_> {
    /// Clients of the far namespace send from `network` what node 2 owns; node 2 gets it from
    /// node 1, whole and with the client's address.
    pub(super) fn forwards_from(&mut self, network: &Network) {
        let before = self.counted(Reason::Forwarded);
        let clients = [IpAddr::V4(network.far.0), network.far.1.into()];
        self.pair.far(|| {
            ip(&format!("route replace 192.0.2.1 via {}", network.near.0));
            ip(&format!("route replace 2001:db8::1 via {}", network.near.1));
        });
        for (client, anycast) in clients.into_iter().zip(ANYCAST) {
            self.pair.far(|| {
                let client = UdpSocket::bind((client, 4711)).expect("bound");
                client.send_to(&payload(2), (anycast, 443)).expect("sent");
            });
            let mut received = None;
            eventually("node 2 has it", || {
                received = self.inbox.try_recv().ok();
                received.is_some()
            });
            let Some(ToWorker::Datagram(datagram)) = received else { panic!("a datagram") };
            assert_eq!(datagram.client, SocketAddr::new(client, 4711));
            assert_eq!(datagram.destination, SocketAddr::new(anycast, 443));
            assert_eq!((datagram.via, &datagram.payload[..]), (Via::Node, &payload(2)[..]));
        }
        assert_eq!(self.counted(Reason::Forwarded) - before, 2);
    }

    /// Node 2 sends on what node 1 owns; node 1 takes it in, and a socket there receives it from
    /// the client's address.
    pub(super) fn takes_in(&mut self) {
        let before = self.counted(Reason::Stripped);
        for (client, anycast) in [("203.0.113.9", ANYCAST[0]), ("2001:db8:99::9", ANYCAST[1])] {
            let client = SocketAddr::new(client.parse().expect("address"), 4711);
            let worker = self.pair.near(|| UdpSocket::bind((anycast, 443))).expect("bound");
            worker.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
            let datagram = Datagram {
                client,
                destination: SocketAddr::new(anycast, 443),
                ecn: None,
                payload: BytesMut::from(&payload(1)[..]),
                via: Via::Wire,
            };
            self.handle.inbox.try_send(ToRelay { node: 1, datagram }).expect("there is room");
            let mut received = [0; 1500];
            let (length, from) = worker.recv_from(&mut received).expect("taken in");
            assert_eq!((from, &received[..length]), (client, &payload(1)[..]));
        }
        assert_eq!(self.counted(Reason::Stripped) - before, 2);
    }

    fn counted(&self, reason: Reason) -> u64 {
        self.steering.reasons().expect("readable").node[reason as usize]
    }
}

/// A packet of a connection that `node` owns.
fn payload(node: u16) -> Vec<u8> {
    let owner = ServerId { node, worker: 0, generation: 0 };
    let codec = Codec::landfast(CONFIG_ID, DEFAULT_LEN, None).expect("valid");
    let id = codec.encode(&owner.to_bytes(), &[7; 12]);
    [&[0x40][..], id.as_slice(), &[0x5a; 500]].concat()
}
