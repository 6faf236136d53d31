//! Request streams: from choices among what is nearly right, from the corpus, and changed.

use std::fs;
use std::path::PathBuf;

use bolero::TypeGenerator;
use tests::raw::{frame, varint};

/// Names that a rule is about, and some that none is.
const NAMES: &[&str] = &[
    ":method",
    ":scheme",
    ":authority",
    ":path",
    ":protocol",
    ":status",
    ":foo",
    "host",
    "cookie",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "keep-alive",
    "trailer",
    "expect",
    "accept",
    "x-a",
    "X-A",
    "x a",
    "x:a",
    "x\"a",
    "",
    "x-\u{e9}",
    "user-agent",
    "set-cookie",
];
/// Values likewise.
const VALUES: &[&str] = &[
    "",
    "GET",
    "POST",
    "OPTIONS",
    "CONNECT",
    "G T",
    "get",
    "http",
    "https",
    "HTTPS",
    "ftp",
    "example.com",
    "example.com:443",
    "user@example.com",
    "[::1]",
    "a,b",
    "/",
    "//",
    "/a?b",
    "/a#b",
    "*",
    "/a b",
    "https://example.com/",
    "websocket",
    "webtransport",
    "connect-udp",
    "200",
    "204",
    "304",
    "103",
    "101",
    "99",
    "0",
    "5",
    "05",
    "+5",
    "5, 5",
    "trailers",
    "chunked",
    "close",
    "gzip",
    "a=b",
    " a",
    "a ",
    "a\tb",
    "a\r\nb",
    "a\0b",
    "a\u{7f}b",
    "\u{e9}",
    "a very long value of no special form",
];
/// Types of frames that may stand between others.
const KINDS: &[u64] =
    &[0x00, 0x01, 0x21, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0c, 0x0d, 0x40, 0xf_0700];

/// A field line, by its form on the wire.
#[derive(Debug, TypeGenerator)]
pub(super) enum Line {
    Row(u8),
    Reference(u8, u8),
    Literal(u8, u8),
    Huffman(u8, Vec<u8>),
    Bytes(Vec<u8>, Vec<u8>),
    Raw(u8),
}

/// A stream.
#[derive(Debug, TypeGenerator)]
pub(super) struct Input {
    base: u8,
    #[generator(bolero::produce::<Vec<Line>>().with().len(0usize..6))]
    lines: Vec<Line>,
    #[generator(bolero::produce::<Vec<Vec<u8>>>().with().len(0usize..4))]
    content: Vec<Vec<u8>>,
    #[generator(bolero::produce::<Vec<Line>>().with().len(0usize..3))]
    trailers: Vec<Line>,
    between: (u8, u8),
    #[generator(bolero::produce::<Vec<(u16, u8)>>().with().len(0usize..4))]
    changes: Vec<(u16, u8)>,
    cut: u8,
    shape: u8,
    chunk: u8,
}

impl Input {
    pub(super) fn chunk(&self) -> usize {
        usize::from(self.chunk) + 1
    }

    /// The bytes of a request.
    pub(super) fn request(&self) -> Vec<u8> {
        let base: &[(u8, &str)] = match self.base % 8 {
            // GET and https are rows; the others have a name of the table and a value.
            0..4 => &[(17, ""), (23, ""), (0, "example.com"), (1, "/a?b")],
            4 => &[(20, ""), (23, ""), (0, "example.com"), (1, "/")],
            5 => &[(15, ""), (0, "example.com:443")],
            6 => &[(19, ""), (22, ""), (0, "example.com"), (1, "*")],
            _ => &[],
        };
        let base = base.iter().map(|(row, value)| match value.is_empty() {
            true => row_line(*row),
            false => {
                [integer(0x50, 0x0f, usize::from(*row)), string(0, 0x7f, value.as_bytes())].concat()
            }
        });
        self.stream(base.collect())
    }

    /// The bytes of a response.
    pub(super) fn response(&self) -> Vec<u8> {
        let base = match self.base % 8 {
            0..3 => vec![row_line(25)],
            3 => vec![row_line(64)],
            4 => vec![row_line(26)],
            5 => vec![row_line(63)],
            6 => vec![row_line(24)],
            _ => vec![],
        };
        let interim = match self.shape & 0x60 {
            0x60 => frame(0x01, &[0, 0, 0xc0 | 24]),
            _ => vec![],
        };
        [interim, self.stream(base)].concat()
    }

