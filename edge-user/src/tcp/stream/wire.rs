//! What a connection writes: at once, or gathered until it is flushed.
//!
//! h2 writes and flushes each frame of DATA by itself. To a connection with many requests that is a
//! TLS record and a system call for each answer; gathered, one for as many as fill a record.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::h2::insertion::Insertion;
use crate::http::h2::meter::SharedMeter;
use crate::limits;
use crate::tcp::connections::Pulse;

/// A stream, and what waits to be written to it.
pub(super) struct Wire<S> {
    io: S,
    pulse: Rc<Pulse>,
    meter: Option<SharedMeter>,
    writes: Writes,
    /// Until it is over.
    insertion: Option<Box<Insertion>>,
}

/// How bytes are written.
enum Writes {
    /// As they come.
    AtOnce,
    /// Together. There are some, or there is no memory for them.
    Gathered(Option<Box<Gathered>>),
}

/// Bytes that are gathered.
struct Gathered {
    bytes: Vec<u8>,
    /// How many of them are written.
    sent: usize,
}

impl Gathered {
    fn new() -> Box<Self> {
        // Where it grew it would be copied.
        Box::new(Self { bytes: Vec::with_capacity(limits::GATHERED_BYTES), sent: 0 })
    }

    /// Takes as much as there is room for. How much.
    fn take(&mut self, parts: &[IoSlice<'_>]) -> usize {
        let before = self.bytes.len();
        for part in parts {
            let room = limits::GATHERED_BYTES - self.bytes.len();
            self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        }
        self.bytes.len() - before
    }

    fn is_full(&self) -> bool {
        self.bytes.len() == limits::GATHERED_BYTES
    }
}

impl<S> Wire<S> {
    pub(super) fn new(io: S, pulse: Rc<Pulse>) -> Self {
        Self { io, pulse, meter: None, writes: Writes::AtOnce, insertion: None }
    }

    /// Shows this meter what is written.
    pub(super) fn counts_for(&mut self, meter: SharedMeter) {
        self.meter = Some(meter);
    }

    pub(super) fn gather(&mut self) {
        self.writes = Writes::Gathered(None);
    }

    pub(super) fn insert(&mut self, frame: Bytes) {
        self.insertion = Some(Box::new(Insertion::new(frame)));
    }

    pub(super) fn is_gathering(&self) -> bool {
        matches!(self.writes, Writes::Gathered(_))
    }

    /// The socket took some, or has no room.
    fn has_written(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.pulse.wrote(true, false),
            Poll::Ready(Ok(_)) => self.pulse.wrote(false, true),
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Shows the meter so many of these bytes: as soon as they are taken, because whoever acts on it
    /// looks at the end of a turn.
    fn meter(&self, parts: &[IoSlice<'_>], mut count: usize) {
        let Some(meter) = &self.meter else { return };
        let mut meter = meter.borrow_mut();
        for part in parts {
            let taken = count.min(part.len());
            meter.wrote(&part[..taken]);
            count -= taken;
        }
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Takes some of these bytes. What was taken for an insertion goes first.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_inserted(cx))?;
        let written = match &mut self.insertion {
            Some(insertion) => {
                let first = parts.iter().find(|part| !part.is_empty());
                Poll::Ready(Ok(first.map_or(0, |part| insertion.take(part))))
            }
            None => self.poll_take(cx, parts),
        };
        if let Poll::Ready(Ok(count)) = written {
            self.meter(parts, count);
        }
        written
    }

    /// Ready when nothing waits that was taken for an insertion. The meter has seen what of it is
    /// h2's.
    fn poll_inserted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut insertion) = self.insertion.take_if(|it| !it.waiting().is_empty()) {
            let taken = self.poll_take(cx, &[IoSlice::new(insertion.waiting())]);
            if let Poll::Ready(Ok(count)) = taken {
                insertion.wrote(count);
            }
            self.insertion = Some(insertion).filter(|insertion| !insertion.is_over());
            if ready!(taken)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes or gathers some of these bytes. What was gathered before and fills a record goes first.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Writes::Gathered(Some(gathered)) = &self.writes
            && gathered.is_full()
        {
            ready!(self.poll_send(cx))?;
        }
        match &mut self.writes {
            Writes::Gathered(gathered) => {
                Poll::Ready(Ok(gathered.get_or_insert_with(Gathered::new).take(parts)))
            }
            Writes::AtOnce => {
                let written = Pin::new(&mut self.io).poll_write_vectored(cx, parts);
                self.has_written(&written);
                written
            }
        }
    }

