//! What nodes send to nodes, as it is on the wire.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use edge_wire::Reason;
use edge_wire::cid::ServerId;
use tests::fleet::client::first_address;
use tests::fleet::raw_ip::RawIp;
use tests::fleet::tap::Crossing;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, PORT, Place, Steering, eventually};
use tests::packet::{Packet, short_header};

/// Expedited forwarding (RFC 3246), and ECT(1).
const DSCP: u8 = 0xb8;
const ECT1: u8 = 0x01;
/// What encapsulation adds, by family.
const OVERHEAD: [usize; 2] = [20 + 8 + 16, 40 + 8 + 16];
const MTU: usize = 1500;

/// From the client, of a connection of a1's.
fn packet(fleet: &Fleet, anycast: IpAddr, client_port: u16, payload_bytes: usize) -> Packet {
    let owner = ServerId { node: 1, worker: 0, generation: 1 };
    let id = fleet.connection_id(owner).expect("an ID");
    Packet::ipv4().payload(short_header(&id, payload_bytes - 1 - id.len())).with(|packet| {
        packet.source = SocketAddr::new(first_address(anycast), client_port);
        packet.destination = SocketAddr::new(anycast, PORT);
    })
}

fn send(fleet: &Fleet, packet: &Packet) {
    let send = || RawIp::open().and_then(|raw| raw.send(&packet.ip()));
    fleet.client().namespace().enter(send).expect("sent");
}

/// Waits for so many crossings.
fn crossings(tap: &tests::fleet::tap::Tap, count: usize) -> Vec<Crossing> {
    let within = Duration::from_secs(5);
    eventually("packets cross", within, || tap.crossings().len() >= count).expect("they do");
    tap.crossings()
}

#[test]
fn a_crossing_packet_is_the_clients_whole_behind_a_nodes_headers() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a2"]).expect("routed");
    let (a2, a1) = (Place::named("a2"), Place::named("a1"));
    for anycast in ANYCAST {
        let ends: [IpAddr; 2] = match anycast {
            IpAddr::V4(_) => [a2.ipv4().into(), a1.ipv4().into()],
            IpAddr::V6(_) => [a2.ipv6().into(), a1.ipv6().into()],
        };
        let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        let tap = fleet.tap().expect("a tap");
        // The router takes one hop: one is left, and the inner packet loses no more.
        let sent = packet(&fleet, anycast, 20_000, 200).traffic_class(DSCP | ECT1);
        let sent = sent.with(|packet| packet.hops = 2);
        send(&fleet, &sent);
        let crossing = crossings(&tap, 1).swap_remove(0);
        let outer = crossing.outer;
        assert_eq!([outer.source.ip(), outer.destination.ip()], ends);
        assert_eq!(outer.traffic_class, DSCP, "the DSCP is copied, ECN is 00");
        assert_eq!(outer.checksum, 0, "the inner packet has its own (RFC 6935, RFC 6936)");
        assert_eq!(crossing.inner.packet, sent.with(|packet| packet.hops = 1).ip());
        counted.expect(1).expect("a1 takes it in");
    }
}

#[test]
fn flows_of_several_clients_cross_by_several_ports() {
    let options =
        FleetOptions { exceptions: vec![("b1", Steering::UserSpace)], ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    // Without XDP a process needs a socket for each port, and has fewer.
    for (node, ports) in [("a2", 24), ("b1", 8)] {
        fleet.router().route_to(&[node]).expect("routed");
        for anycast in ANYCAST {
            let tap = fleet.tap().expect("a tap");
            // Neighbouring ports, as one host behind one address has them.
            for client_port in (30_000..30_032).flat_map(|port| [port, port]) {
                send(&fleet, &packet(&fleet, anycast, client_port, 60));
            }
            let crossings = crossings(&tap, 64);
            let pairs = crossings
                .iter()
                .map(|crossing| (crossing.inner.source.port(), crossing.outer.source.port()));
            let pairs: BTreeSet<_> = pairs.collect();
            assert_eq!(pairs.len(), 32, "one flow, one outer port: {pairs:?}");
            let outer: BTreeSet<_> = pairs.iter().map(|(_, outer)| outer).collect();
            assert!(outer.len() >= ports, "{node}: the owner's queues idle: {pairs:?}");
        }
    }
}

#[test]
fn a_packet_too_big_to_cross_is_passed_and_counted() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a2"]).expect("routed");
    for (anycast, overhead) in ANYCAST.into_iter().zip(OVERHEAD) {
        let headers = if anycast.is_ipv4() { 28 } else { 48 };
        let longest = MTU - overhead - headers;
        let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        let before = refused(&fleet);
        send(&fleet, &packet(&fleet, anycast, 20_000, longest));
        counted.expect(1).expect("the longest crosses");
        assert_eq!(refused(&fleet), before);
        send(&fleet, &packet(&fleet, anycast, 20_000, longest + 1));
        let one_more = || refused(&fleet) == before.map(|count| count + 1);
        eventually("a longer one is counted", Duration::from_secs(5), one_more).expect("it is");
        counted.expect(1).expect("and does not cross");
    }
    // What landfast's own clients may send fits in any case (RFC 9000 section 18.2).
    assert_eq!(MTU - OVERHEAD[1] - 48, 1388);
}

/// Too big in the kernel, and passed; then in the process, which sends nothing on.
fn refused(fleet: &Fleet) -> [u64; 2] {
    let metrics = fleet.node("a2").metrics().expect("metrics");
    [metrics.packets("steer_node", Reason::TooBig), metrics.packets("edge", Reason::OwnerElsewhere)]
}
