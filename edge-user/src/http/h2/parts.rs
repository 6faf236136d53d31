//! What comes on a stream of HTTP/2, from a client or from an origin.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::Frame;

/// Data and trailers. Whoever sends them gets the room of a part back when the next is asked for.
pub(crate) struct Parts {
    stream: RecvStream,
    /// Bytes that were handed out last.
    taken: usize,
    /// What is left are trailers, or the end.
    data_ended: bool,
}

impl Parts {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, taken: 0, data_ended: false }
    }

    /// Whether all of it was read.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// As `http_body::Body::poll_frame`.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
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
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        self.stream.poll_trailers(cx).map(|trailers| trailers.transpose()).map_ok(Frame::trailers)
    }
}
