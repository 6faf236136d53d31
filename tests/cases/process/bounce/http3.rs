//! HTTP/3, a frame at a time: messages. The rules of streams are in `h3_streams`.

use quinn::{Connection, Endpoint, ReadError, ReadToEndError};
use tests::credentials::SERVER_NAME;
use tests::{http3, raw};

use super::{Room, Why};

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This status.
    Status(String),
    /// The stream ends by this code.
    Reset(u64),
    /// The connection does.
    Closed(u64),
}

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

fn status(code: &str) -> Said {
    Said::Status(code.to_owned())
}

/// H3_MESSAGE_ERROR (RFC 9114 section 8.1).
const STREAM: Said = Said::Reset(0x10e);
const NAME: Why = ("unknown_name", "not for that host");

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn heads() -> Vec<(Fields, Said, Why)> {
    let malformed = |fields, rule| (fields, STREAM, ("malformed", rule));
    vec![
        // What is about a connection (RFC 9114 section 4.2).
        malformed(with(&[("transfer-encoding", "chunked")]), "connection-field"),
        malformed(with(&[("connection", "close")]), "connection-field"),
        malformed(with(&[("connection", "x-a"), ("x-a", "y")]), "connection-field"),
        malformed(with(&[("keep-alive", "1")]), "connection-field"),
        malformed(with(&[("proxy-connection", "close")]), "connection-field"),
        malformed(with(&[("upgrade", "websocket")]), "connection-field"),
        malformed(with(&[("te", "gzip")]), "rule=\"te\""),
        // Names and values (sections 4.2 and 10.3).
        malformed(with(&[("X", "y")]), "field-name"),
        malformed(with(&[("x y", "z")]), "field-name"),
        malformed(with(&[("x:", "y")]), "field-name"),
        malformed(with(&[("", "y")]), "field-name"),
        malformed(with(&[("x\"", "y")]), "field-name"),
        malformed(with(&[("x", "y\r\nz: a")]), "field-value\""),
        malformed(with(&[("x", "y\nz")]), "field-value\""),
        malformed(with(&[("x", "y\0z")]), "field-value\""),
        malformed(with(&[("x", " y")]), "field-value-space"),
        malformed(with(&[("x", "y\t")]), "field-value-space"),
        // Pseudo-header fields (section 4.3).
        malformed(with(&[(":path", "/b")]), "pseudo-repeated"),
        malformed(with(&[(":method", "GET")]), "pseudo-repeated"),
        malformed(with(&[("x", "y"), (":scheme", "https")]), "pseudo-late"),
        malformed([&[("x", "y")], &OWN[..]].concat(), "pseudo-late"),
        malformed(with(&[(":unknown", "y")]), "pseudo-unknown"),
        malformed(with(&[(":status", "200")]), "pseudo-misplaced"),
        malformed(without(":method"), "pseudo-missing"),
        malformed(without(":scheme"), "pseudo-missing"),
        malformed(without(":path"), "pseudo-missing"),
        malformed(without(":authority"), "authority-missing"),
        malformed(but(":path", ""), "rule=\"path\""),
        malformed(but(":path", "PATH\r\nx: y"), "rule=\"path\""),
        malformed(but(":path", "PATH\0"), "rule=\"path\""),
        malformed(but(":method", "GE\nT"), "rule=\"method\""),
        malformed(but(":method", "G T"), "rule=\"method\""),
        malformed(but(":authority", "landfast.test\r\n"), "rule=\"authority\""),
        malformed(but(":scheme", "https\n"), "rule=\"scheme\""),
        // Whom it is for (section 4.3.1).
        malformed(with(&[("host", "other.test")]), "host-differs"),
        malformed(with(&[("host", SERVER_NAME), ("host", SERVER_NAME)]), "host-repeated"),
        malformed(with(&[("host", "")]), "host-differs"),
        malformed(but(":authority", ""), "rule=\"authority\""),
        malformed(but(":authority", "u@landfast.test"), "rule=\"authority\""),
        malformed(but(":authority", "landfast.test/"), "rule=\"authority\""),
        (but(":authority", "landfast.test,other.test"), status("400"), ("host", "one good host")),
        (but(":authority", "other.test"), status("421"), NAME),
        (but(":authority", "127.0.0.1"), status("421"), NAME),
        (but(":scheme", "http"), status("421"), NAME),
        malformed(but(":scheme", "ftp"), "rule=\"scheme\""),
        // Targets.
        malformed(but(":path", "//other.testPATH"), "rule=\"path\""),
        malformed(but(":path", "*"), "rule=\"path\""),
        malformed(but(":path", "PATH b"), "rule=\"path\""),
        malformed(but(":path", "PATH#b"), "rule=\"path\""),
        malformed(but(":path", "aPATH"), "rule=\"path\""),
        malformed(but(":path", "https://other.testPATH"), "rule=\"path\""),
        // Where it ends (section 4.1.2, RFC 9110 section 8.6).
        malformed(with(&[("content-length", "1")]), "content-length-differs"),
        malformed(
            with(&[("content-length", "0"), ("content-length", "1")]),
            "content-length-repeated",
        ),
        malformed(
            with(&[("content-length", "0"), ("content-length", "0")]),
            "content-length-repeated",
        ),
        malformed(with(&[("content-length", "0, 0")]), "rule=\"content-length\""),
        malformed(with(&[("content-length", "+0")]), "rule=\"content-length\""),
        malformed(with(&[("content-length", "")]), "rule=\"content-length\""),
        (with(&[("expect", "200-ok")]), status("417"), ("expectation", "100-continue")),
        // Tunnels (section 4.4, RFC 9220).
        malformed(but(":method", "CONNECT"), "rule=\"connect\""),
        malformed(vec![(":method", "CONNECT"), (":authority", SERVER_NAME)], "rule=\"authority\""),
        malformed(vec![(":method", "CONNECT")], "authority-missing"),
        malformed(with(&[(":protocol", "websocket")]), "rule=\"protocol\""),
        (vec![(":method", "CONNECT"), (":authority", "other.test:443")], status("421"), NAME),
        malformed(
            vec![
                (":method", "CONNECT"),
                (":authority", "landfast.test:443"),
                ("content-length", "0"),
            ],
            "rule=\"connect\"",
        ),
    ]
}

