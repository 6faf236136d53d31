//! QUIC: the rules of frames, connection IDs and messages of TLS. What has to be taken or ignored is among
//! them. The rules of streams are in `quic_streams`, those of Initial packets in `transport`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use edge_user::limits::CRYPTO_BUFFER_BYTES;
use serde::Deserialize;
use serde_json::json;
use tests::credentials::SERVER_NAME;
use tests::fleet::programs;
use tests::raw::{self, varint};

use super::Room;
use super::http3::{Said, connect, said};
use super::quic_streams::{REQUEST, of_streams};

// Codes (RFC 9000 section 20.1).
const FRAME_ENCODING: u64 = 0x07;
const CONNECTION_ID_LIMIT: u64 = 0x09;
const PROTOCOL_VIOLATION: u64 = 0x0a;
const CRYPTO_BUFFER_EXCEEDED: u64 = 0x0d;
/// Of TLS (RFC 9001 section 4.8).
const UNEXPECTED_MESSAGE: u64 = 0x10a;

// Types of frames (RFC 9000 section 19).
const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
pub(super) const RESET_STREAM: u64 = 0x04;
const CRYPTO: u64 = 0x06;
const NEW_TOKEN: u64 = 0x07;
const STREAM: u64 = 0x08;
const MAX_DATA: u64 = 0x10;
const MAX_STREAMS: u64 = 0x12;
const MAX_STREAMS_UNI: u64 = 0x13;
const DATA_BLOCKED: u64 = 0x14;
pub(super) const STREAM_DATA_BLOCKED: u64 = 0x15;
const STREAMS_BLOCKED: u64 = 0x16;
const STREAMS_BLOCKED_UNI: u64 = 0x17;
const NEW_CONNECTION_ID: u64 = 0x18;
const RETIRE_CONNECTION_ID: u64 = 0x19;
const PATH_CHALLENGE: u64 = 0x1a;
const PATH_RESPONSE: u64 = 0x1b;
const HANDSHAKE_DONE: u64 = 0x1e;
const DATAGRAM: u64 = 0x30;

/// Bits of STREAM that tell of an offset and of a length.
const OFFSET_AND_LENGTH: u64 = 0x06;

/// How many connection IDs the server issues at first: as many as aioquic takes.
const ISSUED: u64 = 8;
/// The most that a variable-length integer says.
pub(super) const MOST: u64 = (1 << 62) - 1;
const MOST_STREAMS: u64 = 1 << 60;

/// Where quinn-proto goes on instead, as it may or by a fault of its own, and why.
const OTHERWISE: &[(&str, &str)] = &[
    (
        "4.6: STOP_SENDING of one request more",
        "section 4.6 has no exception; quinn-proto looks up the stream, and finds none",
    ),
    (
        "4.6: STREAM_DATA_BLOCKED of one request more",
        "section 4.6 has no exception; quinn-proto does no more than log the frame",
    ),
    (
        "4.5: an end before what was sent",
        "section 4.5: these errors are not mandatory; the stream counts as one that has not ended",
    ),
    (
        "4.5: STREAM beyond the size of RESET_STREAM",
        "section 4.5: these errors are not mandatory; the stream is not read any more",
    ),
    ("12.4: a type that is longer than it needs", "section 12.4: it may be treated as an error"),
    (
        "19.16: the ID that would be the next one is retired",
        "section 19.16 has no exception; quinn-proto counts one more than it has issued",
    ),
    ("19.16: the ID of the packet is retired", "section 19.16: it may be treated as an error"),
    ("19.18: an answer that nobody asked for", "section 19.18: it may be treated as an error"),
];

/// What is sent: the frames of one packet, in which space, with which more bits of its first byte.
pub(super) struct Packet {
    space: &'static str,
    frames: Vec<u8>,
    bits: u8,
    /// Goes on with another connection ID.
    leaves: bool,
}

