//! What is dropped before anything is decoded, each by a switch.

use std::net::{IpAddr, SocketAddr};

use edge_wire::Reason::{
    AmplifierPort, Blocklisted, Local as Ours, NewConnection, NotQuic, NotUdp, OtherPort,
    SmallInitial,
};
use edge_wire::admit::{AMPLIFIER_PORTS, BLOCKLIST, SMALL_INITIALS};
use edge_wire::maps::Local;
use tests::packet::{Packet, long_header, short_header};

use super::fixture::{Case, cases, dropped, passed};
use super::fleet::{DEAD, LIVE, OURSELVES, address_of, families, id_of, local};
use super::wire::{sent, taken_in};

cases![
    senders_in_the_blocklist_are_dropped,
    a_network_may_be_blocked_inside_of_another,
    the_blocklist_is_for_packets_of_clients_to_our_port,
    what_comes_from_amplifiers_ports_is_dropped,
    initials_in_small_datagrams_are_dropped,
    what_is_no_initial_may_be_small,
];

const VERSION_2: u32 = 0x6b33_43cf;

fn senders_in_the_blocklist_are_dropped() -> Case {
    let mut case = Case::default();
    switch_on(&mut case, BLOCKLIST);
    for (network, prefix, inside, outside) in [
        ("203.0.113.9", 32, &["203.0.113.9"][..], &["203.0.113.8", "203.0.112.9"][..]),
        ("203.0.113.0", 24, &["203.0.113.0", "203.0.113.255"], &["203.0.112.255", "203.0.114.0"]),
        ("203.0.0.0", 8, &["203.255.255.255", "203.0.0.0"], &["202.255.255.255", "204.0.0.0"]),
        ("0.0.0.0", 0, &["0.0.0.1", "255.255.255.254"], &["::1", "2001:db8::9"]),
        ("2001:db8:c::9", 128, &["2001:db8:c::9"], &["2001:db8:c::8", "203.0.113.9"]),
        ("2001:db8:c::", 56, &["2001:db8:c:ff::1"], &["2001:db8:c:100::1", "2001:db8:b:ff::1"]),
        ("2001:db8::", 32, &["2001:db8:ffff::1"], &["2001:db9::1", "2001:db7:ffff::1"]),
        ("2001:d00::", 24, &["2001:dff::1"], &["2001:e00::1", "2001:cff::1"]),
        ("2000::", 8, &["20ff::1"], &["2100::1", "1fff::1", "203.0.113.9"]),
        ("::", 0, &["::1", "ffff::1"], &[]),
    ] {
        let network = (network.parse().expect("an address"), prefix);
        case.change(move |kernel| kernel.block(network));
        for address in inside {
            let frame = from(address).frame();
            case.add(dropped(
                format!("a prefix of {prefix} bits: inside"),
                *address,
                frame,
                Blocklisted,
            ));
        }
        for address in outside {
            let frame = from(address).frame();
            case.add(passed(format!("a prefix of {prefix} bits: outside"), *address, frame, Ours));
        }
        switch_on(&mut case, 0);
        let frame = from(inside[0]).frame();
        case.add(passed(
            format!("a prefix of {prefix} bits: switched off"),
            inside[0],
            frame,
            Ours,
        ));
        switch_on(&mut case, BLOCKLIST);
        case.change(move |kernel| kernel.unblock(network));
        let frame = from(inside[0]).frame();
        case.add(passed(format!("a prefix of {prefix} bits: taken off"), inside[0], frame, Ours));
    }
    case
}

fn a_network_may_be_blocked_inside_of_another() -> Case {
    let mut case = Case::default();
    switch_on(&mut case, BLOCKLIST);
    for (outer, inner, in_both, in_outer) in [
        (("203.0.113.0", 24), ("203.0.113.9", 32), "203.0.113.9", "203.0.113.8"),
        (("2001:db8::", 32), ("2001:db8:c::", 48), "2001:db8:c::9", "2001:db8:d::9"),
    ] {
        let [outer, inner] = [outer, inner]
            .map(|(address, prefix)| (address.parse::<IpAddr>().expect("an address"), prefix));
        let [both, first] = [in_both, in_outer].map(|address| from(address).frame());
        case.change(move |kernel| [outer, inner].into_iter().for_each(|it| kernel.block(it)));
        case.add(dropped("in both", in_both, both.clone(), Blocklisted));
        case.add(dropped("in the larger one", in_outer, first.clone(), Blocklisted));
        case.change(move |kernel| kernel.unblock(outer));
        case.add(dropped("in the smaller one, which stays", in_both, both.clone(), Blocklisted));
        case.add(passed("no longer in the larger one", in_outer, first.clone(), Ours));
        case.change(move |kernel| {
            kernel.block(outer);
            kernel.unblock(inner);
        });
        case.add(dropped("in the larger one, which stays", in_both, both.clone(), Blocklisted));
        case.change(move |kernel| kernel.unblock(outer));
        case.add(passed("no longer in any", in_both, both, Ours));
    }
    case
}

