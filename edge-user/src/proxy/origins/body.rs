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
use super::upload::Progress;
use super::{http2, http11};
use crate::limits;
use crate::proxy::forward::response_trailers;

/// The rest of a response. Each part is asked for when the client has taken the one before, and the
/// server has no more room than that.
pub(super) struct OriginBody {
    download: Download,
    counts: Rc<Counts>,
    patience: Patience,
    /// Why there is no more. It is said a turn later, so that what came before it is on its way.
    failed: Option<io::Error>,
}

/// How long the server may take.
pub(super) struct Patience {
    /// With each part.
    idle: Duration,
    /// When all of it has to be there.
    deadline: Option<Instant>,
    /// What the client of a WebSocket sends, until that has ended.
    client: Option<Rc<Progress>>,
    /// When the part that is waited for is late; nothing, before it is waited for.
    due: Option<Instant>,
    /// Ends then, or before, to look at the client.
    timer: Option<Pin<Box<Sleep>>>,
}

/// By either version.
pub(super) enum Download {
    Http11(http11::Download),
    Http2(http2::Download),
    Tunnel(http11::Tunnel),
}

impl OriginBody {
    pub(super) fn new(download: Download, counts: Rc<Counts>, patience: Patience) -> Self {
        Self { download, counts, patience, failed: None }
    }

    /// Whether nothing follows the head.
    pub(super) fn is_over(&self) -> bool {
        self.is_end_stream()
    }
}

impl Patience {
    /// Of a response: `idle` for each part, `deadline` for all of it.
    pub(super) fn new(idle: Duration, deadline: Option<Instant>) -> Self {
        Self { idle, deadline, client: None, due: None, timer: None }
    }

    /// Of a WebSocket. `client`: what its client sends; nothing where that has ended already.
    pub(super) fn of_websocket(client: Option<Rc<Progress>>) -> Self {
        let idle = match client {
            Some(_) => limits::TUNNEL_IDLE_WITHIN,
            None => limits::TUNNEL_HALF_OPEN_WITHIN,
        };
        Self { client, ..Self::new(idle, None) }
    }

    /// A part has come, and there is time for the next one.
    fn begin_anew(&mut self) {
        self.due = None;
    }

    /// Ready when the time for the part that is waited for is over, or when the server has not taken
    /// for long what the client of a WebSocket sends: nobody reads on then, and the end of the client
    /// is not heard.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.client.as_ref().is_some_and(|client| client.poll_ended(cx).is_ready()) {
            (self.client, self.idle, self.due) = (None, limits::TUNNEL_HALF_OPEN_WITHIN, None);
        }
        let due = self.due.unwrap_or_else(|| self.begin(Instant::now()));
        loop {
            let Some(timer) = &mut self.timer else { return Poll::Pending };
            ready!(timer.as_mut().poll(cx));
            let within = limits::TUNNEL_TAKES_WITHIN;
            let now = Instant::now();
            match &self.client {
                Some(client) if now < due && !client.is_stuck(now, within) => {
                    timer.as_mut().reset(due.min(now + within));
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Waits for a part from now on.
    fn begin(&mut self, now: Instant) -> Instant {
        let due = now + self.idle;
        let due = self.deadline.map_or(due, |deadline| deadline.min(due));
        let look = match self.client {
            Some(_) => due.min(now + limits::TUNNEL_TAKES_WITHIN),
            None => due,
        };
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(look),
            None => self.timer = Some(Box::pin(sleep_until(look))),
        }
        self.due = Some(due);
        due
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
                ready!(this.patience.poll_late(cx));
                Some(Err(io::ErrorKind::TimedOut.into()))
            }
        };
        this.patience.begin_anew();
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::join;
    use tokio::time::sleep;

    use super::*;

    const PART: Duration = Duration::from_secs(20);

    async fn late(patience: &mut Patience) -> Duration {
        let begun = Instant::now();
        poll_fn(|cx| patience.poll_late(cx)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_of_a_websocket_may_be_silent_for_long_until_the_client_has_ended() {
        let client = Rc::new(Progress::begin());
        let mut patience = Patience::of_websocket(Some(Rc::clone(&client)));
        assert_eq!(late(&mut patience).await, limits::TUNNEL_IDLE_WITHIN);
        patience.begin_anew();
        let end = async {
            sleep(PART).await;
            client.ended();
        };
        // It is told of that while it waits.
        let (took, ()) = join!(late(&mut patience), end);
        assert_eq!(took, PART + limits::TUNNEL_HALF_OPEN_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_of_a_websocket_may_not_leave_for_long_what_its_client_sends() {
        let client = Rc::new(Progress::begin());
        let mut patience = Patience::of_websocket(Some(Rc::clone(&client)));
        let parts = async {
            for _ in 0..9 {
                client.asked();
                client.handed_on();
                sleep(limits::TUNNEL_TAKES_WITHIN - PART).await;
            }
        };
        let (took, ()) = join!(late(&mut patience), parts);
        let last = 8 * (limits::TUNNEL_TAKES_WITHIN - PART);
        assert!(took >= last + limits::TUNNEL_TAKES_WITHIN, "{took:?}");
        // It is looked at now and then.
        assert!(took <= last + 2 * limits::TUNNEL_TAKES_WITHIN, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_goes_on_when_its_client_has_ended_has_time_for_each_part() {
        let mut patience = Patience::of_websocket(None);
        for _ in 0..9 {
            poll_fn(|cx| Poll::Ready(patience.poll_late(cx).is_pending())).await;
            sleep(limits::TUNNEL_HALF_OPEN_WITHIN - PART).await;
            patience.begin_anew();
        }
        assert_eq!(late(&mut patience).await, limits::TUNNEL_HALF_OPEN_WITHIN);
    }
}
