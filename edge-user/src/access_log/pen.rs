//! A worker's part: notes a request until its answer has ended.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Response, header};
use http_body::Frame;

use super::Ended;
use super::line::{End, Line};
use super::note::Note;
use super::writer::Shared;
use crate::config::LogFormat;
use crate::http::Version;
use crate::http::answer::{Body, Request};
use crate::limits;
use crate::proxy::in_force::Held;

/// What a worker writes lines by.
pub struct Pen {
    shared: Arc<Shared>,
    worker: usize,
    format: LogFormat,
    /// Noted requests that have ended, for those that come.
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    free: RefCell<Vec<Box<Noted>>>,
}

/// A request whose answer has begun.
struct Noted {
    /// The line, but for what belongs at `place`.
    line: Vec<u8>,
    place: usize,
    version: Version,
    begun: Instant,
    body: Body,
    /// Bytes that were taken from `body`, and those of the last part among them.
    bytes: u64,
    last: u64,
    /// `body` has said that there is no more, or that it cannot be had.
    over: bool,
    broken: bool,
}

impl Pen {
    pub(super) fn new(shared: Arc<Shared>, worker: usize, format: LogFormat) -> Self {
        Self { shared, worker, format, free: RefCell::default() }
    }

    /// Begins to note a request. Where what is returned is dropped, it was given up.
    pub fn begin<'a>(
        self: &'a Rc<Self>,
        held: &'a Held,
        request: &'a Request<'a>,
        note: &'a Note,
    ) -> Unanswered<'a> {
        let (begun, time) = (Instant::now(), SystemTime::now());
        Unanswered { pen: self, held, request, note, begun, time, is_answered: false }
    }

    fn take(&self) -> Box<Noted> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| {
            Box::new(Noted {
                line: Vec::with_capacity(limits::ACCESS_LOG_KEPT_BYTES / 4),
                place: 0,
                version: Version::Http3,
                begun: Instant::now(),
                body: Body::Empty,
                bytes: 0,
                last: 0,
                over: false,
                broken: false,
            })
        })
    }

    /// Writes a line, and keeps where it was noted.
    fn end(&self, mut noted: Box<Noted>, ended: Ended) {
        let bytes = match ended {
            Ended::Whole => noted.bytes,
            // Nobody knows how much of the last part was taken.
            _ => noted.bytes.saturating_sub(noted.last),
        };
        let end = End { ended, bytes, took: noted.begun.elapsed() };
        let (before, after) = noted.line.split_at(noted.place);
        self.shared.put(self.worker, |out| {
            out.extend_from_slice(before);
            end.write(self.format, out);
            out.extend_from_slice(after);
        });
        noted.body = Body::Empty;
        noted.line.clear();
        let mut free = self.free.borrow_mut();
        let is_small = noted.line.capacity() <= limits::ACCESS_LOG_KEPT_BYTES;
        if is_small && free.len() < limits::ACCESS_LOG_KEPT {
            free.push(noted);
        }
    }
}

/// A request without an answer yet.
pub struct Unanswered<'a> {
    pen: &'a Rc<Pen>,
    held: &'a Held,
    request: &'a Request<'a>,
    note: &'a Note,
    begun: Instant,
    time: SystemTime,
    is_answered: bool,
}

impl Unanswered<'_> {
    /// The body, from which on the answer is noted.
    pub fn answered(mut self, head: &Response<()>, body: Body) -> Body {
        self.is_answered = true;
        let mut noted = self.note(Some((head.status().as_u16(), self.begun.elapsed())));
        noted.body = body;
        Body::Noted(Ending { pen: Rc::clone(self.pen), noted: Some(noted) })
    }

    fn note(&self, answer: Option<(u16, Duration)>) -> Box<Noted> {
        let Self { request, note, .. } = self;
        let mut noted = self.pen.take();
        let field = |name| request.headers.get(name).map(http::HeaderValue::as_bytes);
        let request_id = note.request_id.borrow();
        let known = self.held.named(note);
        let line = Line {
            time: self.time,
            client: request.client,
            method: request.method.as_str(),
            host: request.authority.unwrap_or_default(),
            path: request.path,
            query: request.query,
            version: request.version,
            user_agent: field(header::USER_AGENT),
            referer: field(header::REFERER),
            distribution: known.distribution,
            behaviour: known.behaviour,
            origin: known.origin,
            server: known.server,
            reason: note.reason.get(),
            request_id: request_id.as_ref().map(http::HeaderValue::as_bytes),
            answer,
        };
        noted.place = line.begin(self.pen.format, &mut noted.line);
        noted.version = request.version;
        noted.begun = self.begun;
        (noted.bytes, noted.last, noted.over, noted.broken) = (0, 0, false, false);
        noted
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.pen.end(self.note(None), Ended::Cancelled);
        }
    }
}

/// What follows the head of an answer that is noted. The line is written when this is dropped.
pub struct Ending {
    pen: Rc<Pen>,
    /// Taken at the end.
    noted: Option<Box<Noted>>,
}

impl Ending {
    /// What is noted.
    #[must_use]
    pub fn body(&self) -> &Body {
        self.noted.as_ref().map_or(&Body::Empty, |noted| &noted.body)
    }

    /// As [`Body::poll_frame`].
    ///
    /// # Errors
    /// As there.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(noted) = &mut self.noted else { return Poll::Ready(None) };
        // Whoever asks for more has done with what there was.
        noted.last = 0;
        let part = noted.body.poll_frame(cx);
        match &part {
            Poll::Ready(Some(Ok(part))) => {
                noted.last = part.data_ref().map_or(0, |data| data.len() as u64);
                noted.bytes += noted.last;
            }
            Poll::Ready(Some(Err(_))) => noted.broken = true,
            Poll::Ready(None) => noted.over = true,
            Poll::Pending => {}
        }
        part
    }

    /// All of it was given to the transport.
    pub fn sent(mut self) {
        self.end(|_| Ended::Whole);
    }

    fn end(&mut self, how: impl FnOnce(&Noted) -> Ended) {
        if let Some(noted) = self.noted.take() {
            let ended = how(&noted);
            self.pen.end(noted, ended);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(|noted| match noted.version {
            _ if noted.broken => Ended::Broken,
            // hyper does not say when it has given all of it to the connection: it drops it then.
            Version::Http11 if noted.over || noted.body.is_at_end() => Ended::Whole,
            _ => Ended::Cut,
        });
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ending").field(self.body()).finish()
    }
}