    fn stream(&self, base: Vec<Vec<u8>>) -> Vec<u8> {
        let mut section = vec![0, 0];
        section.extend(base.concat());
        section.extend(self.lines.iter().flat_map(bytes_of));
        let mut stream = frame(0x01, &section);
        let (kind, place) = self.between;
        if place % 16 == 0 {
            let kind = KINDS[usize::from(kind) % KINDS.len()];
            stream.extend([varint(kind), varint(2), vec![0, 0]].concat());
        }
        for content in &self.content {
            stream.extend(frame(0x00, content));
        }
        if self.shape & 1 == 1 {
            let lines: Vec<u8> = self.trailers.iter().flat_map(bytes_of).collect();
            stream.extend(frame(0x01, &[&[0, 0], &lines[..]].concat()));
        }
        if self.shape & 0x0e == 0 {
            change(&mut stream, &self.changes);
        }
        if self.shape & 0x10 == 0 && self.cut < 64 {
            stream.truncate(stream.len().saturating_sub(usize::from(self.cut)));
        }
        stream
    }
}

fn bytes_of(line: &Line) -> Vec<u8> {
    let text = |list: &[&'static str], which: u8| list[usize::from(which) % list.len()].as_bytes();
    match line {
        Line::Row(row) => row_line(*row),
        Line::Reference(row, value) => {
            let name = integer(0x50, 0x0f, usize::from(*row) % 100);
            [name, string(0, 0x7f, text(VALUES, *value))].concat()
        }
        Line::Literal(name, value) => {
            [string(0x20, 0x07, text(NAMES, *name)), string(0, 0x7f, text(VALUES, *value))].concat()
        }
        Line::Huffman(name, code) => {
            [string(0x20, 0x07, text(NAMES, *name)), string(0x80, 0x7f, code)].concat()
        }
        Line::Bytes(name, value) => [string(0x20, 0x07, name), string(0, 0x7f, value)].concat(),
        Line::Raw(byte) => vec![*byte],
    }
}

fn row_line(row: u8) -> Vec<u8> {
    integer(0xc0, 0x3f, usize::from(row) % 100)
}

/// A prefix integer (RFC 9204 section 4.1.1) below 16,384; `most` is what the prefix holds.
fn integer(flags: u8, most: usize, value: usize) -> Vec<u8> {
    match value.checked_sub(most) {
        None => vec![flags | value as u8],
        Some(left) if left < 0x80 => vec![flags | most as u8, left as u8],
        Some(left) => vec![flags | most as u8, left as u8 | 0x80, (left >> 7) as u8],
    }
}

fn string(flags: u8, most: usize, text: &[u8]) -> Vec<u8> {
    [&integer(flags, most, text.len())[..], text].concat()
}

/// Changes bits of bytes.
pub(super) fn change(bytes: &mut [u8], changes: &[(u16, u8)]) {
    for (at, bits) in changes {
        if let Some(byte) = bytes.len().checked_sub(1).map(|last| usize::from(*at) % (last + 1)) {
            bytes[byte] ^= bits;
        }
    }
}

/// Streams that are kept, by name.
pub(super) fn corpus() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder())
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("a stream"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 30, "{} streams", files.len());
    files
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/request_streams"))
}

