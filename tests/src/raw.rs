//! HTTP/3 by hand, a byte at a time: what no client library would send, and what it would hide.

use crate::credentials::SERVER_NAME;
use quinn::{Connection, RecvStream, SendStream};

/// A variable-length integer (RFC 9000 section 16), in its shortest form.
#[must_use]
pub fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

/// A frame (RFC 9114 section 7.1).
#[must_use]
pub fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
}

/// A HEADERS frame that asks for a path, by the static table of QPACK (RFC 9204 appendix A).
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    let literal =
        |name: u8, value: &str| [&[0x50 | name, value.len() as u8], value.as_bytes()].concat();
    let (method_get, scheme_https) = (0xc0 | 17, 0xc0 | 23);
    let fields = [vec![0, 0, method_get, scheme_https], literal(0, SERVER_NAME), literal(1, path)];
    frame(0x01, &fields.concat())
}

/// A field line of literals (RFC 9204 section 4.5.6), whatever is in it.
#[must_use]
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |length: usize, prefix: u32, flags: u8| {
        let most = (1 << prefix) - 1;
        let Some(mut rest) = length.checked_sub(most) else { return vec![flags | length as u8] };
        let mut bytes = vec![flags | most as u8];
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    [&length(name.len(), 3, 0x20)[..], name, &length(value.len(), 7, 0), value].concat()
}

/// A HEADERS frame of these fields.
#[must_use]
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let lines = fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes()));
    frame(0x01, &[0, 0].into_iter().chain(lines).collect::<Vec<_>>())
}

/// A HEADERS frame of a request for a path of an authority, with more fields behind its own.
#[must_use]
pub fn request(method: &str, authority: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own =
        [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)];
    headers(&[&own[..], more].concat())
}

/// Opens the client's control stream, with empty SETTINGS.
pub async fn open_control(connection: &Connection) -> SendStream {
    let mut stream = connection.open_uni().await.expect("allowed");
    stream.write_all(&[0x00, 0x04, 0x00]).await.expect("written");
    stream
}

/// Asks for a path on a stream of its own.
pub async fn ask(connection: &Connection, path: &str) -> RecvStream {
    let (mut send, receive) = connection.open_bi().await.expect("allowed");
    // A server that refuses the request stops it.
    let _ = send.write_all(&get(path)).await;
    let _ = send.finish();
    receive
}

/// The server's control stream, behind its type.
pub async fn control(connection: &Connection) -> RecvStream {
    loop {
        let mut stream = connection.accept_uni().await.expect("the server opens it first");
        if read_varint(&mut stream).await == 0 {
            return stream;
        }
    }
}

/// The next frame.
pub async fn read_frame(stream: &mut RecvStream) -> (u64, Vec<u8>) {
    let kind = read_varint(stream).await;
    let length = read_varint(stream).await;
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.expect("a whole frame");
    (kind, payload)
}

async fn read_varint(stream: &mut RecvStream) -> u64 {
    let mut first = [0];
    stream.read_exact(&mut first).await.expect("a byte");
    let mut rest = vec![0; (1 << (first[0] >> 6)) - 1];
    stream.read_exact(&mut rest).await.expect("the rest of it");
    decode_varint(&[&first[..], &rest].concat())
}

/// Reads a variable-length integer that fills the bytes.
#[must_use]
pub fn decode_varint(bytes: &[u8]) -> u64 {
    let first = u64::from(bytes[0] & 0x3f);
    bytes[1..].iter().fold(first, |value, byte| (value << 8) | u64::from(*byte))
}
