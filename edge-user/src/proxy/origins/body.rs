//! The body of a response, on its way from a server to a client.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::counts::Counts;
use super::{http2, http11};
use crate::proxy::forward::response_trailers;

/// The rest of a response. Each part is asked for when the client has taken the one before, and the
/// server has no more room than that.
pub(super) struct OriginBody {
    download: Download,
    counts: Rc<Counts>,
    /// How long the server may take with each part.
    idle: Duration,
    /// When all of it has to be there.
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer is for the part that is waited for.
    is_armed: bool,
    /// Why there is no more. It is said a turn later, so that what came before it is on its way.
    failed: Option<io::Error>,
}

/// By either version.
pub(super) enum Download {
    Http11(http11::Download),
    Http2(http2::Download),
    Tunnel(http11::Tunnel),
}

impl OriginBody {
    pub(super) fn new(
        download: Download,
        counts: Rc<Counts>,
        idle: Duration,
        deadline: Option<Instant>,
    ) -> Self {
        Self { download, counts, idle, deadline, timer: None, is_armed: false, failed: None }
    }

    /// Whether nothing follows the head.
    pub(super) fn is_over(&self) -> bool {
        self.is_end_stream()
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_armed {
            let idle = Instant::now() + self.idle;
            let until = self.deadline.map_or(idle, |deadline| deadline.min(idle));
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(sleep_until(until))),
            }
            self.is_armed = true;
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let part = match &mut this.download {
            Download::Http11(download) => download.poll_frame(cx),
            Download::Http2(download) => download.poll_frame(cx),
            Download::Tunnel(tunnel) => tunnel.poll_frame(cx),
        };
        let mut part = match part {
            Poll::Ready(part) => part,
            Poll::Pending => {
                ready!(this.poll_late(cx));
                Some(Err(io::ErrorKind::TimedOut.into()))
            }
        };
        this.is_armed = false;
        if let Some(Ok(part)) = &mut part
            && let Some(trailers) = part.trailers_mut()
        {
            response_trailers(trailers);
        }
        if let Some(Err(error)) = part {
            tracing::debug!(%error, "the rest of an origin's response cannot be had");
            this.counts.cut.set(this.counts.cut.get() + 1);
            this.failed = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        match &self.download {
            Download::Http11(download) => download.is_end_stream(),
            Download::Http2(download) => download.is_end_stream(),
            Download::Tunnel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.download {
            Download::Http11(download) => {
                download.left().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Download::Http2(_) | Download::Tunnel(_) => SizeHint::default(),
        }
    }
}
