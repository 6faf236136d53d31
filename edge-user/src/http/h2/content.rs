//! What follows the head of a request of HTTP/2.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

use crate::http::content::Cut;

/// What follows the head of a request: bytes and trailers.
pub struct Content {
    stream: RecvStream,
    /// Bytes that were handed out last: the client gets their room back when more is asked for.
    taken: usize,
    /// What is left are trailers, or the end.
    data_ended: bool,
}

impl Content {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, taken: 0, data_ended: false }
    }

    /// Whether all of it was read.
    pub(in crate::http) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// As `http_body::Body::poll_frame`.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.taken > 0 {
            // A stream that was reset has no window.
            let _ = self.stream.flow_control().release_capacity(std::mem::take(&mut self.taken));
        }
        while !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    self.taken = data.len();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(cut(&error)))),
                None => self.data_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(cut(&error)))),
        }
    }
}

fn cut(error: &h2::Error) -> Cut {
    if error.is_library() { Cut::Refused("malformed HTTP/2") } else { Cut::Gone }
}
