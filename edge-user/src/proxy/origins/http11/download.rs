//! What follows the head of a response: its content, or a connection that speaks HTTP no more.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::task::coop::poll_proceed;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::framing::{Framing, Part};
use super::sending::Sending;
use super::{Connection, Received, Rest};
use crate::http::tunnel;
use crate::limits;
use crate::proxy::files::read::Permit;
use crate::proxy::origins::connect::Transport;
use crate::proxy::origins::server::Asked;
use crate::proxy::origins::upload::Upload;

/// The content of a response, and the connection that it comes by.
pub(in crate::proxy::origins) struct Download {
    framing: Framing,
    received: Received,
    is_kept: bool,
    /// Until the content is over.
    line: Option<(Line, Asked)>,
}

/// A connection that a response comes by.
enum Line {
    Whole(Connection),
    /// One that takes the rest of the request at the same time.
    Shared {
        reader: ReadHalf<Transport>,
        rest: Sent,
        permit: Permit,
    },
}

/// The rest of a request, which a task sends: a client may go on with it before it takes any of the
/// response. It ends when this is dropped.
struct Sent(JoinHandle<Option<WriteHalf<Transport>>>);

impl Drop for Sent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Download {
    pub(in crate::proxy::origins) fn new(rest: Rest, asked: Asked) -> Self {
        let Rest { connection, received, framing, is_kept, sending } = rest;
        let line = match sending {
            None => Line::Whole(connection),
            Some(sending) => Line::share(connection, sending),
        };
        let mut download = Self { framing, received, is_kept, line: Some((line, asked)) };
        if download.is_end_stream() {
            download.release();
        }
        download
    }

    /// All of the content, where it is there already.
    pub(in crate::proxy::origins) fn whole(&mut self) -> Option<Bytes> {
        let left = self.framing.left()?;
        if left == 0 || left > self.received.buffer.len() as u64 {
            return None;
        }
        let Ok(Part::Data(content)) = self.framing.next(&mut self.received.buffer) else {
            return None;
        };
        self.release();
        Some(content)
    }

    pub(in crate::proxy::origins) fn is_end_stream(&self) -> bool {
        self.framing.is_over()
    }

    pub(in crate::proxy::origins) fn left(&self) -> Option<u64> {
        self.framing.left()
    }

    pub(in crate::proxy::origins) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // What is in the buffer could be passed on for long without a read: others have their turn.
        let turn = ready!(poll_proceed(cx));
        let part = ready!(self.poll_part(cx));
        turn.made_progress();
        if self.framing.is_over() {
            self.release();
        }
        Poll::Ready(match part {
            Ok(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Part::Nothing | Part::More) => None,
            Err(error) => {
                self.line = None;
                Some(Err(error))
            }
        })
    }

    /// The next part that is whole; [`Part::More`] where there is none and need not be.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Part>> {
        loop {
            match self.framing.next(&mut self.received.buffer).map_err(io::Error::other)? {
                Part::More => {}
                part => return Poll::Ready(Ok(part)),
            }
            let Some((line, _)) = &mut self.line else { return Poll::Ready(Ok(Part::More)) };
            if ready!(self.received.poll_read(line, cx))? == 0 {
                self.line = None;
                return Poll::Ready(match self.framing.may_end() {
                    true => Ok(Part::More),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
        }
    }

    /// The connection is for the next request, once what is left of this one is sent. What a server
    /// says beyond its response is no other.
    fn release(&mut self) {
        let Some((line, asked)) = self.line.take() else { return };
        if !self.is_kept || !self.received.buffer.is_empty() {
            return;
        }
        match line {
            Line::Whole(connection) => asked.server().put_idle(connection),
            Line::Shared { reader, mut rest, permit } => drop(spawn_local(async move {
                if let Ok(Ok(Some(writer))) = timeout(limits::ORIGIN_REST_WITHIN, &mut rest.0).await
                {
                    asked.server().put_idle(Connection::new(reader.unsplit(writer), permit));
                }
            })),
        }
    }
}

impl Line {
    fn share(connection: Connection, mut sending: Sending) -> Self {
        let Connection { transport, _permit: permit } = connection;
        let (reader, mut writer) = split(transport);
        let rest = spawn_local(async move {
            let sent = poll_fn(|cx| sending.poll(cx, &mut writer)).await;
            if sent.is_err() {
                // The server is not left to wait for what does not come.
                let _ = writer.shutdown().await;
            }
            sent.is_ok().then_some(writer)
        });
        Self::Shared { reader, rest: Sent(rest), permit }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Whole(connection) => Pin::new(&mut connection.transport).poll_read(cx, buf),
            Self::Shared { reader, .. } => Pin::new(reader).poll_read(cx, buf),
        }
    }
}

/// A connection that does not speak HTTP any more.
pub(in crate::proxy::origins) struct Tunnel {
    /// What came with the head.
    early: BytesMut,
    reader: ReadHalf<Transport>,
    upload: JoinHandle<()>,
    _permit: Permit,
    _asked: Asked,
}

impl Tunnel {
    /// What comes after a response that has switched protocols. The server is sent what the client
    /// sends from now on.
    pub(in crate::proxy::origins) fn begin(rest: Rest, mut upload: Upload, asked: Asked) -> Self {
        let Rest { connection: Connection { transport, _permit }, received, .. } = rest;
        let (reader, writer) = split(transport);
        let upload = spawn_local(async move {
            tunnel::write_all(writer, async || upload.frame().await).await;
        });
        Self { early: received.buffer, reader, upload, _permit, _asked: asked }
    }

    pub(in crate::proxy::origins) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.early.has_remaining() {
            return Poll::Ready(Some(Ok(Frame::data(self.early.split().freeze()))));
        }
        tunnel::poll_chunk(Pin::new(&mut self.reader), cx).map_ok(Frame::data)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.upload.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::rc::Rc;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::http::Version;
    use crate::proxy::files::read::OpenFiles;
    use crate::proxy::origins::http11::framing::Chunks;
    use crate::proxy::origins::server::Server;

    /// Without a read, of which a task has so many in its turn.
    #[tokio::test]
    async fn what_is_in_the_buffer_is_not_all_passed_on_in_one_turn() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).await.expect("connected");
        let permit = OpenFiles::at_most(1).try_one().expect("there is one");
        let server = Rc::new(Server::new(1, Some(Version::Http11)));
        let (mut received, most) = (Received::new(), 100_000);
        (0..most).for_each(|_| received.buffer.extend_from_slice(b"1\r\na\r\n"));
        received.buffer.extend_from_slice(b"0\r\n\r\n");
        let rest = Rest {
            connection: Connection::new(Transport::Clear(stream), permit),
            received,
            framing: Framing::Chunks(Chunks::Size),
            is_kept: true,
            sending: None,
        };
        let asked = server.ask(address.ip()).map_err(drop).expect("there is room");
        let (mut download, mut turns) = (Download::new(rest, asked), Vec::new());
        while !download.is_end_stream() {
            let turn = poll_fn(|cx| {
                let mut bytes = 0;
                while let Poll::Ready(Some(part)) = download.poll_frame(cx) {
                    bytes += part.expect("good").into_data().expect("data").len();
                }
                Poll::Ready(bytes)
            });
            turns.push(turn.await);
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.iter().sum::<usize>(), most);
        assert!(turns[0] > limits::SMALL_CHUNKS_TOGETHER && turns[0] < most / 4, "{turns:?}");
    }
}
