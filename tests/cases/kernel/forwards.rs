//! A packet of a live node's connection is encapsulated and sent there, whole and untouched.

use std::net::SocketAddr;

use edge_wire::Reason::{Forwarded, NoNextHop, TooBig};
use edge_wire::maps::{EncapsulationKey, Node, Path};
use tests::kernel::Action;
use tests::packet::{
    Encapsulation, Packet, SERVICE_VLAN, VLAN, filling, long_header, short_header,
};

use super::fixture::{
    CURRENT, Fixture, KEYS, LAST, LIVE, LIVE_ELSEWHERE, LIVE_IN_VLAN, MTU, ONLY_IPV4, ONLY_IPV6,
    OURSELVES, PORT, SOURCE_MAC, VLAN_ID, WITHOUT_ADDRESS, WITHOUT_NEXT_HOP, address_of, check,
    check_on, families, fleet, id, id_of, next_hop_mac, node, passed,
};

#[test]
fn every_config_and_header_names_the_owner() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        for config in [0, 1, 2, 3, 4, 6] {
            let of_another = id(config, LIVE);
            for (name, payload) in [
                ("short header", short_header(&of_another, 30)),
                ("greased fixed bit", [&[0x03], &of_another[..], &filling(40)].concat()),
                ("Handshake of version 1", long_header(0xe0, 1, &of_another, 400)),
                ("Handshake of version 2", long_header(0xf0, 0x6b33_43cf, &of_another, 400)),
                ("Initial after the server chose", long_header(0xc0, 1, &of_another, 1177)),
                ("0-RTT", long_header(0xd0, 1, &of_another, 40)),
                ("an unknown version", long_header(0x8f, 0xdead_beef, &of_another, 40)),
                ("greased, long", long_header(0xa0, 1, &of_another, 40)),
            ] {
                let sentence = format!("{family}, config {config}, {name}");
                fixtures.push(sent(sentence, &packet.clone().payload(payload), LIVE, Action::Tx));
            }
        }
        let last = packet.payload(short_header(&id_of(LAST), 30));
        fixtures.push(sent(format!("{family}, the last node"), &last, LAST, Action::Tx));
    }
    check(fixtures);
}

#[test]
fn every_length_is_sealed_and_sent_whole() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        // The tag covers 64 bytes of the inner packet, filled up where there are fewer.
        for rest in (3..40).chain([100, 500, 1353, 1388 - 18]) {
            let packet = packet.clone().payload(short_header(&id_of(LIVE), rest));
            let sentence = format!("{family}, payload of {} bytes", packet.payload.len());
            fixtures.push(sent(sentence, &packet, LIVE, Action::Tx));
        }
    }
    check(fixtures);
}

#[test]
fn tags_are_the_links_own() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        for (owner, way) in [(LIVE, "untagged"), (LIVE_IN_VLAN, "by a VLAN")] {
            let packet = packet.clone().payload(short_header(&id_of(owner), 60));
            for (came, packet) in [
                ("untagged", packet.clone()),
                ("by a VLAN", packet.clone().tag(VLAN, 5)),
                ("by a service VLAN", packet.clone().tag(SERVICE_VLAN, 5)),
                ("by QinQ", packet.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
                ("by two VLAN tags", packet.clone().tag(VLAN, 5).tag(VLAN, 6)),
            ] {
                let sentence = format!("{family}, came {came}, goes {way}");
                fixtures.push(sent(sentence, &packet, owner, Action::Tx));
            }
        }
    }
    check(fixtures);
}

#[test]
fn another_device_is_a_redirect() {
    check(families().map(|(family, packet)| {
        let packet = packet.payload(short_header(&id_of(LIVE_ELSEWHERE), 60));
        sent(format!("{family}, by another device"), &packet, LIVE_ELSEWHERE, Action::Redirect)
    }));
}

#[test]
fn the_class_is_copied_and_congestion_is_not() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        // AF41, EF, CS6 and none, each with each ECN field.
        for class in [0x88, 0xb8, 0xc0, 0x00].into_iter().flat_map(|dscp| dscp..=dscp | 3) {
            let payload = short_header(&id_of(LIVE), 60);
            let packet = packet.clone().traffic_class(class).payload(payload);
            let sentence = format!("{family}, traffic class {class:#04x}");
            fixtures.push(sent(sentence, &packet, LIVE, Action::Tx));
        }
    }
    check(fixtures);
}

#[test]
fn nothing_of_the_packet_is_touched() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 60));
        let last_hop = packet.clone().with(|packet| packet.hops = 1);
        fixtures.push(sent(format!("{family}, on its last hop"), &last_hop, LIVE, Action::Tx));
        let unsummed = packet.clone().with(|packet| packet.checksum = false);
        let sentence = format!("{family}, without a UDP checksum");
        fixtures.push(sent(sentence, &unsummed, LIVE, Action::Tx));
        let mut padded = sent(format!("{family}, padded"), &packet, LIVE, Action::Tx);
        padded.frame.extend([0xee; 9]);
        fixtures.push(padded);
    }
    check(fixtures);
}

