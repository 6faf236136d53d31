use super::*;
use crate::cid;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const ID: [u8; cid::DEFAULT_LEN] = [0x10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// An Ethernet header with these tags.
fn link(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut bytes = vec![0xaa; 12];
    for tag in tags {
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0x20, 0x07]);
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes
}

fn ipv4_packet(payload: &[u8]) -> Vec<u8> {
    let udp_len = 8 + payload.len() as u16;
    let mut bytes = vec![0x45, 0xb9];
    bytes.extend((20 + udp_len).to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, 17, 0xff, 0xff, 203, 0, 113, 9, 192, 0, 2, 1]);
    bytes.extend([0x12, 0x34, 0x01, 0xbb]);
    bytes.extend(udp_len.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

fn ipv6_packet(payload: &[u8]) -> Vec<u8> {
    let udp_len = 8 + payload.len() as u16;
    let mut bytes = vec![0x6b, 0x91, 0x23, 0x45];
    bytes.extend(udp_len.to_be_bytes());
    bytes.extend([17, 64]);
    bytes.extend([0xc1; 16]);
    bytes.extend([0xa1; 16]);
    bytes.extend([0x12, 0x34, 0x01, 0xbb]);
    bytes.extend(udp_len.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// What may be a connection ID of ours.
type Id = Result<Candidate, Reason>;

/// All there is to know of a frame.
fn read(frame: &[u8]) -> Result<(usize, Udp<'_>, Id), Reason> {
    let mut cursor = frame;
    let (link_len, ethertype) = ethernet(&mut cursor)?;
    let udp = udp(&mut cursor, ethertype)?;
    let id = quic(&mut cursor).and_then(|quic| candidate_in(&mut cursor, &quic, &udp));
    Ok((link_len, udp, id))
}

fn of_short_header() -> Candidate {
    Candidate::new(short_header()[1..].first_chunk().expect("longer"), 0)
}

fn refusal(frame: &[u8]) -> Reason {
    read(frame).expect_err("no datagram that can be steered")
}

fn short_header() -> Vec<u8> {
    [&[0x43], &ID[..], &[9; 30]].concat()
}

#[test]
fn ipv4_is_read() {
    let packet = ipv4_packet(&short_header());
    let frame = [link(&[], 0x0800), packet].concat();
    let (link_len, udp, id) = read(&frame).expect("a datagram");
    let addresses = Addresses::V4 { source: &[203, 0, 113, 9], destination: &[192, 0, 2, 1] };
    let expected = Udp {
        addresses,
        traffic_class: 0xb9,
        ip_len: 20 + 8 + 48,
        source_port: 0x1234,
        destination_port: 443,
        payload_len: 48,
    };
    assert_eq!((link_len, udp, id), (14, expected, Ok(of_short_header())));
}

#[test]
fn ipv6_is_read() {
    let packet = ipv6_packet(&short_header());
    let frame = [link(&[], 0x86dd), packet].concat();
    let (link_len, udp, id) = read(&frame).expect("a datagram");
    let addresses = Addresses::V6 { source: &[0xc1; 16], destination: &[0xa1; 16] };
    let expected = Udp {
        addresses,
        traffic_class: 0xb9,
        ip_len: 40 + 8 + 48,
        source_port: 0x1234,
        destination_port: 443,
        payload_len: 48,
    };
    assert_eq!((link_len, udp, id), (14, expected, Ok(of_short_header())));
}

#[test]
fn up_to_two_tags_are_followed() {
    let packet = ipv4_packet(&short_header());
    for (tags, length) in
        [(&[0x8100][..], 18), (&[0x88a8], 18), (&[0x88a8, 0x8100], 22), (&[0x8100, 0x8100], 22)]
    {
        let (link_len, _, id) =
            read(&[&link(tags, 0x0800)[..], &packet].concat()).expect("a datagram");
        assert_eq!((link_len, id), (length, Ok(of_short_header())), "{tags:04x?}");
    }
    let three = [&link(&[0x88a8, 0x8100, 0x8100], 0x0800)[..], &packet].concat();
    assert_eq!(refusal(&three), Reason::NotIp);
    let service_inside = [&link(&[0x8100, 0x88a8], 0x0800)[..], &packet].concat();
    assert_eq!(refusal(&service_inside), Reason::NotIp);
}

#[test]
fn a_frame_that_ends_early_is_malformed_wherever_it_ends() {
    for (tags, packet, ethertype) in [
        (&[][..], ipv4_packet(&short_header()), 0x0800),
        (&[0x88a8, 0x8100], ipv6_packet(&short_header()), 0x86dd),
    ] {
        let frame = [link(tags, ethertype), packet].concat();
        for length in 0..frame.len() {
            assert_eq!(refusal(&frame[..length]), Reason::Malformed, "{length} bytes");
        }
    }
}

#[test]
fn what_is_not_followed_has_a_reason_of_its_own() {
    let ipv4 = |change: fn(&mut Vec<u8>)| {
        let mut packet = ipv4_packet(&short_header());
        change(&mut packet);
        refusal(&[link(&[], 0x0800), packet].concat())
    };
    assert_eq!(ipv4(|packet| packet[0] = 0x46), Reason::IpOptions);
    assert_eq!(ipv4(|packet| packet[0] = 0x44), Reason::Malformed);
    assert_eq!(ipv4(|packet| packet[0] = 0x65), Reason::Malformed);
    assert_eq!(ipv4(|packet| packet[6] = 0x20), Reason::Fragment);
    assert_eq!(ipv4(|packet| packet[7] = 1), Reason::Fragment);
    assert_eq!(ipv4(|packet| packet[9] = 6), Reason::NotUdp);
    assert_eq!(ipv4(|packet| packet[3] += 1), Reason::Malformed, "longer than the frame");
    assert_eq!(ipv4(|packet| packet[3] -= 1), Reason::Malformed, "shorter than its datagram");
    assert_eq!(ipv4(|packet| packet[25] = 7), Reason::Malformed, "shorter than a UDP header");
    let ipv6 = |change: fn(&mut Vec<u8>)| {
        let mut packet = ipv6_packet(&short_header());
        change(&mut packet);
        refusal(&[link(&[], 0x86dd), packet].concat())
    };
    assert_eq!(ipv6(|packet| packet[0] = 0x45), Reason::Malformed);
    assert_eq!(ipv6(|packet| packet[6] = 44), Reason::Fragment);
    assert_eq!(ipv6(|packet| packet[6] = 43), Reason::IpOptions);
    assert_eq!(ipv6(|packet| packet[6] = 58), Reason::NotUdp);
    assert_eq!(ipv6(|packet| packet[4] = 0xff), Reason::Malformed, "a jumbogram's length");
    assert_eq!(refusal(&link(&[], 0x0806)), Reason::NotIp);
}

#[test]
fn padding_belongs_to_nothing() {
    let whole = short_header();
    for length in 0..=MAX_LEN {
        let mut frame = [link(&[], 0x0800), ipv4_packet(&whole[..length])].concat();
        frame.extend(&whole[length..]);
        let (_, udp, id) = read(&frame).expect("a datagram");
        assert_eq!(usize::from(udp.payload_len), length);
        assert_eq!(id, Err(Reason::NotQuic), "{length} bytes");
    }
}

#[test]
fn an_id_is_ours_by_its_length_only() {
    let long = |id: &[u8]| [&[0xc3, 0, 0, 0, 1, id.len() as u8], id, &[0; 30]].concat();
    for length in MIN_LEN..=MAX_LEN {
        let datagram = long(&vec![7; length]);
        let candidate = candidate_of(&datagram[..]).expect("a length of ours");
        let bytes = datagram[6..].first_chunk().expect("longer");
        assert_eq!(candidate, Candidate::new(bytes, length as u8));
    }
    for length in [0, 8, 21, 255] {
        assert_eq!(candidate_of(&long(&vec![7; length])[..]), Err(Reason::NewConnection));
    }
    assert_eq!(candidate_of(&long(&ID)[..25]), Err(Reason::NotQuic));
    let greased = [0x03; 21];
    let candidate = Candidate::new(&[3; MAX_LEN], 0);
    assert_eq!(candidate_of(&greased[..]), Ok(candidate), "the fixed bit is not looked at");
    assert_eq!(candidate_of(&[][..]), Err(Reason::NotQuic));
}

/// RFC 9000 section 17.2 and RFC 9369 section 3.2 give the types different bits.
#[test]
fn an_initial_is_known_by_version_and_type() {
    let read = |first: u8, version: u32| {
        let [a, b, c, d] = version.to_be_bytes();
        quic(&mut &[first, a, b, c, d, 8][..]).expect("a long header").is_initial()
    };
    for kind in 0..4u8 {
        assert_eq!(read(0xc0 | (kind << 4), VERSION_1), kind == 0);
        assert_eq!(read(0xc0 | (kind << 4), VERSION_2), kind == 1);
        assert!(!read(0xc0 | (kind << 4), 0xbaba_baba), "an unknown version has its own types");
    }
    assert!(!Quic::Short.is_initial());
}

#[test]
fn any_id_is_read_as_far_as_it_goes() {
    let id: [u8; 30] = core::array::from_fn(|index| index as u8 + 1);
    for id_len in 0..30 {
        let packet = [&[0xc3, 0, 0, 0, 1, id_len as u8], &id[..]].concat();
        let length = id_len.min(MAX_LEN);
        let mut expected = [0; MAX_LEN];
        expected[..length].copy_from_slice(&id[..length]);
        assert_eq!(any_connection_id(&mut &packet[..]), (expected, length as u8));
    }
    let cut = any_connection_id(&mut &[0xc3, 0, 0, 0, 1, 8, 5, 6][..]);
    assert_eq!(cut.1, 2, "as many bytes as there are");
    let (short, length) = any_connection_id(&mut &short_header()[..]);
    assert_eq!((&short[..ID.len()], length), (&ID[..], 17));
    assert_eq!(any_connection_id(&mut &[][..]), ([0; MAX_LEN], 0));
}

proptest! {
    /// Whatever the bytes: no panic, and nothing is claimed that is not there.
    #[test]
    fn nothing_is_claimed_that_is_not_there(
        tags in prop::collection::vec(prop::sample::select(vec![0x8100u16, 0x88a8]), 0..3),
        ethertype in prop::sample::select(vec![0x0800u16, 0x86dd, 0x0806]),
        rest in prop::collection::vec(any::<u8>(), 0..120),
        front in prop::sample::select(vec![0x45u8, 0x60, 0x46, 0x00]),
    ) {
        let mut frame = link(&tags, ethertype);
        frame.push(front);
        frame.extend(rest);
        if let Ok((link_len, udp, _)) = read(&frame) {
            let header = if ethertype == 0x0800 { IPV4_LEN } else { IPV6_LEN };
            prop_assert!(link_len + usize::from(udp.ip_len) <= frame.len());
            prop_assert!(header + UDP_LEN + usize::from(udp.payload_len) <= usize::from(udp.ip_len));
        }
    }
}
