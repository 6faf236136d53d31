//! HTTP/2: the rules of frames, streams, settings, windows and HPACK, in the order of RFC 9113.
//! What has to be answered or ignored is among them.

use tests::http2::{ACK, END_HEADERS, END_STREAM, Raw, code, field, frame, kind, request};

use super::Room;
use super::http2::{Said, connect, said};

/// PUSH_PROMISE, which no client sends.
const PUSH_PROMISE: u8 = 5;
/// Of DATA and HEADERS.
const PADDED: u8 = 8;
/// Of HEADERS.
const PRIORITY: u8 = 0x20;

const PROTOCOL: Said = Said::Closed(code::PROTOCOL_ERROR);
const FLOW_CONTROL: Said = Said::Closed(code::FLOW_CONTROL_ERROR);
const CLOSED: Said = Said::Closed(code::STREAM_CLOSED);
const SIZE: Said = Said::Closed(code::FRAME_SIZE_ERROR);
const COMPRESSION: Said = Said::Closed(code::COMPRESSION_ERROR);
const STREAM: Said = Said::Reset(code::PROTOCOL_ERROR);

/// Where h2 ends the connection instead of the stream, as it may (section 5.4.1): it has no answer of
/// the stream's to such a frame.
const OTHERWISE: &[&str] = &["6.9: no increment of a stream's"];

/// Whether this is said of stream 1 or of the connection; `None`: the connection goes on.
type Case = (&'static str, Vec<Vec<u8>>, Option<Said>);

pub(super) fn get(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/good", &[]))
}

/// A request whose content is to come.
pub(super) fn post(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS, stream, &request("POST", "/good", &[]))
}

pub(super) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let pair = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &pairs.iter().flat_map(pair).collect::<Vec<_>>())
}

pub(super) fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// A header block on stream 1.
fn headers(flags: u8, block: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, END_STREAM | flags, 1, block)
}