/// What follows a head; then the stream ends.
fn contents() -> Vec<(Fields, Vec<u8>, Said, Why)> {
    let length = || with(&[("content-length", "4")]);
    let data = |bytes: &[u8]| raw::frame(0x00, bytes);
    let differs = || (STREAM, ("malformed", "content-length-differs"));
    let trailer =
        |field: &[(&'static str, &'static str)]| [data(b"some"), raw::headers(field)].concat();
    let mut cases = vec![
        (length(), data(b"some1"), differs()),
        (length(), [data(b"some"), data(b"1")].concat(), differs()),
        (length(), data(b"som"), differs()),
        (length(), vec![], differs()),
        (length(), [data(b"som"), raw::headers(&[("x", "y")])].concat(), differs()),
    ];
    for (field, rule) in [
        (("content-length", "4"), "trailer-field"),
        (("host", "other.test"), "trailer-field"),
        (("transfer-encoding", "chunked"), "connection-field"),
        ((":path", "/b"), "pseudo-misplaced"),
        ((":status", "200"), "pseudo-misplaced"),
        (("X", "y"), "field-name"),
    ] {
        cases.push((with(&[]), trailer(&[field]), (STREAM, ("malformed", rule))));
    }
    cases.into_iter().map(|(fields, content, (said, why))| (fields, content, said, why)).collect()
}

pub(super) async fn connect(room: &Room) -> (Endpoint, Connection) {
    let config = http3::client_config(&room.edge.credentials.authority_der).expect("trusted");
    let endpoint = http3::endpoint(std::net::Ipv4Addr::LOCALHOST.into(), config).expect("a socket");
    let connecting = endpoint.connect(room.edge.address(), SERVER_NAME).expect("a config");
    let connection = connecting.await.expect("a handshake");
    (endpoint, connection)
}

/// What is said of a request of these bytes.
pub(super) async fn said(connection: &Connection, bytes: &[u8]) -> Said {
    let (mut send, mut receive) = connection.open_bi().await.expect("allowed");
    // A server that refuses the request stops it.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    match receive.read_to_end(1 << 20).await {
        Ok(answer) => Said::Status(of_answer(&answer)),
        Err(ReadToEndError::Read(ReadError::Reset(code))) => Said::Reset(code.into_inner()),
        Err(_) => Said::Closed(closed(connection).await),
    }
}

/// The code that a connection is closed with.
pub(super) async fn closed(connection: &Connection) -> u64 {
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        quinn::ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        // No code that there is.
        _ => u64::MAX,
    }
}

/// The status that an answer begins with, by the static table (RFC 9204 appendix A).
fn of_answer(answer: &[u8]) -> String {
    let block = match answer {
        [0x01, 0..0x40, 0, 0, block @ ..] | [0x01, 0x40..0x80, _, 0, 0, block @ ..] => block,
        _ => return format!("{answer:02x?}"),
    };
    match block {
        [0xd9, ..] => "200".to_owned(),
        [0xff, 0x04, ..] => "400".to_owned(),
        [0xff, 0x06, ..] => "421".to_owned(),
        // Literal, its name at 24; in Huffman code only where that is shorter, which it isn't.
        [0x5f, 0x09, 0x03, text @ ..] => String::from_utf8_lossy(&text[..3]).into_owned(),
        _ => format!("{block:02x?}"),
    }
}

#[tokio::test]
async fn nothing_malformed_comes_through_http3() {
    let mut room = Room::new();
    let (_endpoint, connection) = connect(&room).await;
    let own = |fields: &Fields, path: &str| {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, value.replace("PATH", path))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        raw::headers(&fields)
    };
    let heads = heads().into_iter().map(|(fields, said, why)| (fields, vec![], said, why));
    for (fields, content, expected, why) in heads.chain(contents()) {
        let (path, good) = (room.path(), room.path());
        let case = (&fields, &content);
        let told = said(&connection, &[own(&fields, &path), content.clone()].concat()).await;
        room.same(told, expected, &case);
        room.reaches(&path, 0, &case);
        let told = said(&connection, &raw::get(&good)).await;
        room.same(told, status("200"), &case);
        room.reaches(&good, 1, &case);
        room.expects(why);
    }
    room.is_accounted_for("landfast_http3_refused_total{");
}
