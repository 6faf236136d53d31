//! What hyper reads, watched on its way: hyper shows neither the target of a request as it was sent,
//! nor a length that is repeated or stands beside chunks, nor how lines end.
//!
//! A [`Reader`] follows requests through the bytes that hyper is given, by rules that are hyper's or
//! stricter. It changes nothing. Whoever answers a request asks first whether its head was good; of
//! what the reader could not follow, nothing is.
//!
//! | module | job |
//! |---|---|
//! | [`reader`] | where requests begin and end, and which rule they break |

mod reader;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::check::Rejection;
use reader::Reader;

/// What was seen of a connection's requests. Shared by whoever reads and whoever answers: on one
/// thread, but the port in clear has tasks that could move.
#[derive(Clone, Default)]
pub(crate) struct Guard(Arc<Mutex<Reader>>);

impl Guard {
    /// Asks whether the head of the next request was good, once for each request that hyper gives.
    pub(crate) fn next_head(&self) -> Result<(), Rejection> {
        self.with(Reader::next_head)
    }

    /// Whether the content of the last one that was asked for breaks a rule.
    pub(crate) fn content_is_broken(&self) -> bool {
        self.with(|reader| reader.content_is_broken())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Reader) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream of which a [`Guard`] sees all that is read.
pub(crate) struct Guarded<S> {
    stream: S,
    guard: Guard,
}

impl<S> Guarded<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, guard: Guard::default() }
    }

    pub(crate) fn guard(&self) -> Guard {
        self.guard.clone()
    }

    /// What follows is no HTTP.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.guard.with(|reader| reader.read(&buffer.filled()[before..]));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
