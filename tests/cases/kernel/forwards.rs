//! A packet of a live node's connection is encapsulated and sent there, whole and untouched.

use edge_wire::Reason::{Forwarded, NoNextHop};
use edge_wire::maps::{EncapsulationKey, Node, Path};
use tests::packet::{Packet, SERVICE_VLAN, VLAN, filling, long_header, short_header};

use super::fixture::{Case, cases, passed};
use super::fleet::{
    CURRENT, LAST, LIVE, LIVE_ELSEWHERE, LIVE_IN_VLAN, ONLY_IPV4, ONLY_IPV6, WITHOUT_ADDRESS,
    WITHOUT_NEXT_HOP, families, fleet, id, id_of, node,
};
use super::wire::{sent, sent_in};

cases![
    every_config_and_header_names_the_owner,
    every_length_is_sealed_and_sent_whole,
    tags_are_the_links_own,
    another_device_is_a_redirect,
    the_class_is_copied_and_congestion_is_not,
    nothing_of_the_packet_is_touched,
    without_a_way_a_packet_is_passed,
    without_the_key_to_send_with_a_packet_is_passed,
    a_node_that_is_live_again_gets_its_packets,
    each_family_has_a_way_of_its_own,
    a_family_with_addresses_waits_for_its_own_way,
];

fn every_config_and_header_names_the_owner() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for config in [0, 1, 2, 3, 4, 6] {
            let of_another = id(config, LIVE);
            for (sentence, payload) in [
                ("short header", short_header(&of_another, 30)),
                ("greased fixed bit", [&[0x03], &of_another[..], &filling(40)].concat()),
                (
                    "every bit of a short header set",
                    [&[0x7f], &of_another[..], &filling(40)].concat(),
                ),
                ("Handshake of version 1", long_header(0xe0, 1, &of_another, 400)),
                ("Handshake of version 2", long_header(0xf0, 0x6b33_43cf, &of_another, 400)),
                ("Initial after the server chose", long_header(0xc0, 1, &of_another, 1177)),
                ("0-RTT", long_header(0xd0, 1, &of_another, 40)),
                ("an unknown version", long_header(0x8f, 0xdead_beef, &of_another, 40)),
                ("greased, long", long_header(0xa0, 1, &of_another, 40)),
            ] {
                let packet = packet.clone().payload(payload);
                case.add(sent(sentence, format!("{family}, config {config}"), &packet, LIVE));
            }
        }
        let last = packet.payload(short_header(&id_of(LAST), 30));
        case.add(sent("the last node", family, &last, LAST));
    }
    case
}

fn every_length_is_sealed_and_sent_whole() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        // The tag covers 64 bytes of the inner packet, filled up where there are fewer.
        for rest in (3..40).chain([100, 500, 1353, 1388 - 18]) {
            let packet = packet.clone().payload(short_header(&id_of(LIVE), rest));
            let (headers, whole) = (packet.ip().len() - packet.payload.len(), packet.ip().len());
            let sentence = match whole {
                ..64 => "less than the tag covers",
                64 => "just what the tag covers",
                _ if headers + 1388 == whole => "the largest payload of ours",
                _ => "more than the tag covers",
            };
            let variant = format!("{family}, payload of {} bytes", packet.payload.len());
            case.add(sent(sentence, variant, &packet, LIVE));
        }
    }
    case
}

fn tags_are_the_links_own() -> Case {
    let mut case = Case::default();
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
                case.add(sent(format!("came {came}, goes {way}"), family, &packet, owner));
            }
        }
    }
    case
}

fn another_device_is_a_redirect() -> Case {
    Case::of(families().map(|(family, packet)| {
        let packet = packet.payload(short_header(&id_of(LIVE_ELSEWHERE), 60));
        sent("by another device", family, &packet, LIVE_ELSEWHERE)
    }))
}

fn the_class_is_copied_and_congestion_is_not() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for (sentence, dscp) in
            [("AF41", 0x88), ("EF", 0xb8), ("CS6", 0xc0), ("no class", 0x00), ("every bit", 0xfc)]
        {
            for class in dscp..=dscp | 3 {
                let payload = short_header(&id_of(LIVE), 60);
                let packet = packet.clone().traffic_class(class).payload(payload);
                let variant = format!("{family}, ECN {:02b}", class & 3);
                case.add(sent(sentence, variant, &packet, LIVE));
            }
        }
    }
    case
}

