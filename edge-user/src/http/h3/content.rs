//! What follows the head of a request of HTTP/3.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::Frame;

use super::message::{Event, Request};
use super::refusal::Refusal;
use crate::http::content::Cut;
use crate::quic::streams::RequestReader;

/// What follows the head of a request: bytes and trailers, checked as they come.
pub struct Content {
    reader: RequestReader,
    message: Request,
    ended: bool,
    refused: RefusalNote,
}

/// Where it is noted by which rule a request turned out to be none, for whoever answers it.
pub(super) type RefusalNote = Rc<Cell<Option<Refusal>>>;

impl Content {
    pub(super) fn new(reader: RequestReader, message: Request, refused: RefusalNote) -> Self {
        Self { reader, message, ended: false, refused }
    }

    /// Whether all of it was read.
    pub(in crate::http) fn is_end_stream(&self) -> bool {
        self.ended
    }

    /// As `http_body::Body::poll_frame`.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        while !self.ended {
            match self.message.poll() {
                Ok(Some(Event::Data(bytes))) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(Some(Event::Trailers(trailers))) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Some(Event::End)) => self.ended = true,
                // The head came before.
                Ok(Some(Event::Head(_) | Event::Interim(_))) => {}
                Ok(None) => match ready!(self.reader.poll_read(cx)) {
                    Ok(bytes) => handle(&mut self.message, bytes),
                    Err(_) => {
                        self.ended = true;
                        return Poll::Ready(Some(Err(Cut::Gone)));
                    }
                },
                Err(refusal) => {
                    self.ended = true;
                    self.refused.set(Some(refusal));
                    return Poll::Ready(Some(Err(Cut::Refused(refusal.rule()))));
                }
            }
        }
        Poll::Ready(None)
    }

    /// Reads as much as has come: it is not wanted, but it may show that the request is none.
    pub(super) fn discard(&mut self) {
        let nobody = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = self.poll_frame(nobody) {}
    }
}

/// Gives a message what was read; `None` is the end of the stream.
pub(super) fn handle(message: &mut Request, bytes: Option<Bytes>) {
    let fin = bytes.is_none();
    message.handle_bytes(bytes.unwrap_or_default(), fin);
}
