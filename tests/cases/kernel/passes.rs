//! What is no packet of another node's connection goes to the kernel's stack as it came.

use edge_wire::Reason::{
    Fragment, IpOptions, Local, Malformed, NewConnection, NotIp, NotQuic, NotUdp, OtherAddress,
    OtherPort, OwnerDead, OwnerUnknown,
};
use tests::packet::{Packet, SERVICE_VLAN, VLAN, long_header, short_header};

use super::fixture::{Case, cases, passed};
use super::fleet::{DEAD, LIVE, OURSELVES, PORT, UNKNOWN, address_of, families, id, id_of};

cases![
    frames_that_are_no_udp_datagram_are_passed,
    what_is_for_no_anycast_address_is_not_sent_to_a_node,
    fragments_and_options_are_passed,
    frames_that_end_early_are_passed,
    what_is_too_short_for_a_connection_id_is_passed,
    new_connections_stay_where_they_land,
    our_own_connections_are_passed,
    a_dead_owners_packets_are_passed_to_be_reset_and_an_unknown_ones_are_not_sent,
];

fn frames_that_are_no_udp_datagram_are_passed() -> Case {
    let three_tags = Packet::ipv4().tag(SERVICE_VLAN, 1).tag(VLAN, 2).tag(VLAN, 3);
    let service_inside = Packet::ipv4().tag(VLAN, 1).tag(SERVICE_VLAN, 2);
    let mut case = Case::of([
        passed("ARP", "", with_ethertype(0x0806), NotIp),
        passed("LLDP", "", with_ethertype(0x88cc), NotIp),
        passed("IEEE 802.3 length instead of a type", "", with_ethertype(0x0040), NotIp),
        passed("three VLAN tags", "", three_tags.frame(), NotIp),
        passed("a service tag inside of a VLAN tag", "", service_inside.frame(), NotIp),
        passed("IPv4 in an IPv6 EtherType", "", with_ethertype(0x86dd), Malformed),
        passed("a bare Ethernet header", "", Packet::ipv4().link(), Malformed),
    ]);
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 30));
        for (name, protocol) in
            [("ICMP", 1), ("TCP", 6), ("ESP", 50), ("ICMPv6", 58), ("SCTP", 132), ("UDP-Lite", 136)]
        {
            let frame = packet.clone().with(|packet| packet.protocol = protocol).frame();
            case.add(passed(name, family, frame, NotUdp));
        }
        for port in [0, 442, 444, 4433, u16::MAX] {
            let frame = packet.clone().to_port(port).frame();
            case.add(passed("UDP to another port", format!("{family}, {port}"), frame, OtherPort));
        }
        let sentence = "to the encapsulation port, but an anycast address";
        case.add(passed(sentence, family, packet.to_port(PORT).frame(), OtherPort));
    }
    case
}

/// Else whoever it is for might route it back to us, and it would go round between the nodes.
fn what_is_for_no_anycast_address_is_not_sent_to_a_node() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 30));
        for (sentence, destination) in [
            ("to our own address", address_of(OURSELVES, &packet, 443)),
            ("to the owner's own address", address_of(LIVE, &packet, 443)),
            ("to an address of somebody else's", packet.source),
        ] {
            let to = |packet: &mut Packet| {
                packet.destination = destination;
                packet.destination.set_port(443);
            };
            let frame = packet.clone().with(to).frame();
            case.add(passed(sentence, family, frame, OtherAddress));
        }
    }
    case
}

fn fragments_and_options_are_passed() -> Case {
    let ipv4 = Packet::ipv4().payload(short_header(&id_of(LIVE), 30));
    let ipv6 = Packet::ipv6().payload(short_header(&id_of(LIVE), 30));
    let fragment = |field| ipv4.clone().with(|packet| packet.fragment = field).frame();
    let mut case = Case::of([
        passed("the first IPv4 fragment", "", fragment([0, 1, 0x20, 0]), Fragment),
        passed("a middle IPv4 fragment", "", fragment([0, 1, 0x20, 0xb9]), Fragment),
        passed("the last IPv4 fragment", "", fragment([0, 1, 0x00, 0xb9]), Fragment),
        passed("an IPv4 fragment that may not be one", "", fragment([0, 1, 0x60, 0]), Fragment),
    ]);
    for words in 1..=10_u8 {
        let mut options = ipv4.frame();
        options[14] = 0x45 + words;
        options.splice(34..34, vec![1; usize::from(words) * 4]);
        options[17] += words * 4;
        let variant = format!("{words} words");
        case.add(passed("IPv4 options", variant, options, IpOptions));
    }
    for (sentence, next_header, reason) in [
        ("IPv6 with hop-by-hop options", 0, IpOptions),
        ("IPv6 with a routing header", 43, IpOptions),
        ("IPv6 with an authentication header", 51, IpOptions),
        ("IPv6 with destination options", 60, IpOptions),
        ("IPv6 with a mobility header", 135, IpOptions),
        ("IPv6 with a fragment header", 44, Fragment),
        ("IPv6 with no next header", 59, NotUdp),
    ] {
        let frame = ipv6.clone().with(|packet| packet.protocol = next_header).frame();
        case.add(passed(sentence, "", frame, reason));
    }
    case
}

