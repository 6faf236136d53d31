//! Whoever attacks by HTTP/2 is ended, by the right word and under a reason of his own; a good
//! client on the same edge is answered all the while, and the edge holds no more memory than its
//! bounds give a connection.
//!
//! `http3` has what is done by HTTP/3; `handshakes` and `bombs` what is done before a request and by
//! its head, `held` what is done by waiting, in every version.

mod bombs;
mod handshakes;
mod held;
mod http3;

use std::io;

use edge_user::limits;
use rustls::version::TLS13;
use tests::credentials::SERVER_NAME;
use tests::http2::{END_HEADERS, END_STREAM, Raw, code, field, frame, get, kind, request};
use tests::memory::Memory;

use super::{Edge, WITHIN, eventually};

/// How often an attacker comes again. What one leaves behind, all of them do.
const ATTACKERS: usize = 8;
/// What an attacker's connection may hold: what it sends ahead, and a head, coded and not.
const CONNECTION_BYTES: usize =
    limits::CONNECTION_RECEIVE_WINDOW_BYTES as usize + 2 * limits::MAX_FIELD_SECTION_BYTES as usize;

/// An edge under attack, and a client that does no harm.
struct Scene {
    edge: Edge,
    good: Raw,
    asked: u32,
    memory: Memory,
}

impl Scene {
    fn new() -> Self {
        let edge = Edge::by_tcp();
        let good = attacker(&edge);
        let memory = edge.memory();
        let mut scene = Self { edge, good, asked: 1, memory };
        scene.good_is_answered();
        scene.memory = scene.edge.memory();
        scene
    }

    fn good_is_answered(&mut self) {
        self.good_is_answered_within(CONNECTION_BYTES);
    }

    /// And the edge has held no more than this for others since the attacks began.
    fn good_is_answered_within(&mut self, most_bytes: usize) {
        self.good.send(&get(self.asked, "/bytes/10000")).expect("sent");
        let mut received = 0;
        loop {
            let frame = self.good.next_frame().expect("in time").expect("not ended");
            assert!(!matches!(frame.kind, kind::GOAWAY | kind::RST_STREAM), "{frame:?}");
            if frame.kind == kind::DATA && frame.stream == self.asked {
                received += frame.payload.len();
                if frame.flags & END_STREAM != 0 {
                    break;
                }
            }
        }
        assert_eq!(received, 10_000);
        self.memory.is_within(most_bytes, "attackers");
        let window = frame(kind::WINDOW_UPDATE, 0, 0, &10_000u32.to_be_bytes());
        self.good.send(&window).expect("sent");
        self.asked += 2;
    }

    /// A new attacker sends this until it is ended for `reason`, and then another one.
    fn attack(&mut self, reason: &str, mut bytes: impl FnMut(usize) -> Vec<u8>) {
        let before = self.edge.refused(reason);
        for _ in 0..ATTACKERS {
            let mut attacker = attacker(&self.edge);
            let code = attacker.flood(1 << 20, &mut bytes).expect("ended");
            assert_eq!(code, code::ENHANCE_YOUR_CALM, "{reason}");
        }
        assert_eq!(self.edge.refused(reason), before + ATTACKERS as u64, "{reason}");
        self.good_is_answered();
    }
}

fn attacker(edge: &Edge) -> Raw {
    Raw::connect(edge.address(), &edge.client_tls(&TLS13, &[]), WITHIN).expect("connected")
}

/// The stream of a client's request number `turn`.
fn stream(turn: usize) -> u32 {
    2 * u32::try_from(turn).expect("few") + 1
}

fn reset(turn: usize) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream(turn), &8u32.to_be_bytes())
}

