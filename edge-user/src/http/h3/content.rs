//! What follows the head of a request of HTTP/3.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::Frame;

use super::message::{Event, Request};
use super::refusal::Refusal;
use crate::http::content::Cut;
use crate::http::last_part::LastPart;
use crate::quic::streams::RequestReader;

/// What follows the head of a request: bytes and trailers, checked as they come.
pub struct Content {
    reader: RequestReader,
    message: Request,
    ended: bool,
    refused: RefusalNote,
    last: LastPart,
}

/// Where it is noted by which rule a request turned out to be none, for whoever answers it.
pub(super) type RefusalNote = Rc<Cell<Option<Refusal>>>;

impl Content {
    pub(super) fn new(reader: RequestReader, message: Request, refused: RefusalNote) -> Self {
        let last = LastPart::new(message.declared_length());
        Self { reader, message, ended: false, refused, last }
    }

    /// Whether all of it was read.
    pub(in crate::http) fn is_end_stream(&self) -> bool {
        self.ended && !self.last.is_holding()
    }

    /// As `http_body::Body::poll_frame`.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Self { reader, message, ended, refused, last } = self;
        last.poll(|| read(reader, message, ended, refused, cx))
    }

    /// Looks at what comes next, where it has come: it may show that the request is none, before
    /// anybody has heard of it.
    pub(super) fn look_ahead(&mut self) {
        let nobody = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(Some(Ok(part))) = self.poll_frame(nobody) {
            self.last.put_back(part);
        }
    }

    /// Reads as much as has come: it is not wanted, but it may show that the request is none.
    pub(super) fn discard(&mut self) {
        let nobody = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(_))) = self.poll_frame(nobody) {}
    }
}

fn read(
    reader: &mut RequestReader,
    message: &mut Request,
    ended: &mut bool,
    refused: &RefusalNote,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
    while !*ended {
        match message.poll() {
            Ok(Some(Event::Data(bytes))) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Ok(Some(Event::Trailers(trailers))) => {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Ok(Some(Event::End)) => *ended = true,
            // The head came before.
            Ok(Some(Event::Head(_) | Event::Interim(_))) => {}
            Ok(None) => match ready!(reader.poll_read(cx)) {
                Ok(bytes) => handle(message, bytes),
                Err(_) => {
                    *ended = true;
                    return Poll::Ready(Some(Err(Cut::Gone)));
                }
            },
            Err(refusal) => {
                *ended = true;
                refused.set(Some(refusal));
                return Poll::Ready(Some(Err(Cut::Refused(refusal.rule()))));
            }
        }
    }
    Poll::Ready(None)
}

/// Gives a message what was read; `None` is the end of the stream.
pub(super) fn handle(message: &mut Request, bytes: Option<Bytes>) {
    let fin = bytes.is_none();
    message.handle_bytes(bytes.unwrap_or_default(), fin);
}
