//! What follows the head of a request of HTTP/2.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

use super::parts::Parts;
use crate::http::content::{Cut, RuleNote};
use crate::http::last_part::LastPart;

/// What follows the head of a request: bytes and trailers.
pub struct Content {
    parts: Parts,
    last: LastPart,
    pub(in crate::http) refused: RuleNote,
}

impl Content {
    /// `length`: what the head says of it.
    pub(super) fn new(stream: RecvStream, length: Option<u64>, refused: RuleNote) -> Self {
        Self { parts: Parts::new(stream), last: LastPart::new(length), refused }
    }

    /// Whether all of it was read.
    pub(in crate::http) fn is_end_stream(&self) -> bool {
        self.parts.is_end_stream() && !self.last.is_holding()
    }

    /// As `http_body::Body::poll_frame`.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Self { parts, last, refused: _ } = self;
        last.poll(|| parts.poll_frame(cx).map_err(|error| cut(&error)))
    }
}

fn cut(error: &h2::Error) -> Cut {
    if error.is_library() { Cut::Refused("malformed HTTP/2") } else { Cut::Gone }
}
