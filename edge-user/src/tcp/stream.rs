//! What a connection reads and writes, watched: by its pulse for waits, by a meter for frames, and
//! for how much it takes of a worker's turn.
//!
//! | module | job |
//! |---|---|
//! | [`wire`] | what is written: at once, or gathered until it is flushed |

mod wire;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use super::connections::Pulse;
use super::counted::Uncharged;
use crate::http::h2::meter::{Meter, SharedMeter};
use crate::limits;
use wire::Wire;

/// A stream of a connection whose handshake has ended.
pub(crate) struct Stream<S> {
    wire: Rc<RefCell<Wire<S>>>,
    pulse: Rc<Pulse>,
    meter: Option<SharedMeter>,
    /// Bytes that may be read before others have their turn.
    budget: usize,
    /// Bytes that TLS has read, which are more.
    uncharged: Uncharged,
    /// Ends with the next turn.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl<S> Stream<S> {
    /// `uncharged` is of the socket below.
    pub(crate) fn new(inner: S, pulse: Rc<Pulse>, uncharged: Uncharged) -> Self {
        let wire = Rc::new(RefCell::new(Wire::new(inner, Rc::clone(&pulse))));
        let budget = limits::READ_PER_TURN_BYTES;
        Self { wire, pulse, meter: None, budget, uncharged, pause: None }
    }

    /// What is left of it when whoever speaks HTTP has ended.
    pub(crate) fn rest(&self) -> Rest<S> {
        Rest { wire: Rc::clone(&self.wire) }
    }

    /// Counts frames of HTTP/2 from now on.
    pub(crate) fn meter(&mut self) -> SharedMeter {
        let meter = Rc::new(RefCell::new(Meter::new(Instant::now())));
        self.meter = Some(Rc::clone(&meter));
        self.wire.borrow_mut().counts_for(Rc::clone(&meter));
        meter
    }

    /// Writes `frame`, of HTTP/2 and whole, behind the first one that is written from now on.
    pub(crate) fn insert(&self, frame: Bytes) {
        self.wire.borrow_mut().insert(frame);
    }

    /// Gathers what is written from now on, until [`Rest::poll_flush`]. What else asks for a flush
    /// is not heeded: h2 asks after each frame.
    pub(crate) fn gather(&self) {
        self.wire.borrow_mut().gather();
    }

    /// Waits for the next turn where this one's budget is spent. What is read in one call is not
    /// bounded, but by the buffer of whoever reads.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget == 0 {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::task::yield_now()));
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
            self.budget = limits::READ_PER_TURN_BYTES;
        }
        Poll::Ready(())
    }

    /// Gives how many of them whoever reads may see.
    fn has_read(&mut self, bytes: &mut [u8]) -> usize {
        self.budget = self.budget.saturating_sub(bytes.len().max(self.uncharged.take()));
        match &self.meter {
            None if bytes.is_empty() => 0,
            None => {
                self.pulse.has_read();
                bytes.len()
            }
            Some(meter) => {
                let mut meter = meter.borrow_mut();
                let passed = meter.read(bytes, Instant::now());
                self.pulse.owes_since(meter.owes_since());
                passed
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever acts on it looks when this gives nothing.
        if self.meter.as_ref().is_some_and(|meter| meter.borrow().exceeded().is_some()) {
            return Poll::Pending;
        }
        ready!(self.poll_turn(cx));
        let before = buffer.filled().len();
        ready!(self.wire.borrow_mut().poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        let passed = self.has_read(&mut buffer.filled_mut()[before..]);
        buffer.set_filled(before + passed);
        // Nothing would be the end.
        if read > 0 && passed == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.borrow_mut().poll_write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.borrow_mut();
        if wire.is_gathering() { Poll::Ready(Ok(())) } else { wire.poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.borrow_mut().poll_shutdown(cx)
    }
}

/// A stream of which somebody else reads and writes; in the end, one on which nothing more is said.
pub(crate) struct Rest<S> {
    wire: Rc<RefCell<Wire<S>>>,
}

impl<S: AsyncWrite + Unpin> Rest<S> {
    /// Sends what was gathered. Where the socket has no room the task is woken when it has.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.borrow_mut().poll_flush(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Rest<S> {
    /// Says so, and reads for a while what the client still sends: where there is anything unread at
    /// the end, the kernel resets the connection, and the client may lose what it has not read of our
    /// last answer (RFC 9112 section 9.6).
    pub(crate) async fn close(&self) {
        let farewell = async {
            poll_fn(|cx| self.wire.borrow_mut().poll_shutdown(cx)).await?;
            let mut bytes = [0; 4096];
            let mut left = limits::LINGER_BYTES;
            while left > 0 {
                let mut buffer = ReadBuf::new(&mut bytes);
                poll_fn(|cx| self.wire.borrow_mut().poll_read(cx, &mut buffer)).await?;
                match buffer.filled().len() {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Ok::<_, io::Error>(())
        };
        // Who does not take it, or goes before, loses nothing but the farewell.
        let _ = timeout(limits::LINGER, Box::pin(farewell)).await;
    }
}
