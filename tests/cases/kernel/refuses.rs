//! What comes to the encapsulation port and no node of ours made is dropped, and counted.

use edge_wire::Reason::{
    self, EncapsulationForged, EncapsulationKey, EncapsulationMalformed, EncapsulationSender,
    Malformed, OtherPort,
};
use tests::kernel::Action;
use tests::packet::{Encapsulation, Packet, short_header};

use super::fixture::{
    KEYS, LIVE, LIVE_ELSEWHERE, OURSELVES, PORT, address_of, check, dropped, families, fleet,
    id_of, passed,
};

#[test]
fn a_header_that_is_not_ours_is_dropped() {
    let honest = Encapsulation::by(LIVE, 1);
    let cases = [
        ("version 0", Encapsulation { version: 0, ..honest }),
        ("version 2", Encapsulation { version: 2, ..honest }),
        ("a flag", Encapsulation { flags: 1, ..honest }),
        ("a reserved bit", Encapsulation { reserved: 0x80, ..honest }),
        ("a length one too great", Encapsulation { length_error: 1, ..honest }),
        ("a length one too small", Encapsulation { length_error: u16::MAX, ..honest }),
    ];
    check(families().into_iter().flat_map(|(family, inner)| {
        cases.map(|(name, encapsulation)| {
            let frame = outer(&inner, LIVE, encapsulation.around(&client(&inner).ip(), KEYS[1]));
            dropped(format!("{family}, {name}"), frame.frame(), EncapsulationMalformed)
        })
    }));
}

#[test]
fn a_header_that_ends_early_is_dropped() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        let whole = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        for length in 0..whole.len() {
            let frame = outer(&inner, LIVE, whole[..length].to_vec()).frame();
            let sentence = format!("{family}, {length} bytes behind the outer headers");
            fixtures.push(dropped(sentence, frame, EncapsulationMalformed));
        }
        let empty = Encapsulation::by(LIVE, 1).around(&[], KEYS[1]);
        let frame = outer(&inner, LIVE, empty).frame();
        fixtures.push(dropped(format!("{family}, an empty inside"), frame, EncapsulationMalformed));
    }
    check(fixtures);
}

#[test]
fn an_inside_that_no_node_would_send_is_dropped() {
    let mut fixtures = Vec::new();
    let [(_, ipv4), (_, ipv6)] = families();
    for (family, inner) in [("IPv4", &ipv4), ("IPv6", &ipv6)] {
        let mut add = |name: &str, inside: Vec<u8>| {
            let payload = Encapsulation::by(LIVE, 1).around(&inside, KEYS[1]);
            let frame = outer(inner, LIVE, payload).frame();
            fixtures.push(dropped(format!("{family}, {name}"), frame, EncapsulationMalformed));
        };
        let nothing_known = |first| [vec![first], client(inner).ip()[1..].to_vec()].concat();
        add("an IP version 5 inside", nothing_known(0x55));
        add("TCP inside", client(inner).with(|packet| packet.protocol = 6).ip());
        add("bytes behind the inner packet", [client(inner).ip(), vec![0; 4]].concat());
        let mut cut = client(inner).ip();
        cut.truncate(cut.len() - 1);
        add("an inner packet that is cut", cut);
        add("bytes that are no packet", vec![0x5a; 80]);
    }
    let fragment = client(&ipv4).with(|packet| packet.fragment = [0, 1, 0x20, 0]).ip();
    let frame = outer(&ipv4, LIVE, Encapsulation::by(LIVE, 1).around(&fragment, KEYS[1])).frame();
    fixtures.push(dropped("a fragment inside", frame, EncapsulationMalformed));
    check(fixtures);
}

#[test]
fn a_key_that_we_do_not_hold_is_dropped() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        for key_id in [2, 3, 4, 255] {
            let payload = Encapsulation::by(LIVE, key_id).around(&client(&inner).ip(), KEYS[1]);
            let frame = outer(&inner, LIVE, payload).frame();
            fixtures.push(dropped(format!("{family}, key {key_id}"), frame, EncapsulationKey));
        }
        // The free entries hold zeros: they are no key.
        let payload = Encapsulation::by(LIVE, 2).around(&client(&inner).ip(), [0; 2]);
        let frame = outer(&inner, LIVE, payload).frame();
        fixtures.push(dropped(format!("{family}, a key of zeros"), frame, EncapsulationKey));
    }
    check(fixtures);
}

#[test]
fn a_sender_that_is_not_the_named_node_is_dropped() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        for (name, named, address) in [
            ("one node in the name of another", LIVE, LIVE_ELSEWHERE),
            ("an address that is no node's", LIVE, 200),
            ("a node that does not exist", 99, 99),
            ("ourselves", OURSELVES, OURSELVES),
            ("an ID beyond the map", 4096, LIVE),
            ("the last ID that can be written", u16::MAX, LIVE),
        ] {
            let payload = Encapsulation::by(named, 1).around(&client(&inner).ip(), KEYS[1]);
            let frame = outer(&inner, address, payload).frame();
            fixtures.push(dropped(format!("{family}, {name}"), frame, EncapsulationSender));
        }
    }
    check(fixtures);
}

