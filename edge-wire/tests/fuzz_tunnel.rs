//! Fuzz target of the encapsulation: what one node writes, another reads. A short run of it is
//! part of `cargo test`. For a long one: `cargo bolero test --package edge-wire any_packet`.

use bolero::check;
use edge_wire::cursor::Cursor;
use edge_wire::dissect::{self, Addresses, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Udp};
use edge_wire::tunnel::{self, Covered, Header, LEN};

#[test]
fn any_packet_is_sealed_and_a_change_of_what_is_covered_breaks_the_seal() {
    type Sealed = (Vec<u8>, [u64; 2], u8, u16, u16, u8);
    check!().with_type::<Sealed>().for_each(|(inner, key, key_id, node, at, bits)| {
        let length = u16::try_from(inner.len()).expect("short enough");
        let Some(covered) = Covered::of(inner) else { return };
        let headers_len = match covered {
            Covered::Ipv4(headers) => headers.len(),
            Covered::Ipv6(headers) => headers.len(),
        };
        let sealed = Header::sealed(key, *key_id, *node, length, covered);
        let mut bytes = [&sealed.to_bytes()[..], inner].concat();
        let held = (*key_id, key);
        assert!(holds(&bytes, held));
        let place = usize::from(*at) % (LEN + headers_len);
        bytes[place] ^= bits;
        assert_eq!(holds(&bytes, held), *bits == 0, "byte {place}");
    });
}

/// Is it an encapsulation that a node made under the only key that there is?
fn holds(bytes: &[u8], (key_id, key): (u8, &[u64; 2])) -> bool {
    let mut cursor = bytes;
    let Some(header) = cursor.take().and_then(Header::from_bytes) else { return false };
    usize::from(header.inner_len) == cursor.remaining()
        && header.key_id == key_id
        && Covered::of(cursor).is_some_and(|inner| header.tag == header.expected_tag(key, inner))
}

/// The one parser reads the outer headers as they were meant.
#[test]
fn any_outer_headers_are_dissected() {
    type Outer = ([u8; 16], [u8; 16], u8, (u16, u16), Vec<u8>);
    check!().with_type::<Outer>().for_each(|(source, destination, class, ports, payload)| {
        let length = u16::try_from(payload.len()).expect("short enough");
        let ipv6 = tunnel::ipv6_udp(*source, *destination, *class, *ports, length);
        let packet = [&ipv6[..], payload].concat();
        let udp = read(&packet, ETHERTYPE_IPV6, payload);
        assert_eq!(udp.addresses, Addresses::V6 { source, destination });
        assert_eq!(written(&udp), (*class, *ports));

        let [source, destination] = [source, destination].map(|end| end.first_chunk().expect("16"));
        let ipv4 = tunnel::ipv4_udp(*source, *destination, *class, *ports, length);
        let packet = [&ipv4[..], payload].concat();
        let udp = read(&packet, ETHERTYPE_IPV4, payload);
        assert_eq!(udp.addresses, Addresses::V4 { source, destination });
        assert_eq!(written(&udp), (*class, *ports));
    });
}

fn read<'a>(packet: &'a [u8], ethertype: u16, payload: &[u8]) -> Udp<'a> {
    let mut cursor = packet;
    let udp = dissect::udp(&mut cursor, ethertype).expect("a datagram");
    assert_eq!(cursor, payload);
    assert_eq!(usize::from(udp.payload_len), payload.len());
    assert_eq!(usize::from(udp.ip_len), packet.len());
    udp
}

fn written(udp: &Udp<'_>) -> (u8, (u16, u16)) {
    (udp.traffic_class, (udp.source_port, udp.destination_port))
}
