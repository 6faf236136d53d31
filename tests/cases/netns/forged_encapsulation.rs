//! Encapsulated packets that no node of the fleet sent are dropped, and counted by what is wrong.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use edge_user::fleet::Secrets;
use edge_wire::tunnel::{self, Header};
use edge_wire::{Reason, siphash};
use tests::fleet::namespace::Namespace;
use tests::fleet::topology::ANYCAST_IPV4;
use tests::fleet::{ANYCAST, CLIENT, Fleet, FleetOptions, Node, PORT, Place};

const ENCAPSULATION_PORT: u16 = 7842;

/// A client's packet, as a node would send it on.
fn inner() -> Vec<u8> {
    let IpAddr::V4(client) = CLIENT[0][0] else { panic!("the first is IPv4") };
    let payload = [0x40; 60];
    let ports = (4711, PORT);
    let headers =
        tunnel::ipv4_udp(client.octets(), ANYCAST_IPV4.octets(), 0, ports, payload.len() as u16);
    [&headers[..], &payload].concat()
}

fn encapsulated(header: Header) -> Vec<u8> {
    [&header.to_bytes()[..], &inner()].concat()
}

/// Sends `payload` to the encapsulation port of a1 and waits until that is counted as `reason`.
fn expect(fleet: &Fleet, from: &Namespace, source: Ipv4Addr, payload: &[u8], reason: Reason) {
    let a1 = fleet.node("a1");
    let before = count(a1, reason);
    from.enter(|| {
        let socket = UdpSocket::bind((source, 0)).expect("a port");
        socket.send_to(payload, (a1.place().ipv4(), ENCAPSULATION_PORT)).expect("sent");
    });
    let timeout = std::time::Duration::from_secs(2);
    tests::fleet::eventually(reason.name(), timeout, || count(a1, reason) == before + 1)
        .unwrap_or_else(|error| panic!("{error:#}"));
}

fn count(node: &Node, reason: Reason) -> u64 {
    node.metrics().expect("metrics").packets("steer_node", reason)
}

#[test]
fn what_no_node_sent_is_dropped_and_counted() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let secrets = Secrets::load(&fleet.fleet_file()).expect("the fleet file");
    let secret = &secrets.encapsulation_keys[0];
    let key = siphash::key(secret.key);
    let inner = inner();
    let covered = tunnel::covered_of(&inner);
    let valid = Header::sealed(&key, secret.key_id, 2, inner.len() as u16, &covered);
    let a2 = fleet.node("a2").namespace();
    let at_a2 = Place::named("a2").ipv4();

    let forged = encapsulated(Header { tag: valid.tag ^ 1, ..valid });
    expect(&fleet, a2, at_a2, &forged, Reason::EncapsulationForged);
    let (b1, at_b1) = (fleet.node("b1").namespace(), Place::named("b1").ipv4());
    expect(&fleet, b1, at_b1, &encapsulated(valid), Reason::EncapsulationSender);
    let IpAddr::V4(client) = CLIENT[0][0] else { panic!("the first is IPv4") };
    let namespace = fleet.client().namespace();
    expect(&fleet, namespace, client, &encapsulated(valid), Reason::EncapsulationSender);
    let other_key = encapsulated(Header { key_id: valid.key_id ^ 3, ..valid });
    expect(&fleet, a2, at_a2, &other_key, Reason::EncapsulationKey);
    expect(&fleet, a2, at_a2, b"\x01nonsense", Reason::EncapsulationMalformed);

    // The same bytes from the node that they name are believed: the test sends what it means to.
    expect(&fleet, a2, at_a2, &encapsulated(valid), Reason::Stripped);
    fleet.router().route_to(&["a1"]).expect("routed");
    assert_eq!(fleet.client().pycurl(ANYCAST[0]).expect("answered").name, "a1");
}