#[test]
fn clients_spread_over_the_outer_source_ports() {
    let mut kernel = fleet();
    let mut ports: Vec<u16> = (0..200)
        .map(|client| {
            let packet = Packet::ipv6().with(|packet| packet.source.set_port(40_000 + client));
            let run = kernel.run(&packet.payload(short_header(&id_of(LIVE), 60)).frame());
            u16::from_be_bytes([run.bytes[54], run.bytes[55]])
        })
        .collect();
    assert!(ports.iter().all(|port| *port >= 49_152), "the dynamic range: {ports:?}");
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 150, "200 clients on {} ports", ports.len());
}

#[test]
fn what_does_not_fit_is_passed() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        let headers = overhead(&packet) + packet.ip().len() + 18;
        let largest = usize::from(MTU) - headers;
        let fits = packet.clone().payload(short_header(&id_of(LIVE), largest));
        fixtures.push(sent(format!("{family}, just fits"), &fits, LIVE, Action::Tx));
        let frame = packet.payload(short_header(&id_of(LIVE), largest + 1)).frame();
        fixtures.push(passed(format!("{family}, one byte more"), frame, TooBig));
    }
    check(fixtures);
}

#[test]
fn without_a_way_a_packet_is_passed() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        for (owner, name) in [
            (WITHOUT_NEXT_HOP, "no next hop and no route"),
            (WITHOUT_ADDRESS, "an owner without an address"),
        ] {
            let frame = packet.clone().payload(short_header(&id_of(owner), 60)).frame();
            fixtures.push(passed(format!("{family}, {name}"), frame, NoNextHop));
        }
    }
    check(fixtures);
}

#[test]
fn without_the_key_to_send_with_a_packet_is_passed() {
    let mut kernel = fleet();
    kernel.set_key(u32::from(CURRENT), EncapsulationKey::ABSENT);
    let fixtures = families().map(|(family, packet)| {
        let frame = packet.payload(short_header(&id_of(LIVE), 60)).frame();
        passed(format!("{family}, no key"), frame, NoNextHop)
    });
    check_on(&mut kernel, fixtures);
}

#[test]
fn each_family_has_a_way_of_its_own() {
    let mut fixtures = Vec::new();
    for (owner, way) in [(ONLY_IPV4, Packet::ipv4()), (ONLY_IPV6, Packet::ipv6())] {
        for (family, packet) in families() {
            for (came, packet) in [
                ("untagged", packet.clone()),
                ("by QinQ", packet.tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
            ] {
                for rest in [3, 8, 60, 1300] {
                    let packet = packet.clone().payload(short_header(&id_of(owner), rest));
                    let sentence = format!("{family}, {came}, {rest} bytes, to node {owner}");
                    fixtures.push(sent_in(&way, sentence, &packet, owner, Action::Tx));
                }
            }
        }
    }
    check(fixtures);
}

/// Not even where the other family has a way: the route of its own will come.
#[test]
fn a_family_with_addresses_waits_for_its_own_way() {
    let mut kernel = fleet();
    let ipv6 = Path { interface: 0, ..node(LIVE).ipv6 };
    kernel.set_node(LIVE, Node { ipv6, ..node(LIVE) });
    let packet = Packet::ipv6().payload(short_header(&id_of(LIVE), 60));
    check_on(&mut kernel, [passed("IPv6, without a route yet", packet.frame(), NoNextHop)]);
}

/// A packet that is sent to `owner`, with what stands on the wire then.
fn sent(sentence: String, packet: &Packet, owner: u16, action: Action) -> Fixture {
    sent_in(packet, sentence, packet, owner, action)
}

/// As [`sent`], the outer headers of the family of `way`.
fn sent_in(way: &Packet, sentence: String, packet: &Packet, owner: u16, action: Action) -> Fixture {
    let mut outer = packet.clone();
    outer.macs = (next_hop_mac(owner), SOURCE_MAC);
    outer.tags = if owner == LIVE_IN_VLAN { vec![(VLAN, VLAN_ID)] } else { Vec::new() };
    outer.source = address_of(OURSELVES, way, source_port(packet.source));
    outer.destination = address_of(owner, way, PORT);
    outer.traffic_class = packet.traffic_class & 0xfc;
    outer.hops = 64;
    outer.fragment = [0, 0, 0x40, 0]; // don't fragment
    outer.checksum = false;
    let encapsulation = Encapsulation::by(OURSELVES, CURRENT);
    outer.payload = encapsulation.around(&packet.ip(), KEYS[usize::from(CURRENT)]);
    Fixture { sentence, frame: packet.frame(), action, out: outer.frame(), reason: Forwarded }
}

/// The outer source port, as `edge_wire::tunnel` documents it.
fn source_port(client: SocketAddr) -> u16 {
    let words = match client {
        SocketAddr::V4(client) => vec![u32::from_le_bytes(client.ip().octets())],
        SocketAddr::V6(client) => {
            let octets = client.ip().octets();
            octets.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("4"))).collect()
        }
    };
    let folded = words.into_iter().fold(u32::from(client.port()) << 8, |all, word| all ^ word);
    0xc000 | (folded.wrapping_mul(0x9e37_79b1) >> 18) as u16
}

fn overhead(packet: &Packet) -> usize {
    if packet.source.is_ipv4() { 20 + 8 + 16 } else { 40 + 8 + 16 }
}
