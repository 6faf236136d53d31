//! HTTP/2, a frame at a time: messages. The rules of frames are in `h2_frames`.

use rustls::version::TLS13;
use tests::credentials::SERVER_NAME;
use tests::http2::{END_HEADERS, END_STREAM, Raw, code, field, frame, kind};

use super::{Room, Why};
use crate::process::WITHIN;

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This status.
    Status(String),
    /// The stream ends by this code.
    Reset(u32),
    /// The connection does.
    Closed(u32),
    /// It is gone without a word.
    Gone,
}

/// Fields of a request's head. `PATH` is the case's own.
type Fields = Vec<(&'static str, &'static str)>;

const OWN: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", SERVER_NAME), (":path", "PATH")];

fn with(more: &[(&'static str, &'static str)]) -> Fields {
    [&OWN[..], more].concat()
}

fn without(name: &str) -> Fields {
    OWN.iter().copied().filter(|(field, _)| *field != name).collect()
}

fn but(name: &'static str, value: &'static str) -> Fields {
    OWN.iter().map(|own| if own.0 == name { (name, value) } else { *own }).collect()
}

pub(super) fn status(code: &str) -> Said {
    Said::Status(code.to_owned())
}

pub(super) const STREAM: Said = Said::Reset(code::PROTOCOL_ERROR);
const HOST: Why = ("host", "one good host");
const NAME: Why = ("unknown_name", "not for that host");
const TARGET: Why = ("target", "a target begins");
pub(super) const FRAGMENT: Why = ("target", "a target is ASCII and has no fragment");
pub(super) const PSEUDO_TRAILERS: Why = ("malformed", "trailers have no pseudo-header fields");
/// By h2, which tells the code alone.
const OF_STREAM: Why = ("malformed", "ends by code 1");
const OF_CONNECTION: Why = ("malformed", "connection error detected");
const FIELD: Why = ("malformed", "a field is a token");
const LENGTH: Why = ("malformed", "a length is a number");

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn heads() -> Vec<(Fields, Said, Why)> {
    let (bad, misdirected) = (status("400"), status("421"));
    let stream = |fields| (fields, STREAM, OF_STREAM);
    let host = |fields| (fields, bad.clone(), HOST);
    let connection = |fields| (fields, Said::Closed(code::PROTOCOL_ERROR), OF_CONNECTION);
    vec![
        // What is about a connection (RFC 9113 section 8.2.2).
        stream(with(&[("transfer-encoding", "chunked")])),
        stream(with(&[("connection", "close")])),
        stream(with(&[("connection", "x-a"), ("x-a", "y")])),
        stream(with(&[("keep-alive", "1")])),
        stream(with(&[("proxy-connection", "close")])),
        stream(with(&[("upgrade", "websocket")])),
        stream(with(&[("te", "gzip")])),
        // Names and values (section 8.2.1).
        connection(with(&[("X", "y")])),
        connection(with(&[("x y", "z")])),
        connection(with(&[("x:", "y")])),
        (
            with(&[("", "y")]),
            Said::Closed(code::PROTOCOL_ERROR),
            ("malformed", "a field has a name"),
        ),
        connection(with(&[("x\r\ny", "z")])),
        connection(with(&[("x", "y\r\nz: a")])),
        connection(with(&[("x", "y\nz")])),
        connection(with(&[("x", "y\0z")])),
        (with(&[("x\"", "y")]), bad.clone(), FIELD),
        (with(&[("x", " y")]), bad.clone(), FIELD),
        (with(&[("x", "y\t")]), bad.clone(), FIELD),
        // Pseudo-header fields (section 8.3).
        stream(with(&[(":path", "/b")])),
        stream(with(&[(":method", "GET")])),
        stream(with(&[("x", "y"), (":scheme", "https")])),
        stream([&[("x", "y")], &OWN[..]].concat()),
        connection(with(&[(":unknown", "y")])),
        stream(with(&[(":status", "200")])),
        stream(without(":method")),
        stream(without(":scheme")),
        stream(without(":path")),
        host(without(":authority")),
        stream(but(":path", "")),
        stream(but(":path", "PATH\r\nx: y")),
        stream(but(":path", "PATH\0")),
        connection(but(":method", "GE\nT")),
        connection(but(":method", "G T")),
        stream(but(":authority", "landfast.test\r\n")),
        stream(but(":scheme", "https\n")),
        // Whom it is for (section 8.3.1).
        host(with(&[("host", "other.test")])),
        host(with(&[("host", SERVER_NAME), ("host", SERVER_NAME)])),
        host(with(&[("host", "")])),
        host(with(&[("host", "u@landfast.test")])),
        stream(but(":authority", "")),
        host(but(":authority", "u@landfast.test")),
        stream(but(":authority", "landfast.test, other.test")),
        stream(but(":authority", "landfast.test/")),
        (but(":authority", "other.test"), misdirected.clone(), NAME),
        (but(":authority", "127.0.0.1"), misdirected.clone(), NAME),
        (but(":scheme", "http"), misdirected.clone(), NAME),
        (but(":scheme", "ftp"), misdirected.clone(), NAME),
        // Targets.
        (but(":path", "//other.testPATH"), bad.clone(), TARGET),
        (but(":path", "*"), bad.clone(), TARGET),
        // Section 8.3.1: of a URI, a path and a query are sent.
        (but(":path", "PATH#"), bad.clone(), FRAGMENT),
        (but(":path", "PATH?a#b"), bad.clone(), FRAGMENT),
        stream(but(":path", "PATH b")),
        stream(but(":path", "aPATH")),
        stream(but(":path", "https://other.testPATH")),
        // Where it ends (section 8.1.1, RFC 9110 section 8.6).
        stream(with(&[("content-length", "1")])),
        stream(with(&[("content-length", "0"), ("content-length", "1")])),
        stream(with(&[("content-length", "0, 0")])),
        stream(with(&[("content-length", "+0")])),
        (with(&[("content-length", "")]), bad.clone(), LENGTH),
        stream(with(&[("content-length", "18446744073709551616")])),
        (with(&[("content-length", "0"), ("content-length", "0")]), bad.clone(), LENGTH),
        (with(&[("expect", "200-ok")]), status("417"), ("expectation", "100-continue")),
        // Tunnels (section 8.5, RFC 8441 section 4).
        stream(but(":method", "CONNECT")),
        stream(vec![(":method", "CONNECT"), (":authority", SERVER_NAME), (":path", "PATH")]),
        host(vec![(":method", "CONNECT")]),
        stream(with(&[(":protocol", "websocket")])),
        (vec![(":method", "CONNECT"), (":authority", "other.test:443")], misdirected.clone(), NAME),
        (
            vec![
                (":method", "CONNECT"),
                (":authority", "landfast.test:443"),
                ("content-length", "0"),
            ],
            bad.clone(),
            LENGTH,
        ),
    ]
}