#[expect(clippy::too_many_lines, reason = "it is a table")]
fn rules_of_frames() -> Vec<Case> {
    let block = request("GET", "/good", &[]);
    let unfinished = headers(0, &block);
    let padded = |pad: u8, bytes: &[u8]| [&[pad], bytes].concat();
    vec![
        (
            "4.1: an unknown type is ignored",
            vec![frame(0x16, 0xff, 0, b"x"), frame(0x16, 0, 9, b"")],
            None,
        ),
        (
            "4.1: unknown flags are ignored",
            vec![frame(kind::WINDOW_UPDATE, 0xff, 0, &[0, 0, 0, 1])],
            None,
        ),
        (
            "4.1: the reserved bit is ignored",
            vec![frame(kind::PRIORITY, 0, 0x8000_0001, &[0, 0, 0, 0, 9])],
            None,
        ),
        (
            "4.2: DATA is longer than we said",
            vec![post(1), frame(kind::DATA, 0, 1, &vec![0; 16_385])],
            Some(SIZE),
        ),
        ("4.2: HEADERS are", vec![headers(END_HEADERS, &vec![0; 16_385])], Some(SIZE)),
        (
            "4.3: another frame in a block",
            vec![unfinished.clone(), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 9])],
            Some(PROTOCOL),
        ),
        ("4.3: another block in a block", vec![unfinished.clone(), get(3)], Some(PROTOCOL)),
        (
            "4.3: an unknown frame in a block",
            vec![unfinished.clone(), frame(0x16, 0, 0, b"")],
            Some(PROTOCOL),
        ),
        ("6.1: DATA of the connection", vec![frame(kind::DATA, 0, 0, b"x")], Some(PROTOCOL)),
        (
            "6.1: padding longer than DATA",
            vec![post(1), frame(kind::DATA, PADDED, 1, &padded(9, b"x"))],
            Some(PROTOCOL),
        ),
        (
            "6.1: padding without room for its length",
            vec![post(1), frame(kind::DATA, PADDED, 1, b"")],
            Some(SIZE),
        ),
        (
            "6.2: HEADERS of the connection",
            vec![frame(kind::HEADERS, END_HEADERS | END_STREAM, 0, &block)],
            Some(PROTOCOL),
        ),
        (
            "6.2: padding longer than HEADERS",
            vec![headers(END_HEADERS | PADDED, &padded(200, &block))],
            Some(PROTOCOL),
        ),
        (
            "6.2: HEADERS without room for a priority",
            vec![headers(END_HEADERS | PRIORITY, &[0, 0])],
            Some(SIZE),
        ),
        (
            "6.2: a stream that depends on itself",
            vec![headers(END_HEADERS | PRIORITY, &[&[0, 0, 0, 1, 9], &block[..]].concat())],
            Some(STREAM),
        ),
        (
            "4.3: one whose block would change the table, and is not read",
            vec![headers(END_HEADERS | PRIORITY, &[&[0, 0, 0, 1, 9, 0x40], &block[1..]].concat())],
            Some(COMPRESSION),
        ),
        (
            "6.3: PRIORITY of the connection",
            vec![frame(kind::PRIORITY, 0, 0, &[0, 0, 0, 0, 9])],
            Some(PROTOCOL),
        ),
        (
            "6.3: PRIORITY of another size",
            vec![post(1), frame(kind::PRIORITY, 0, 1, &[0; 4])],
            Some(SIZE),
        ),
        (
            "6.3: PRIORITY on itself",
            vec![post(1), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 9])],
            Some(STREAM),
        ),
        (
            "6.3: PRIORITY of an idle stream",
            vec![frame(kind::PRIORITY, 0, 9, &[0, 0, 0, 0, 9])],
            None,
        ),
        (
            "6.4: RST_STREAM of the connection",
            vec![frame(kind::RST_STREAM, 0, 0, &[0, 0, 0, 8])],
            Some(PROTOCOL),
        ),
        (
            "6.4: RST_STREAM of another size",
            vec![post(1), frame(kind::RST_STREAM, 0, 1, &[0; 3])],
            Some(SIZE),
        ),
        ("6.5: SETTINGS of a stream", vec![frame(kind::SETTINGS, 0, 1, &[])], Some(PROTOCOL)),
        (
            "6.5: an acknowledgement that says something",
            vec![frame(kind::SETTINGS, ACK, 0, &[0; 6])],
            Some(SIZE),
        ),
        ("6.5: half a setting", vec![frame(kind::SETTINGS, 0, 0, &[0; 5])], Some(SIZE)),
        ("6.5.2: ENABLE_PUSH is 2", vec![settings(&[(2, 2)])], Some(PROTOCOL)),
        ("6.5.2: a window beyond its most", vec![settings(&[(4, 1 << 31)])], Some(FLOW_CONTROL)),
        ("6.5.2: frames smaller than all take", vec![settings(&[(5, 16_383)])], Some(PROTOCOL)),
        ("6.5.2: frames larger than can be", vec![settings(&[(5, 1 << 24)])], Some(PROTOCOL)),
        (
            "6.5.2: an unknown setting is ignored",
            vec![settings(&[(0xff, u32::MAX), (0x0a0a, 1)])],
            None,
        ),
        (
            "6.6: a client pushes",
            vec![
                post(1),
                frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &block[..]].concat()),
            ],
            Some(PROTOCOL),
        ),
        ("6.7: PING of a stream", vec![frame(kind::PING, 0, 1, &[0; 8])], Some(PROTOCOL)),
        ("6.7: PING of another size", vec![frame(kind::PING, 0, 0, &[0; 7])], Some(SIZE)),
        ("6.7: an answer that nobody asked for", vec![frame(kind::PING, ACK, 0, &[0; 8])], None),
        ("6.8: GOAWAY of a stream", vec![frame(kind::GOAWAY, 0, 1, &[0; 8])], Some(PROTOCOL)),
        ("6.8: half a GOAWAY", vec![frame(kind::GOAWAY, 0, 0, &[0; 7])], Some(SIZE)),
        (
            "6.10: CONTINUATION of nothing",
            vec![frame(kind::CONTINUATION, END_HEADERS, 1, &block)],
            Some(PROTOCOL),
        ),
        (
            "6.10: CONTINUATION behind the end",
            vec![headers(END_HEADERS, &block), frame(kind::CONTINUATION, END_HEADERS, 1, &block)],
            Some(PROTOCOL),
        ),
        (
            "6.10: CONTINUATION of the connection",
            vec![unfinished.clone(), frame(kind::CONTINUATION, END_HEADERS, 0, &[])],
            Some(PROTOCOL),
        ),
        (
            "6.10: CONTINUATION of another stream",
            vec![unfinished, frame(kind::CONTINUATION, END_HEADERS, 3, &[])],
            Some(PROTOCOL),
        ),
        (
            "6.10: a block in three parts",
            vec![
                headers(0, &block[..9]),
                frame(kind::CONTINUATION, 0, 1, &block[9..]),
                frame(kind::CONTINUATION, END_HEADERS, 1, &[]),
            ],
            None,
        ),
    ]
}