/// CVE-2023-44487: requests that are taken back at once, so that they never are too many.
#[test]
fn rapid_resets_end_the_connection() {
    let mut scene = Scene::new();
    // Many in one go are more than wait for us to look at them.
    scene.attack("flood", |turn| {
        (50 * turn..50 * (turn + 1))
            .flat_map(|turn| [get(stream(turn), "/"), reset(turn)].concat())
            .collect()
    });
    // One after the other each was answered before it was taken back.
    let mut slow = attacker(&scene.edge);
    let most = limits::CLIENT_RESETS_AT_ONCE as usize;
    let ended = (0..100 * most).find(|turn| {
        let sent = slow.send(&[get(stream(*turn), "/bytes/1000000"), reset(*turn)].concat());
        sent.and_then(|()| slow.is_read()).is_err()
    });
    assert!(ended.is_some_and(|turn| turn >= most), "{ended:?}");
    assert_eq!(scene.edge.refused("resets"), 1);
    scene.good_is_answered();
}

/// CVE-2025-8671: streams that the server must reset, so that they never are too many.
#[test]
fn resets_that_we_are_made_to_send_end_the_connection() {
    let mut scene = Scene::new();
    scene.attack("flood", |turn| {
        let block = request("POST", "/", &[("content-length", "1")]);
        let head = frame(kind::HEADERS, END_HEADERS, stream(turn), &block);
        [head, frame(kind::DATA, 0, stream(turn), b"two")].concat()
    });
}

#[test]
fn header_blocks_without_end_end_the_connection() {
    let mut scene = Scene::new();
    let block = request("GET", "/", &[]);
    scene.attack("flood", |turn| match turn {
        0 => frame(kind::HEADERS, END_STREAM, 1, &block),
        _ => frame(kind::CONTINUATION, 0, 1, &field("x", "y")),
    });
    scene.attack("flood", |turn| match turn {
        0 => frame(kind::HEADERS, END_STREAM, 1, &block),
        _ => frame(kind::CONTINUATION, 0, 1, &[]),
    });
}

/// A field that is said once and then meant many times over (RFC 7541 section 7.3).
#[test]
fn header_bombs_end_the_connection_or_the_request() {
    let mut scene = Scene::new();
    // Literal with indexing, of 2,000 bytes; then by its index in the dynamic table.
    let length = 2000_u16 - 127;
    let length = [0x7f, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
    let value = [&length[..], &[b'a'; 2000]].concat();
    let entry = [&[0x40, 1, b'x'], &value[..]].concat();
    let meant = vec![0x80 | 62; 200];
    let block = [request("GET", "/", &[]), entry, meant].concat();
    scene.attack("flood", |turn| {
        frame(kind::HEADERS, END_HEADERS | END_STREAM, stream(turn), &block)
    });

    // Fewer bytes, but more fields than anybody needs: that request alone is refused.
    let fields = vec![("x", "y"); limits::MAX_FIELDS + 1];
    let block = request("GET", "/", &fields);
    let mut client = attacker(&scene.edge);
    client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block)).expect("sent");
    client.next_of(kind::HEADERS).expect("an answer");
    assert_eq!(scene.edge.refused("fields"), 1);
    client.send(&get(3, "/")).expect("sent");
    while client.next_of(kind::HEADERS).expect("the connection goes on").stream != 3 {}
}

#[test]
fn frames_that_carry_nothing_end_the_connection() {
    let mut scene = Scene::new();
    let many = |frame: Vec<u8>| move |_: usize| frame.repeat(100);
    scene.attack("control", many(frame(kind::PING, 0, 0, b"are you?")));
    scene.attack("control", many(frame(kind::SETTINGS, 0, 0, &[])));
    scene.attack("control", many(frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 16])));
    scene.attack("control", many(frame(kind::WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())));
    scene.attack("control", many(frame(0xbe, 0, 0, &[])));
    let block = request("POST", "/", &[]);
    scene.attack("flood", |turn| match turn {
        0 => frame(kind::HEADERS, END_HEADERS, 1, &block),
        _ => frame(kind::DATA, 0, 1, &[]),
    });
}

