//! Field lines out, each in the shortest form that the static table allows.
//!
//! Without a dynamic table a line is the same bytes in every section. What recurs in heads is most
//! of their lines, in other combinations each time (length, date and cookies differ), so single
//! lines are remembered, not whole sections. Remembered are those that cost something to write:
//! literals of some length.

use bytes::{BufMut as _, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::static_table::{self, Found, Pseudo};
use super::{
    INDEXED, INDEXED_STATIC, LITERAL_NAME, LITERAL_NAME_NEVER, NAME_REFERENCE,
    NAME_REFERENCE_NEVER, NAME_REFERENCE_STATIC,
};
use crate::http::primitive::{huffman, integer};
use crate::limits;

/// Writes field sections. One serves all streams of a worker: what it remembers is no state of a
/// connection.
#[derive(Debug)]
pub struct Encoder {
    /// The line that was written last of those with this hash.
    remembered: Box<[Option<Remembered>]>,
}

#[derive(Debug)]
struct Remembered {
    name: HeaderName,
    value: HeaderValue,
    line: Box<[u8]>,
}

/// What a request's head has besides fields, as text that was checked.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// `:method`
    pub method: &'a Method,
    /// `:scheme`; none for a CONNECT that is not extended.
    pub scheme: Option<&'a str>,
    /// `:authority`
    pub authority: Option<&'a str>,
    /// `:path`; none for a CONNECT that is not extended.
    pub path: Option<&'a str>,
    /// `:protocol` of an extended CONNECT.
    pub protocol: Option<&'a str>,
}

impl Default for Encoder {
    fn default() -> Self {
        let remembered = (0..limits::REMEMBERED_LINES).map(|_| None).collect();
        Self { remembered }
    }
}

impl Encoder {
    /// Appends the section of a response's head.
    pub fn response(&mut self, status: StatusCode, fields: &HeaderMap, out: &mut BytesMut) {
        put_prefix(out);
        put_pseudo(Pseudo::Status, status.as_str(), out);
        self.put_fields(fields, out);
    }

    /// Appends the section of a request's head.
    pub fn request(&mut self, line: &RequestLine<'_>, fields: &HeaderMap, out: &mut BytesMut) {
        put_prefix(out);
        put_pseudo(Pseudo::Method, line.method.as_str(), out);
        let others = [
            (Pseudo::Scheme, line.scheme),
            (Pseudo::Authority, line.authority),
            (Pseudo::Path, line.path),
            (Pseudo::Protocol, line.protocol),
        ];
        for (pseudo, value) in others {
            if let Some(value) = value {
                put_pseudo(pseudo, value, out);
            }
        }
        self.put_fields(fields, out);
    }

    /// Appends the section of trailers.
    pub fn trailers(&mut self, fields: &HeaderMap, out: &mut BytesMut) {
        put_prefix(out);
        self.put_fields(fields, out);
    }

    fn put_fields(&mut self, fields: &HeaderMap, out: &mut BytesMut) {
        for (name, value) in fields {
            self.put_field(name, value, out);
        }
    }

    fn put_field(&mut self, name: &HeaderName, value: &HeaderValue, out: &mut BytesMut) {
        let text = value.as_bytes();
        // Secrets are no others' business, and are not the same twice in a worker's life.
        let is_worth_it = (limits::REMEMBERED_VALUE_MIN_BYTES..=limits::REMEMBERED_VALUE_MAX_BYTES)
            .contains(&text.len());
        if !is_worth_it || value.is_sensitive() || is_secret(name) {
            return put_line(name.as_str(), text, value.is_sensitive(), out);
        }
        let slot = &mut self.remembered[hash(name.as_str(), text) % limits::REMEMBERED_LINES];
        match slot {
            Some(remembered) if remembered.value == value && remembered.name == name => {
                out.extend_from_slice(&remembered.line);
            }
            _ => {
                let start = out.len();
                put_line(name.as_str(), text, false, out);
                let line = out[start..].into();
                // A value that shares its memory would keep what it came in.
                let value = HeaderValue::from_bytes(text).expect("it was one before");
                *slot = Some(Remembered { name: name.clone(), value, line });
            }
        }
    }
}

fn is_secret(name: &HeaderName) -> bool {
    use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
    [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE].contains(name)
}

