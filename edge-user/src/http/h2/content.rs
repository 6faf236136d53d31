//! What follows the head of a request of HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

use crate::http::content::{Cut, RuleNote};
use crate::http::last_part::LastPart;

/// What follows the head of a request: bytes and trailers.
pub struct Content {
    stream: RecvStream,
    /// Bytes that were handed out last: the client gets their room back when more is asked for.
    taken: usize,
    /// What is left are trailers, or the end.
    data_ended: bool,
    last: LastPart,
    pub(in crate::http) refused: RuleNote,
}

impl Content {
    /// `length`: what the head says of it.
    pub(super) fn new(stream: RecvStream, length: Option<u64>, refused: RuleNote) -> Self {
        Self { stream, taken: 0, data_ended: false, last: LastPart::new(length), refused }
    }

    /// Whether all of it was read.
    pub(in crate::http) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream() && !self.last.is_holding()
    }

    /// As `http_body::Body::poll_frame`.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Self { stream, taken, data_ended, last, refused: _ } = self;
        last.poll(|| read(stream, taken, data_ended, cx))
    }
}

fn read(
    stream: &mut RecvStream,
    taken: &mut usize,
    data_ended: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
    if *taken > 0 {
        // A stream that was reset has no window.
        let _ = stream.flow_control().release_capacity(std::mem::take(taken));
    }
    while !*data_ended {
        match ready!(stream.poll_data(cx)) {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => {
                *taken = data.len();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(cut(&error)))),
            None => *data_ended = true,
        }
    }
    match ready!(stream.poll_trailers(cx)) {
        Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
        Err(error) => Poll::Ready(Some(Err(cut(&error)))),
    }
}

fn cut(error: &h2::Error) -> Cut {
    if error.is_library() { Cut::Refused("malformed HTTP/2") } else { Cut::Gone }
}