/// A client that is told to keep to so many streams, and asks for more, harms itself alone.
#[test]
fn more_streams_than_allowed_are_refused_one_by_one() {
    let mut scene = Scene::new();
    let mut client = attacker(&scene.edge);
    // No window for any answer.
    let no_window = [0, 4, 0, 0, 0, 0];
    client.send(&frame(kind::SETTINGS, 0, 0, &no_window)).expect("sent");
    client.is_read().expect("read");
    let most = limits::MAX_REQUEST_STREAMS as usize;
    for turn in 0..most + 3 {
        client.send(&get(stream(turn), "/bytes/10")).expect("sent");
    }
    for turn in most..most + 3 {
        let refused = client.next_of(kind::RST_STREAM).expect("refused");
        // REFUSED_STREAM: it may be asked again (RFC 9113 section 8.7).
        assert_eq!((refused.stream, refused.code()), (stream(turn), Some(7)));
    }
    scene.good_is_answered();
}

/// RFC 9113 sections 8.1.1 and 8.2: a stream error, and the connection goes on.
#[test]
fn a_request_that_is_malformed_is_reset_and_the_next_one_answered() {
    let edge = Edge::by_tcp();
    let mut client = attacker(&edge);
    let own =
        [(":method", "GET"), (":scheme", "https"), (":authority", SERVER_NAME), (":path", "/")];
    let block = |fields: &[(&str, &str)]| {
        fields.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<u8>>()
    };
    let with = |more: (&str, &str)| block(&[&own[..], &[more]].concat());
    let malformed = [
        with(("transfer-encoding", "chunked")),
        with(("connection", "close")),
        with(("te", "gzip")),
        with(("content-length", "1")),
        with((":path", "/b")),
        with((":status", "200")),
        block(&[&[("x", "y")][..], &own].concat()),
        block(&own[1..]),
        block(&own[..3]),
        block(&[own[0], own[1], own[2], (":path", "")]),
    ];
    for (turn, block) in malformed.iter().enumerate() {
        let request = frame(kind::HEADERS, END_HEADERS | END_STREAM, stream(turn), block);
        client.send(&request).expect("sent");
        let reset = client.next_of(kind::RST_STREAM).expect("an error of the stream");
        assert_eq!((reset.stream, reset.code()), (stream(turn), Some(code::PROTOCOL_ERROR)));
    }
    let last = stream(malformed.len());
    client.send(&get(last, "/")).expect("sent");
    assert_eq!(client.next_of(kind::HEADERS).expect("an answer").stream, last);
}

/// RFC 9113 sections 8.2.1 and 8.3.1: an error of the stream or of the connection, or 400, and nothing
/// that the node says of itself.
#[test]
fn names_values_and_targets_that_are_none_are_not_answered() {
    let edge = Edge::by_tcp();
    let with = |more: &[(&str, &str)]| request("GET", "/", more);
    let target = |authority: &str, path: &str| {
        [
            field(":method", "GET"),
            field(":scheme", "https"),
            field(":authority", authority),
            field(":path", path),
        ]
        .concat()
    };
    for block in [
        with(&[("X", "y")]),
        with(&[("x y", "z")]),
        with(&[("x:", "y")]),
        with(&[("", "y")]),
        with(&[("x", "y\r\nz: a")]),
        with(&[("x", "y\0")]),
        with(&[("keep-alive", "1")]),
        with(&[("upgrade", "websocket")]),
        with(&[("content-length", "1"), ("content-length", "2")]),
        with(&[("content-length", "-0")]),
        with(&[(":unknown", "y")]),
        with(&[("host", "")]),
        with(&[("host", "other.test")]),
        with(&[("host", SERVER_NAME), ("host", SERVER_NAME)]),
        target("", "/"),
        target("u@landfast.test", "/"),
        target("landfast.test, other.test", "/"),
        target("landfast.test/", "/"),
        target(SERVER_NAME, "a"),
        target(SERVER_NAME, "/a b"),
        target(SERVER_NAME, "//other.test/"),
        target(SERVER_NAME, "https://other.test/"),
        target(SERVER_NAME, "*"),
        target(SERVER_NAME, "/\r\n"),
    ] {
        let mut client = attacker(&edge);
        client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block)).expect("sent");
        let said = loop {
            let frame = client.next_frame().expect("in time").expect("a word before the end");
            if matches!(frame.kind, kind::HEADERS | kind::RST_STREAM | kind::GOAWAY) {
                break frame;
            }
        };
        // `:status` 400 in the static table of HPACK (RFC 7541 appendix A).
        let refused = said.kind == kind::HEADERS && said.payload[0] == 0x80 | 12;
        let of_protocol = [code::PROTOCOL_ERROR, code::COMPRESSION_ERROR].map(Some);
        let block = String::from_utf8_lossy(&block);
        assert!(refused || of_protocol.contains(&said.code()), "{block:?}: {said:?}");
    }
}

