//! What comes to the encapsulation port and no node of ours made is dropped, and counted.

use edge_wire::Reason::{
    self, EncapsulationForged, EncapsulationKey, EncapsulationMalformed, EncapsulationSender,
    Malformed, OtherPort,
};
use edge_wire::maps::Local;
use tests::kernel::Action;
use tests::packet::{Encapsulation, Packet, SERVICE_VLAN, VLAN, short_header};

use super::fixture::{Case, cases, dropped, passed};
use super::fleet::{
    KEYS, LIVE, LIVE_ELSEWHERE, ONLY_IPV4, ONLY_IPV6, OURSELVES, PORT, WITHOUT_ADDRESS, address_of,
    families, fleet, id_of, local,
};
use super::wire::{encapsulated, to_us};

cases![
    a_header_that_is_not_ours_is_dropped,
    a_header_that_ends_early_is_dropped,
    an_inside_that_no_node_would_send_is_dropped,
    an_encapsulation_around_an_encapsulation_is_dropped,
    a_key_that_we_do_not_hold_is_dropped,
    a_sender_that_is_not_the_named_node_is_dropped,
    what_is_around_a_packet_to_no_anycast_address_is_dropped,
    a_tag_under_another_key_is_dropped,
    what_is_not_for_us_is_no_matter_of_ours,
    without_an_address_nothing_is_for_us,
];

fn a_header_that_is_not_ours_is_dropped() -> Case {
    let honest = Encapsulation::by(LIVE, 1);
    let mut case = Case::default();
    for (family, inner) in families() {
        for (sentence, encapsulation) in [
            ("version 0", Encapsulation { version: 0, ..honest }),
            ("version 1", Encapsulation { version: 1, ..honest }),
            ("version 2", Encapsulation { version: 2, ..honest }),
            ("version 4", Encapsulation { version: 4, ..honest }),
            ("a flag", Encapsulation { flags: 1, ..honest }),
            ("a reserved bit", Encapsulation { reserved: 0x80, ..honest }),
            ("a length one too great", Encapsulation { length_error: 1, ..honest }),
            ("a length one too small", Encapsulation { length_error: u16::MAX, ..honest }),
        ] {
            let frame = to_us(&inner, LIVE, encapsulation.around(&client(&inner).ip(), KEYS[1]));
            case.add(dropped(sentence, family, frame.frame(), EncapsulationMalformed));
        }
        for (sentence, tags) in
            [("version 0, in a VLAN", &[VLAN][..]), ("version 0, in QinQ", &[SERVICE_VLAN, VLAN])]
        {
            let encapsulation = Encapsulation { version: 0, ..honest };
            let packet = to_us(&inner, LIVE, encapsulation.around(&client(&inner).ip(), KEYS[1]));
            let packet = tags.iter().fold(packet, |packet, tag| packet.tag(*tag, 7));
            case.add(dropped(sentence, family, packet.frame(), EncapsulationMalformed));
        }
    }
    case
}

fn a_header_that_ends_early_is_dropped() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let whole = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        for length in 0..whole.len() {
            let frame = to_us(&inner, LIVE, whole[..length].to_vec()).frame();
            let sentence = if length < 16 { "a header that is cut" } else { "an inside that is" };
            let variant = format!("{family}, {length} bytes");
            case.add(dropped(sentence, variant, frame, EncapsulationMalformed));
        }
        let empty = Encapsulation::by(LIVE, 1).around(&[], KEYS[1]);
        let frame = to_us(&inner, LIVE, empty).frame();
        case.add(dropped("an empty inside", family, frame, EncapsulationMalformed));
        let one_byte = Encapsulation::by(LIVE, 1).around(&[0x45], KEYS[1]);
        let frame = to_us(&inner, LIVE, one_byte).frame();
        case.add(dropped("an inside of one byte", family, frame, EncapsulationMalformed));
    }
    case
}

fn an_inside_that_no_node_would_send_is_dropped() -> Case {
    let mut case = Case::default();
    let [(_, ipv4), (_, ipv6)] = families();
    for (family, way) in [("IPv4", &ipv4), ("IPv6", &ipv6)] {
        let mut add = |sentence: &str, inside: Vec<u8>| {
            let payload = Encapsulation::by(LIVE, 1).around(&inside, KEYS[1]);
            let frame = to_us(way, LIVE, payload).frame();
            case.add(dropped(sentence, family, frame, EncapsulationMalformed));
        };
        let with_first = |first| [vec![first], client(way).ip()[1..].to_vec()].concat();
        add("an IP version 5 inside", with_first(0x55));
        add("an IP version 0 inside", with_first(0x05));
        add("the other family's version", with_first(if family == "IPv4" { 0x60 } else { 0x45 }));
        add("IPv4 options inside", with_first(0x46));
        add("TCP inside", client(way).with(|packet| packet.protocol = 6).ip());
        add("ICMP inside", client(way).with(|packet| packet.protocol = 1).ip());
        add("a datagram to a port that is not ours", client(way).to_port(8443).ip());
        add("bytes behind the inner packet", [client(way).ip(), vec![0; 4]].concat());
        let mut cut = client(way).ip();
        cut.truncate(cut.len() - 1);
        add("an inner packet that is cut", cut);
        add("bytes that are no packet", vec![0x5a; 80]);
        add("less than the tag covers", ipv4.clone().payload([0x40; 19]).ip());
        add("a datagram without payload", ipv4.clone().payload([]).ip());
        add("a whole Ethernet frame inside", client(way).frame());
        let fragment = client(&ipv4).with(|packet| packet.fragment = [0, 1, 0x20, 0]).ip();
        add("an IPv4 fragment inside", fragment);
        add("an IPv6 fragment inside", client(&ipv6).with(|packet| packet.protocol = 44).ip());
    }
    case
}

