//! HTTP/3: the rules of streams, frames, settings and QPACK. What has to be ignored is among them.

use quinn::{Connection, VarInt};
use tests::credentials::SERVER_NAME;
use tests::raw::{self, frame, headers, varint};

use super::Room;
use super::http3::{Said, closed, connect, said};

// Codes (RFC 9114 section 8.1, RFC 9204 section 6).
const STREAM_CREATION: u64 = 0x103;
const CLOSED_CRITICAL: u64 = 0x104;
const UNEXPECTED: u64 = 0x105;
const FRAME: u64 = 0x106;
const EXCESSIVE_LOAD: u64 = 0x107;
const ID: u64 = 0x108;
const SETTINGS: u64 = 0x109;
const MISSING_SETTINGS: u64 = 0x10a;
const INCOMPLETE: u64 = 0x10d;
const DECOMPRESSION: u64 = 0x200;
const ENCODER: u64 = 0x201;
const DECODER: u64 = 0x202;

/// What ends with the bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Fin,
    Reset,
}
use End::{Fin, Open, Reset};

/// Unidirectional streams, how they end, and the code that closes the connection; `None`: it goes on.
type Case = (&'static str, Vec<(Vec<u8>, End)>, Option<u64>);

fn control(frames: &[Vec<u8>]) -> Vec<u8> {
    [&[0x00, 0x04, 0x00], &frames.concat()[..]].concat()
}

fn settings(pairs: &[(u64, u64)]) -> Vec<u8> {
    let pair = |(id, value): &(u64, u64)| [varint(*id), varint(*value)].concat();
    [vec![0x00], frame(0x04, &pairs.iter().flat_map(pair).collect::<Vec<_>>())].concat()
}

/// RFC 9114 sections 6.2 and 7.2, RFC 9204 section 4, RFC 9218 section 7.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn of_unidirectional_streams() -> Vec<Case> {
    let one = |bytes: Vec<u8>| vec![(bytes, Open)];
    let then = |bytes: Vec<u8>| one(control(&[bytes]));
    let two = |bytes: Vec<u8>| vec![(bytes.clone(), Open), (bytes, Open)];
    vec![
        ("no SETTINGS", one([vec![0], frame(0x07, &[0])].concat()), Some(MISSING_SETTINGS)),
        ("DATA in their place", one([vec![0], frame(0x00, b"x")].concat()), Some(MISSING_SETTINGS)),
        (
            "an unknown frame in their place",
            one([vec![0], frame(0x21, b"x")].concat()),
            Some(MISSING_SETTINGS),
        ),
        ("SETTINGS twice", then(frame(0x04, &[])), Some(UNEXPECTED)),
        ("DATA", then(frame(0x00, b"x")), Some(UNEXPECTED)),
        ("HEADERS", then(frame(0x01, b"x")), Some(UNEXPECTED)),
        ("PUSH_PROMISE", then(frame(0x05, b"x")), Some(UNEXPECTED)),
        ("PRIORITY of HTTP/2", then(frame(0x02, b"x")), Some(UNEXPECTED)),
        ("PING of HTTP/2", then(frame(0x06, b"x")), Some(UNEXPECTED)),
        ("WINDOW_UPDATE of HTTP/2", then(frame(0x08, b"x")), Some(UNEXPECTED)),
        ("CONTINUATION of HTTP/2", then(frame(0x09, b"x")), Some(UNEXPECTED)),
        ("ENABLE_PUSH of HTTP/2", one(settings(&[(0x02, 0)])), Some(SETTINGS)),
        ("MAX_CONCURRENT_STREAMS of HTTP/2", one(settings(&[(0x03, 1)])), Some(SETTINGS)),
        ("INITIAL_WINDOW_SIZE of HTTP/2", one(settings(&[(0x04, 1)])), Some(SETTINGS)),
        ("MAX_FRAME_SIZE of HTTP/2", one(settings(&[(0x05, 1)])), Some(SETTINGS)),
        ("a setting twice", one(settings(&[(0x06, 1), (0x06, 1)])), Some(SETTINGS)),
        ("ENABLE_CONNECT_PROTOCOL is 2", one(settings(&[(0x08, 2)])), Some(SETTINGS)),
        ("H3_DATAGRAM is 2", one(settings(&[(0x33, 2)])), Some(SETTINGS)),
        ("half a setting", one([vec![0], frame(0x04, &[0x06])].concat()), Some(FRAME)),
        ("an empty GOAWAY", then(frame(0x07, &[])), Some(FRAME)),
        ("a long MAX_PUSH_ID", then(frame(0x0d, &[0, 0])), Some(FRAME)),
        ("CANCEL_PUSH", then(frame(0x03, &[0])), Some(ID)),
        ("MAX_PUSH_ID goes down", then([frame(0x0d, &[2]), frame(0x0d, &[1])].concat()), Some(ID)),
        ("GOAWAY goes up", then([frame(0x07, &[1]), frame(0x07, &[2])].concat()), Some(ID)),
        ("a priority of no request", then(frame(0xf_0700, b"\x03u=1")), Some(ID)),
        ("a priority of a push", then(frame(0xf_0701, b"\x00u=1")), Some(ID)),
        ("a long frame", then([varint(0x21), varint(1 << 20)].concat()), Some(EXCESSIVE_LOAD)),
        ("two control streams", two(control(&[])), Some(STREAM_CREATION)),
        ("two encoder streams", two(vec![0x02]), Some(STREAM_CREATION)),
        ("two decoder streams", two(vec![0x03]), Some(STREAM_CREATION)),
        ("a push stream", one(vec![0x01, 0x00]), Some(STREAM_CREATION)),
        ("the control stream ends", vec![(control(&[]), Fin)], Some(CLOSED_CRITICAL)),
        ("the control stream is reset", vec![(control(&[]), Reset)], Some(CLOSED_CRITICAL)),
        ("the encoder stream ends", vec![(vec![0x02], Fin)], Some(CLOSED_CRITICAL)),
        ("the decoder stream is reset", vec![(vec![0x03], Reset)], Some(CLOSED_CRITICAL)),
        ("a table larger than allowed", one(vec![0x02, 0x3f, 0xe1, 0x1f]), Some(ENCODER)),
        ("an insertion", one(vec![0x02, 0xc0, 0x01, b'x']), Some(ENCODER)),
        ("a duplicate", one(vec![0x02, 0x00]), Some(ENCODER)),
        ("an acknowledgement of a section", one(vec![0x03, 0x80]), Some(DECODER)),
        ("an increment of 0", one(vec![0x03, 0x00]), Some(DECODER)),
        ("an increment", one(vec![0x03, 0x01]), Some(DECODER)),
        (
            "what has no meaning",
            then([frame(0x21, b"x"), frame(0x0c, b"x"), frame(1 << 30, &[])].concat()),
            None,
        ),
        (
            "settings without meaning",
            one(settings(&[(0x21, 9), (0x01, 0), (0x07, 0), (0x08, 1)])),
            None,
        ),
        (
            "GOAWAY and MAX_PUSH_ID",
            then([frame(0x07, &[0]), frame(0x0d, &[9]), frame(0x0d, &[9])].concat()),
            None,
        ),
        ("a priority", then(frame(0xf_0700, b"\x00u=1")), None),
        (
            "streams without meaning",
            vec![(vec![0x21, 1, 2], Fin), (vec![0x40, 0x54, 0], Open)],
            None,
        ),
        (
            "streams without a type",
            vec![(vec![], Fin), (vec![0x40], Fin), (vec![0x40], Reset)],
            None,
        ),
        ("QPACK has little to say", vec![(vec![0x02, 0x20], Open), (vec![0x03, 0x44], Open)], None),
    ]
}