/// RFC 9113 section 8.1: whoever is answered early is told to stop, without an error.
#[test]
fn an_early_answer_ends_the_request_without_an_error() {
    let edge = Edge::by_tcp();
    let mut client = attacker(&edge);
    let block = request("POST", "/", &[]);
    client.send(&frame(kind::HEADERS, END_HEADERS, 1, &block)).expect("sent");
    let answer = client.next_of(kind::HEADERS).expect("an answer");
    assert_eq!(answer.stream, 1);
    // As much as its window and ours for what is thrown away.
    let upload = || -> io::Result<()> {
        for _ in 0..limits::MAX_DISCARDED_BYTES / 1000 + 2 {
            client.send(&frame(kind::DATA, 0, 1, &[b'a'; 1000]))?;
        }
        Ok(())
    };
    let mut upload = upload;
    upload().expect("the connection is open");
    let stopped = client.next_of(kind::RST_STREAM).expect("told to stop");
    assert_eq!((stopped.stream, stopped.code()), (1, Some(code::NO_ERROR)));
    // What was under way is no error, either.
    client.send(&frame(kind::DATA, 0, 1, &[b'a'; 1000])).expect("sent");
    client.send(&get(3, "/")).expect("sent");
    while client.next_of(kind::HEADERS).expect("an answer").stream != 3 {}
}

/// Whoever looks at nothing but the first GOAWAY of a drain knows that nothing was refused.
#[test]
fn a_drain_says_goodbye_twice() {
    let mut edge = Edge::by_tcp();
    let mut client = attacker(&edge);
    client.send(&get(1, "/")).expect("sent");
    client.next_of(kind::HEADERS).expect("an answer");
    edge.signal(nix::sys::signal::Signal::SIGTERM);
    let first = client.next_of(kind::GOAWAY).expect("a goodbye");
    assert_eq!((first.code(), first.last_stream()), (Some(code::NO_ERROR), Some(u32::MAX >> 1)));
    let ping = client.next_of(kind::PING).expect("asked");
    // Under way when the first was sent.
    client.send(&get(3, "/")).expect("sent");
    client.send(&frame(kind::PING, tests::http2::ACK, 0, &ping.payload)).expect("sent");
    let second = client.next_of(kind::GOAWAY).expect("another");
    assert_eq!((second.code(), second.last_stream()), (Some(code::NO_ERROR), Some(3)));
    while client.next_frame().expect("an end").is_some() {}
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
}

/// Many connections and streams, by a client that nobody of this project wrote.
#[test]
fn h2load_is_answered_in_full() {
    let edge = Edge::by_tcp();
    let output = std::process::Command::new("h2load")
        .args(["--requests", "4000", "--clients", "20", "--max-concurrent-streams", "10"])
        .arg(format!("--connect-to=127.0.0.1:{}", edge.port))
        .arg(format!("https://{SERVER_NAME}:{}/bytes/20000", edge.port))
        .output()
        .expect("h2load is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
}