/// A node never sends on what came from a node. Somebody who holds the keys could wrap a packet
/// twice, for the first node to unwrap and pass to a second: the address inside is no anycast one.
fn an_encapsulation_around_an_encapsulation_is_dropped() -> Case {
    let mut case = Case::default();
    let [(_, ipv4), (_, ipv6)] = families();
    for (family, way) in [("IPv4", &ipv4), ("IPv6", &ipv6)] {
        for (within, inner) in [("IPv4", &ipv4), ("IPv6", &ipv6)] {
            let once = Encapsulation::by(LIVE, 1).around(&client(way).ip(), KEYS[1]);
            let to_ourselves = to_us(inner, LIVE, once.clone());
            let to_a_third = encapsulated(inner, &client(way), LIVE_ELSEWHERE);
            let to_the_sender = encapsulated(inner, &client(way), LIVE);
            for (sentence, once) in [
                ("around one for ourselves", to_ourselves),
                ("around one for a third node", to_a_third),
                ("around one for the sender", to_the_sender),
            ] {
                let twice = Encapsulation::by(LIVE, 1).around(&once.ip(), KEYS[1]);
                let frame = to_us(way, LIVE, twice).frame();
                let variant = format!("{within} in {family}");
                case.add(dropped(sentence, variant, frame, EncapsulationMalformed));
            }
        }
    }
    case
}

fn a_key_that_we_do_not_hold_is_dropped() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        for (sentence, key_id) in [
            ("the next key, before we have it", 2),
            ("the last key there can be", 3),
            ("the first key beyond the map", 4),
            ("the last key that can be written", 255),
        ] {
            let payload = Encapsulation::by(LIVE, key_id).around(&client(&inner).ip(), KEYS[1]);
            let frame = to_us(&inner, LIVE, payload).frame();
            case.add(dropped(sentence, family, frame, EncapsulationKey));
        }
        // The free entries hold zeros: they are no key.
        let payload = Encapsulation::by(LIVE, 2).around(&client(&inner).ip(), [0; 2]);
        let frame = to_us(&inner, LIVE, payload).frame();
        case.add(dropped("a key of zeros", family, frame, EncapsulationKey));
    }
    case.change(|kernel| kernel.set_key(0, edge_wire::maps::EncapsulationKey::ABSENT));
    for (family, inner) in families() {
        let payload = Encapsulation::by(LIVE, 0).around(&client(&inner).ip(), KEYS[0]);
        let frame = to_us(&inner, LIVE, payload).frame();
        case.add(dropped("the previous key, once it is removed", family, frame, EncapsulationKey));
    }
    case
}

fn a_sender_that_is_not_the_named_node_is_dropped() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        for (sentence, named, address) in [
            ("one node in the name of another", LIVE, LIVE_ELSEWHERE),
            ("an address that is no node's", LIVE, 200),
            ("a node that does not exist", 99, 99),
            ("ourselves", OURSELVES, OURSELVES),
            ("a node without an address", WITHOUT_ADDRESS, WITHOUT_ADDRESS),
            ("an ID beyond the map", 4096, LIVE),
            ("the last ID that can be written", u16::MAX, LIVE),
        ] {
            let payload = Encapsulation::by(named, 1).around(&client(&inner).ip(), KEYS[1]);
            let frame = to_us(&inner, address, payload).frame();
            case.add(dropped(sentence, family, frame, EncapsulationSender));
        }
        let other = if family == "IPv4" { ONLY_IPV6 } else { ONLY_IPV4 };
        let payload = Encapsulation::by(other, 1).around(&client(&inner).ip(), KEYS[1]);
        let frame = to_us(&inner, other, payload.clone()).frame();
        let sentence = "a node that has no address of the family";
        case.add(dropped(sentence, family, frame, EncapsulationSender));
        // Such a node's address in the map is zeros, which anybody can put into a packet.
        for named in [other, 99] {
            let payload = Encapsulation::by(named, 1).around(&client(&inner).ip(), KEYS[0]);
            let zeros = to_us(&inner, LIVE, payload).with(|packet| {
                packet.source = zeros_of(packet);
            });
            let variant = format!("{family}, in the name of node {named}");
            case.add(dropped("the address of zeros", variant, zeros.frame(), EncapsulationForged));
        }
    }
    case
}