/// The code that closes the connection; `None`: it goes on.
pub(super) type Case = (&'static str, Packet, Option<u64>);

pub(super) fn packet(space: &'static str, frames: &[Vec<u8>]) -> Packet {
    Packet { space, frames: frames.concat(), bits: 0, leaves: false }
}

/// A frame of integers, and what is behind them.
fn with(kind: u64, integers: &[u64], rest: &[u8]) -> Vec<u8> {
    let integers = integers.iter().flat_map(|integer| varint(*integer));
    varint(kind).into_iter().chain(integers).chain(rest.iter().copied()).collect()
}

pub(super) fn frame(kind: u64, integers: &[u64]) -> Vec<u8> {
    with(kind, integers, &[])
}

pub(super) fn stream(bits: u64, id: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    with(STREAM | OFFSET_AND_LENGTH | bits, &[id, offset, data.len() as u64], data)
}

fn crypto(offset: u64, data: &[u8]) -> Vec<u8> {
    with(CRYPTO, &[offset, data.len() as u64], data)
}

/// NEW_CONNECTION_ID with an ID of so many bytes.
fn new_id(sequence: u64, retire_prior_to: u64, bytes: u8) -> Vec<u8> {
    let id = vec![sequence as u8; usize::from(bytes)];
    let rest = [&[bytes], &id[..], &[0xff - sequence as u8; 16]].concat();
    with(NEW_CONNECTION_ID, &[sequence, retire_prior_to], &rest)
}

/// Messages of TLS that no client sends in QUIC, or not then (RFC 8446 section 4).
fn messages(of: impl Fn(&[Vec<u8>]) -> Packet) -> Vec<Case> {
    let one = |message: &[u8]| of(&[crypto(0, message)]);
    // Lifetime and age, an empty nonce, a ticket of a byte, no extensions.
    let ticket = [&[4, 0, 0, 14][..], &[0; 8], &[0], &[0, 1, 1], &[0, 0]].concat();
    vec![
        ("RFC 9001 6: KeyUpdate", one(&[24, 0, 0, 1, 0]), Some(UNEXPECTED_MESSAGE)),
        ("RFC 9001 8.3: EndOfEarlyData", one(&[5, 0, 0, 0]), Some(UNEXPECTED_MESSAGE)),
        ("RFC 9001 4.8: NewSessionTicket", one(&ticket), Some(UNEXPECTED_MESSAGE)),
        (
            "7.5: CRYPTO beyond what is kept",
            of(&[crypto(CRYPTO_BUFFER_BYTES as u64, b"x")]),
            Some(CRYPTO_BUFFER_EXCEEDED),
        ),
        ("7.5: CRYPTO with a gap", of(&[crypto(1000, b"x")]), None),
    ]
}

/// RFC 9000 sections 12.4 and 17.2, table 3. CONNECTION_CLOSE of the application is not asked for:
/// quinn-proto takes it for an end, and an end has no answer.
fn in_handshake_packets() -> Vec<Case> {
    let of = |frames: &[Vec<u8>]| packet("handshake", frames);
    let one = |frame: Vec<u8>| of(&[frame]);
    let wrong = Some(PROTOCOL_VIOLATION);
    vec![
        ("17.2: reserved bits", Packet { bits: 0x0c, ..one(frame(PING, &[])) }, wrong),
        ("12.4: no frames", of(&[]), wrong),
        ("12.4: an unknown type", one(frame(0x21, &[])), Some(FRAME_ENCODING)),
        ("12.4: STREAM", one(stream(0, 0, 0, b"x")), wrong),
        ("12.4: RESET_STREAM", one(frame(RESET_STREAM, &[0, 0, 0])), wrong),
        ("12.4: MAX_DATA", one(frame(MAX_DATA, &[1 << 20])), wrong),
        ("12.4: NEW_CONNECTION_ID", one(new_id(9, 0, 8)), wrong),
        ("12.4: PATH_CHALLENGE", one(with(PATH_CHALLENGE, &[], &[0; 8])), wrong),
        ("12.4: HANDSHAKE_DONE", one(frame(HANDSHAKE_DONE, &[])), wrong),
        ("13.1: ACK of what was not sent", one(frame(ACK, &[1 << 20, 0, 0, 0])), wrong),
        ("12.4: PING and PADDING", of(&[frame(PING, &[]), frame(PADDING, &[])]), None),
    ]
}

/// RFC 9000 sections 12.4, 13.1, 17.3 and 19.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn of_frames() -> Vec<Case> {
    let of = |frames: &[Vec<u8>]| packet("1-rtt", frames);
    let one = |frame: Vec<u8>| of(&[frame]);
    let wrong = Some(PROTOCOL_VIOLATION);
    let malformed = Some(FRAME_ENCODING);
    vec![
        ("17.3.1: reserved bits", Packet { bits: 0x18, ..one(frame(PING, &[])) }, wrong),
        ("12.4: no frames", of(&[]), wrong),
        ("12.4: an unknown type", one(frame(0x21, &[])), malformed),
        ("12.4: a type that is longer than it needs", one(vec![0x40, 0x01]), wrong),
        ("12.4: half a type", one(vec![0x40]), malformed),
        ("19.8: half of STREAM", one(with(STREAM | 0x02, &[REQUEST, 9], b"x")), malformed),
        ("19.6: half of CRYPTO", one(with(CRYPTO, &[0, 9], b"x")), malformed),
        ("19.17: half of PATH_CHALLENGE", one(with(PATH_CHALLENGE, &[], &[0; 7])), malformed),
        ("13.1: ACK of what was not sent", one(frame(ACK, &[1 << 20, 0, 0, 0])), wrong),
        ("19.3.1: ACK below zero", one(frame(ACK, &[0, 0, 0, 1])), malformed),
        ("19.3.1: a range of ACK below zero", one(frame(ACK, &[0, 0, 1, 0, 0, 0])), malformed),
        ("19.6: CRYPTO beyond 2^62", one(crypto(MOST, b"x")), Some(CRYPTO_BUFFER_EXCEEDED)),
        ("19.7: NEW_TOKEN", one(with(NEW_TOKEN, &[1], b"x")), wrong),
        ("19.11: 2^60 streams", one(frame(MAX_STREAMS, &[MOST_STREAMS])), None),
        ("19.11: more than 2^60", one(frame(MAX_STREAMS, &[MOST_STREAMS + 1])), malformed),
        (
            "19.11: more than 2^60 unidirectional ones",
            one(frame(MAX_STREAMS_UNI, &[MOST_STREAMS + 1])),
            malformed,
        ),
        (
            "19.12: blocked",
            of(&[frame(DATA_BLOCKED, &[0]), frame(STREAM_DATA_BLOCKED, &[REQUEST, 0])]),
            None,
        ),
        ("19.14: blocked at 2^60", one(frame(STREAMS_BLOCKED, &[MOST_STREAMS])), None),
        ("19.14: blocked beyond", one(frame(STREAMS_BLOCKED, &[MOST_STREAMS + 1])), malformed),
        (
            "19.14: blocked beyond with unidirectional ones",
            one(frame(STREAMS_BLOCKED_UNI, &[MOST_STREAMS + 1])),
            malformed,
        ),
        ("19.15: an ID that retires itself", one(new_id(20, 21, 8)), malformed),
        ("19.15: an ID of no bytes", one(new_id(20, 0, 0)), malformed),
        ("19.15: an ID of 21 bytes", one(new_id(20, 0, 21)), malformed),
        (
            "5.1.1: more IDs than the server takes",
            of(&(20..30).map(|sequence| new_id(sequence, 0, 8)).collect::<Vec<_>>()),
            Some(CONNECTION_ID_LIMIT),
        ),
        (
            "19.16: an ID that there never was is retired",
            one(frame(RETIRE_CONNECTION_ID, &[1 << 20])),
            wrong,
        ),
        (
            "19.16: the ID that would be the next one is retired",
            one(frame(RETIRE_CONNECTION_ID, &[ISSUED])),
            wrong,
        ),
        (
            "19.16: one behind that is retired",
            one(frame(RETIRE_CONNECTION_ID, &[ISSUED + 1])),
            wrong,
        ),
        (
            "19.16: the ID of the packet is retired",
            Packet { leaves: true, ..one(frame(RETIRE_CONNECTION_ID, &[0])) },
            wrong,
        ),
        ("19.17: PATH_CHALLENGE", one(with(PATH_CHALLENGE, &[], &[7; 8])), None),
        ("19.18: an answer that nobody asked for", one(with(PATH_RESPONSE, &[], &[7; 8])), wrong),
        ("19.20: HANDSHAKE_DONE", one(frame(HANDSHAKE_DONE, &[])), wrong),
        ("RFC 9221 3: DATAGRAM that was not allowed", one(with(DATAGRAM, &[], b"x")), wrong),
        ("19.1: PADDING and PING", of(&[frame(PADDING, &[]), frame(PING, &[])]), None),
    ]
}

