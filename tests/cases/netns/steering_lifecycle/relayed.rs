//! A node with XDP beside one without: what the kernel encapsulates the relay takes in, and what
//! the relay encapsulates the kernel takes in, with the client's address in both families.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
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
use tokio::sync::mpsc;

use super::pair::{
    CONFIG_ID, FAR_IPV4, FAR_IPV6, NEAR_IPV4, NEAR_IPV6, Pair, eventually, ip, secrets,
};

pub(super) const ANYCAST: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

pub(super) fn config(pair: &Pair, node: u16) -> Config {
    let mut config = pair.config();
    config.node = node;
    config.listen.anycast = ANYCAST.to_vec();
    if node == 2 {
        config.steering.mode = SteeringMode::UserSpace;
    }
    config
}

pub(super) fn payload(node: u16) -> Vec<u8> {
    let owner = ServerId { node, worker: 0, generation: 0 };
    let id = Codec::landfast(CONFIG_ID, DEFAULT_LEN, None)
        .expect("valid")
        .encode(&owner.to_bytes(), &[7; 12]);
    [&[0x40][..], id.as_slice(), &[0x5a; 500]].concat()
}

/// Runs the relay of node 2 in the far namespace, and gives its worker's inbox to `work`.
pub(super) fn relaying(
    pair: &Pair,
    work: impl FnOnce(&RelayHandle, &mut mpsc::Receiver<ToWorker>),
) {
    let config = config(pair, 2);
    let (relay, handle) =
        pair.far(|| Relay::bind(&config, &secrets(), 0, 1)).expect("the port is free");
    let (to_worker, mut inbox) = mpsc::channel(16);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(relay.run(vec![to_worker])).expect("runs");
        });
        work(&handle, &mut inbox);
        drop(handle); // ends the relay
    });
}

/// Node 1 with XDP, once it knows the way to node 2.
pub(super) fn steered(pair: &Pair) -> Steering {
    let config = config(pair, 1);
    pair.near(|| {
        ip("addr add 192.0.2.1/32 dev lo");
        ip("addr add 2001:db8::1/128 dev lo");
        eventually("the way to node 2", || {
            let ways = next_hop::look(&config).expect("netlink");
            ways.iter().all(|(_, paths)| paths.iter().all(|path| path.interface != 0))
        });
        Steering::attach(&config, &secrets(), 0, 1).expect("attached")
    })
}

#[test]
fn what_the_kernel_encapsulates_the_relay_takes_in() {
    let pair = Pair::new();
    let steering = steered(&pair);
    // A veth device receives what its peer's XDP program sends only with a program of its own.
    let peer = pair.far(|| {
        ip(&format!("route add 192.0.2.1 via {NEAR_IPV4}"));
        ip(&format!("route add 2001:db8::1 via {NEAR_IPV6}"));
        Steering::observe("far", 9, true).expect("attached")
    });
    relaying(&pair, |_, inbox| {
        for (client, anycast) in [(IpAddr::V4(FAR_IPV4), ANYCAST[0]), (FAR_IPV6.into(), ANYCAST[1])]
        {
            pair.far(|| {
                let client = UdpSocket::bind((client, 4711)).expect("bound");
                client.send_to(&payload(2), (anycast, 443)).expect("sent");
            });
            let mut received = None;
            eventually("the worker has it", || {
                received = inbox.try_recv().ok();
                received.is_some()
            });
            let Some(ToWorker::Datagram(datagram)) = received else { panic!("a datagram") };
            assert_eq!(datagram.client, SocketAddr::new(client, 4711));
            assert_eq!(datagram.destination, SocketAddr::new(anycast, 443));
            assert_eq!((datagram.via, &datagram.payload[..]), (Via::Node, &payload(2)[..]));
        }
    });
    let report = steering.reasons().expect("readable");
    assert_eq!(report.node[Reason::Forwarded as usize], 2);
    pair.far(|| peer.detach()).expect("detached");
    pair.near(|| steering.detach()).expect("detached");
}

#[test]
fn what_the_relay_encapsulates_the_kernel_takes_in() {
    let pair = Pair::new();
    let steering = steered(&pair);
    relaying(&pair, |handle, _| {
        for (client, anycast) in [("203.0.113.9", ANYCAST[0]), ("2001:db8:99::9", ANYCAST[1])] {
            let client = SocketAddr::new(client.parse().expect("address"), 4711);
            let worker = pair.near(|| UdpSocket::bind((anycast, 443))).expect("bound");
            worker.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
            let datagram = Datagram {
                client,
                destination: SocketAddr::new(anycast, 443),
                ecn: None,
                payload: BytesMut::from(&payload(1)[..]),
                via: Via::Wire,
            };
            handle.inbox.try_send(ToRelay { node: 1, datagram }).expect("there is room");
            // Its checksum was made by the relay, and is checked by the kernel.
            let mut received = [0; 1500];
            let (length, from) = worker.recv_from(&mut received).expect("taken in");
            assert_eq!((from, &received[..length]), (client, &payload(1)[..]));
        }
    });
    let report = steering.reasons().expect("readable");
    assert_eq!(report.node[Reason::Stripped as usize], 2);
    pair.near(|| steering.detach()).expect("detached");
}