/// Few steps, whatever the length: what differs between two lines of a name is mostly the end.
fn hash(name: &str, value: &[u8]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15; // 2^64 by the golden ratio
    let eight = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let name = name.as_bytes();
    let parts = [
        (name.len() << 32 | value.len()) as u64,
        eight(&name[name.len().saturating_sub(8)..]),
        eight(&value[value.len().saturating_sub(8)..]),
        eight(&value[value.len() / 2..value.len().min(value.len() / 2 + 8)]),
    ];
    let mix = |hash: u64, part: u64| (hash ^ part).wrapping_mul(MIX).rotate_left(29);
    (parts.into_iter().fold(0u64, mix).wrapping_mul(MIX) >> 32) as usize
}

/// No entry of a dynamic table is needed, and so the base is 0 (RFC 9204 section 4.5.1).
fn put_prefix(out: &mut BytesMut) {
    out.put_slice(&[0, 0]);
}

fn put_pseudo(pseudo: Pseudo, value: &str, out: &mut BytesMut) {
    put_line(pseudo.name(), value.as_bytes(), false, out);
}

fn put_line(name: &str, value: &[u8], never_indexed: bool, out: &mut BytesMut) {
    match static_table::find(name.as_bytes(), value) {
        Some(Found::Field(row)) if !never_indexed => {
            integer::put(row.into(), INDEXED | INDEXED_STATIC, 6, out);
            return;
        }
        Some(Found::Field(row) | Found::Name(row)) => {
            let never = if never_indexed { NAME_REFERENCE_NEVER } else { 0 };
            integer::put(row.into(), NAME_REFERENCE | NAME_REFERENCE_STATIC | never, 4, out);
        }
        None => {
            let never = if never_indexed { LITERAL_NAME_NEVER } else { 0 };
            put_string(name.as_bytes(), LITERAL_NAME | never, 3, out);
        }
    }
    put_string(value, 0, 7, out);
}

/// In Huffman code where that is shorter.
fn put_string(text: &[u8], flags: u8, prefix: u32, out: &mut BytesMut) {
    let coded = huffman::coded_bytes(text);
    if coded < text.len() {
        integer::put(coded as u64, flags | 1 << prefix, prefix, out);
        huffman::encode(text, out);
    } else {
        integer::put(text.len() as u64, flags, prefix, out);
        out.put_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(encoder: &mut Encoder, fields: &[(&'static str, &'static str)]) -> Vec<u8> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut out = BytesMut::new();
        encoder.response(StatusCode::OK, &map, &mut out);
        out.to_vec()
    }

    #[test]
    fn what_is_in_the_static_table_takes_one_byte_or_two() {
        let section = section(&mut Encoder::default(), &[("content-type", "text/plain")]);
        assert_eq!(section, [0, 0, 0xc0 | 25, 0xc0 | 53]);
    }

    #[test]
    fn a_line_that_recurs_is_the_same_bytes_again() {
        let mut encoder = Encoder::default();
        let long = "max-age=63072000; includeSubDomains; preload";
        let heads: [&[_]; 3] = [
            &[("strict-transport-security", long), ("server", "landfast-edge/0.1")],
            &[("server", "landfast-edge/0.2"), ("strict-transport-security", long)],
            &[("x-strict-transport-security", long), ("alt-svc", long)],
        ];
        for head in heads.iter().chain(&heads) {
            let fresh = section(&mut Encoder::default(), head);
            assert_eq!(section(&mut encoder, head), fresh);
        }
    }

    #[test]
    fn secrets_are_not_remembered() {
        let mut encoder = Encoder::default();
        section(&mut encoder, &[("set-cookie", "a-session-of-some-length=0123456789")]);
        assert!(encoder.remembered.iter().all(Option::is_none));
        section(&mut encoder, &[("x-session", "a-session-of-some-length=0123456789")]);
        assert_eq!(encoder.remembered.iter().flatten().count(), 1);
    }

    /// RFC 9204 section 4.5.4: the N bit, which goes along with the value.
    #[test]
    fn a_sensitive_value_is_never_indexed() {
        let mut value = HeaderValue::from_static("text/plain");
        value.set_sensitive(true);
        let mut out = BytesMut::new();
        let fields = [(http::header::CONTENT_TYPE, value.clone())].into_iter().collect();
        Encoder::default().trailers(&fields, &mut out);
        assert_eq!(out[2], NAME_REFERENCE | NAME_REFERENCE_NEVER | NAME_REFERENCE_STATIC | 15);
        let mut out = BytesMut::new();
        let fields = [(HeaderName::from_static("x-token"), value)].into_iter().collect();
        Encoder::default().trailers(&fields, &mut out);
        assert_eq!(out[2] & 0xf0, LITERAL_NAME | LITERAL_NAME_NEVER);
    }
}