fn frames_that_end_early_are_passed() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 30)).tag(VLAN, 5);
        let (frame, link_len) = (packet.frame(), packet.link().len());
        for length in 14..frame.len() {
            let variant = format!("{family}, {length} bytes");
            case.add(passed("a frame that is cut", variant, frame[..length].to_vec(), Malformed));
        }
        let is_ipv4 = packet.source.is_ipv4();
        let mut changed = |sentence: &str, at: usize, bytes: &[u8]| {
            let mut frame = frame.clone();
            frame[link_len + at..link_len + at + bytes.len()].copy_from_slice(bytes);
            case.add(passed(sentence, family, frame, Malformed));
        };
        let (udp_len_at, ip_len_at) = if is_ipv4 { (24, 2) } else { (44, 4) };
        for (sentence, length) in [
            ("a UDP length of 0", 0_u16),
            ("a UDP length shorter than its header", 7),
            ("a UDP length one beyond the packet", 57),
            ("the greatest UDP length", u16::MAX),
        ] {
            changed(sentence, udp_len_at, &length.to_be_bytes());
        }
        changed("an IP length of 0", ip_len_at, &[0, 0]);
        changed("an IP length that ends inside of UDP's header", ip_len_at, &[0, 7]);
        changed("the greatest IP length", ip_len_at, &[0xff, 0xff]);
        changed("IP version 5", 0, &[if is_ipv4 { 0x55 } else { 0x50 }]);
        changed("IP version 0", 0, &[if is_ipv4 { 0x05 } else { 0x00 }]);
    }
    for length in 0..5 {
        let mut frame = Packet::ipv4().payload(short_header(&id_of(LIVE), 30)).frame();
        frame[14] = 0x40 + length;
        let variant = format!("{length} words");
        case.add(passed("an IPv4 header that is too short", variant, frame, Malformed));
    }
    case
}

fn what_is_too_short_for_a_connection_id_is_passed() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        let short = short_header(&id_of(LIVE), 2);
        let long = long_header(0xc0, 1, &id_of(LIVE), 1);
        for length in 0..=short.len() {
            let frame = packet.clone().payload(&short[..length]).frame();
            let (sentence, variant) = ("too short a datagram", format!("{family}, {length} bytes"));
            case.add(passed(sentence, variant, frame, NotQuic));
        }
        for length in 0..=long.len() {
            let frame = packet.clone().payload(&long[..length]).frame();
            let variant = format!("{family}, {length} bytes");
            case.add(passed("too short a datagram, long header", variant, frame, NotQuic));
        }
        // The driver of a short frame fills it up to 60 bytes: here with an ID of a live node.
        let mut frame = packet.clone().payload(&short[..8]).frame();
        frame.extend(&short[8..]);
        case.add(passed("an ID that reaches into padding", family, frame, NotQuic));
        let initial = long_header(0xc0, 1, &[0xa5; 8], 300);
        for length in [1, 3, 5] {
            let variant = format!("{family}, {length} bytes");
            for (sentence, whole) in [
                ("a header that reaches into padding", &long),
                ("an Initial's header that does", &initial),
            ] {
                let mut frame = packet.clone().payload(&whole[..length]).frame();
                frame.extend(&whole[length..]);
                case.add(passed(sentence, &variant, frame, NotQuic));
            }
        }
    }
    case
}

