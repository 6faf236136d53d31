//! HTTP/2: what bounces, however HPACK says it (RFC 7541): as an entry of a table, in Huffman code,
//! in several frames.

use tests::credentials::SERVER_NAME;
use tests::http2::{END_HEADERS, END_STREAM, Raw, code, field, frame, kind, request};

use super::http2::{FRAGMENT, PSEUDO_TRAILERS, STREAM, Said, connect, goes_on, said, status};
use super::{Room, Why};

/// The header fields are larger than we said.
const LARGE: Why = ("fields", "header fields are not larger");
const LARGE_TRAILERS: Why = ("fields", "trailers are not larger");

/// A field that becomes an entry (RFC 7541 section 6.2.1).
fn entry(name: &str, value: &str) -> Vec<u8> {
    let mut field = field(name, value);
    field[0] = 0x40;
    field
}

/// A request's head but for its path.
fn own(method: &str) -> Vec<u8> {
    let own = [(":method", method), (":scheme", "https"), (":authority", SERVER_NAME)];
    own.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A header block in parts of this size, each a frame.
fn split(flags: u8, stream: u32, block: &[u8], size: usize) -> Vec<u8> {
    let mut parts = block.chunks(size).enumerate().peekable();
    let mut frames = Vec::new();
    while let Some((number, part)) = parts.next() {
        let (kind, flags) =
            if number == 0 { (kind::HEADERS, flags) } else { (kind::CONTINUATION, 0) };
        let end = if parts.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, flags | end, stream, part));
    }
    frames
}

struct Scene {
    room: Room,
    client: Raw,
    stream: u32,
}

impl Scene {
    fn new() -> Self {
        let room = Room::new();
        let client = connect(&room);
        Self { room, client, stream: 1 }
    }

    /// These frames of a new stream are answered so, and no request for `path` is seen.
    fn refused(&mut self, path: &str, frames: &dyn Fn(u32) -> Vec<u8>, expected: &Said, why: Why) {
        self.client.send(&frames(self.stream)).expect("the connection goes on");
        let told = said(&mut self.client, self.stream);
        // Its status may be in the dynamic table: the log has what it was.
        let same = match (&told, expected) {
            (Said::Status(_), Said::Status(_)) if self.stream > 1 => true,
            _ => told == *expected,
        };
        self.room.same(same, true, &format_args!("{told:?} of {path}, {}", self.stream));
        self.room.reaches(path, 0, &path);
        self.room.expects(why);
        self.stream += 2;
    }

    fn ends(mut self) {
        goes_on(&mut self.room, &mut self.client, &STREAM, &"in the end");
        self.room.is_accounted_for(r#"landfast_tcp_refused_total{port="https","#);
    }
}

#[test]
fn a_fragment_bounces_however_it_is_said() {
    let mut scene = Scene::new();
    let whole = |block: Vec<u8>| {
        move |stream| frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block)
    };
    let bad = status("400");
    let path = scene.room.path();
    let with = format!("{path}#b");
    let first = [own("GET"), entry(":path", &with)].concat();
    scene.refused(&path, &whole(first), &bad, FRAGMENT);
    // The newest entry, and then the one before it.
    scene.refused(&path, &whole([own("GET"), vec![0xbe]].concat()), &bad, FRAGMENT);
    let later = [own("GET"), vec![0xbe], entry("x", "y"), vec![0xbe]].concat();
    scene.refused(&path, &whole(later), &bad, FRAGMENT);
    scene.refused(&path, &whole([own("GET"), vec![0xbf]].concat()), &bad, FRAGMENT);
    // `:path: /coded#b` in Huffman code, which no other case asks for.
    let coded =
        [0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 0x87, 0x60, 0x87, 0x90, 0xb2, 0x7f, 0xd4, 0x7f];
    scene.refused("/coded", &whole([&own("GET")[..], &coded].concat()), &bad, FRAGMENT);
    scene.refused(
        "/coded",
        &whole([&own("GET")[..], &[0x44], &coded[6..]].concat()),
        &bad,
        FRAGMENT,
    );
    scene.refused("/coded", &whole([own("GET"), vec![0xbe]].concat()), &bad, FRAGMENT);
    // In frames; h2 has a bound on how many.
    let block = [own("GET"), field(":path", &with)].concat();
    for parts in 2..6 {
        let size = block.len().div_ceil(parts);
        let frames = |stream| split(END_STREAM, stream, &block, size);
        scene.refused(&path, &frames, &bad, FRAGMENT);
    }
    // Frames behind it on its stream, and one that is good on the next.
    let data = |stream| {
        [
            frame(kind::HEADERS, END_HEADERS, stream, &block),
            frame(kind::DATA, END_STREAM, stream, b"x"),
        ]
        .concat()
    };
    scene.refused(&path, &data, &bad, FRAGMENT);
    scene.ends();
}