fn rules_of_streams() -> Vec<Case> {
    let data = |flags, stream| frame(kind::DATA, flags, stream, b"x");
    vec![
        ("5.1: DATA of an idle stream", vec![data(0, 1)], Some(PROTOCOL)),
        ("5.1: RST_STREAM of an idle stream", vec![reset(1)], Some(PROTOCOL)),
        ("5.1: WINDOW_UPDATE of an idle stream", vec![window(1, 9)], Some(PROTOCOL)),
        ("5.1: DATA behind the end", vec![post(1), data(END_STREAM, 1), data(0, 1)], Some(CLOSED)),
        ("5.1: HEADERS behind the end", vec![post(1), data(END_STREAM, 1), get(1)], Some(CLOSED)),
        (
            "5.1: DATA behind RST_STREAM",
            vec![post(1), reset(1), data(0, 1)],
            Some(Said::Reset(code::STREAM_CLOSED)),
        ),
        ("5.1: HEADERS behind RST_STREAM", vec![post(1), reset(1), get(1)], Some(CLOSED)),
        ("5.1: DATA behind an end with HEADERS", vec![get(1), get(3), data(0, 1)], Some(CLOSED)),
        ("5.1: WINDOW_UPDATE behind the end", vec![get(1), window(1, 9)], None),
        ("5.1.1: a stream of the server's", vec![get(2)], Some(PROTOCOL)),
        ("5.1.1: an earlier stream", vec![get(5), get(3)], Some(PROTOCOL)),
        ("8.1: HEADERS behind HEADERS that are no trailers", vec![post(1), post(1)], Some(STREAM)),
    ]
}

fn rules_of_windows() -> Vec<Case> {
    let most = (1u32 << 31) - 1;
    vec![
        (
            "6.9: WINDOW_UPDATE of another size",
            vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])],
            Some(SIZE),
        ),
        ("6.9: no increment of the connection's window", vec![window(0, 0)], Some(PROTOCOL)),
        ("6.9: no increment of a stream's", vec![post(1), window(1, 0)], Some(STREAM)),
        ("6.9.1: the connection's window overflows", vec![window(0, most)], Some(FLOW_CONTROL)),
        (
            "6.9.1: a stream's does",
            vec![post(1), window(1, most)],
            Some(Said::Reset(code::FLOW_CONTROL_ERROR)),
        ),
        (
            "6.9.2: settings make it overflow",
            vec![post(1), window(1, 1), settings(&[(4, most)])],
            Some(FLOW_CONTROL),
        ),
    ]
}