fn what_is_around_a_packet_to_no_anycast_address_is_dropped() -> Case {
    let mut case = Case::default();
    for (family, packet) in families() {
        for (sentence, destination) in [
            ("on to a third node", address_of(LIVE_ELSEWHERE, &packet, 443)),
            ("to our own address", address_of(OURSELVES, &packet, 443)),
            ("back to the client", packet.source),
            ("to the address of zeros", zeros_of(&packet)),
        ] {
            let inner = client(&packet).with(|inner| inner.destination = destination);
            let payload = Encapsulation::by(LIVE, 1).around(&inner.ip(), KEYS[1]);
            let frame = to_us(&packet, LIVE, payload).frame();
            case.add(dropped(sentence, family, frame, EncapsulationMalformed));
        }
    }
    case
}

fn a_tag_under_another_key_is_dropped() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[0]);
        let frame = to_us(&inner, LIVE, payload).frame();
        case.add(dropped("the other key's tag", family, frame, EncapsulationForged));
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), [0; 2]);
        let frame = to_us(&inner, LIVE, payload).frame();
        case.add(dropped("a tag under a key of zeros", family, frame, EncapsulationForged));
        let mut payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        payload[8..16].fill(0);
        let frame = to_us(&inner, LIVE, payload).frame();
        case.add(dropped("a tag of zeros", family, frame, EncapsulationForged));
        let ours = encapsulated(&inner, &client(&inner), LIVE).payload;
        let reflected = to_us(&inner, OURSELVES, ours).frame();
        let sentence = "what we sent ourselves, reflected";
        case.add(dropped(sentence, family, reflected, EncapsulationSender));
    }
    case
}

/// The tag covers the inner headers and who sent them; the rest of ours can say nothing else.
#[test]
fn one_changed_bit_anywhere_is_dropped() {
    let mut kernel = fleet();
    for (family, inner) in families() {
        for rest in [10, 200] {
            let inside = inner.clone().payload(short_header(&id_of(OURSELVES), rest)).ip();
            let covered = 16 + if inner.source.is_ipv4() { 28 } else { 48 };
            let payload = Encapsulation::by(LIVE, 1).around(&inside, KEYS[1]);
            for bit in 0..covered * 8 {
                let mut forged = payload.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                let run = kernel.run(&to_us(&inner, LIVE, forged).frame());
                let sentence = format!("{family}, bit {bit} of {} bytes", payload.len());
                assert_eq!(run.action, Action::Drop, "{sentence}");
                let expected = reasons_by_place(bit / 8);
                let counted = &run.counted[..];
                let one = matches!(counted, [(reason, 1)] if expected.contains(reason));
                assert!(one, "{sentence}: one of {expected:?}, not {counted:?}");
            }
        }
    }
}

/// Which of the four it may be depends on what the bit says; that it is one of them does not.
fn reasons_by_place(byte: usize) -> &'static [Reason] {
    match byte {
        0 | 1 | 3 => &[EncapsulationMalformed],
        2 => &[EncapsulationKey, EncapsulationForged],
        4 | 5 => &[EncapsulationSender],
        6 | 7 => &[EncapsulationMalformed],
        // The version of the inner packet, which says how much the tag covers.
        16 => &[EncapsulationMalformed, EncapsulationForged],
        _ => &[EncapsulationForged],
    }
}

fn what_is_not_for_us_is_no_matter_of_ours() -> Case {
    let mut case = Case::default();
    for (family, inner) in families() {
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        let to_another = to_us(&inner, LIVE, payload.clone())
            .with(|packet| packet.destination = address_of(LIVE_ELSEWHERE, &inner, PORT));
        let sentence = "encapsulated for another node";
        case.add(passed(sentence, family, to_another.frame(), OtherPort));
        let to_another_port = to_us(&inner, LIVE, payload.clone()).to_port(PORT + 1);
        let sentence = "encapsulated, to another port";
        case.add(passed(sentence, family, to_another_port.frame(), OtherPort));
        let mut cut = to_us(&inner, LIVE, payload).frame();
        cut.truncate(cut.len() - 1);
        case.add(passed("encapsulated, and the frame is cut", family, cut, Malformed));
    }
    case
}

fn without_an_address_nothing_is_for_us() -> Case {
    let mut case = Case::default();
    case.change(|kernel| kernel.set_local(Local { ipv4: [0; 4], ipv6: [0; 16], ..local() }));
    for (family, inner) in families() {
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        let to_zeros = to_us(&inner, LIVE, payload).with(|packet| {
            packet.destination = zeros_of(packet);
            packet.destination.set_port(PORT);
        });
        case.add(passed("to the address of zeros", family, to_zeros.frame(), OtherPort));
    }
    case
}

/// A client's packet to us, over the family of `like`.
fn client(like: &Packet) -> Packet {
    like.clone().payload(short_header(&id_of(OURSELVES), 60))
}

/// The address of zeros of the packet's family, with its source port.
fn zeros_of(like: &Packet) -> std::net::SocketAddr {
    let zeros = if like.source.is_ipv4() { "0.0.0.0" } else { "::" };
    std::net::SocketAddr::new(zeros.parse().expect("an address"), like.source.port())
}
