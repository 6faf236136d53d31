//! What is no packet of another node's connection goes to the kernel's stack as it came.

use edge_wire::Reason::{
    Fragment, IpOptions, Local, Malformed, NewConnection, NotIp, NotQuic, NotUdp, OtherAddress,
    OtherPort, OwnerDead, OwnerUnknown,
};
use tests::packet::{Packet, SERVICE_VLAN, VLAN, long_header, short_header};

use super::fixture::{
    DEAD, LIVE, OURSELVES, PORT, UNKNOWN, address_of, check, families, id, id_of, passed,
};

#[test]
fn frames_that_are_no_udp_datagram_are_passed() {
    let three_tags = Packet::ipv4().tag(SERVICE_VLAN, 1).tag(VLAN, 2).tag(VLAN, 3);
    let mut fixtures = vec![
        passed("ARP", with_ethertype(0x0806), NotIp),
        passed("IEEE 802.3 length instead of a type", with_ethertype(0x0040), NotIp),
        passed("three VLAN tags", three_tags.frame(), NotIp),
        passed("IPv4 in an IPv6 EtherType", with_ethertype(0x86dd), Malformed),
        passed("a bare Ethernet header", Packet::ipv4().link(), Malformed),
    ];
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 30));
        for (name, protocol) in [("TCP", 6), ("ICMPv6", 58), ("ESP", 50), ("UDP-Lite", 136)] {
            let frame = packet.clone().with(|packet| packet.protocol = protocol).frame();
            fixtures.push(passed(format!("{name} over {family}"), frame, NotUdp));
        }
        let frame = packet.clone().to_port(4433).frame();
        fixtures.push(passed(format!("{family} to another port"), frame, OtherPort));
        let frame = packet.to_port(PORT).frame();
        let sentence = format!("{family} to the encapsulation port, but an anycast address");
        fixtures.push(passed(sentence, frame, OtherPort));
    }
    check(fixtures);
}

/// Else whoever it is for might route it back to us, and it would go round between the nodes.
#[test]
fn what_is_for_no_anycast_address_is_not_sent_to_a_node() {
    check(families().map(|(family, packet)| {
        let packet = packet.payload(short_header(&id_of(LIVE), 30));
        let own = address_of(OURSELVES, &packet, 443);
        let frame = packet.with(|packet| packet.destination = own).frame();
        passed(format!("{family} to our own address"), frame, OtherAddress)
    }));
}

#[test]
fn fragments_and_options_are_passed() {
    let ipv4 = Packet::ipv4().payload(short_header(&id_of(LIVE), 30));
    let ipv6 = Packet::ipv6().payload(short_header(&id_of(LIVE), 30));
    let fragment = |field| ipv4.clone().with(|packet| packet.fragment = field).frame();
    let mut fixtures = vec![
        passed("the first IPv4 fragment", fragment([0, 1, 0x20, 0]), Fragment),
        passed("a middle IPv4 fragment", fragment([0, 1, 0x20, 0xb9]), Fragment),
        passed("the last IPv4 fragment", fragment([0, 1, 0x00, 0xb9]), Fragment),
    ];
    let mut options = ipv4.frame();
    options[14] = 0x46;
    options.splice(34..34, [1, 1, 1, 0]);
    options[17] += 4;
    fixtures.push(passed("IPv4 options", options, IpOptions));
    for (name, next_header, reason) in [
        ("hop-by-hop options", 0, IpOptions),
        ("a routing header", 43, IpOptions),
        ("an authentication header", 51, IpOptions),
        ("destination options", 60, IpOptions),
        ("a fragment header", 44, Fragment),
    ] {
        let frame = ipv6.clone().with(|packet| packet.protocol = next_header).frame();
        fixtures.push(passed(format!("IPv6 with {name}"), frame, reason));
    }
    check(fixtures);
}

#[test]
fn frames_that_end_early_are_passed() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&id_of(LIVE), 30)).tag(VLAN, 5);
        let (frame, link_len) = (packet.frame(), packet.link().len());
        for length in 14..frame.len() {
            let sentence = format!("{family} cut after {length} bytes");
            fixtures.push(passed(sentence, frame[..length].to_vec(), Malformed));
        }
        let udp_len = link_len + if family == "IPv4" { 24 } else { 44 };
        for length in [0, 7, 57, 0xffff_u16] {
            let mut frame = frame.clone();
            frame[udp_len..udp_len + 2].copy_from_slice(&length.to_be_bytes());
            let sentence = format!("{family} with a UDP length of {length} instead of 56");
            fixtures.push(passed(sentence, frame, Malformed));
        }
        let mut frame = frame;
        frame[link_len] = 0x54;
        fixtures.push(passed(format!("{family} EtherType, IP version 5"), frame, Malformed));
    }
    let mut short_header_length = Packet::ipv4().payload(short_header(&id_of(LIVE), 30)).frame();
    short_header_length[14] = 0x44;
    fixtures.push(passed("an IPv4 header of 16 bytes", short_header_length, Malformed));
    check(fixtures);
}