#[test]
fn what_is_around_a_packet_to_no_anycast_address_is_dropped() {
    check(families().map(|(family, packet)| {
        let elsewhere = address_of(LIVE_ELSEWHERE, &packet, 443);
        let inner = client(&packet).with(|inner| inner.destination = elsewhere);
        let payload = Encapsulation::by(LIVE, 1).around(&inner.ip(), KEYS[1]);
        let frame = outer(&packet, LIVE, payload).frame();
        dropped(format!("{family}, on to a third node"), frame, EncapsulationMalformed)
    }));
}

#[test]
fn a_tag_under_another_key_is_dropped() {
    check(families().map(|(family, inner)| {
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[0]);
        let frame = outer(&inner, LIVE, payload).frame();
        dropped(format!("{family}, the other key's tag"), frame, EncapsulationForged)
    }));
}

/// The tag covers the header and the first 64 bytes of the inner packet.
#[test]
fn one_changed_bit_anywhere_is_dropped() {
    let mut kernel = fleet();
    for (family, inner) in families() {
        for rest in [10, 200] {
            let inside = inner.clone().payload(short_header(&id_of(OURSELVES), rest)).ip();
            let covered = 16 + inside.len().min(64);
            let payload = Encapsulation::by(LIVE, 1).around(&inside, KEYS[1]);
            for bit in 0..covered * 8 {
                let mut forged = payload.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                let run = kernel.run(&outer(&inner, LIVE, forged).frame());
                let sentence = format!("{family}, bit {bit} of {} bytes", payload.len());
                assert_eq!(run.action, Action::Drop, "{sentence}");
                assert_eq!(
                    run.counted,
                    [(reason_by_place(bit / 8, &run.counted), 1)],
                    "{sentence}"
                );
            }
        }
    }
}

#[test]
fn what_is_not_for_us_is_no_matter_of_ours() {
    let mut fixtures = Vec::new();
    for (family, inner) in families() {
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        let to_another = outer(&inner, LIVE, payload.clone())
            .with(|packet| packet.destination = address_of(LIVE_ELSEWHERE, &inner, PORT));
        let sentence = format!("{family}, encapsulated for another node");
        fixtures.push(passed(sentence, to_another.frame(), OtherPort));
        let to_another_port = outer(&inner, LIVE, payload.clone()).to_port(PORT + 1);
        let sentence = format!("{family}, encapsulated, to another port");
        fixtures.push(passed(sentence, to_another_port.frame(), OtherPort));
        let mut cut = outer(&inner, LIVE, payload).frame();
        cut.truncate(cut.len() - 1);
        let sentence = format!("{family}, encapsulated, and the frame is cut");
        fixtures.push(passed(sentence, cut, Malformed));
    }
    check(fixtures);
}

#[test]
fn without_an_address_nothing_is_for_us() {
    let mut kernel = fleet();
    let local = super::fixture::local();
    kernel.set_local(edge_wire::maps::Local { ipv4: [0; 4], ipv6: [0; 16], ..local });
    for (family, inner) in families() {
        let payload = Encapsulation::by(LIVE, 1).around(&client(&inner).ip(), KEYS[1]);
        let zeros = outer(&inner, LIVE, payload).with(|packet| {
            packet.destination = if packet.source.is_ipv4() {
                "0.0.0.0:7842".parse().expect("an address")
            } else {
                "[::]:7842".parse().expect("an address")
            };
        });
        let run = kernel.run(&zeros.frame());
        assert_eq!(run.counted, [(OtherPort, 1)], "{family}, to the address of zeros");
    }
}

/// Which of the four it is depends on what the bit says; that it is one of them does not.
fn reason_by_place(byte: usize, counted: &[(Reason, u64)]) -> Reason {
    let expected: &[Reason] = match byte {
        0 | 1 | 3 => &[EncapsulationMalformed],
        2 => &[EncapsulationKey, EncapsulationForged],
        4 | 5 => &[EncapsulationSender],
        6 | 7 => &[EncapsulationMalformed],
        _ => &[EncapsulationForged],
    };
    let found = counted.first().map(|(reason, _)| *reason);
    found.filter(|reason| expected.contains(reason)).unwrap_or(expected[0])
}

/// A client's packet to us, over the family of `like`.
fn client(like: &Packet) -> Packet {
    like.clone().payload(short_header(&id_of(OURSELVES), 60))
}

/// A packet of the encapsulation from a node's address to ours, over the family of `like`.
fn outer(like: &Packet, from: u16, payload: Vec<u8>) -> Packet {
    let mut outer = like.clone().payload(payload);
    outer.source = address_of(from, like, 50_000);
    outer.destination = address_of(OURSELVES, like, PORT);
    outer.checksum = false;
    outer
}
