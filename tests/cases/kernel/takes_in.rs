//! What another node encapsulated for us is unwrapped and passed, whoever owns it.

use edge_wire::Reason::Stripped;
use tests::kernel::Action;
use tests::packet::{Encapsulation, Packet, SERVICE_VLAN, VLAN, long_header, short_header};

use super::fixture::{
    DEAD, Fixture, KEYS, LAST, LIVE, LIVE_ELSEWHERE, OURSELVES, PORT, UNKNOWN, address_of, check,
    families, id, id_of,
};

#[test]
fn outer_headers_come_off_and_nothing_else() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        for rest in (0..40).chain([100, 1353]) {
            let inner = inner.clone().payload(short_header(&id_of(OURSELVES), rest));
            let sentence = format!("{family}, payload of {} bytes", inner.payload.len());
            fixtures.push(taken_in(sentence, &inner, LIVE, 1));
        }
        let inner = inner.payload(long_header(0xe0, 1, &id(3, OURSELVES), 900));
        let last_hop = inner.clone().with(|packet| packet.hops = 1).traffic_class(0xbb);
        let sentence = format!("{family}, on its last hop, congestion experienced");
        fixtures.push(taken_in(sentence, &last_hop, LIVE, 1));
        let sentence = format!("{family}, from the last node");
        fixtures.push(taken_in(sentence, &inner, LAST, 1));
        let sentence = format!("{family}, from a node that is agreed dead, and speaks");
        fixtures.push(taken_in(sentence, &inner, DEAD, 1));
    }
    check(fixtures);
}

#[test]
fn the_links_own_header_stays() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        let inner = inner.payload(short_header(&id_of(OURSELVES), 60));
        for (came, inner) in [
            ("by a VLAN", inner.clone().tag(VLAN, 5)),
            ("by a service VLAN", inner.clone().tag(SERVICE_VLAN, 5)),
            ("by QinQ", inner.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
        ] {
            fixtures.push(taken_in(format!("{family}, came {came}"), &inner, LIVE, 1));
        }
        let mut padded = taken_in(format!("{family}, padded"), &inner, LIVE, 1);
        padded.frame.extend([0xee; 9]);
        padded.out.extend([0xee; 9]);
        fixtures.push(padded);
    }
    check(fixtures);
}

#[test]
fn the_previous_key_and_the_current_one_are_accepted() {
    check(families().into_iter().flat_map(|(family, inner)| {
        let inner = inner.payload(short_header(&id_of(OURSELVES), 60));
        [0, 1].map(|key| taken_in(format!("{family}, key {key}"), &inner, LIVE, key))
    }));
}

/// Liveness says whom we send to; a node that sends is heard, whatever we believe of it.
#[test]
fn a_node_is_heard_however_it_fares() {
    check(families().into_iter().flat_map(|(family, inner)| {
        let inner = inner.payload(short_header(&id_of(OURSELVES), 60));
        [DEAD, UNKNOWN].map(|from| taken_in(format!("{family}, from node {from}"), &inner, from, 1))
    }));
}

#[test]
fn a_packet_from_a_node_is_never_sent_to_a_node() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        for (owner, name) in [
            (LIVE_ELSEWHERE, "a third node that is live"),
            (LIVE, "the very node that sent it"),
            (UNKNOWN, "a node of which nobody knows"),
        ] {
            let inner = inner.clone().payload(short_header(&id_of(owner), 60));
            let sentence = format!("{family}: it belongs to {name}, and would go round");
            fixtures.push(taken_in(sentence, &inner, LIVE, 1));
        }
    }
    check(fixtures);
}

/// The Ethernet header names the family of what is inside afterwards.
#[test]
fn one_family_comes_inside_the_other() {
    let mut fixtures = Vec::new();
    let [(_, ipv4), (_, ipv6)] = families();
    for (name, inner, way) in [("IPv4 in IPv6", &ipv4, &ipv6), ("IPv6 in IPv4", &ipv6, &ipv4)] {
        let tagged = inner.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6);
        for (came, inner) in [("untagged", inner.clone()), ("by QinQ", tagged)] {
            for rest in [3, 8, 60, 1300] {
                let inner = inner.clone().payload(short_header(&id_of(OURSELVES), rest));
                let sentence = format!("{name}, {came}, {rest} bytes");
                fixtures.push(taken_in_by(way, sentence, &inner, LIVE, 1));
            }
        }
    }
    check(fixtures);
}

/// A packet that `from` encapsulated for us, under one of the keys.
fn taken_in(sentence: String, inner: &Packet, from: u16, key: u8) -> Fixture {
    taken_in_by(inner, sentence, inner, from, key)
}

/// As [`taken_in`], the outer headers of the family of `way`.
fn taken_in_by(way: &Packet, sentence: String, inner: &Packet, from: u16, key: u8) -> Fixture {
    let encapsulation = Encapsulation::by(from, key);
    let mut outer = inner.clone();
    outer.source = address_of(from, way, 50_000);
    outer.destination = address_of(OURSELVES, way, PORT);
    outer.traffic_class = 0;
    outer.hops = 60;
    outer.checksum = false;
    outer.payload = encapsulation.around(&inner.ip(), KEYS[usize::from(key)]);
    let (frame, out) = (outer.frame(), inner.frame());
    Fixture { sentence, frame, action: Action::Pass, out, reason: Stripped }
}