    pub(super) fn is_write_vectored(&self) -> bool {
        self.is_gathering() || self.io.is_write_vectored()
    }

    /// Writes what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Writes::Gathered(Some(gathered)) = &mut self.writes {
            let rest = &gathered.bytes[gathered.sent..];
            if rest.is_empty() {
                self.writes = Writes::Gathered(None);
                break;
            }
            let written = Pin::new(&mut self.io).poll_write(cx, rest);
            if let Poll::Ready(Ok(count)) = written {
                gathered.sent += count;
            }
            self.has_written(&written);
            if ready!(written)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_inserted(cx))?;
        ready!(self.poll_send(cx))?;
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        // TLS holds what the socket has no room for.
        self.pulse.wrote(flushed.is_pending(), flushed.is_ready());
        flushed
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_inserted(cx))?;
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use tokio::time::Instant;

    /// A socket with room for so many bytes, and what was written to it at a time.
    struct Socket {
        room: usize,
        writes: Vec<Vec<u8>>,
    }

    impl AsyncWrite for Socket {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn gathering(room: usize) -> Wire<Socket> {
        let pulse = Rc::new(Pulse::new(Instant::now()));
        let mut wire = Wire::new(Socket { room, writes: Vec::new() }, pulse);
        wire.gather();
        wire
    }

    fn write(wire: &mut Wire<Socket>, parts: &[&[u8]]) -> Poll<usize> {
        let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        wire.poll_write(&mut cx, &parts).map(|written| written.expect("it never fails"))
    }

    fn flush(wire: &mut Wire<Socket>) -> Poll<()> {
        let mut cx = Context::from_waker(Waker::noop());
        wire.poll_flush(&mut cx).map(|flushed| flushed.expect("it never fails"))
    }

    #[test]
    fn what_is_gathered_goes_at_once_and_leaves_no_memory() {
        let mut wire = gathering(usize::MAX);
        assert_eq!(write(&mut wire, &[b"a", b"bc"]), Poll::Ready(3));
        assert_eq!(write(&mut wire, &[b"d"]), Poll::Ready(1));
        assert!(wire.io.writes.is_empty(), "until it is flushed");
        assert_eq!(flush(&mut wire), Poll::Ready(()));
        assert_eq!(wire.io.writes, [b"abcd"]);
        assert!(matches!(wire.writes, Writes::Gathered(None)));
    }

    /// As h2 begins: SETTINGS, and soon after that other frames.
    #[test]
    fn an_inserted_frame_goes_in_one_write_with_what_is_before_it() {
        let settings = [0, 0, 2, 4, 0, 0, 0, 0, 0, 7, 7];
        for pieces in [&[&settings[..]][..], &[&settings[..5], &settings[5..]]] {
            let mut wire = gathering(usize::MAX);
            wire.insert(Bytes::from_static(b"frame"));
            for piece in pieces {
                assert_eq!(write(&mut wire, &[b"", piece, b"more"]), Poll::Ready(piece.len()));
            }
            assert_eq!(flush(&mut wire), Poll::Ready(()));
            assert!(wire.insertion.is_none(), "it is over");
            assert_eq!(write(&mut wire, &[b"rest"]), Poll::Ready(4));
            assert_eq!(flush(&mut wire), Poll::Ready(()));
            assert_eq!(wire.io.writes, [&[&settings[..], b"frame"].concat()[..], b"rest"]);
        }
    }

    /// Whatever the room that the socket has each time.
    #[test]
    fn a_client_that_takes_nothing_is_held_a_record_for_and_gets_all_in_order() {
        let bytes: Vec<u8> = (0..40_000_u32).map(|i| (i / 7) as u8).collect();
        let mut wire = gathering(0);
        let mut left = &bytes[..];
        while let Poll::Ready(taken) = write(&mut wire, &[&left[..left.len().min(1_000)]]) {
            left = &left[taken..];
        }
        assert_eq!(bytes.len() - left.len(), limits::GATHERED_BYTES);
        assert_eq!(flush(&mut wire), Poll::Pending);
        while !left.is_empty() {
            wire.io.room += 777;
            while let Poll::Ready(taken) = write(&mut wire, &[left])
                && taken > 0
            {
                left = &left[taken..];
            }
        }
        wire.io.room = usize::MAX;
        assert_eq!(flush(&mut wire), Poll::Ready(()));
        assert_eq!(wire.io.writes.concat(), bytes);
    }
}