/// The name of the entry is a path's, and the value is the case's own.
#[test]
fn the_name_of_an_entry_with_a_fragment_is_no_fragment() {
    let mut scene = Scene::new();
    let (bad, good) = (scene.room.path(), scene.room.path());
    let first = [own("GET"), entry(":path", &format!("{bad}#b"))].concat();
    let first = |stream| frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &first);
    scene.refused(&bad, &first, &status("400"), FRAGMENT);
    let named = [&own("GET")[..], &[0x0f, 47, good.len() as u8], good.as_bytes()].concat();
    let named = frame(kind::HEADERS, END_HEADERS | END_STREAM, scene.stream, &named);
    scene.client.send(&named).expect("sent");
    let told = said(&mut scene.client, scene.stream);
    scene.room.same(matches!(told, Said::Status(_)), true, &told);
    scene.room.reaches(&good, 1, &"a good one");
    scene.ends();
}

#[test]
fn pseudo_fields_of_trailers_bounce_however_they_are_said() {
    let mut scene = Scene::new();
    let path = scene.room.path();
    // A good request that has all the entries.
    let good = scene.room.path();
    let first = [own("GET"), entry(":path", &good), entry("x-sum", "17")].concat();
    scene.client.send(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &first)).expect("sent");
    assert_eq!(said(&mut scene.client, 1), status("200"));
    scene.stream = 3;
    let head = request("POST", &path, &[]);
    let post = |stream, trailers: Vec<u8>| {
        let head = frame(kind::HEADERS, END_HEADERS, stream, &head);
        [head, frame(kind::DATA, 0, stream, b"some"), trailers].concat()
    };
    for block in [
        // `:path` of the dynamic table, beside a field that may be there; of the static one.
        &[0xbf][..],
        &[0xbe, 0xbf],
        &[0x84],
        &[0x04, 1, b'/'],
        // In Huffman code.
        &[0x00, 0x84, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/'],
    ] {
        let trailers =
            |stream| post(stream, frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, block));
        scene.refused(&path, &trailers, &STREAM, PSEUDO_TRAILERS);
    }
    let block = [field("x-sum", "17"), field(":path", "/b")].concat();
    for size in [block.len() - 1, block.len() / 2, 9] {
        let trailers = |stream| post(stream, split(END_STREAM, stream, &block, size));
        scene.refused(&path, &trailers, &STREAM, PSEUDO_TRAILERS);
    }
    // Trailers that are good.
    let stream = scene.stream;
    let trailers = frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &[0xbe]);
    scene.room.reaches(&path, 0, &"before the good one");
    scene.client.send(&post(stream, trailers)).expect("sent");
    let told = said(&mut scene.client, stream);
    scene.room.same(matches!(told, Said::Status(_)), true, &told);
    scene.room.reaches(&path, 1, &"the good one");
    scene.ends();
}

/// What h2 has of the frame cannot be changed: the connection ends, and the request is no more whole.
#[test]
fn pseudo_fields_of_trailers_that_come_late_end_the_connection() {
    let mut room = Room::new();
    let path = room.path();
    let mut client = connect(&room);
    let head = frame(kind::HEADERS, END_HEADERS, 1, &request("POST", &path, &[]));
    let trailers = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &field(":path", "/b"));
    let (first, second) = trailers.split_at(12);
    let data = frame(kind::DATA, 0, 1, b"some");
    // The edge has read the first part when the origin has what is before it.
    client.send(&[&head[..], &data, first].concat()).expect("sent");
    crate::process::eventually(
        "the content is with the origin",
        || room.origin.sent().iter().any(|sent| sent.contains("some")),
        || format!("{:?}", room.origin.sent()),
    );
    client.send(second).expect("sent");
    assert_eq!(said(&mut client, 1), Said::Closed(code::PROTOCOL_ERROR));
    room.reaches(&path, 0, &"trailers in parts");
    room.expects(PSEUDO_TRAILERS);
    room.is_accounted_for(r#"landfast_tcp_refused_total{port="https","#);
}

/// RFC 9113 section 10.5.1. h2 answers 431 to heads by itself; it would cut trailers off.
#[test]
fn fields_larger_than_we_said_are_refused_and_counted_once() {
    let mut room = Room::new();
    // An entry of 153 bytes, 500 times.
    let large = [entry("x", &"y".repeat(120)), vec![0xbe; 500]].concat();
    for flags in [END_STREAM, 0] {
        let path = room.path();
        let mut client = connect(&room);
        let block = [request("POST", &path, &[]), large.clone()].concat();
        client.send(&frame(kind::HEADERS, END_HEADERS | flags, 1, &block)).expect("sent");
        let told = said(&mut client, 1);
        room.same(&told, &status("431"), &flags);
        goes_on(&mut room, &mut client, &told, &flags);
        room.reaches(&path, 0, &flags);
        room.expects(LARGE);
    }
    let path = room.path();
    let mut client = connect(&room);
    let head = frame(kind::HEADERS, END_HEADERS, 1, &request("POST", &path, &[]));
    let trailers = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &large);
    client.send(&[head, frame(kind::DATA, 0, 1, b"some"), trailers].concat()).expect("sent");
    let told = said(&mut client, 1);
    room.same(&told, &STREAM, &"trailers");
    goes_on(&mut room, &mut client, &told, &"trailers");
    room.reaches(&path, 0, &"trailers");
    room.expects(LARGE_TRAILERS);
    room.is_accounted_for(r#"landfast_tcp_refused_total{port="https","#);
}
