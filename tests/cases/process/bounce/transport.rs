//! QUIC: transport parameters that a client must not send, and first packets that are none.

use std::net::UdpSocket;

use tests::initials::{self, Initials};
use tests::raw::varint;

use crate::process::{Edge, WITHIN};

// Codes (RFC 9000 section 20.1; section 4.8 of RFC 9001 for those of TLS).
const FRAME_ENCODING: u64 = 0x07;
const TRANSPORT_PARAMETER: u64 = 0x08;
const PROTOCOL_VIOLATION: u64 = 0x0a;
const NO_APPLICATION_PROTOCOL: u64 = 0x178;

/// The parameter that each client must send: its own connection ID, which is empty.
const OWN: [u8; 2] = [0x0f, 0x00];

fn parameter(id: u64, value: &[u8]) -> Vec<u8> {
    [varint(id), varint(value.len() as u64), value.to_vec()].concat()
}

/// RFC 9000 sections 7.3, 7.4 and 18.2.
fn parameters() -> Vec<(&'static str, Vec<u8>, Option<u64>)> {
    let with = |id, value: &[u8]| [OWN.to_vec(), parameter(id, value)].concat();
    let integer = |id, value| with(id, &varint(value));
    let wrong = Some(TRANSPORT_PARAMETER);
    vec![
        ("what there must be", OWN.to_vec(), None),
        ("what has no meaning", integer(31 * 7 + 27, 5), None),
        (
            "the most of all",
            [integer(0x03, 1200), parameter(0x0a, &[20]), parameter(0x0e, &[2])].concat(),
            None,
        ),
        ("no connection ID", vec![], wrong),
        ("another connection ID", parameter(0x0f, &[1, 2, 3]), wrong),
        ("original_destination_connection_id", with(0x00, &[1; 8]), wrong),
        ("stateless_reset_token", with(0x02, &[1; 16]), wrong),
        ("preferred_address", with(0x0d, &[1; 4 + 2 + 16 + 2 + 1 + 4 + 16]), wrong),
        ("retry_source_connection_id", with(0x10, &[1; 8]), wrong),
        ("a parameter twice", [&OWN[..], &OWN].concat(), wrong),
        ("max_udp_payload_size below 1200", integer(0x03, 1199), wrong),
        ("initial_max_streams_bidi beyond 2^60", integer(0x08, (1 << 60) + 1), wrong),
        ("initial_max_streams_uni beyond 2^60", integer(0x09, (1 << 60) + 1), wrong),
        ("ack_delay_exponent beyond 20", integer(0x0a, 21), wrong),
        ("max_ack_delay beyond 2^14", integer(0x0b, 1 << 14), wrong),
        ("disable_active_migration that says something", with(0x0c, &[0]), wrong),
        ("active_connection_id_limit below 2", integer(0x0e, 1), wrong),
        ("a length beyond the end", [&OWN[..], &[0x01, 0x09, 0x00]].concat(), wrong),
        ("a value that is no integer", with(0x01, &[0x40]), wrong),
        ("a value longer than its integer", with(0x01, &[0x00, 0x00]), wrong),
    ]
}

/// RFC 9000 sections 12.4 and 19. One whose reserved bits are set is no first packet to quinn-proto, and
/// is not answered.
fn first_packets() -> Vec<(&'static str, Vec<u8>, Option<u64>)> {
    vec![
        ("a frame that is none", vec![0x40, 0x7f], Some(FRAME_ENCODING)),
        ("half a frame", [vec![0x06, 0x00], varint(4000)].concat(), Some(FRAME_ENCODING)),
        ("STREAM", vec![0x08, 0x00], Some(PROTOCOL_VIOLATION)),
        ("HANDSHAKE_DONE", vec![0x1e], Some(PROTOCOL_VIOLATION)),
        ("NEW_CONNECTION_ID", [&[0x18, 1, 0, 8][..], &[1; 24]].concat(), Some(PROTOCOL_VIOLATION)),
    ]
}

/// What the edge answers to an Initial: the code of CONNECTION_CLOSE, or nothing where it goes on with
/// the handshake.
fn answered(edge: &Edge, id: &[u8], initial: &[u8]) -> Option<u64> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(WITHIN)).expect("not zero");
    socket.send_to(initial, edge.address()).expect("sent");
    let mut datagram = [0; 2000];
    loop {
        let length = socket.recv(&mut datagram).expect("an answer");
        let Some(frames) = initials::frames(id, &datagram[..length]) else { continue };
        // ACK comes first, and both it and CRYPTO are longer than what is looked for.
        if let Some(told) = first_of(&frames) {
            return told;
        }
    }
}

/// CONNECTION_CLOSE with its code, CRYPTO, or neither.
fn first_of(mut frames: &[u8]) -> Option<Option<u64>> {
    let integer = |frames: &mut &[u8]| {
        let (integer, rest) = frames.split_at(1 << (frames[0] >> 6));
        *frames = rest;
        tests::raw::decode_varint(integer)
    };
    while !frames.is_empty() {
        match integer(&mut frames) {
            // PADDING, PING.
            0x00 | 0x01 => {}
            // ACK (RFC 9000 section 19.3): largest, delay, ranges, the first of them.
            0x02 => {
                let [_, _, ranges, _] = [(); 4].map(|()| integer(&mut frames));
                assert_eq!(ranges, 0, "one packet was sent");
            }
            0x06 => return Some(None),
            0x1c => return Some(Some(integer(&mut frames))),
            other => panic!("a frame of type {other:#x} in an Initial"),
        }
    }
    None
}

#[test]
fn transport_parameters_and_first_packets_that_break_a_rule_end_the_handshake_by_its_code() {
    let mut edge = Edge::new();
    edge.start();
    let mut wrong = Vec::new();
    let mut check = |rule: &str, is: Option<u64>, expected: Option<u64>| {
        if is != expected {
            wrong.push(format!("{is:x?}, not {expected:x?}: {rule}"));
        }
    };
    for (turn, (rule, parameters, expected)) in (0u8..).zip(parameters()) {
        let id = [turn; 8];
        let initials = Initials::with(&[b"h3"], parameters).expect("a ClientHello");
        let initial = initials.datagram(&id).expect("an ID");
        check(rule, answered(&edge, &id, &initial), expected);
    }
    for (turn, (rule, frames, expected)) in (100u8..).zip(first_packets()) {
        let id = [turn; 8];
        let initial = initials::packet(&id, &frames).expect("an ID");
        check(rule, answered(&edge, &id, &initial), expected);
    }
    // RFC 9001 section 8.1.
    let other = Initials::with(&[b"h2"], OWN.to_vec()).expect("a ClientHello");
    let initial = other.datagram(&[200; 8]).expect("an ID");
    check("ALPN", answered(&edge, &[200; 8], &initial), Some(NO_APPLICATION_PROTOCOL));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