/// What follows a head with a length of 4 or without one; frames of stream 1.
fn contents() -> Vec<(Fields, Vec<Vec<u8>>, Said, Why)> {
    let length = || with(&[("content-length", "4")]);
    let data = |flags, bytes: &[u8]| frame(kind::DATA, flags, 1, bytes);
    let trailers = |fields: &[(&str, &str)]| {
        let block: Vec<_> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
        frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block)
    };
    let refused = ("malformed", "trailer-field");
    let some = |trailers| vec![data(0, b"some"), trailers];
    // Section 8.1: pseudo-header fields are those of heads.
    let pseudo =
        |fields: &[(&str, &str)]| (with(&[]), some(trailers(fields)), STREAM, PSEUDO_TRAILERS);
    vec![
        pseudo(&[(":path", "/b")]),
        pseudo(&[("x", "y"), (":status", "200")]),
        pseudo(&[(":method", "GET"), (":scheme", "https"), (":authority", "other.test")]),
        (length(), some(trailers(&[(":path", "/b")])), STREAM, PSEUDO_TRAILERS),
        (with(&[]), vec![trailers(&[(":path", "/b")])], STREAM, PSEUDO_TRAILERS),
        (length(), vec![data(END_STREAM, b"some1")], STREAM, OF_STREAM),
        (length(), vec![data(0, b"some"), data(0, b"1")], STREAM, OF_STREAM),
        (length(), vec![data(END_STREAM, b"som")], STREAM, OF_STREAM),
        (length(), vec![data(END_STREAM, b"")], STREAM, OF_STREAM),
        (length(), vec![data(0, b"som"), trailers(&[("x", "y")])], STREAM, OF_STREAM),
        (
            with(&[]),
            vec![data(0, b"some"), trailers(&[("content-length", "4")])],
            status("400"),
            refused,
        ),
        (
            with(&[]),
            vec![data(0, b"some"), trailers(&[("host", "other.test")])],
            status("400"),
            refused,
        ),
        (
            with(&[]),
            vec![data(0, b"some"), trailers(&[("transfer-encoding", "chunked")])],
            STREAM,
            OF_STREAM,
        ),
        (
            with(&[]),
            vec![data(0, b"some"), trailers(&[("X", "y")])],
            Said::Closed(code::PROTOCOL_ERROR),
            OF_CONNECTION,
        ),
    ]
}

