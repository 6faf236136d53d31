//! Frames on their way out. h2 resets or answers a stream whose client broke a rule by itself, and
//! tells nobody.

use std::fmt;

use super::{HEADER_LEN, HEADERS, RST_STREAM};
use crate::http::h2::streams::{Streams, What};
use crate::tcp::tally::Refusal;

/// The code of an RST_STREAM.
const CODE_LEN: usize = 4;
/// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR (RFC 9113 section 7).
const BROKEN: [u32; 4] = [1, 3, 5, 6];
/// The rules of trailers that h2 does not keep (RFC 9113 section 8.1, 10.5.1).
pub(super) const PSEUDO_TRAILERS: &str = "trailers have no pseudo-header fields";
pub(super) const LARGE_TRAILERS: &str = "trailers are not larger than we said";
/// The rule of heads that it keeps, and says nothing of.
pub(super) const LARGE_HEAD: &str = "header fields are not larger than we said";

/// What was sent of a frame, and what it told of.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Bytes before the next frame header.
    skip: usize,
    /// A header, and the code of an RST_STREAM.
    head: [u8; HEADER_LEN + CODE_LEN],
    filled: u8,
    /// What was not counted yet.
    pub(super) broken: Vec<Broken>,
}

/// A stream whose client broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) refusal: Refusal,
    pub(super) stream: u32,
    pub(super) why: Why,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The code of its end alone (RFC 9113 section 7).
    Code(u32),
    Rule(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Why::Code(code) => write!(f, "stream {} ends by code {code}", self.stream),
            Why::Rule(rule) => f.write_str(rule),
        }
    }
}

impl Sent {
    pub(super) fn wrote(&mut self, mut bytes: &[u8], streams: &mut Streams) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let filled = usize::from(self.filled);
            let taken = (self.wanted() - filled).min(bytes.len());
            self.head[filled..filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken as u8;
            bytes = &bytes[taken..];
            if filled + taken == self.wanted() {
                self.frame(streams);
            }
        }
    }

    fn wanted(&self) -> usize {
        match usize::from(self.filled) >= HEADER_LEN && self.head[3] == RST_STREAM {
            true => HEADER_LEN + CODE_LEN,
            false => HEADER_LEN,
        }
    }

    fn frame(&mut self, streams: &mut Streams) {
        let [a, b, c, kind, _, s0, s1, s2, s3, code @ ..] = self.head;
        self.filled = 0;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let (refusal, stream) = (Refusal::HttpsMalformed, u32::from_be_bytes([s0, s1, s2, s3]));
        match kind {
            RST_STREAM => {
                self.skip = 0;
                let code = u32::from_be_bytes(code);
                let (refusal, why) = match streams.forget(stream) {
                    Some(What::PseudoTrailers) => (refusal, Why::Rule(PSEUDO_TRAILERS)),
                    Some(What::LargeTrailers) => (Refusal::HttpsFields, Why::Rule(LARGE_TRAILERS)),
                    Some(What::Answered) => return,
                    _ => (refusal, Why::Code(code)),
                };
                if BROKEN.contains(&code) {
                    self.broken.push(Broken { refusal, stream, why });
                }
            }
            HEADERS if streams.answered(stream).is_some() => {
                let (refusal, why) = (Refusal::HttpsFields, Why::Rule(LARGE_HEAD));
                self.broken.push(Broken { refusal, stream, why });
            }
            _ => {}
        }
    }
}
