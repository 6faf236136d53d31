//! The content of a response as bytes: where it ends (RFC 9112 section 6.3), and its parts.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version};
use httparse::Status;

use super::section::{Malformed, Section, trailers};
use crate::limits;

/// What is left of the content.
#[derive(Debug)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks, and trailers.
    Chunks(Chunks),
    /// All that comes.
    ToTheEnd,
}

/// What comes of chunked content next (RFC 9112 section 7.1).
#[derive(Debug)]
pub(super) enum Chunks {
    Size,
    /// Bytes of a chunk.
    Data(u64),
    /// The end of its last line.
    EndOfData,
    Trailers(Section),
    Nothing,
}

/// What there is of the content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    /// Not all of what comes next.
    More,
    Nothing,
}

impl Framing {
    /// Of the response to a request by HEAD or another method. `head` says one length or none, and no
    /// coding but `chunked`.
    pub(super) fn of(head: &Response<()>, is_head: bool) -> Result<Self, Malformed> {
        let (status, fields) = (head.status(), head.headers());
        let has_none = is_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_none {
            return Ok(Self::Length(0));
        }
        if fields.contains_key(TRANSFER_ENCODING) {
            // RFC 9112 section 6.1: nobody can say where it ends.
            let is_understood = head.version() != Version::HTTP_10;
            return is_understood.then_some(Self::Chunks(Chunks::Size)).ok_or(Malformed);
        }
        let Some(length) = fields.get(CONTENT_LENGTH) else { return Ok(Self::ToTheEnd) };
        let length = length.to_str().ok().and_then(|length| length.parse().ok());
        length.map(Self::Length).ok_or(Malformed)
    }

    /// Whether nothing comes any more.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunks(Chunks::Nothing))
    }

    /// Whether the content is whole when its connection ends here.
    pub(super) const fn may_end(&self) -> bool {
        matches!(self, Self::ToTheEnd) || self.is_over()
    }

    /// Bytes that are still to come, where the head has said so.
    pub(super) const fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunks(_) | Self::ToTheEnd => None,
        }
    }

    /// Takes the next part off the front of `buffer`.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Part, Malformed> {
        match self {
            Self::Length(0) => Ok(Part::Nothing),
            Self::Length(left) => Ok(data(buffer, left)),
            Self::Chunks(chunks) => chunks.next(buffer),
            Self::ToTheEnd if buffer.is_empty() => Ok(Part::More),
            Self::ToTheEnd => Ok(Part::Data(buffer.split().freeze())),
        }
    }
}

/// What there is, and not more than `left`, from which it is taken off.
fn data(buffer: &mut BytesMut, left: &mut u64) -> Part {
    if buffer.is_empty() {
        return Part::More;
    }
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    Part::Data(buffer.split_to(length).freeze())
}

impl Chunks {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Part, Malformed> {
        self.advance(buffer)?;
        match self {
            Self::Size | Self::EndOfData => Ok(Part::More),
            Self::Data(_) => Ok(self.gather(buffer).map_or(Part::More, Part::Data)),
            Self::Trailers(section) => {
                let Some(section) = section.take(buffer)? else { return Ok(Part::More) };
                // It is no end where they are none.
                let trailers = trailers(&section)?;
                *self = Self::Nothing;
                let has_some = !trailers.is_empty();
                Ok(if has_some { Part::Trailers(trailers) } else { Part::Nothing })
            }
            Self::Nothing => Ok(Part::Nothing),
        }
    }

