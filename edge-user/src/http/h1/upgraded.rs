//! A connection that has ceased to speak HTTP/1.1: a WebSocket.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::io::Cursor;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, split};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;

use crate::http::answer::Body;
use crate::http::content::Cut;
use crate::http::tunnel;
use crate::tcp::connections::{Seat, Told};

/// What the client sends, once there is no more HTTP. It ends where that does not come to be.
pub struct Content {
    comes: Option<oneshot::Receiver<Reader>>,
    reader: Option<Reader>,
}

type Reader = Pin<Box<dyn AsyncRead>>;

/// What becomes of a connection when its last answer is given.
pub(super) struct Tunnel {
    reader: oneshot::Sender<Reader>,
    body: Body,
}

/// Where that is noted.
pub(super) type Next = Cell<Option<Tunnel>>;

/// The client's side, and the way to it for whoever has the connection.
pub(super) fn content() -> (Content, oneshot::Sender<Reader>) {
    let (sender, comes) = oneshot::channel();
    (Content { comes: Some(comes), reader: None }, sender)
}

impl Content {
    /// As `http_body::Body::poll_frame`.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(comes) = &mut self.comes {
            self.reader = ready!(Pin::new(comes).poll(cx)).ok();
            self.comes = None;
        }
        let Some(reader) = &mut self.reader else { return Poll::Ready(None) };
        let chunk = ready!(tunnel::poll_chunk(reader.as_mut(), cx));
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data).map_err(|_| Cut::Gone)))
    }
}

impl Tunnel {
    pub(super) fn new(reader: oneshot::Sender<Reader>, body: Body) -> Self {
        Self { reader, body }
    }

    /// Goes on with the connection, of which `ahead` was read already, to its end. Whether that was
    /// not a drain's.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + 'static>(
        self,
        stream: S,
        ahead: Bytes,
        seat: &Seat,
        mut drain: watch::Receiver<Option<Instant>>,
    ) -> bool {
        // No head follows, and what comes is none. The connection is never without a request again.
        seat.busy();
        seat.has_head();
        let Self { reader, mut body } = self;
        let (read, write) = split(stream);
        if reader.send(Box::pin(Cursor::new(ahead).chain(read))).is_err() {
            return true;
        }
        let mut written = pin!(tunnel::write_all(write, async || body.next_frame().await));
        let mut over = pin!(async {
            let deadline = drain.wait_for(Option::is_some).await.ok().and_then(|it| *it);
            sleep_until(deadline.unwrap_or_else(Instant::now).into()).await;
        });
        poll_fn(|cx| {
            if written.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if let Poll::Ready(Told::TooSlow) = seat.poll_told(cx) {
                return Poll::Ready(true);
            }
            over.as_mut().poll(cx).map(|()| false)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::pending;
    use http_body_util::StreamBody;
    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::timeout;

    use super::*;
    use crate::limits;
    use crate::tcp::connections::{Bounds, Connections};
    use crate::tcp::stream::Stream;

    #[tokio::test(start_paused = true)]
    async fn what_comes_on_a_websocket_is_no_head_of_which_the_rest_is_late() {
        let local = LocalSet::new();
        let shown = local.run_until(async {
            let bounds = Bounds { connections: 9, handshakes: 9 };
            let connections = Connections::new(bounds, Default::default());
            let watched = connections.clone();
            spawn_local(async move { watched.watch().await });
            let seat = connections.admit().expect("room");
            // As behind an answer that is given: 101.
            seat.idle();
            let (ours, mut theirs) = duplex(1000);
            let stream = Stream::new(ours, seat.pulse(), Default::default());
            let (mut content, reader) = content();
            let body = Body::Stream(Box::pin(StreamBody::new(pending())));
            let (_drain, drained) = watch::channel(None);
            let run = Tunnel::new(reader, body).run(stream, Bytes::new(), &seat, drained);
            let talk = async {
                theirs.write_all(b"hello").await.expect("there is room");
                let part = poll_fn(|cx| content.poll_frame(cx)).await.expect("not the end");
                let part = part.expect("whole").into_data().expect("data");
                assert_eq!(part, "hello");
                std::future::pending::<()>().await;
            };
            timeout(10 * limits::REQUEST_HEAD_WITHIN, async {
                tokio::select! {
                    ended = run => ended,
                    () = talk => unreachable!("it waits for ever"),
                }
            })
            .await
        });
        assert!(shown.await.is_err(), "it goes on");
    }
}