/// One stream for each thing that a rule is about.
pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let some = get(&[("content-length", "4")]);
    let connect = head(&[(":method", "CONNECT"), (":authority", "a:1")]);
    let section = |start: &[u8]| frame(1, &[start, &section(&GET)].concat());
    let padded = [string(0x20, 0x07, b"x-a"), string(0x80, 0x7f, &[0x03, 0x2a])].concat();
    let of = |kind, payload: &[u8]| frame(kind, payload);
    let mut seeds = vec![
        ("get", get(&[])),
        ("post", [&some[..], &of(0, b"some")].concat()),
        ("trailers", [get(&[]), of(0, b"x"), head(&[("a", "b")])].concat()),
        ("trailer-field", [get(&[]), head(&[("content-length", "0")])].concat()),
        ("connect", connect.clone()),
        ("connect-path", head(&[&[(":method", "CONNECT")], &GET[1..]].concat())),
        ("headers-in-tunnel", [connect, head(&[])].concat()),
        ("data-first", [of(0, b"x"), get(&[])].concat()),
        ("after-trailers", [get(&[]), head(&[]), of(0, b"x")].concat()),
        ("truncated", get(&[])[..9].to_vec()),
        ("empty", vec![]),
        ("empty-section", of(1, &[])),
        ("dynamic", of(1, &[0, 0, 0x80])),
        ("post-base", of(1, &[0, 0, 0x10])),
        ("insert-count", section(&[2, 0])),
        ("base", section(&[0, 5])),
        ("negative-base", section(&[0, 0x85])),
        ("row-99", of(1, &[0, 0, 0xff, 36])),
        ("huffman-padding", frame(1, &[&[0, 0], &self::section(&GET)[..], &padded].concat())),
        ("huffman-eos", of(1, &[0, 0, 0x51, 0x84, 0xff, 0xff, 0xff, 0xff])),
        ("greased", [of(0x21, b"x"), get(&[]), of(0x40, b"")].concat()),
        ("greased-long", [get(&[]), of(0x21, &[0; 5000])].concat()),
        ("greased-often", [get(&[]), of(0x21, b"").repeat(129)].concat()),
        ("fields-257", get(&[("a", ""); 253])),
        ("cookies", get(&[("cookie", "a=b"), ("cookie", "c=d")])),
        ("hosts", get(&[("host", "example.com"), ("host", "example.com")])),
        ("lengths", get(&[("content-length", "0"), ("content-length", "0")])),
        ("protocol", get(&[(":protocol", "webtransport")])),
        ("value-space", get(&[("a", " b")])),
        ("value-control", get(&[("a", "b\r\nc: d")])),
        ("te", get(&[("te", "gzip")])),
        ("status-in-request", get(&[(":status", "200")])),
        ("length", get(&[("content-length", "+0")])),
        ("no-target", head(&[GET[0], GET[2]])),
        ("late", head(&[&GET[..3], &[("a", "b")], &GET[3..]].concat())),
        ("repeated", head(&[&GET[..], &GET[3..]].concat())),
        ("short-body", [&some[..], &of(0, b"som")].concat()),
        ("long-body", [&some[..], &of(0, b"some1")].concat()),
    ];
    seeds.extend(responses());
    seeds.extend(GET.iter().map(|(name, _)| {
        let others = GET.iter().filter(|(other, _)| other != name).copied();
        ("without", head(&others.collect::<Vec<_>>()))
    }));
    seeds.extend(KINDS.iter().map(|kind| ("frame", [get(&[]), frame(*kind, &[0])].concat())));
    seeds.extend(NAMES.iter().map(|name| ("name", get(&[(name, "1")]))));
    for (at, value) in [(1, "ftp"), (2, "user@example.com"), (3, "//a"), (3, "/a#b"), (3, "/a b")] {
        let mut fields = GET;
        fields[at].1 = value;
        seeds.push((value, head(&fields)));
    }
    let numbered = seeds.into_iter().enumerate();
    numbered
        .map(|(number, (name, stream))| {
            let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            (format!("{number:03}-{name}"), stream)
        })
        .collect()
}

fn responses() -> Vec<(&'static str, Vec<u8>)> {
    let ok = head(&[(":status", "200")]);
    let hints = head(&[(":status", "103")]);
    vec![
        ("ok", [&ok[..], &frame(0, b"x")].concat()),
        ("hints", [&hints[..], &ok].concat()),
        ("hints-33", [&hints.repeat(33)[..], &ok].concat()),
        ("hints-only", hints),
        ("switching", [head(&[(":status", "101")]), ok].concat()),
        ("no-content", head(&[(":status", "204"), ("content-length", "0")])),
        ("no-content-length", head(&[(":status", "204"), ("content-length", "5")])),
        ("no-content-data", [head(&[(":status", "204")]), frame(0, b"x")].concat()),
        ("path-in-response", head(&[(":status", "200"), (":path", "/")])),
    ]
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/a?b")];

fn get(fields: &[(&str, &str)]) -> Vec<u8> {
    head(&[&GET, fields].concat())
}

fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(0x01, &[&[0, 0], &section(fields)[..]].concat())
}

fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let lines = fields.iter().map(|(name, value)| {
        [string(0x20, 0x07, name.as_bytes()), string(0, 0x7f, value.as_bytes())].concat()
    });
    lines.flatten().collect()
}