/// What the client has seen of a case.
#[derive(Deserialize)]
struct Row {
    said: String,
    beside: u16,
}

/// What aioquic sees, which sends these packets, each on a connection of its own.
fn seen(room: &Room, cases: &[Case]) -> (Vec<Row>, String) {
    let mut child = Command::new(programs::python())
        .arg(programs::script("quic_frames.py"))
        .arg(&room.edge.credentials.authority)
        .args([SERVER_NAME, "127.0.0.1", &room.edge.port.to_string(), "/good"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    // It reads all before it answers.
    let mut stdin = child.stdin.take().expect("it is piped");
    for (_, Packet { space, frames, bits, leaves }, _) in cases {
        let frames: String = frames.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = json!({ "space": space, "frames": frames, "bits": bits, "leaves": leaves });
        writeln!(stdin, "{line}").expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends by itself");
    let said = String::from_utf8_lossy(&output.stdout);
    let rows = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (rows, super::super::stderr(&output))
}

/// h3spec asks the same, in other words.
#[tokio::test]
async fn what_breaks_a_rule_of_quic_ends_by_the_code_that_the_rule_names() {
    let mut room = Room::new();
    let cases: Vec<_> = [
        in_handshake_packets(),
        messages(|frames| packet("handshake", frames)),
        of_streams(),
        of_frames(),
        messages(|frames| packet("1-rtt", frames)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (rows, complaints) = seen(&room, &cases);
    assert_eq!(rows.len(), cases.len(), "{complaints}");
    for (otherwise, _) in OTHERWISE {
        assert!(cases.iter().any(|(rule, ..)| rule == otherwise), "{otherwise}");
    }
    for ((rule, packet, code), row) in cases.iter().zip(rows) {
        let otherwise = OTHERWISE.iter().find(|(otherwise, _)| otherwise == rule);
        let expected = match (code, otherwise) {
            (Some(code), None) => format!("transport {code:#x}"),
            _ => "status 200".to_owned(),
        };
        let case = format!("{rule}, {}: {otherwise:?}", packet.space);
        room.same(row.said, expected, &case);
        room.same(row.beside, 200, &case);
    }
    let (_endpoint, connection) = connect(&room).await;
    assert_eq!(said(&connection, &raw::get("/good")).await, Said::Status("200".into()));
    assert!(room.wrong.is_empty(), "{}", room.wrong.join("\n"));
}
