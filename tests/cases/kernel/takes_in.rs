//! What another node encapsulated for us is unwrapped and passed, whoever owns it.

use tests::packet::{Encapsulation, SERVICE_VLAN, VLAN, long_header, short_header};

use super::fixture::{Case, Fixture, cases};
use super::fleet::{
    DEAD, KEYS, LAST, LIVE, LIVE_ELSEWHERE, OURSELVES, UNKNOWN, families, id, id_of,
};
use super::wire::{taken_in, taken_in_by, to_us};

cases![
    outer_headers_come_off_and_nothing_else,
    the_links_own_header_stays,
    the_previous_key_and_the_current_one_are_accepted,
    a_node_is_heard_however_it_fares,
    a_packet_from_a_node_is_never_sent_to_a_node,
    one_family_comes_inside_the_other,
    what_is_inside_is_not_judged,
];

fn outer_headers_come_off_and_nothing_else() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let headers_len = inner.clone().payload([]).ip().len();
        for length in (48..90).chain([100, 1400]) {
            let payload = short_header(&id_of(OURSELVES), 1400);
            let inner = inner.clone().payload(&payload[..length - headers_len]);
            let variant = format!("{family}, {length} bytes");
            let present = if length == 48 { "just" } else { "more than" };
            let sentence = format!("{present} what an inner packet has at least");
            case.add(taken_in(sentence, variant, &inner, LIVE, 1));
        }
        let inner = inner.payload(long_header(0xe0, 1, &id(3, OURSELVES), 900));
        let last_hop = inner.clone().with(|packet| packet.hops = 1).traffic_class(0xbb);
        let sentence = "on its last hop, congestion experienced";
        case.add(taken_in(sentence, family, &last_hop, LIVE, 1));
        let unsummed = inner.clone().with(|packet| packet.checksum = false);
        case.add(taken_in("without a UDP checksum", family, &unsummed, LIVE, 1));
        case.add(taken_in("from the last node", family, &inner, LAST, 1));
        // The outer headers' own: links between nodes may have hops, and a node's address is
        // believed by the tag, not by its distance.
        for (sentence, hops, class) in [
            ("an outer hop limit of 1", 1, 0),
            ("of 255", 255, 0),
            ("an outer class and ECN", 60, 0xbb),
        ] {
            let payload = Encapsulation::by(LIVE, 1).around(&inner.ip(), KEYS[1]);
            let mut outer = to_us(&inner, LIVE, payload);
            (outer.hops, outer.traffic_class) = (hops, class);
            let fixture = taken_in(sentence, family, &inner, LIVE, 1);
            case.add(Fixture { frame: outer.frame(), ..fixture });
            let mut outer_port = outer.clone();
            outer_port.source.set_port(1);
            let fixture = taken_in("any outer source port", family, &inner, LIVE, 1);
            case.add(Fixture { frame: outer_port.frame(), ..fixture });
            let summed = outer.with(|packet| packet.checksum = true);
            let fixture = taken_in("an outer UDP checksum", family, &inner, LIVE, 1);
            case.add(Fixture { frame: summed.frame(), ..fixture });
        }
    }
    case
}

fn the_links_own_header_stays() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let inner = inner.payload(short_header(&id_of(OURSELVES), 60));
        for (came, inner) in [
            ("came by a VLAN", inner.clone().tag(VLAN, 5)),
            ("came by a service VLAN", inner.clone().tag(SERVICE_VLAN, 5)),
            ("came by QinQ", inner.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
        ] {
            case.add(taken_in(came, family, &inner, LIVE, 1));
        }
        let mut padded = taken_in("padded", family, &inner, LIVE, 1);
        padded.frame.extend([0xee; 9]);
        padded.out.extend([0xee; 9]);
        case.add(padded);
    }
    case
}

fn the_previous_key_and_the_current_one_are_accepted() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let inner = inner.payload(short_header(&id_of(OURSELVES), 60));
        case.add(taken_in("the previous key", family, &inner, LIVE, 0));
        case.add(taken_in("the current key", family, &inner, LIVE, 1));
    }
    case
}

/// Liveness says whom we send to; a node that sends is heard, whatever we believe of it.
fn a_node_is_heard_however_it_fares() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let inner = inner.payload(short_header(&id_of(OURSELVES), 60));
        case.add(taken_in("from one that is agreed dead", family, &inner, DEAD, 1));
        case.add(taken_in("from one of which nobody knows", family, &inner, UNKNOWN, 1));
    }
    case
}

fn a_packet_from_a_node_is_never_sent_to_a_node() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        for (sentence, owner) in [
            ("it belongs to a third node that is live", LIVE_ELSEWHERE),
            ("it belongs to the very node that sent it", LIVE),
            ("it belongs to a node agreed dead", DEAD),
            ("it belongs to a node of which nobody knows", UNKNOWN),
            ("it belongs to no node", 99),
        ] {
            let inner = inner.clone().payload(short_header(&id_of(owner), 60));
            case.add(taken_in(sentence, family, &inner, LIVE, 1));
        }
    }
    case
}

/// The Ethernet header names the family of what is inside afterwards.
fn one_family_comes_inside_the_other() -> Case {
    let mut case = Case::default();
    let [(_, ipv4), (_, ipv6)] = families();
    for (name, inner, way) in [("IPv4 in IPv6", &ipv4, &ipv6), ("IPv6 in IPv4", &ipv6, &ipv4)] {
        for (came, inner) in [
            ("untagged", inner.clone()),
            ("by a VLAN", inner.clone().tag(VLAN, 6)),
            ("by QinQ", inner.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
        ] {
            let sentence = format!("{name}, came {came}");
            for rest in [3, 8, 16, 60, 1300] {
                let inner = inner.clone().payload(short_header(&id_of(OURSELVES), rest));
                let variant = format!("{rest} bytes");
                case.add(taken_in_by(way, &sentence, variant, &inner, LIVE, 1));
            }
            let inner = inner.clone().payload(short_header(&id_of(OURSELVES), 60));
            let mut padded = taken_in_by(way, format!("{sentence}, padded"), "", &inner, LIVE, 1);
            padded.frame.extend([0xee; 9]);
            padded.out.extend([0xee; 9]);
            case.add(padded);
        }
    }
    case
}

/// A node judged it already, and has other ports and configs for a moment while they change.
fn what_is_inside_is_not_judged() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let absent = inner.clone().payload(short_header(&id(5, OURSELVES), 60));
        case.add(taken_in("an ID of a config that we lack", family, &absent, LIVE, 1));
        let initial = inner.clone().payload(long_header(0xc3, 1, &[0xa5; 8], 1178));
        case.add(taken_in("an Initial", family, &initial, LIVE, 1));
        let no_quic = inner.clone().payload([0xff; 20]);
        case.add(taken_in("no QUIC packet", family, &no_quic, LIVE, 1));
    }
    case
}
