//! The bytes of a file, chunk by chunk as the client takes them.

use std::fs::File;
use std::future::Future as _;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::limits;

/// How many files the process may have open for answers, and look for.
#[derive(Clone, Debug)]
pub struct OpenFiles(Arc<Semaphore>);

/// One of them. It goes along with whatever waits for a thread, so that clients who go away at once
/// do not make that queue longer than the bound.
pub(in crate::proxy) type Permit = OwnedSemaphorePermit;

/// A file, and the permit for it.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    _permit: Permit,
}

impl Opened {
    pub(super) fn new(file: File, permit: Permit) -> Self {
        Self { file, _permit: permit }
    }
}

/// Bytes of a file, on their way. They hold the permit: what a version of HTTP has taken and its
/// client has not is memory, too.
struct Chunk {
    bytes: Vec<u8>,
    _opened: Arc<Opened>,
}

impl Chunk {
    fn bytes(bytes: Vec<u8>, opened: &Arc<Opened>) -> Bytes {
        Bytes::from_owner(Self { bytes, _opened: Arc::clone(opened) })
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl OpenFiles {
    /// So many, of [`crate::descriptors`].
    #[must_use]
    pub fn at_most(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// One more, unless there are as many already.
    pub(in crate::proxy) fn try_one(&self) -> Option<Permit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Fills `bytes` from `from` on, unless that would wait for a disk (`RWF_NOWAIT`, preadv2(2)), or
/// cannot be done. Whether it was.
pub(super) fn read_at_once(file: &File, bytes: &mut [u8], from: u64) -> bool {
    let length = bytes.len();
    let read = preadv2(file, &mut [IoSliceMut::new(bytes)], from, ReadWriteFlags::NOWAIT);
    read == Ok(length)
}

/// Bytes of a file that are still to be sent. The first chunk is there; each other one is read when
/// it is asked for, where it is not in memory on a thread that may wait for a disk. The permit is kept until the client has all
/// of it, because what it has not taken is memory.
#[derive(Debug)]
pub struct FileBody {
    opened: Arc<Opened>,
    first: Option<Bytes>,
    /// Where what is not read yet begins.
    from: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// `first` and then so many bytes from there on.
    pub(super) fn new(opened: Opened, first: Vec<u8>, from: u64, left: u64) -> Self {
        let opened = Arc::new(opened);
        let first = Some(Chunk::bytes(first, &opened));
        Self { opened, first, from, left, reading: None }
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left + self.first.as_ref().map_or(0, |first| first.len() as u64)
    }

    /// The next chunk; nothing at the end. On a runtime.
    ///
    /// # Errors
    /// Where the file cannot be read, or has become shorter than was promised: what was sent is not
    /// the whole then.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let (from, length) = (self.from, self.left.min(limits::BODY_CHUNK_BYTES as u64));
        if self.reading.is_none() {
            let mut bytes = vec![0; length as usize];
            if read_at_once(&self.opened.file, &mut bytes, from) {
                self.from += length;
                self.left -= length;
                return Poll::Ready(Some(Ok(Chunk::bytes(bytes, &self.opened))));
            }
        }
        let opened = &self.opened;
        let reading = self.reading.get_or_insert_with(|| {
            let opened = Arc::clone(opened);
            spawn_blocking(move || {
                let mut bytes = vec![0; length as usize];
                opened.file.read_exact_at(&mut bytes, from)?;
                Ok(Chunk::bytes(bytes, &opened))
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let read = read.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
        match &read {
            Ok(bytes) => {
                self.from += bytes.len() as u64;
                self.left -= bytes.len() as u64;
            }
            Err(_) => self.left = 0,
        }
        Poll::Ready(Some(read))
    }
}
