//! Encapsulated packets that no node of the fleet sent, or not for this: dropped, or taken in and
//! never sent on; and counted by what is wrong.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use edge_wire::cid::ServerId;
use edge_wire::{Reason, siphash};
use fleet_wire::secrets::Secrets;
use tests::fleet::client::first_address;
use tests::fleet::namespace::Namespace;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, Node, PORT, Place, Steering, eventually};
use tests::packet::{Encapsulation, Packet, short_header};

const ENCAPSULATION_PORT: u16 = 7842;
const WITHIN: Duration = Duration::from_secs(5);

/// What a node of the fleet seals with.
struct Key {
    key_id: u8,
    key: [u64; 2],
}

impl Key {
    fn of(fleet: &Fleet) -> Self {
        let secrets = Secrets::load(&fleet.fleet_file()).expect("the fleet file");
        let secret = &secrets.encapsulation_keys[0];
        Self { key_id: secret.key_id, key: siphash::key(secret.key) }
    }

    /// As a2 would send it.
    fn seal(&self, inner: &[u8]) -> Vec<u8> {
        Encapsulation::by(2, self.key_id).around(inner, self.key)
    }
}

/// A client's packet of a connection of this node.
fn inner(fleet: &Fleet, anycast: IpAddr, node: u16) -> Packet {
    let owner = ServerId { node, worker: 0, generation: 1 };
    let id = fleet.connection_id(owner).expect("an ID");
    Packet::ipv4().payload(short_header(&id, 60)).with(|packet| {
        packet.source = SocketAddr::new(first_address(anycast), 4711);
        packet.destination = SocketAddr::new(anycast, PORT);
    })
}

/// The node's address of the family of `anycast`.
fn address(node: &str, anycast: IpAddr) -> IpAddr {
    let place = Place::named(node);
    match anycast {
        IpAddr::V4(_) => place.ipv4().into(),
        IpAddr::V6(_) => place.ipv6().into(),
    }
}

fn send(from: &Namespace, source: IpAddr, to: IpAddr, payload: &[u8]) {
    from.enter(|| {
        let socket = UdpSocket::bind((source, 0)).expect("a port");
        socket.send_to(payload, (to, ENCAPSULATION_PORT)).expect("sent");
    });
}

/// Of whichever program takes encapsulated packets there.
fn count(node: &Node, reason: Reason) -> u64 {
    let metrics = node.metrics().expect("metrics");
    metrics.packets("steer_node", reason) + metrics.packets("relay", reason)
}

/// Sends `payload` to the encapsulation port of a node and waits until that is counted as `reason`.
fn expect(to: &Node, anycast: IpAddr, from: (&Namespace, IpAddr), payload: &[u8], reason: Reason) {
    let before = count(to, reason);
    send(from.0, from.1, address(to.place().name, anycast), payload);
    eventually(reason.name(), WITHIN, || count(to, reason) == before + 1)
        .unwrap_or_else(|error| panic!("at {}: {error:#}", to.place().name));
}

#[test]
fn what_no_node_sent_is_dropped_and_counted() {
    let options =
        FleetOptions { exceptions: vec![("a3", Steering::UserSpace)], ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    let key = Key::of(&fleet);
    for (anycast, to) in ANYCAST.into_iter().flat_map(|anycast| [(anycast, "a1"), (anycast, "a3")])
    {
        let to = fleet.node(to);
        let inner = inner(&fleet, anycast, to.place().id.into()).ip();
        let valid = key.seal(&inner);
        let from = |node: &str| (fleet.node(node).namespace(), address(node, anycast));

        let mut forged = valid.clone();
        forged[15] ^= 1; // the last byte of the tag
        expect(to, anycast, from("a2"), &forged, Reason::EncapsulationForged);
        let mut changed = valid.clone();
        changed[16 + 15] ^= 1; // of the client's address, which the tag covers
        expect(to, anycast, from("a2"), &changed, Reason::EncapsulationForged);
        // Genuine, but replayed by somebody else: a node, or a client.
        expect(to, anycast, from("b1"), &valid, Reason::EncapsulationSender);
        let client = (fleet.client().namespace(), first_address(anycast));
        expect(to, anycast, client, &valid, Reason::EncapsulationSender);
        let other_key = Encapsulation::by(2, key.key_id ^ 3).around(&inner, key.key);
        expect(to, anycast, from("a2"), &other_key, Reason::EncapsulationKey);
        expect(to, anycast, from("a2"), b"\x01nonsense", Reason::EncapsulationMalformed);
        // The same bytes from the node that they name are believed: the test sends what it means to.
        expect(to, anycast, from("a2"), &valid, Reason::Stripped);
    }
    fleet.router().route_to(&["a1"]).expect("routed");
    assert_eq!(fleet.client().pycurl(ANYCAST[0]).expect("answered").name, "a1");
}

#[test]
fn a_packet_that_came_from_a_node_is_never_sent_to_a_node_again() {
    let options =
        FleetOptions { exceptions: vec![("a3", Steering::UserSpace)], ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    let key = Key::of(&fleet);
    let tap = fleet.tap().expect("a tap");
    let mut sent = 0;
    for (anycast, at) in ANYCAST.into_iter().flat_map(|anycast| [(anycast, "a1"), (anycast, "a3")])
    {
        let (node, from) = (fleet.node(at), (fleet.node("a2").namespace(), address("a2", anycast)));
        // Of b1's connection, which is live: from a client it would be sent there.
        let elsewhere = || {
            let metrics = node.metrics().expect("metrics");
            metrics.packets("edge", Reason::OwnerElsewhere)
        };
        let before = elsewhere();
        let of_b1 = key.seal(&inner(&fleet, anycast, 4).ip());
        expect(node, anycast, from, &of_b1, Reason::Stripped);
        eventually("it ends there", WITHIN, || elsewhere() == before + 1).expect("it does");

        // An encapsulated packet around another, whoever the outer or the inner one is for.
        let nested = |to: IpAddr| {
            let inner = Packet::ipv4().payload(of_b1.clone()).with(|packet| {
                packet.source = SocketAddr::new(address("a2", anycast), 50_000);
                packet.destination = SocketAddr::new(to, ENCAPSULATION_PORT);
            });
            key.seal(&inner.ip())
        };
        for to in [at, "b1"] {
            let nested = nested(address(to, anycast));
            expect(node, anycast, from, &nested, Reason::EncapsulationMalformed);
        }
        sent += 3;
        assert_eq!(count(node, Reason::Forwarded), 0, "{at} sends on");
    }
    eventually("the tap hears it", WITHIN, || tap.crossings().len() >= sent).expect("it does");
    let crossed = tap.crossings();
    let by_us = crossed.iter().filter(|crossing| {
        ANYCAST.iter().any(|anycast| crossing.outer.source.ip() == address("a2", *anycast))
    });
    assert_eq!(by_us.count(), sent, "the tap hears what the test sends");
    assert_eq!(crossed.len(), sent, "a node sent something on");
}
