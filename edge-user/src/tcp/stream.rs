//! What a connection reads and writes, watched: by its pulse for waits, by a meter for frames, and
//! for how much it takes of a worker's turn.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use super::connections::Pulse;
use crate::http::h2::meter::{Meter, SharedMeter};
use crate::limits;

/// A stream of a connection whose handshake has ended.
pub(crate) struct Stream<S> {
    inner: Rc<RefCell<S>>,
    pulse: Rc<Pulse>,
    meter: Option<SharedMeter>,
    /// Bytes that may be read before others have their turn.
    budget: usize,
    /// Ends with the next turn.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl<S> Stream<S> {
    pub(crate) fn new(inner: S, pulse: Rc<Pulse>) -> Self {
        let (inner, budget) = (Rc::new(RefCell::new(inner)), limits::READ_PER_TURN_BYTES);
        Self { inner, pulse, meter: None, budget, pause: None }
    }

    /// What is left of it when whoever speaks HTTP has ended.
    pub(crate) fn rest(&self) -> Rest<S> {
        Rest { inner: Rc::clone(&self.inner) }
    }

    /// Counts frames of HTTP/2 from now on.
    pub(crate) fn meter(&mut self) -> SharedMeter {
        let meter = Rc::new(RefCell::new(Meter::new(Instant::now())));
        self.meter = Some(Rc::clone(&meter));
        meter
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

    fn has_read(&mut self, bytes: &[u8]) {
        self.budget = self.budget.saturating_sub(bytes.len());
        match &self.meter {
            None if bytes.is_empty() => {}
            None => self.pulse.has_read(),
            Some(meter) => {
                let mut meter = meter.borrow_mut();
                meter.read(bytes, Instant::now());
                self.pulse.owes_since(meter.owes_since());
            }
        }
    }

    fn has_written(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.pulse.wrote(true, false),
            Poll::Ready(Ok(count)) => {
                self.pulse.wrote(false, true);
                if let Some(meter) = &self.meter {
                    meter.borrow_mut().wrote(*count);
                }
            }
            Poll::Ready(Err(_)) => {}
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
        ready!(Pin::new(&mut *self.inner.borrow_mut()).poll_read(cx, buffer))?;
        self.has_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.inner.borrow_mut()).poll_write(cx, bytes);
        self.has_written(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.inner.borrow_mut()).poll_write_vectored(cx, parts);
        self.has_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.inner.borrow_mut()).poll_flush(cx);
        // TLS holds what the socket has no room for.
        self.pulse.wrote(flushed.is_pending(), flushed.is_ready());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner.borrow_mut()).poll_shutdown(cx)
    }
}

/// A stream on which nothing more is said.
pub(crate) struct Rest<S> {
    inner: Rc<RefCell<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Rest<S> {
    /// Says so, and reads for a while what the client still sends: where there is anything unread at
    /// the end, the kernel resets the connection, and the client may lose what it has not read of our
    /// last answer (RFC 9112 section 9.6).
    pub(crate) async fn close(self) {
        let farewell = async {
            poll_fn(|cx| Pin::new(&mut *self.inner.borrow_mut()).poll_shutdown(cx)).await?;
            let mut bytes = [0; 4096];
            let mut left = limits::LINGER_BYTES;
            while left > 0 {
                let mut buffer = ReadBuf::new(&mut bytes);
                poll_fn(|cx| Pin::new(&mut *self.inner.borrow_mut()).poll_read(cx, &mut buffer))
                    .await?;
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