#[test]
fn what_is_too_short_for_a_connection_id_is_passed() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        let short = short_header(&id_of(LIVE), 0);
        let long = long_header(0xc0, 1, &id_of(LIVE), 0);
        for length in 0..short.len() {
            let frame = packet.clone().payload(&short[..length]).frame();
            fixtures.push(passed(format!("{family}: {length} bytes, short"), frame, NotQuic));
        }
        for length in 0..long.len() - 1 {
            let frame = packet.clone().payload(&long[..length]).frame();
            fixtures.push(passed(format!("{family}: {length} bytes, long"), frame, NotQuic));
        }
        // The driver of a short frame fills it up to 60 bytes: here with an ID of a live node.
        let mut frame = packet.clone().payload(&short[..8]).frame();
        frame.extend(&short[8..]);
        fixtures.push(passed(format!("{family}: an ID that reaches into padding"), frame, NotQuic));
        let mut frame = packet.payload(&long[..3]).frame();
        frame.extend(&long[3..]);
        fixtures.push(passed(format!("{family}: a header that does"), frame, NotQuic));
    }
    check(fixtures);
}

#[test]
fn new_connections_stay_where_they_land() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        let mut add = |name: &str, payload: Vec<u8>| {
            let frame = packet.clone().payload(payload).frame();
            fixtures.push(passed(format!("{family}: {name}"), frame, NewConnection));
        };
        let random = [0xa5; 20];
        add("Initial of version 1, ID of 8 bytes", initial(0xc3, 1, &random[..8]));
        add("Initial of version 2, ID of 8 bytes", initial(0xd3, 0x6b33_43cf, &random[..8]));
        add("Initial of version 1, ID of 17 bytes", initial(0xc3, 1, &random[..17]));
        add("Initial of version 1, ID of 20 bytes", initial(0xc3, 1, &random));
        add("no connection ID at all", initial(0xc3, 1, &[]));
        add("an unknown version, ID of 255 bytes", initial(0xff, 0xfa0a_0a0a, &[7; 255]));
        add("version negotiation", long_header(0x80, 0, &random[..8], 40));
        let mut length = id_of(LIVE);
        length[0] |= 0x1f;
        add("the first octet says another length", short_header(&length, 30));
        add("the config is absent", short_header(&id(5, LIVE), 30));
        let mut unroutable = id_of(LIVE);
        unroutable[0] |= 0xe0;
        add("an unroutable ID", short_header(&unroutable, 30));
    }
    check(fixtures);
}

#[test]
fn our_own_connections_are_passed() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        for config in [0, 1, 2, 3, 4, 6] {
            let ours = id(config, OURSELVES);
            let mut add = |name: &str, payload: Vec<u8>| {
                let frame = packet.clone().payload(payload).frame();
                let sentence = format!("{family}, config {config}: {name}");
                fixtures.push(passed(sentence, frame, Local));
            };
            add("short header", short_header(&ours, 1000));
            add("short header, as short as can be", short_header(&ours, 3));
            add("long header, version 1", long_header(0xe0, 1, &ours, 40));
            add("long header, version 2", long_header(0xf0, 0x6b33_43cf, &ours, 40));
        }
        for (name, tags) in [("in a VLAN", &[VLAN][..]), ("in QinQ", &[SERVICE_VLAN, VLAN])] {
            let tagged = tags.iter().fold(packet.clone(), |packet, tag| packet.tag(*tag, 7));
            let frame = tagged.payload(short_header(&id_of(OURSELVES), 60)).frame();
            fixtures.push(passed(format!("{family}: {name}"), frame, Local));
        }
    }
    check(fixtures);
}

#[test]
fn a_dead_owners_packets_are_passed_to_be_reset_and_an_unknown_ones_are_not_sent() {
    let mut fixtures = Vec::new();
    for (family, packet) in families() {
        for (owner, reason, name) in [
            (DEAD, OwnerDead, "an owner agreed dead"),
            (UNKNOWN, OwnerUnknown, "an owner of which nobody knows how it fares"),
            (99, OwnerUnknown, "an owner that no node is"),
            (4094, OwnerUnknown, "the last entry of the map but one"),
            (4096, OwnerUnknown, "the first ID beyond the map"),
            (u16::MAX, OwnerUnknown, "the last ID that can be written"),
        ] {
            let short = packet.clone().payload(short_header(&id_of(owner), 30)).frame();
            fixtures.push(passed(format!("{family}: {name}, short header"), short, reason));
            let long = packet.clone().payload(long_header(0xe0, 1, &id(3, owner), 30)).frame();
            fixtures.push(passed(format!("{family}: {name}, long header"), long, reason));
        }
    }
    check(fixtures);
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