/// RFC 9114 sections 4.1 and 7.2, RFC 9204 sections 2.2 and 4.5.
fn of_request_streams() -> Vec<(&'static str, Vec<u8>, Said)> {
    let closes = Said::Closed;
    let get = || raw::get("/good");
    let section = |bytes: &[u8]| frame(0x01, bytes);
    let after = |bytes: Vec<u8>| [get(), bytes].concat();
    vec![
        ("DATA first", frame(0x00, b"x"), closes(UNEXPECTED)),
        ("SETTINGS", after(frame(0x04, &[])), closes(UNEXPECTED)),
        ("CANCEL_PUSH", frame(0x03, &[0]), closes(UNEXPECTED)),
        ("GOAWAY", after(frame(0x07, &[0])), closes(UNEXPECTED)),
        ("MAX_PUSH_ID", after(frame(0x0d, &[0])), closes(UNEXPECTED)),
        ("PRIORITY_UPDATE", after(frame(0xf_0700, &[0])), closes(UNEXPECTED)),
        ("PUSH_PROMISE", after(frame(0x05, &[0, 0, 0])), closes(UNEXPECTED)),
        ("PRIORITY of HTTP/2", after(frame(0x02, &[])), closes(UNEXPECTED)),
        ("PING of HTTP/2", after(frame(0x06, &[])), closes(UNEXPECTED)),
        ("WINDOW_UPDATE of HTTP/2", after(frame(0x08, &[])), closes(UNEXPECTED)),
        ("CONTINUATION of HTTP/2", after(frame(0x09, &[])), closes(UNEXPECTED)),
        (
            "HEADERS behind trailers",
            after([headers(&[("x", "y")]), headers(&[("x", "y")])].concat()),
            closes(UNEXPECTED),
        ),
        (
            "DATA behind trailers",
            after([headers(&[("x", "y")]), frame(0x00, b"x")].concat()),
            closes(UNEXPECTED),
        ),
        ("half a head of a frame", after(vec![0x00]), closes(FRAME)),
        ("half a frame", get()[..9].to_vec(), closes(FRAME)),
        (
            "half of DATA",
            [raw::request("POST", SERVER_NAME, "/good", &[]), vec![0x00, 9, b'x']].concat(),
            closes(FRAME),
        ),
        ("nothing", vec![], Said::Reset(INCOMPLETE)),
        ("nothing of meaning", frame(0x21, b"x"), Said::Reset(INCOMPLETE)),
        (
            "a gibibyte of HEADERS",
            [varint(0x01), varint(1 << 30)].concat(),
            Said::Reset(EXCESSIVE_LOAD),
        ),
        ("an empty section", section(&[]), closes(DECOMPRESSION)),
        ("an insert count", section(&[0x02, 0x00]), closes(DECOMPRESSION)),
        ("a base below zero", section(&[0x00, 0x80, 0xd1]), closes(DECOMPRESSION)),
        ("a dynamic index", section(&[0x00, 0x00, 0x80]), closes(DECOMPRESSION)),
        ("a dynamic name", section(&[0x00, 0x00, 0x40, 0x00]), closes(DECOMPRESSION)),
        ("an index behind the base", section(&[0x00, 0x00, 0x10]), closes(DECOMPRESSION)),
        (
            "a static index beyond the table",
            section(&[0x00, 0x00, 0xff, 0x24]),
            closes(DECOMPRESSION),
        ),
        ("a line that is cut off", section(&[0x00, 0x00, 0x51, 9, b'/']), closes(DECOMPRESSION)),
        (
            "an integer without end",
            section(&[&[0x00, 0x00, 0xff][..], &[0xff; 10]].concat()),
            closes(DECOMPRESSION),
        ),
        (
            "EOS in a string",
            section(&[0x00, 0x00, 0x51, 0x84, 0xff, 0xff, 0xff, 0xff]),
            closes(DECOMPRESSION),
        ),
        (
            "frames without meaning",
            [frame(0x21, b"x"), get(), frame(0x40, b""), frame(0x00, b"x")].concat(),
            Said::Status("200".into()),
        ),
    ]
}

