//! What a client sends after the head, on its way to a server.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::http::content::{Content, Cut};
use crate::http::interim::Sink;
use crate::limits;

/// What is done to trailers before a server is sent them.
pub(in crate::proxy) type OfTrailers = Box<dyn Fn(&mut HeaderMap)>;

/// What a client sends after the head. Each part is asked for when the server has taken the one
/// before.
pub(super) struct Upload {
    content: Content,
    /// There where the content is not empty.
    progress: Option<Rc<Progress>>,
    /// A client that expects 100 keeps the content back until it has that (RFC 9110 section 10.1.1):
    /// it is asked for when the server says so, or has not said anything for a while.
    gate: Option<Sink>,
    /// What is done to trailers.
    trailers: Option<OfTrailers>,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How far it is.
pub(super) struct Progress {
    /// A part was asked for.
    begun: Cell<bool>,
    /// The next part is not here yet.
    waits: Cell<bool>,
    /// When the last part was handed on.
    last: Cell<Instant>,
    cut: Cell<Option<Cut>>,
    /// The server has answered without it.
    answered: Cell<bool>,
    /// No more comes.
    ended: Cell<bool>,
    /// Who wants to know that.
    waiter: Cell<Option<Waker>>,
}

impl Upload {
    /// `trailers`: what is done to them. `gate`: where the 100 comes that the client waits for.
    /// `idle`: how long it may take with each part.
    pub(super) fn new(
        content: Content,
        trailers: Option<OfTrailers>,
        gate: Option<Sink>,
        idle: Duration,
    ) -> Self {
        let progress = (!content.is_end_stream()).then(|| Rc::new(Progress::begin()));
        Self { content, progress, gate, trailers, idle, timer: None }
    }

    /// Of a request without content.
    pub(super) fn empty() -> Self {
        Self::new(Content::Empty, None, None, Duration::ZERO)
    }

    /// Nothing where there is no content.
    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        self.progress.clone()
    }

    /// Whether a part of it was asked for, which cannot be sent to another server any more.
    pub(super) fn is_begun(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.begun.get())
    }

    /// Whether the time for what is waited for is over.
    fn poll_late(&mut self, within: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.get_or_insert_with(|| Box::pin(sleep(within))).as_mut().poll(cx)
    }

    /// Ready when the client may be asked.
    fn poll_gate(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = self.gate.clone() else { return Poll::Ready(()) };
        if gate.poll_continue(cx).is_pending() {
            if progress.answered.get() {
                // It keeps back what nobody asked for.
                return Poll::Pending;
            }
            ready!(self.poll_late(limits::EXPECT_WITHIN, cx));
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            gate.push(go_on);
        }
        (self.gate, self.timer) = (None, None);
        Poll::Ready(())
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let Some(progress) = this.progress.clone() else { return Poll::Ready(None) };
        ready!(this.poll_gate(&progress, cx));
        progress.asked();
        let mut part = Pin::new(&mut this.content).poll_frame(cx);
        if part.is_pending() {
            progress.waits.set(true);
            ready!(this.poll_late(this.idle, cx));
            part = Poll::Ready(Some(Err(Cut::Late)));
        }
        this.timer = None;
        progress.handed_on();
        match &mut part {
            Poll::Ready(Some(Ok(part))) => {
                if let (Some(change), Some(trailers)) = (&this.trailers, part.trailers_mut()) {
                    change(trailers);
                }
            }
            Poll::Ready(last) => {
                if let Some(Err(cut)) = last {
                    progress.cut.set(Some(*cut));
                }
                progress.ended();
            }
            Poll::Pending => {}
        }
        part
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}

impl Progress {
    /// Nothing was asked for yet.
    pub(super) fn begin() -> Self {
        Self {
            begun: Cell::new(false),
            waits: Cell::new(false),
            last: Cell::new(Instant::now()),
            cut: Cell::new(None),
            answered: Cell::new(false),
            ended: Cell::new(false),
            waiter: Cell::new(None),
        }
    }

    /// A part is asked for.
    pub(super) fn asked(&self) {
        self.begun.set(true);
    }

    /// It is handed on, and the server has to take it.
    pub(super) fn handed_on(&self) {
        self.waits.set(false);
        self.last.set(Instant::now());
    }

    /// Whether the server has not taken the last part `within` this time.
    pub(super) fn is_stuck(&self, now: Instant, within: Duration) -> bool {
        let is_taken = self.waits.get() || self.ended.get() || !self.begun.get();
        !is_taken && self.last.get() + within <= now
    }

    /// The server has answered: the client is not asked for what it still keeps back.
    pub(super) fn answered(&self) {
        self.answered.set(true);
    }

    /// Whether it is the client that is waited for.
    pub(super) fn waits(&self) -> bool {
        self.waits.get()
    }

    /// When the last part was handed on.
    pub(super) fn last(&self) -> Instant {
        self.last.get()
    }

    /// No more comes.
    pub(super) fn ended(&self) {
        self.ended.set(true);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    /// Ready when no more comes, for one who waits for it.
    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        if self.ended.get() {
            return Poll::Ready(());
        }
        self.waiter.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Why there is no more of it.
    pub(super) fn cut(&self) -> Option<Cut> {
        self.cut.get()
    }
}