pub(super) fn connect(room: &Room) -> Raw {
    let tls = room.edge.client_tls(&TLS13, &[]);
    Raw::connect(room.edge.address(), &tls, WITHIN).expect("connected")
}

/// What is said of a stream, or of the connection.
pub(super) fn said(client: &mut Raw, stream: u32) -> Said {
    loop {
        let Some(frame) = client.next_frame().expect("in time") else { return Said::Gone };
        match frame.kind {
            kind::GOAWAY => return Said::Closed(frame.code().expect("a code")),
            kind::RST_STREAM if frame.stream == stream => {
                return Said::Reset(frame.code().expect("a code"));
            }
            kind::HEADERS if frame.stream == stream => {
                return Said::Status(of_block(&frame.payload));
            }
            _ => {}
        }
    }
}

/// The status in a header block, the first of its connection (RFC 7541 appendices A and B).
fn of_block(block: &[u8]) -> String {
    const INDEXED: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
    match block {
        [indexed @ 0x88..=0x8e, ..] => INDEXED[usize::from(indexed - 0x88)].to_owned(),
        // Literal, its name at 8 of the table; in Huffman code.
        [0x48 | 0x08, length, text @ ..] if length & 0x80 != 0 => {
            let bits: String = text[..usize::from(length & 0x7f)]
                .iter()
                .map(|byte| format!("{byte:08b}"))
                .collect();
            let mut bits = &bits[..];
            (0..3).map(|_| digit(&mut bits)).collect()
        }
        [0x48 | 0x08, 3, text @ ..] => String::from_utf8_lossy(&text[..3]).into_owned(),
        _ => format!("{block:02x?}"),
    }
}

/// 0 to 2 have five bits, the others six (RFC 7541 appendix B).
fn digit(bits: &mut &str) -> char {
    let number = |text: &str| u8::from_str_radix(text, 2).expect("bits");
    let (length, digit) = match number(&bits[..5]) {
        short @ 0..3 => (5, short),
        _ => (6, number(&bits[..6]) - 0b01_1001 + 3),
    };
    *bits = &bits[length..];
    char::from(b'0' + digit)
}

fn block(fields: &Fields, path: &str) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, &value.replace("PATH", path))).collect()
}

/// A request beside one that was refused, where the connection is not ended.
pub(super) fn goes_on(room: &mut Room, client: &mut Raw, told: &Said, case: &dyn std::fmt::Debug) {
    if matches!(told, Said::Closed(_) | Said::Gone) {
        return;
    }
    let good = room.path();
    let get = tests::http2::get(99, &good);
    client.send(&get).expect("the connection goes on");
    // Its status may be in the dynamic table by now.
    let answered = matches!(said(client, 99), Said::Status(_));
    room.same(answered, true, case);
    room.reaches(&good, 1, case);
}

#[test]
fn nothing_malformed_comes_through_http2() {
    let mut room = Room::new();
    for (fields, expected, why) in heads() {
        let path = room.path();
        let mut client = connect(&room);
        let block = block(&fields, &path);
        client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block)).expect("sent");
        let told = said(&mut client, 1);
        room.same(&told, &expected, &fields);
        goes_on(&mut room, &mut client, &told, &fields);
        room.reaches(&path, 0, &fields);
        room.expects(why);
    }
    for (fields, frames, expected, why) in contents() {
        let path = room.path();
        let mut client = connect(&room);
        client.send(&frame(kind::HEADERS, END_HEADERS, 1, &block(&fields, &path))).expect("sent");
        client.send(&frames.concat()).expect("sent");
        let case = (&fields, &frames);
        let told = said(&mut client, 1);
        room.same(&told, &expected, &case);
        goes_on(&mut room, &mut client, &told, &case);
        room.reaches(&path, 0, &case);
        room.expects(why);
    }
    room.is_accounted_for(r#"landfast_tcp_refused_total{port="https","#);
}
