//! Where requests of HTTP/1.1 begin and end (RFC 9112), and which rule they break. It keeps the
//! beginning of a line and nothing else, however the bytes are cut.
//!
//! Whatever hyper refuses by itself need not be found here: with it the connection ends. What hyper
//! takes must be read as hyper reads it, or be refused. So lines end with CR LF and not with LF
//! alone, and content has one length or chunks.

use crate::http::check::Rejection;
use crate::limits;

/// Follows the requests of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    /// Bytes of content before the next line.
    skip: u64,
    awaited: Awaited,
    line: Line,
    head: Head,
    /// Heads that were read to their end and say where the request ends.
    heads: u64,
    /// Requests that were asked for.
    asked: u64,
    /// The request whose target is none, where that was not asked for yet.
    odd: Option<u64>,
    broken: Option<Broken>,
}

/// What the next line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The line of a request, or an empty one before it (RFC 9112 section 2.2).
    Request,
    /// A field, or the end of the head.
    Field,
    /// The size of a chunk (RFC 9112 section 7.1).
    Size,
    /// What follows the bytes of a chunk.
    EndOfChunk,
    /// A trailer, or the end of the request.
    Trailer,
}

/// From where on nothing is good.
#[derive(Clone, Copy, Debug)]
struct Broken {
    request: u64,
    /// Its head was good.
    in_content: bool,
    rule: Rejection,
}

/// A line as far as it was read.
#[derive(Debug)]
struct Line {
    /// As much of its beginning as there is room for.
    start: [u8; limits::FRAMING_LINE_BYTES],
    length: usize,
    last: u8,
    /// It is a request's, and its target has begun.
    in_target: bool,
}

/// What a head says of where its request ends.
#[derive(Debug, Default)]
struct Head {
    /// Its target is none.
    odd: bool,
    /// Fields that say a length, and the last one.
    lengths: usize,
    length: Option<u64>,
    has_chunks: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            skip: 0,
            awaited: Awaited::Request,
            line: Line::new(),
            head: Head::default(),
            heads: 0,
            asked: 0,
            odd: None,
            broken: None,
        }
    }
}

impl Reader {
    /// These bytes came.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.broken.is_none() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                bytes = &bytes[skipped..];
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            if self.awaited == Awaited::Request {
                self.head.odd |= self.line.has_odd_target(piece);
            }
            let is_good = self.line.take(piece);
            if end.is_some() {
                if is_good {
                    self.end_line()
                } else {
                    self.break_off(Rejection::Line)
                }
                self.line.clear();
            }
            bytes = rest;
        }
    }

    /// Whether the head of the next request that hyper gives was good.
    pub(super) fn next_head(&mut self) -> Result<(), Rejection> {
        let request = self.asked;
        self.asked += 1;
        if self.odd.take_if(|odd| *odd == request).is_some() {
            return Err(Rejection::Uri);
        }
        match self.broken {
            Some(broken) if request > broken.request => Err(broken.rule),
            Some(broken) if request == broken.request && !broken.in_content => Err(broken.rule),
            // hyper has read what was no head to us. Nobody could tell where it ends.
            _ if request >= self.heads => Err(Rejection::Framing),
            _ => Ok(()),
        }
    }

    /// Whether the content of the last one breaks a rule.
    pub(super) fn content_is_broken(&self) -> bool {
        self.broken.is_some_and(|broken| broken.in_content && broken.request + 1 == self.asked)
    }

    fn end_line(&mut self) {
        match (self.awaited, self.line.is_empty()) {
            (Awaited::Request, true) | (Awaited::Trailer, false) => {}
            (Awaited::Request, false) => self.awaited = Awaited::Field,
            (Awaited::Field, false) => self.head.field(&self.line),
            (Awaited::Field, true) => self.end_head(),
            (Awaited::Size, _) => match self.line.chunk_size() {
                Some(0) => self.awaited = Awaited::Trailer,
                Some(size) => (self.skip, self.awaited) = (size, Awaited::EndOfChunk),
                None => self.break_off(Rejection::Line),
            },
            (Awaited::EndOfChunk, true) => self.awaited = Awaited::Size,
            (Awaited::EndOfChunk, false) => self.break_off(Rejection::Line),
            (Awaited::Trailer, true) => self.awaited = Awaited::Request,
        }
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        if let Some(rule) = head.broken() {
            return self.break_off(rule);
        }
        if head.odd {
            // One that waits is enough to know.
            if self.odd.is_some() {
                return self.break_off(Rejection::Uri);
            }
            self.odd = Some(self.heads);
        }
        self.heads += 1;
        self.skip = head.length.unwrap_or(0);
        self.awaited = if head.has_chunks { Awaited::Size } else { Awaited::Request };
    }

    fn break_off(&mut self, rule: Rejection) {
        let in_content = !matches!(self.awaited, Awaited::Request | Awaited::Field);
        let request = self.heads - u64::from(in_content);
        self.broken = Some(Broken { request, in_content, rule });
    }
}

