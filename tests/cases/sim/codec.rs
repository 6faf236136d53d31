//! Our reader of request streams against h3's, on bytes that nobody thought of.
//!
//! What ours takes h3 takes too, and both read the same. What h3 takes and ours refuses is refused
//! by a rule of [`STRICTER`], each of which has a test by itself beside the code.

mod input;

use std::collections::BTreeSet;

use bytes::Bytes;
use edge_user::http::h3::head::Head;
use edge_user::http::h3::head::request::{RequestHead, Target};
use edge_user::http::h3::head::response::{Asked, ResponseHead};
use edge_user::http::h3::message::{self, Event};
use edge_user::http::h3::refusal::Refusal;
use input::Input;
use tests::h3_reader::{self, Message};
use tests::raw;

/// Rules that h3 0.0.8 does not have, or not wherever we have them.
const STRICTER: &[&str] = &[
    "authority",
    "connect",
    "connection-field",
    "content-forbidden",
    "content-length",
    "content-length-differs",
    "content-length-forbidden",
    "content-length-repeated",
    "control-frame",
    "empty-frames",
    "field-name",
    "field-value-space",
    "headers-in-tunnel",
    "host-repeated",
    "path",
    "protocol",
    "pseudo-late",
    "pseudo-misplaced",
    "pseudo-missing",
    "pseudo-repeated",
    "qpack-base",
    "qpack-dynamic",
    "qpack-huffman",
    "scheme",
    "status",
    "te",
    "too-many-fields",
    "too-many-interim",
    "trailer-field",
    "unknown-frame-too-long",
];

/// What ours takes and h3 does not.
fn only_ours(read: &Message) -> bool {
    // `:protocol` is one of two for h3.
    read.line.get(4).is_some_and(|protocol| !protocol.is_empty())
}

#[test]
fn streams_of_the_corpus_are_read_as_h3_reads_them() {
    if std::env::var_os("LANDFAST_WRITE_CORPUS").is_some() {
        std::fs::create_dir_all(input::folder()).expect("a folder");
        for (name, stream) in input::seeds() {
            std::fs::write(input::folder().join(name), stream).expect("written");
        }
    }
    let mut stricter = BTreeSet::new();
    for (name, stream) in input::corpus() {
        for chunk in [1, 7, 1000] {
            for compared in [compare_request(&stream, chunk), compare_response(&stream, chunk)] {
                stricter.extend(compared.unwrap_or_else(|fault| panic!("{name}: {fault}")));
            }
        }
    }
    assert_eq!(stricter, STRICTER.iter().copied().collect(), "rules that h3 does not have");
}

#[test]
fn a_stream_of_the_corpus_is_read_as_h3_reads_it_however_it_is_changed() {
    let corpus = input::corpus();
    type Change = (u16, Vec<(u16, u8)>, u8);
    bolero::check!().with_type::<Change>().for_each(|(which, changes, chunk)| {
        let mut stream = corpus[usize::from(*which) % corpus.len()].1.clone();
        input::change(&mut stream, &changes[..changes.len().min(3)]);
        check(&stream, compare_request(&stream, usize::from(*chunk) + 1));
    });
}

#[test]
fn a_request_is_read_as_h3_reads_it() {
    bolero::check!().with_type::<Input>().for_each(|input| {
        let stream = input.request();
        check(&stream, compare_request(&stream, input.chunk()));
    });
}

#[test]
fn a_response_is_read_as_h3_reads_it() {
    bolero::check!().with_type::<Input>().for_each(|input| {
        let stream = input.response();
        check(&stream, compare_response(&stream, input.chunk()));
    });
}

#[test]
fn a_stream_of_any_bytes_is_read_as_h3_reads_it() {
    bolero::check!().for_each(|stream: &[u8]| {
        check(stream, compare_request(stream, 1000));
        check(stream, compare_response(stream, 1000));
    });
}

/// The rule by which only ours refused; or what is wrong.
type Compared = Result<Option<&'static str>, String>;

fn check(stream: &[u8], compared: Compared) {
    if let Err(fault) = compared {
        panic!("{fault}: {}", hex(stream));
    }
}