async fn send(connection: &Connection, bytes: &[u8], end: End) -> quinn::SendStream {
    let mut stream = connection.open_uni().await.expect("allowed");
    // It may be closed by an earlier one.
    let _ = stream.write_all(bytes).await;
    match end {
        Open => {}
        Fin => stream.finish().expect("open"),
        Reset => {
            // Once it has arrived: RESET_STREAM may overtake what was written.
            let _ = said(connection, &raw::get("/good")).await;
            let _ = stream.reset(VarInt::from_u32(0x10c));
        }
    }
    stream
}

/// h3spec asks the same, in other words.
#[tokio::test]
async fn what_breaks_a_rule_of_http3_ends_by_the_code_that_the_rule_names() {
    let mut room = Room::new();
    for (rule, streams, expected) in of_unidirectional_streams() {
        let (_endpoint, connection) = connect(&room).await;
        let mut kept = Vec::new();
        for (bytes, end) in streams {
            kept.push(send(&connection, &bytes, end).await);
        }
        match expected {
            Some(code) => room.same(closed(&connection).await, code, &rule),
            None => {
                let told = said(&connection, &raw::get("/good")).await;
                room.same(told, Said::Status("200".into()), &rule);
            }
        }
    }
    for (rule, bytes, expected) in of_request_streams() {
        let (_endpoint, connection) = connect(&room).await;
        room.same(said(&connection, &bytes).await, expected.clone(), &rule);
        if !matches!(expected, Said::Closed(_)) {
            let told = said(&connection, &raw::get("/good")).await;
            room.same(told, Said::Status("200".into()), &rule);
        }
    }
    assert!(room.wrong.is_empty(), "{}", room.wrong.join("\n"));
}

/// RFC 9114 section 6.2.1, RFC 9204 section 4.2.
#[tokio::test]
async fn a_client_that_wants_no_control_stream_of_ours_is_closed() {
    let room = Room::new();
    let (_endpoint, connection) = connect(&room).await;
    let mut stream = connection.accept_uni().await.expect("the server opens it");
    stream.stop(VarInt::from_u32(0x100)).expect("open");
    assert_eq!(closed(&connection).await, CLOSED_CRITICAL);
}
