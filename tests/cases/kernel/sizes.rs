//! What just fits through the way to a node is sent, and one byte more is passed.

use edge_wire::Reason::TooBig;
use edge_wire::maps::{Node, Path};
use tests::packet::{Packet, SERVICE_VLAN, VLAN, short_header};

use super::fixture::{Case, cases, passed};
use super::fleet::{LIVE, LIVE_IN_VLAN, MTU, ONLY_IPV4, ONLY_IPV6, families, id_of, node};
use super::wire::{overhead, sent_in};

cases![
    the_mtu_holds_for_each_family_in_each,
    padding_is_no_part_of_the_packet,
    the_mtu_is_the_ways_own,
];

/// The inner family, the outer one, and a node that is reached so.
fn ways() -> [(&'static str, Packet, Packet, u16); 4] {
    let [(_, ipv4), (_, ipv6)] = families();
    [
        ("IPv4 in IPv4", ipv4.clone(), ipv4.clone(), LIVE),
        ("IPv6 in IPv6", ipv6.clone(), ipv6.clone(), LIVE),
        ("IPv4 in IPv6", ipv4.clone(), ipv6.clone(), ONLY_IPV6),
        ("IPv6 in IPv4", ipv6, ipv4, ONLY_IPV4),
    ]
}

/// A packet that with its outer headers is of `length` bytes.
fn of_length(length: usize, inner: &Packet, way: &Packet, owner: u16) -> Packet {
    let headers = overhead(way) + inner.ip().len() + short_header(&id_of(owner), 0).len();
    inner.clone().payload(short_header(&id_of(owner), length - headers))
}

fn the_mtu_holds_for_each_family_in_each() -> Case {
    let mut case = Case::default();
    for (name, inner, way, owner) in ways() {
        for (came, inner) in [
            ("untagged", inner.clone()),
            ("by a VLAN", inner.clone().tag(VLAN, 5)),
            ("by QinQ", inner.clone().tag(SERVICE_VLAN, 5).tag(VLAN, 6)),
        ] {
            let fits = of_length(usize::from(MTU), &inner, &way, owner);
            case.add(sent_in(&way, format!("{name} just fits"), came, &fits, owner));
            let more = of_length(usize::from(MTU) + 1, &inner, &way, owner);
            case.add(passed(format!("{name}, one byte more"), came, more.frame(), TooBig));
        }
    }
    // The tag that it goes out with is the link's, and no part of the IP packet.
    for (family, inner) in families() {
        let fits = of_length(usize::from(MTU), &inner, &inner, LIVE_IN_VLAN);
        case.add(sent_in(&inner, "just fits, into a VLAN", family, &fits, LIVE_IN_VLAN));
        let more = of_length(usize::from(MTU) + 1, &inner, &inner, LIVE_IN_VLAN);
        case.add(passed("one byte more, into a VLAN", family, more.frame(), TooBig));
    }
    case
}

/// A frame may be longer than the packet in it: what is behind is not sent, nor counted.
fn padding_is_no_part_of_the_packet() -> Case {
    let mut case = Case::default();
    for (name, inner, way, owner) in ways() {
        for padding in [1, 46, 200] {
            let fits = of_length(usize::from(MTU), &inner, &way, owner);
            let variant = format!("{padding} bytes");
            let mut fits =
                sent_in(&way, format!("{name} just fits, padded"), &variant, &fits, owner);
            fits.frame.extend(vec![0xee; padding]);
            case.add(fits);
            let mut more = of_length(usize::from(MTU) + 1, &inner, &way, owner).frame();
            more.extend(vec![0xee; padding]);
            case.add(passed(format!("{name}, one byte more, padded"), variant, more, TooBig));
        }
    }
    case
}

fn the_mtu_is_the_ways_own() -> Case {
    let mut case = Case::default();
    for (sentence, mtu) in [
        ("the least that IPv6 allows", 1280),
        ("a tunnel's", 1420),
        ("a large one", 3000),
        ("as large as can be", u16::MAX),
    ] {
        case.change(move |kernel| kernel.set_node(LIVE, with_mtu(mtu)));
        for (family, packet) in families() {
            let fits = of_length(usize::from(mtu.min(3000)), &packet, &packet, LIVE);
            case.add(sent_in(&packet, format!("{sentence}, just fits"), family, &fits, LIVE));
            // A test run takes no frame that is longer than a page.
            if mtu <= 3000 {
                let more = of_length(usize::from(mtu) + 1, &packet, &packet, LIVE).frame();
                case.add(passed(format!("{sentence}, one byte more"), family, more, TooBig));
            }
        }
    }
    case.change(|kernel| kernel.set_node(LIVE, with_mtu(0)));
    for (family, packet) in families() {
        let least = packet.payload(short_header(&id_of(LIVE), 3)).frame();
        case.add(passed("an MTU of 0", family, least, TooBig));
    }
    case
}

fn with_mtu(mtu: u16) -> Node {
    let Node { state, ipv4, ipv6 } = node(LIVE);
    Node { state, ipv4: Path { mtu, ..ipv4 }, ipv6: Path { mtu, ..ipv6 } }
}