fn nothing_of_the_packet_is_touched() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 60));
        for hops in [0, 1, 255] {
            let sentence = format!("a hop limit of {hops}");
            let packet = packet.clone().with(|packet| packet.hops = hops);
            case.add(sent(sentence, family, &packet, LIVE));
        }
        let unsummed = packet.clone().with(|packet| packet.checksum = false);
        case.add(sent("without a UDP checksum", family, &unsummed, LIVE));
        for padding in [1, 9, 700] {
            let mut padded = sent("padded", format!("{family}, {padding} bytes"), &packet, LIVE);
            padded.frame.extend(vec![0xee; padding]);
            case.add(padded);
        }
        let reserved = packet.clone().with(|packet| packet.fragment = [0xff, 0xff, 0x80, 0]);
        case.add(sent("a reserved flag, and an identification", family, &reserved, LIVE));
        let mut between = packet.clone();
        between.source.set_port(0);
        case.add(sent("from port 0", family, &between, LIVE));
    }
    case
}

#[test]
fn clients_spread_over_the_outer_source_ports() {
    let mut kernel = fleet();
    let mut ports: Vec<u16> = (0..200)
        .map(|client| {
            let packet = Packet::ipv6().with(|packet| packet.source.set_port(40_000 + client));
            let run = kernel.run(&packet.payload(short_header(&id_of(LIVE), 60)).frame());
            assert_eq!(run.counted, [(Forwarded, 1)]);
            u16::from_be_bytes([run.bytes[54], run.bytes[55]])
        })
        .collect();
    assert!(ports.iter().all(|port| *port >= 49_152), "the dynamic range: {ports:?}");
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() > 150, "200 clients on {} ports", ports.len());
}

fn without_a_way_a_packet_is_passed() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for (sentence, owner) in [
            ("no next hop and no route", WITHOUT_NEXT_HOP),
            ("an owner without an address", WITHOUT_ADDRESS),
        ] {
            let frame = packet.clone().payload(short_header(&id_of(owner), 60)).frame();
            case.add(passed(sentence, family, frame, NoNextHop));
        }
    }
    case
}

fn without_the_key_to_send_with_a_packet_is_passed() -> Case {
    let mut case = Case::default();
    case.change(|kernel| kernel.set_key(u32::from(CURRENT), EncapsulationKey::ABSENT));
    for (family, packet) in families() {
        let frame = packet.payload(short_header(&id_of(LIVE), 60)).frame();
        case.add(passed("no key", family, frame, NoNextHop));
    }
    case
}

fn a_node_that_is_live_again_gets_its_packets() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 60));
        for (sentence, state, reason) in [
            ("it dies", super::fleet::DEAD, edge_wire::Reason::OwnerDead),
            ("nobody knows any more", super::fleet::UNKNOWN, edge_wire::Reason::OwnerUnknown),
        ] {
            let state = node(state).state;
            case.change(move |kernel| kernel.set_node(LIVE, Node { state, ..node(LIVE) }));
            case.add(passed(sentence, family, packet.frame(), reason));
        }
        case.change(|kernel| kernel.set_node(LIVE, node(LIVE)));
        case.add(sent("it is back", family, &packet, LIVE));
    }
    case
}

fn each_family_has_a_way_of_its_own() -> Case {
    let mut case = Case::default();
    for (owner, way, name) in
        [(ONLY_IPV4, Packet::ipv4(), "IPv4"), (ONLY_IPV6, Packet::ipv6(), "IPv6")]
    {
        for (family, packet) in families() {
            let payload = short_header(&id_of(owner), 60);
            let packet = packet.payload(payload);
            for (came, packet) in [
                ("untagged", packet.clone()),
                ("by a VLAN", packet.clone().tag(VLAN, 5)),
                ("by QinQ", packet.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
            ] {
                let sentence = format!("{family} in {name}, came {came}");
                for rest in [3, 8, 16, 60, 1300] {
                    let packet = packet.clone().payload(short_header(&id_of(owner), rest));
                    let variant = format!("{rest} bytes");
                    case.add(sent_in(&way, &sentence, variant, &packet, owner));
                }
            }
        }
    }
    case
}

/// Not even where the other family has a way: the route of its own will come.
fn a_family_with_addresses_waits_for_its_own_way() -> Case {
    let mut case = Case::default();
    case.change(|kernel| {
        let ipv6 = Path { interface: 0, ..node(LIVE).ipv6 };
        kernel.set_node(LIVE, Node { ipv6, ..node(LIVE) });
    });
    let [(_, ipv4), (_, ipv6)] = families();
    let ipv6 = ipv6.payload(short_header(&id_of(LIVE), 60));
    case.add(passed("IPv6, without a route yet", "", ipv6.frame(), NoNextHop));
    let ipv4 = ipv4.payload(short_header(&id_of(LIVE), 60));
    case.add(sent("IPv4, which has one", "", &ipv4, LIVE));
    case
}