/// It is asked for what comes to our port, whoever's connection it is; for what a node sent on, the
/// node that the client reached was asked, and ours may not have the entry yet.
fn the_blocklist_is_for_packets_of_clients_to_our_port() -> Case {
    let mut case = Case::default();
    switch_on(&mut case, BLOCKLIST);
    for (family, packet) in families() {
        let client = (packet.source.ip(), if packet.source.is_ipv4() { 32 } else { 128 });
        let node = (address_of(LIVE, &packet, 0).ip(), client.1);
        case.change(move |kernel| [client, node].into_iter().for_each(|it| kernel.block(it)));
        for (sentence, payload) in [
            ("of a live node's connection", short_header(&id_of(LIVE), 60)),
            ("of a dead node's connection", short_header(&id_of(DEAD), 60)),
            ("a new connection", long_header(0xc3, 1, &[0xa5; 8], 1200)),
            ("no QUIC packet", vec![1, 2, 3]),
            ("an empty datagram", vec![]),
        ] {
            let frame = packet.clone().payload(payload).frame();
            case.add(dropped(sentence, family, frame, Blocklisted));
        }
        let ours = packet.clone().payload(short_header(&id_of(OURSELVES), 60));
        let frame = ours.clone().to_port(22).frame();
        case.add(passed("to another port", family, frame, OtherPort));
        let frame = ours.clone().with(|packet| packet.protocol = 6).frame();
        case.add(passed("TCP", family, frame, NotUdp));
        case.add(taken_in("from a node, both of them blocked", family, &ours, LIVE, 1));
    }
    case
}

fn what_comes_from_amplifiers_ports_is_dropped() -> Case {
    let mut case = Case::default();
    switch_on(&mut case, AMPLIFIER_PORTS | BLOCKLIST);
    // At the ends of the map's words, too.
    const PORTS: [u16; 9] = [0, 53, 63, 64, 123, 389, 1900, 11_211, u16::MAX];
    case.change(|kernel| PORTS.iter().for_each(|port| kernel.set_amplifier_port(*port)));
    for (family, packet) in families() {
        let from_port = |port| {
            packet.clone().payload(short_header(&id_of(LIVE), 60)).with(|packet: &mut Packet| {
                packet.source.set_port(port);
            })
        };
        for port in PORTS {
            let (variant, frame) = (format!("{family}, {port}"), from_port(port).frame());
            case.add(dropped("from an amplifier's port", variant, frame, AmplifierPort));
        }
        for port in [1, 52, 54, 62, 65, 124, 443, u16::MAX - 1] {
            let variant = format!("{family}, {port}");
            case.add(sent("from any other port", variant, &from_port(port), LIVE));
        }
        let to_other = from_port(53).to_port(5353).frame();
        case.add(passed("an answer to a question of this host's", family, to_other, OtherPort));
        let client = packet.source.ip();
        case.change(move |kernel| kernel.block((client, if client.is_ipv4() { 32 } else { 128 })));
        let sentence = "from an amplifier's port, and blocked: counted once";
        case.add(dropped(sentence, family, from_port(53).frame(), AmplifierPort));
        case.change(move |kernel| {
            kernel.unblock((client, if client.is_ipv4() { 32 } else { 128 }))
        });
        switch_on(&mut case, 0);
        case.add(sent("switched off", family, &from_port(53), LIVE));
        switch_on(&mut case, AMPLIFIER_PORTS | BLOCKLIST);
        let ours = packet.payload(short_header(&id_of(OURSELVES), 60));
        let inner = ours.with(|packet| packet.source.set_port(53));
        case.add(taken_in("inside of a node's", family, &inner, LIVE, 1));
    }
    case
}