    /// Moves on to the bytes of a chunk, or behind the last one.
    fn advance(&mut self, buffer: &mut BytesMut) -> Result<(), Malformed> {
        loop {
            match self {
                Self::Size => {
                    let Some(size) = size(buffer)? else { return Ok(()) };
                    *self = match size {
                        0 => Self::Trailers(Section::default()),
                        size => Self::Data(size),
                    };
                }
                Self::EndOfData => match &buffer[..] {
                    [b'\r', b'\n', ..] => {
                        let _ = buffer.split_to(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(()),
                    _ => return Err(Malformed),
                },
                Self::Data(_) | Self::Trailers(_) | Self::Nothing => return Ok(()),
            }
        }
    }

    /// What there is of a chunk, with those behind it as long as they are small: each part costs
    /// whoever passes it on as much as a large one. What is wrong behind them is found the next time.
    fn gather(&mut self, buffer: &mut BytesMut) -> Option<Bytes> {
        let first = self.piece(buffer, usize::MAX)?;
        let (mut gathered, mut count) = (BytesMut::new(), 1);
        while first.len() < limits::SMALL_CHUNK_BYTES
            && count < limits::SMALL_CHUNKS_TOGETHER
            && self.advance(buffer).is_ok()
            && let Some(piece) = self.piece(buffer, limits::SMALL_CHUNK_BYTES)
        {
            if count == 1 {
                gathered.extend_from_slice(&first);
            }
            gathered.extend_from_slice(&piece);
            count += 1;
        }
        Some(if count == 1 { first } else { gathered.freeze() })
    }

    /// What there is of a chunk, where it is less than `below`.
    fn piece(&mut self, buffer: &mut BytesMut, below: usize) -> Option<Bytes> {
        let Self::Data(left) = self else { return None };
        if buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX)) >= below {
            return None;
        }
        let Part::Data(piece) = data(buffer, left) else { return None };
        if *left == 0 {
            *self = Self::EndOfData;
        }
        Some(piece)
    }
}