fn hex(stream: &[u8]) -> String {
    stream.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare_request(stream: &[u8], chunk: usize) -> Compared {
    let chunks = chunks(stream, chunk);
    let line = |head: &RequestHead| request_line(head);
    let ours = ours(message::Request::request(), &chunks, line, |head| &head.fields);
    compare(&chunks, ours, h3_reader::request)
}

fn compare_response(stream: &[u8], chunk: usize) -> Compared {
    let chunks = chunks(stream, chunk);
    let line = |head: &ResponseHead| vec![head.status.as_u16().to_string()];
    let response = message::Response::response(Asked::Other);
    let ours = ours(response, &chunks, line, |head| &head.fields);
    compare(&chunks, ours, h3_reader::response)
}

fn compare(
    chunks: &[Bytes],
    ours: Result<Message, Refusal>,
    h3: impl Fn(&[Bytes]) -> Result<Message, h3::error::StreamError>,
) -> Compared {
    if misleads_h3(&chunks.concat()) {
        return Ok(None);
    }
    match (ours, h3(chunks)) {
        (Ok(ours), Ok(h3)) if ours == h3 => Ok(None),
        (Ok(ours), _) if only_ours(&ours) => Ok(None),
        (Ok(ours), h3) => Err(format!("ours {ours:?}, h3 {h3:?}")),
        (Err(refusal), Ok(h3)) => match STRICTER.contains(&refusal.rule()) {
            true => Ok(Some(refusal.rule())),
            false => Err(format!("ours `{}`, h3 {h3:?}", refusal.rule())),
        },
        (Err(_), Err(_)) => Ok(None),
    }
}

fn chunks(stream: &[u8], chunk: usize) -> Vec<Bytes> {
    stream.chunks(chunk).map(Bytes::copy_from_slice).collect()
}

/// Where it reads an empty DATA frame h3 takes the message for whole, and where a DATA frame is cut
/// off it panics when it is asked for trailers.
fn misleads_h3(mut stream: &[u8]) -> bool {
    const DATA: u64 = 0;
    while let (Some(kind), Some(length)) = (varint(&mut stream), varint(&mut stream)) {
        let is_whole = length <= stream.len() as u64;
        if kind == DATA && (length == 0 || !is_whole) {
            return true;
        }
        stream = if is_whole { &stream[length as usize..] } else { &[] };
    }
    false
}

fn varint(stream: &mut &[u8]) -> Option<u64> {
    let (integer, rest) = stream.split_at_checked(1 << (stream.first()? >> 6))?;
    *stream = rest;
    Some(raw::decode_varint(integer))
}

/// What our reader makes of a stream that ends behind these bytes.
fn ours<H: Head>(
    mut message: message::Message<H>,
    chunks: &[Bytes],
    line: impl Fn(&H) -> Vec<String>,
    fields: impl Fn(&H) -> &http::HeaderMap,
) -> Result<Message, Refusal> {
    for chunk in chunks {
        message.handle_bytes(chunk.clone(), false);
    }
    message.handle_bytes(Bytes::new(), true);
    let (mut line_read, mut fields_read) = (Vec::new(), Vec::new());
    let (mut content, mut trailers) = (Vec::new(), None);
    while let Some(event) = message.poll()? {
        match event {
            Event::Interim(_) => {}
            Event::Head(head) => {
                line_read = line(&head);
                fields_read = h3_reader::sorted(fields(&head));
            }
            Event::Data(bytes) => content.extend_from_slice(&bytes),
            Event::Trailers(map) => trailers = Some(h3_reader::sorted(&map)),
            Event::End => {}
        }
    }
    Ok(Message { line: line_read, fields: fields_read, content, trailers })
}

fn request_line(head: &RequestHead) -> Vec<String> {
    let (resource, protocol) = match &head.target {
        Target::Resource(resource) => (resource, ""),
        Target::Protocol(resource, protocol) => (resource, protocol.to_str().expect("a token")),
        Target::Tunnel(authority) => {
            return ["CONNECT", "", authority.as_str(), "", ""].map(str::to_owned).to_vec();
        }
    };
    let parts = [
        head.method.as_str(),
        resource.scheme.as_str(),
        resource.authority.as_str(),
        resource.path.as_str(),
        protocol,
    ];
    parts.map(str::to_owned).to_vec()
}