/// RFC 9000 section 14.1: a server discards them.
fn initials_in_small_datagrams_are_dropped() -> Case {
    let mut case = Case::default();
    switch_on(&mut case, SMALL_INITIALS);
    for (family, packet) in families() {
        for (version, first, number) in [("version 1", 0xc0, 1), ("version 2", 0xd0, VERSION_2)] {
            let of = |length| packet.clone().payload(initial(first, number, &[0xa5; 8], length));
            for length in [26, 60, 600, 1199] {
                let variant = format!("{family}, {length} bytes");
                let frame = of(length).frame();
                case.add(dropped(format!("{version}, too small"), variant, frame, SmallInitial));
            }
            for length in [1200, 1201, 1350] {
                let variant = format!("{family}, {length} bytes");
                let frame = of(length).frame();
                case.add(passed(format!("{version}, large enough"), variant, frame, NewConnection));
            }
            let mut padded = of(1199).frame();
            padded.extend([0; 46]);
            let sentence = format!("{version}, large enough by padding of the frame");
            case.add(dropped(sentence, family, padded, SmallInitial));
            let greased = packet.clone().payload(initial(first ^ 0x40, number, &[0xa5; 8], 600));
            let sentence = format!("{version}, the fixed bit greased");
            case.add(dropped(sentence, family, greased.frame(), SmallInitial));
            let of_another = packet.clone().payload(initial(first, number, &id_of(LIVE), 600));
            let sentence = format!("{version}, with an ID of a live node");
            case.add(dropped(sentence, family, of_another.frame(), SmallInitial));
            let bare = packet.clone().payload(&initial(first, number, &[0xa5; 8], 60)[..6]);
            case.add(dropped(format!("{version}, six bytes"), family, bare.frame(), SmallInitial));
            let less = packet.clone().payload(&initial(first, number, &[0xa5; 8], 60)[..5]);
            let sentence = format!("{version}, too short to tell");
            case.add(passed(sentence, family, less.frame(), NotQuic));
            let mut into_padding = less.frame();
            into_padding.extend(&initial(first, number, &[0xa5; 8], 60)[5..]);
            let sentence = format!("{version}, too short to tell but by padding");
            case.add(passed(sentence, family, into_padding, NotQuic));
            let tail = long_header(0xe0, 1, &[0xa5; 8], 300);
            let coalesced = [initial(first, number, &[0xa5; 8], 1200 - tail.len()), tail].concat();
            let frame = packet.clone().payload(coalesced).frame();
            let sentence = format!("{version}, large enough by what is coalesced");
            case.add(passed(sentence, family, frame, NewConnection));
            switch_on(&mut case, 0);
            let sentence = format!("{version}, too small, switched off");
            case.add(passed(sentence, family, of(60).frame(), NewConnection));
            switch_on(&mut case, SMALL_INITIALS);
        }
        let inner = packet.payload(initial(0xc0, 1, &[0xa5; 8], 60));
        case.add(taken_in("inside of a node's", family, &inner, LIVE, 1));
    }
    case
}

fn what_is_no_initial_may_be_small() -> Case {
    let mut case = Case::default();
    switch_on(&mut case, SMALL_INITIALS);
    for (family, packet) in families() {
        for (sentence, first, version) in [
            ("0-RTT of version 1", 0xd0, 1),
            ("Handshake of version 1", 0xe0, 1),
            ("Retry of version 1", 0xf0, 1),
            ("Retry of version 2", 0xc0, VERSION_2),
            ("0-RTT of version 2", 0xe0, VERSION_2),
            ("Handshake of version 2", 0xf0, VERSION_2),
            ("an unknown version, version 1's bits", 0xc0, 0xfa0a_0a0a),
            ("an unknown version, version 2's bits", 0xd0, 0xfa0a_0a0a),
            ("version negotiation", 0xc0, 0),
        ] {
            let new = packet.clone().payload(initial(first, version, &[0xa5; 8], 60));
            case.add(passed(sentence, family, new.frame(), NewConnection));
            let of_another = packet.clone().payload(initial(first, version, &id_of(LIVE), 60));
            case.add(sent(format!("{sentence}, of a live node"), family, &of_another, LIVE));
        }
        let handshake = initial(0xe0, 1, &[0xa5; 8], 60);
        let second = [handshake, initial(0xc0, 1, &[0xa5; 8], 60)].concat();
        let frame = packet.clone().payload(second).frame();
        case.add(passed("an Initial behind a Handshake", family, frame, NewConnection));
        let short = packet.payload(short_header(&id_of(OURSELVES), 5));
        case.add(passed("a short header", family, short.frame(), Ours));
    }
    case
}

/// An Initial, or another packet with a long header, in a datagram of this length.
fn initial(first: u8, version: u32, id: &[u8], length: usize) -> Vec<u8> {
    long_header(first, version, id, length - 7 - id.len())
}

/// A packet of our own connection from this address.
fn from(address: &str) -> Packet {
    let address: IpAddr = address.parse().expect("an address");
    let packet = if address.is_ipv4() { Packet::ipv4() } else { Packet::ipv6() };
    packet
        .payload(short_header(&id_of(OURSELVES), 60))
        .with(|packet| packet.source = SocketAddr::new(address, 4711))
}

fn switch_on(case: &mut Case, admission: u8) {
    case.change(move |kernel| kernel.set_local(Local { admission, ..local() }));
}