/// RFC 7541.
fn rules_of_hpack() -> Vec<Case> {
    let block =
        |more: &[u8]| vec![headers(END_HEADERS, &[&request("GET", "/good", &[]), more].concat())];
    // The bits of a Huffman code: 'a' has five, 00011.
    vec![
        ("2.3.3: an index beyond both tables", block(&[0xff, 0x00]), Some(COMPRESSION)),
        ("6.1: the index 0", block(&[0x80]), Some(COMPRESSION)),
        (
            "5.2: padding of a whole byte",
            block(&[0x00, 1, b'x', 0x82, 0x1f, 0xff]),
            Some(COMPRESSION),
        ),
        (
            "5.2: padding that is not of ones",
            block(&[0x00, 1, b'x', 0x81, 0x18]),
            Some(COMPRESSION),
        ),
        (
            "5.2: EOS in a string",
            block(&[0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            Some(COMPRESSION),
        ),
        (
            "5.1: an integer without end",
            block(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Some(COMPRESSION),
        ),
        ("5.2: a string that is cut off", block(&[0x00, 1, b'x', 9, b'y']), Some(COMPRESSION)),
        (
            "5.2: one in a block of two frames",
            vec![
                headers(0, &[&request("GET", "/good", &[])[..], &[0x00, 1]].concat()),
                frame(kind::CONTINUATION, END_HEADERS, 1, &[b'x', 9, b'y']),
            ],
            Some(COMPRESSION),
        ),
        (
            "4.2: a table larger than allowed",
            vec![headers(
                END_HEADERS,
                &[&[0x3f, 0xe1, 0x7f], &request("GET", "/good", &[])[..]].concat(),
            )],
            Some(COMPRESSION),
        ),
        ("4.2: a table that changes behind fields", block(&[0x20]), Some(COMPRESSION)),
        (
            "4.2: a table without room",
            vec![headers(END_HEADERS, &[&[0x20], &request("GET", "/good", &[])[..]].concat())],
            None,
        ),
    ]
}

/// Answers to a PING.
fn goes_on(client: &mut Raw) -> bool {
    client.is_read().is_ok()
}

/// h2spec asks the same, in other words: sections 3.4 to 6.10 and 8.1.
#[test]
fn what_breaks_a_rule_of_http2_ends_by_the_code_that_the_rule_names() {
    let mut room = Room::new();
    let cases = [rules_of_frames(), rules_of_streams(), rules_of_windows(), rules_of_hpack()];
    for (rule, bytes, expected) in cases.into_iter().flatten() {
        let mut client = connect(&room);
        // It may be closed before all of it was sent.
        let _ = client.send(&bytes.concat());
        match expected {
            None => room.same(goes_on(&mut client), true, &rule),
            Some(expected) => {
                let told = of_error(&mut client);
                if let Said::Reset(_) = told {
                    room.same(goes_on(&mut client), true, &rule);
                }
                let expected = if OTHERWISE.contains(&rule) { PROTOCOL } else { expected };
                room.same(told, expected, &rule);
            }
        }
    }
    assert!(room.wrong.is_empty(), "{}", room.wrong.join("\n"));
}

/// An error of stream 1 or of the connection, whatever was answered before.
fn of_error(client: &mut Raw) -> Said {
    loop {
        match said(client, 1) {
            Said::Status(_) => {}
            told => return told,
        }
    }
}

/// RFC 9113 section 3.4.
#[test]
fn another_preface_is_another_protocol() {
    use std::io::{Read as _, Write as _};
    let room = Room::new();
    for preface in
        ["GET / HTTP/1.1\r\nHost: landfast.test\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    {
        let tls = room.edge.client_tls(&rustls::version::TLS13, &[b"h2"]);
        let mut stream = room.edge.tls(tls, tests::credentials::SERVER_NAME).expect("a handshake");
        stream.write_all(preface.as_bytes()).expect("sent");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(!said.windows(4).any(|part| part == b"HTTP"), "{said:?}");
    }
}

#[test]
fn fields_of_a_block_may_come_in_any_form() {
    let room = Room::new();
    let mut client = connect(&room);
    // Indexed; with indexing; never indexed; and then by its index in the dynamic table.
    let own =
        [&[0x82, 0x87][..], &[0x41, 13], b"landfast.test", &[0x14, 5], b"/good", &field("x", "y")]
            .concat();
    client.send(&headers(END_HEADERS, &own)).expect("sent");
    assert_eq!(said(&mut client, 1), Said::Status("200".into()));
    let again = [&[0x82, 0x87, 0xbe, 0x04, 5][..], b"/good"].concat();
    client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 3, &again)).expect("sent");
    assert!(matches!(said(&mut client, 3), Said::Status(_)));
}