/// Takes the line with the size of a chunk off, when all of it is there. Extensions are nobody's
/// (RFC 9112 section 7.1.1).
fn size(buffer: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let line = &buffer[..buffer.len().min(limits::MAX_CHUNK_LINE_BYTES)];
    // httparse takes an empty one for zero, and a line feed for part of an extension.
    if line.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(Malformed);
    }
    match httparse::parse_chunk_size(line) {
        Ok(Status::Complete((length, size))) if !line[..length - 1].contains(&b'\n') => {
            let _ = buffer.split_to(length);
            Ok(Some(size))
        }
        Ok(Status::Partial) if line.len() < limits::MAX_CHUNK_LINE_BYTES => Ok(None),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// The data of all of `text` that comes so many bytes at a time, its trailers, what is left behind
    /// it, and whether it has ended.
    fn read(
        mut framing: Framing,
        text: &[u8],
        at_a_time: usize,
    ) -> Result<(Vec<u8>, HeaderMap, usize, bool), Malformed> {
        let (mut buffer, mut all, mut found) = (BytesMut::new(), Vec::new(), HeaderMap::new());
        for piece in text.chunks(at_a_time.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match framing.next(&mut buffer)? {
                    Part::Data(data) => all.extend_from_slice(&data),
                    Part::Trailers(trailers) => found = trailers,
                    Part::More | Part::Nothing => break,
                }
            }
        }
        Ok((all, found, buffer.len(), framing.is_over()))
    }

    fn chunks() -> Framing {
        Framing::Chunks(Chunks::Size)
    }

    #[test]
    fn content_ends_where_its_head_says() {
        let of = |head: &str, is_head| {
            let head = super::super::section::response(&Bytes::copy_from_slice(head.as_bytes()));
            Framing::of(&head.expect("a head"), is_head)
        };
        let says = |framing: Result<Framing, Malformed>| match framing {
            Ok(Framing::Length(length)) => length.to_string(),
            Ok(Framing::Chunks(_)) => "chunks".into(),
            Ok(Framing::ToTheEnd) => "end".into(),
            Err(Malformed) => "malformed".into(),
        };
        for (head, is_head, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", false, "7"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", true, "0"),
            ("HTTP/1.1 304 Same\r\ncontent-length: 7\r\n\r\n", false, "0"),
            ("HTTP/1.1 204 None\r\n\r\n", false, "0"),
            ("HTTP/1.1 103 Early\r\n\r\n", false, "0"),
            ("HTTP/1.1 200 OK\r\n\r\n", false, "end"),
            ("HTTP/1.0 200 OK\r\ncontent-length: 7\r\n\r\n", false, "7"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false, "chunks"),
            ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false, "malformed"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n", false, "malformed"),
        ] {
            assert_eq!(says(of(head, is_head)), expected, "{head}");
        }
    }

    #[test]
    fn chunks_are_put_together_whatever_comes_at_a_time() {
        let text = b"5\r\nabcde\r\n0002;a=\"b\" \r\nfg\r\n0\r\nx-sum: 17\r\n\r\nrest";
        for at_a_time in 1..=text.len() {
            let (data, trailers, left, over) = read(chunks(), text, at_a_time).expect("chunks");
            assert_eq!((&data[..], left, over), (&b"abcdefg"[..], 4, true), "{at_a_time}");
            assert_eq!(trailers.get("x-sum"), Some(&HeaderValue::from_static("17")));
        }
        let (data, trailers, left, over) =
            read(chunks(), b"1\r\na\r\n0\r\n\r\n", 2).expect("chunks");
        assert_eq!((&data[..], trailers.len(), left, over), (&b"a"[..], 0, 0, true));
    }

    #[test]
    fn what_are_no_chunks_is_refused() {
        let long = [&b"1;"[..], &[b'x'; limits::MAX_CHUNK_LINE_BYTES]].concat();
        let zeros = [b'0'; limits::MAX_CHUNK_LINE_BYTES];
        for text in [
            &b"\r\n"[..],
            b"-1\r\n",
            b"x\r\n",
            b" 1\r\n",
            b"1 1\r\n",
            b"1\ra\r\n",
            b"1\n",
            b"1;a\nb\r\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"10000000000000000\r\n",
            b"0\r\nno trailer\r\n\r\n",
            &long,
            &zeros,
        ] {
            assert_eq!(read(chunks(), text, 1).map(drop), Err(Malformed), "{text:?}");
        }
    }

    /// A server may send each byte by itself.
    #[test]
    fn small_chunks_come_together() {
        let (mut framing, mut buffer) = (chunks(), BytesMut::new());
        let most = limits::SMALL_CHUNKS_TOGETHER;
        for _ in 0..most + 5 {
            buffer.extend_from_slice(b"1\r\na\r\n");
        }
        buffer.extend_from_slice(b"200\r\n");
        buffer.extend_from_slice(&[b'b'; 512]);
        buffer.extend_from_slice(b"\r\n1\r\nc\r\nx");
        let parts = [vec![b'a'; most], vec![b'a'; 5], vec![b'b'; 512], vec![b'c']];
        for part in parts {
            assert_eq!(framing.next(&mut buffer), Ok(Part::Data(part.into())));
        }
        assert_eq!(framing.next(&mut buffer), Err(Malformed), "and what was before it is not lost");
    }

    /// The connection would carry another request.
    #[test]
    fn trailers_that_are_none_are_no_end() {
        let (mut framing, mut buffer) = (chunks(), BytesMut::from("0\r\nno trailer\r\n\r\n"));
        assert_eq!(framing.next(&mut buffer), Err(Malformed));
        assert!(!framing.is_over() && !framing.may_end());
    }

    #[test]
    fn what_is_cut_off_is_not_whole() {
        for text in ["", "5", "5\r\nabc", "5\r\nabcde", "5\r\nabcde\r\n0\r\n", "0\r\nx: y\r\n"] {
            let (.., over) = read(chunks(), text.as_bytes(), 1).expect("chunks");
            assert!(!over, "{text}");
        }
        assert!(Framing::ToTheEnd.may_end() && !chunks().may_end());
        assert!(!Framing::Length(1).may_end() && Framing::Length(0).may_end());
    }

    proptest! {
        #[test]
        fn any_chunks_are_read_as_they_were_written(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            at_a_time in 1usize..700,
        ) {
            let mut text = Vec::new();
            for part in &parts {
                text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let (data, _, left, over) = read(chunks(), &text, at_a_time).expect("chunks");
            prop_assert_eq!((data, left, over), (parts.concat(), 0, true));
        }

        #[test]
        fn nothing_that_comes_is_more_than_an_error(
            text in prop::collection::vec(any::<u8>(), 0..300),
            at_a_time in 1usize..40,
        ) {
            let (mut section, mut buffer) = (Section::default(), BytesMut::new());
            let _ = read(chunks(), &text, at_a_time);
            buffer.extend_from_slice(&text);
            if let Ok(Some(head)) = section.take(&mut buffer) {
                let _ = super::super::section::response(&head);
            }
        }
    }
}