impl Head {
    /// hyper compares names as we do, and refuses one with space around it (RFC 9112 section 5.1).
    fn field(&mut self, line: &Line) {
        let Some((name, value)) = line.field() else { return };
        if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            // Of a longer line nobody knows what it says.
            self.length = if line.is_whole() { number(value, 10) } else { None };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // hyper takes none but those that end with chunks; which of them is good is asked later.
            self.has_chunks = true;
        }
    }

    /// The rule by which nobody can tell where the request ends (RFC 9112 sections 6.1 and 6.3).
    fn broken(&self) -> Option<Rejection> {
        match (self.lengths, self.length, self.has_chunks) {
            (0, None, _) | (1, Some(_), false) => None,
            (1.., _, true) => Some(Rejection::Framing),
            _ => Some(Rejection::Length),
        }
    }
}

impl Line {
    fn new() -> Self {
        Self { start: [0; limits::FRAMING_LINE_BYTES], length: 0, last: 0, in_target: false }
    }

    fn clear(&mut self) {
        (self.length, self.last, self.in_target) = (0, 0, false);
    }

    /// Takes more of it, and says whether it ends as lines do, where this is its end.
    fn take(&mut self, piece: &[u8]) -> bool {
        let filled = self.length.min(self.start.len());
        let taken = piece.len().min(self.start.len() - filled);
        self.start[filled..filled + taken].copy_from_slice(&piece[..taken]);
        self.length = self.length.saturating_add(piece.len());
        let is_good = match piece {
            [b'\n'] => self.last == b'\r',
            piece => piece.ends_with(b"\r\n"),
        };
        self.last = piece.last().copied().unwrap_or(self.last);
        is_good
    }

    /// Whether there is in the target what is in no URI (RFC 9112 section 3.2): a fragment, or what
    /// is not ASCII. What follows the target has neither, or hyper refuses it.
    fn has_odd_target(&mut self, piece: &[u8]) -> bool {
        let target = match (self.in_target, piece.iter().position(|byte| *byte == b' ')) {
            (true, _) => piece,
            (false, Some(space)) => &piece[space..],
            (false, None) => return false,
        };
        self.in_target = true;
        target.iter().any(|byte| *byte == b'#' || !byte.is_ascii())
    }

    /// It has its end and nothing before it.
    fn is_empty(&self) -> bool {
        self.length == 2
    }

    /// All of it is known.
    fn is_whole(&self) -> bool {
        self.length <= self.start.len()
    }

    fn start(&self) -> &[u8] {
        &self.start[..self.length.min(self.start.len())]
    }

    /// Name and value. None where it is no field, or its name is longer than any that matters.
    fn field(&self) -> Option<(&[u8], &[u8])> {
        let start = self.start();
        let colon = start.iter().position(|byte| *byte == b':')?;
        Some((&start[..colon], start[colon + 1..].trim_ascii()))
    }

    /// The size of a chunk, whose extensions are nobody's (RFC 9112 section 7.1.1).
    fn chunk_size(&self) -> Option<u64> {
        let start = self.start();
        let end = start.iter().position(|byte| !byte.is_ascii_hexdigit())?;
        let (size, rest) = start.split_at(end);
        if matches!(rest, [b';' | b' ' | b'\t', ..] | b"\r\n") { number(size, 16) } else { None }
    }
}

/// Digits and nothing else, within bounds.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests;
