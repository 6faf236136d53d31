//! Requests of HTTP/3 on one connection, all the same.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use quinn_proto::{Dir, Event, ReadError, ReadableError, StreamEvent, StreamId, VarInt};

use super::Plan;
use super::connection::Connection;
use crate::raw;

/// An indexed field line of QPACK's static table: `:status: 200` (RFC 9204 appendix A).
const STATUS_200: u8 = 0xc0 | 25;
/// H3_NO_ERROR (RFC 9114 section 8.1).
const NO_ERROR: VarInt = VarInt::from_u32(0x100);

/// A connection with what was asked on it.
pub struct Session {
    connection: Connection,
    request: Bytes,
    body_bytes: u64,
    streams: usize,
    connected: bool,
    /// Bytes that have come of each answer.
    answers: HashMap<StreamId, u64>,
    answered: u64,
    /// The first bytes of the first answer, until they were looked at.
    first: Option<Vec<u8>>,
}

impl Session {
    /// A connection on which one request was answered.
    ///
    /// # Errors
    /// Where there is no handshake, or the answer is not `200` with as many bytes as asked for.
    pub async fn connect(plan: &Plan) -> Result<Self> {
        let request = raw::get(&format!("/bytes/{}", plan.body_bytes)).into();
        let mut session = Self {
            connection: Connection::open(plan.config.clone(), plan.server)?,
            request,
            body_bytes: plan.body_bytes,
            streams: plan.streams,
            connected: false,
            answers: HashMap::new(),
            answered: 0,
            first: Some(Vec::new()),
        };
        session.until(|session| Ok(session.connected)).await.context("handshake")?;
        session.open_control()?;
        session.ask()?;
        session.until(|session| Ok(session.answered == 1)).await.context("the first request")?;
        Ok(session)
    }

    /// Keeps as many requests in progress as were wanted until it shall stop, and waits for the
    /// answers that are due. How many there were.
    ///
    /// # Errors
    /// Where the connection is lost or an answer is short.
    pub async fn ask_until(&mut self, stop: &Cell<bool>) -> Result<u64> {
        let before = self.answered;
        self.until(|session| {
            if stop.get() {
                return Ok(session.answers.is_empty());
            }
            while session.answers.len() < session.streams {
                session.ask()?;
            }
            Ok(false)
        })
        .await?;
        Ok(self.answered - before)
    }

    /// Acknowledges what comes, for ever.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn rest(&mut self) -> Result<()> {
        self.until(|_| Ok(false)).await
    }

    /// Tells the server that this was all.
    ///
    /// # Errors
    /// Where nothing can be sent.
    pub async fn close(&mut self) -> Result<()> {
        self.connection.quic.close(Instant::now(), NO_ERROR, Bytes::new());
        poll_fn(|cx| Poll::Ready(self.connection.send(cx))).await
    }

    async fn until(&mut self, mut done: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        poll_fn(|cx| {
            self.connection.receive(cx)?;
            self.take_events()?;
            let done = done(self)?;
            self.connection.send(cx)?;
            if done { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Opens the control stream, with empty SETTINGS (RFC 9114 section 6.2.1).
    fn open_control(&mut self) -> Result<()> {
        let quic = &mut self.connection.quic;
        let id = quic.streams().open(Dir::Uni).context("no control stream is allowed")?;
        let written = quic.send_stream(id).write(&[0x00, 0x04, 0x00])?;
        ensure!(written == 3, "no room for SETTINGS");
        Ok(())
    }

    fn ask(&mut self) -> Result<()> {
        let quic = &mut self.connection.quic;
        let id = quic.streams().open(Dir::Bi).context("the server allows too few streams")?;
        let mut stream = quic.send_stream(id);
        let written = stream.write_chunks(&mut [self.request.clone()])?;
        ensure!(written.chunks == 1, "no room for a request");
        stream.finish()?;
        self.answers.insert(id, 0);
        Ok(())
    }

    fn take_events(&mut self) -> Result<()> {
        while let Some(event) = self.connection.quic.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => return Err(reason).context("lost"),
                Event::Stream(StreamEvent::Readable { id }) if id.dir() == Dir::Bi => {
                    self.read(id)?;
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => self.accept(),
                _ => {}
            }
        }
        Ok(())
    }

    /// The server's control and QPACK streams: nobody reads them, and they are short.
    fn accept(&mut self) {
        while self.connection.quic.streams().accept(Dir::Uni).is_some() {}
    }

    fn read(&mut self, id: StreamId) -> Result<()> {
        let Some(received) = self.answers.get_mut(&id) else { return Ok(()) };
        let mut stream = self.connection.quic.recv_stream(id);
        let mut chunks = match stream.read(false) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => return Ok(()),
        };
        let ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    *received += chunk.bytes.len() as u64;
                    if let Some(first) = &mut self.first {
                        first.extend_from_slice(&chunk.bytes);
                    }
                }
                Ok(None) => break true,
                Err(ReadError::Blocked) => break false,
                Err(ReadError::Reset(code)) => bail!("an answer was reset with {code}"),
            }
        };
        // quinn-proto sends what this says with whatever comes next.
        let _ = chunks.finalize();
        if ended {
            self.finished(id)?;
        }
        Ok(())
    }

    fn finished(&mut self, id: StreamId) -> Result<()> {
        let received = self.answers.remove(&id).unwrap_or_default();
        ensure!(received > self.body_bytes, "an answer of {received} bytes is short");
        if let Some(first) = self.first.take() {
            // HEADERS, its length, two bytes of QPACK's prefix, the first field.
            let fields = first.iter().skip(2 + usize::from(first.get(1).is_some_and(|b| *b >= 64)));
            ensure!(
                first.first() == Some(&1) && fields.clone().nth(2) == Some(&STATUS_200),
                "the answer is not 200: {:02x?}",
                &first[..first.len().min(64)]
            );
        }
        self.answered += 1;
        Ok(())
    }
}
