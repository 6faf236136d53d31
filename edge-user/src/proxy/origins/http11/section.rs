//! Heads and trailer sections of a server, as bytes: where they end, and what is in them. httparse
//! reads the lines (RFC 9112 sections 2 to 5).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};
use memchr::memchr_iter;

use crate::limits;

/// What comes is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the server sends is no message")]
pub(super) struct Malformed;

/// Where a section ends, of which not all may be there. No byte is looked at twice, however few come
/// at a time.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Bytes that were looked at.
    seen: usize,
}

/// What a status line begins with in any version that we understand (RFC 9112 section 2.3).
const BEGINNING: &[u8] = b"HTTP/1.";

impl Section {
    /// Takes it off the front of `buffer`, with the empty line that ends it, when that is there.
    ///
    /// # Errors
    /// Where it is longer than [`limits::MAX_FIELD_SECTION_BYTES`].
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let Some(length) = self.length(buffer) else {
            let is_too_long = buffer.len() as u64 > limits::MAX_FIELD_SECTION_BYTES;
            return if is_too_long { Err(Malformed) } else { Ok(None) };
        };
        self.seen = 0;
        if length as u64 > limits::MAX_FIELD_SECTION_BYTES {
            return Err(Malformed);
        }
        Ok(Some(buffer.split_to(length).freeze()))
    }

    fn length(&mut self, buffer: &[u8]) -> Option<usize> {
        for at in memchr_iter(b'\n', &buffer[self.seen..]) {
            let at = self.seen + at;
            let line = &buffer[..at];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.ends_with(b"\n") {
                return Some(at + 1);
            }
        }
        self.seen = buffer.len();
        None
    }
}

/// Whether `bytes`, which are the first, may become the head of a response. Who waits for the rest of
/// what is none waits for nothing.
pub(super) fn may_be_response(bytes: &[u8]) -> bool {
    bytes.iter().zip(BEGINNING).all(|(byte, expected)| byte == expected)
}

/// Reads the head of a response.
pub(super) fn response(head: &Bytes) -> Result<Response<()>, Malformed> {
    let mut lines = [const { MaybeUninit::uninit() }; limits::MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let whole = config.parse_response_with_uninit_headers(&mut parsed, head, &mut lines);
    if !matches!(whole, Ok(Status::Complete(_))) {
        return Err(Malformed);
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else { return Err(Malformed) };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).map_err(|_| Malformed)?;
    *response.version_mut() = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    *response.headers_mut() = fields(head, parsed.headers)?;
    Ok(response)
}

/// Reads a trailer section.
pub(super) fn trailers(section: &Bytes) -> Result<HeaderMap, Malformed> {
    let mut lines = [httparse::EMPTY_HEADER; limits::MAX_FIELDS];
    match httparse::parse_headers(section, &mut lines) {
        Ok(Status::Complete((_, lines))) => fields(section, lines),
        _ => Err(Malformed),
    }
}

fn fields(section: &Bytes, lines: &[Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut fields = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Malformed)?;
        // Not copied: a response has few bytes besides them.
        let value = HeaderValue::from_maybe_shared(section.slice_ref(line.value));
        fields.append(name, value.map_err(|_| Malformed)?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of `text`, of which so many bytes come at a time, and what is left.
    fn taken(text: &str, at_a_time: usize) -> (Option<String>, String) {
        let (mut section, mut buffer) = (Section::default(), BytesMut::new());
        let mut pieces = text.as_bytes().chunks(at_a_time);
        while let Some(piece) = pieces.next() {
            buffer.extend_from_slice(piece);
            if let Some(head) = section.take(&mut buffer).expect("it is short") {
                buffer.extend(pieces.flatten());
                let [head, rest] = [&head[..], &buffer[..]].map(String::from_utf8_lossy);
                return (Some(head.into_owned()), rest.into_owned());
            }
        }
        (None, String::from_utf8_lossy(&buffer).into_owned())
    }

    #[test]
    fn a_section_ends_with_the_first_empty_line_however_it_comes() {
        for (section, rest) in [
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\n", "content\r\n\r\n"),
            ("HTTP/1.1 200 OK\na: b\n\n", "\n"),
            ("HTTP/1.1 200 OK\r\n\n", ""),
            ("\r\n", "HTTP"),
            ("\n", ""),
        ] {
            let text = format!("{section}{rest}");
            for at_a_time in 1..=text.len() {
                let expected = (Some(section.to_owned()), rest.to_owned());
                assert_eq!(taken(&text, at_a_time), expected, "{at_a_time}");
            }
        }
        assert_eq!(taken("HTTP/1.1 200 OK\r\na: b\r\n\r", 3).0, None);
    }

    #[test]
    fn a_section_without_end_is_not_kept() {
        let (mut section, mut buffer) = (Section::default(), BytesMut::new());
        let most = limits::MAX_FIELD_SECTION_BYTES as usize;
        buffer.resize(most, b'x');
        assert_eq!(section.take(&mut buffer), Ok(None));
        buffer.extend_from_slice(b"x");
        assert_eq!(section.take(&mut buffer), Err(Malformed));
        buffer.extend_from_slice(b"\r\n\r\n");
        assert_eq!(section.take(&mut buffer), Err(Malformed));
    }

    #[test]
    fn a_head_has_a_status_a_version_and_fields() {
        let head = "HTTP/1.0 404 Not here\r\nA: 1\r\nb:\r\na:  2 \r\n\r\n";
        let response = response(&Bytes::from_static(head.as_bytes())).expect("a head");
        assert_eq!((response.status().as_u16(), response.version()), (404, Version::HTTP_10));
        let seen: Vec<_> =
            response.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(seen, [("a", &b"1"[..]), ("a", b"2"), ("b", b"")]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for head in [
            "\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n a: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nab\r\n\r\n",
        ] {
            let head = Bytes::copy_from_slice(head.as_bytes());
            assert_eq!(response(&head).map(drop), Err(Malformed), "{head:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(limits::MAX_FIELDS + 1));
        assert_eq!(response(&many.into()).map(drop), Err(Malformed));
        assert!(may_be_response(b"") && may_be_response(b"HTT") && may_be_response(b"HTTP/1.1 2"));
        assert!(!may_be_response(b"SSH-2.0") && !may_be_response(b"HTTP/2"));
    }
}