fn new_connections_stay_where_they_land() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        let mut add = |sentence: &str, payload: Vec<u8>| {
            let frame = packet.clone().payload(payload).frame();
            case.add(passed(sentence, family, frame, NewConnection));
        };
        let random = [0xa5; 20];
        add("Initial of version 1, ID of 8 bytes", initial(0xc3, 1, &random[..8]));
        add("Initial of version 2, ID of 8 bytes", initial(0xd3, 0x6b33_43cf, &random[..8]));
        add("Initial of version 1, ID of 17 bytes", initial(0xc3, 1, &random[..17]));
        add("Initial of version 1, ID of 20 bytes", initial(0xc3, 1, &random));
        add("Initial with the fixed bit greased", initial(0x83, 1, &random[..8]));
        add("no connection ID at all", initial(0xc3, 1, &[]));
        add("an unknown version, ID of 21 bytes", initial(0xff, 0xfa0a_0a0a, &[7; 21]));
        add("an unknown version, ID of 255 bytes", initial(0xff, 0xfa0a_0a0a, &[7; 255]));
        add("version negotiation", long_header(0x80, 0, &random[..8], 40));
        add(
            "a declared length of 255, and the end",
            long_header(0xc3, 1, &[7; 255], 0)[..6].to_vec(),
        );
        let mut length = id_of(LIVE);
        length[0] |= 0x1f;
        add("the first octet says another length", short_header(&length, 30));
        add("the config is absent", short_header(&id(5, LIVE), 30));
        let mut unroutable = id_of(LIVE);
        unroutable[0] |= 0xe0;
        add("an unroutable ID", short_header(&unroutable, 30));
        add("an unroutable ID, long header", long_header(0xe0, 1, &unroutable, 30));
    }
    case
}

fn our_own_connections_are_passed() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for config in [0, 1, 2, 3, 4, 6] {
            let ours = id(config, OURSELVES);
            let mut add = |sentence: &str, payload: Vec<u8>| {
                let frame = packet.clone().payload(payload).frame();
                case.add(passed(sentence, format!("{family}, config {config}"), frame, Local));
            };
            add("short header", short_header(&ours, 1000));
            add("short header, as short as can be", short_header(&ours, 3));
            add("long header, version 1", long_header(0xe0, 1, &ours, 40));
            add("long header, version 2", long_header(0xf0, 0x6b33_43cf, &ours, 40));
            add("long header, unknown version", long_header(0xff, 0xdead_beef, &ours, 40));
        }
        let packet = packet.payload(short_header(&id_of(OURSELVES), 60));
        for (sentence, packet) in [
            ("in a VLAN", packet.clone().tag(VLAN, 7)),
            ("in a service VLAN", packet.clone().tag(SERVICE_VLAN, 7)),
            ("in QinQ", packet.clone().tag(SERVICE_VLAN, 7).tag(VLAN, 7)),
            ("to an address that is not anycast", {
                let own = address_of(OURSELVES, &packet, 443);
                packet.clone().with(|packet| packet.destination = own)
            }),
        ] {
            case.add(passed(sentence, family, packet.frame(), Local));
        }
        let mut padded = packet.frame();
        padded.extend([0xee; 9]);
        case.add(passed("padded", family, padded, Local));
    }
    case
}

fn a_dead_owners_packets_are_passed_to_be_reset_and_an_unknown_ones_are_not_sent() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for (sentence, owner, reason) in [
            ("an owner agreed dead", DEAD, OwnerDead),
            ("an owner of which nobody knows how it fares", UNKNOWN, OwnerUnknown),
            ("an owner that no node is", 99, OwnerUnknown),
            ("the last entry of the map but one", 4094, OwnerUnknown),
            ("the first ID beyond the map", 4096, OwnerUnknown),
            ("the last ID that can be written", u16::MAX, OwnerUnknown),
        ] {
            let short = packet.clone().payload(short_header(&id_of(owner), 30)).frame();
            case.add(passed(sentence, format!("{family}, short header"), short, reason));
            let long = packet.clone().payload(long_header(0xe0, 1, &id(3, owner), 30)).frame();
            case.add(passed(sentence, format!("{family}, long header"), long, reason));
        }
    }
    case
}

/// An Initial as clients send it, filled up to 1,200 bytes.
fn initial(first: u8, version: u32, id: &[u8]) -> Vec<u8> {
    long_header(first, version, id, 1200 - 7 - id.len())
}

fn with_ethertype(ethertype: u16) -> Vec<u8> {
    let mut frame = Packet::ipv4().payload(short_header(&id_of(LIVE), 30)).frame();
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
    frame
}
