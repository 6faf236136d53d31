//! From memory to the file, on a thread of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::fcntl::OFlag;

use super::Pen;
use crate::config::{AccessLogConfig, LogFormat};
use crate::{limits, sandbox};

/// The access log of the process.
pub struct AccessLog {
    shared: Arc<Shared>,
    path: PathBuf,
    format: LogFormat,
    /// What the thread begins with, and which file it writes to, by device and number.
    first: Mutex<Option<File>>,
    file: Mutex<(u64, u64)>,
}

/// What workers and the thread share.
pub(super) struct Shared {
    /// Lines that wait, by worker: none waits for another.
    lines: Box<[Mutex<Vec<u8>>]>,
    told: Mutex<Told>,
    wake: Condvar,
    counts: Counts,
}

/// What the thread is told.
#[derive(Default)]
struct Told {
    /// There are lines.
    lines: bool,
    /// There are many: they are not to wait.
    many: bool,
    /// The file to go on with.
    file: Option<File>,
    /// Nobody writes lines any more.
    closed: bool,
    /// It has ended.
    over: bool,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// In the file.
    pub written: u64,
    /// Dropped, because the file does not take them as fast as they come.
    pub full: u64,
    /// Dropped, because the file could not be written to.
    pub failed: u64,
}

impl AccessLog {
    /// Opens the file, which is made where there is none. Nothing is written until
    /// [`Self::start`].
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(config: &AccessLogConfig, workers: u8) -> io::Result<Self> {
        let file = open(&config.path)?;
        let identity = identity(&file)?;
        let shared = Shared {
            lines: (0..workers).map(|_| Mutex::default()).collect(),
            told: Mutex::default(),
            wake: Condvar::new(),
            counts: Counts::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            path: config.path.clone(),
            format: config.format,
            first: Mutex::new(Some(file)),
            file: Mutex::new(identity),
        })
    }

    /// What a worker writes by.
    #[must_use]
    pub fn pen(&self, worker: u8) -> Pen {
        Pen::new(Arc::clone(&self.shared), worker.into(), self.format)
    }

    /// Begins to write.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn start(&self) -> io::Result<()> {
        let Some(file) = lock(&self.first).take() else { return Ok(()) };
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        let writer = Writer { shared, path, file, failing: false, lost: 0, is_torn: false };
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run()).map(drop)
    }

    /// Goes on with what is at the path now. Whether that is another file: who moves logs away has
    /// moved it.
    ///
    /// # Errors
    /// Where it cannot be opened: lines go on to where they went.
    pub fn reopen(&self) -> io::Result<bool> {
        let file = open(&self.path)?;
        let identity = identity(&file)?;
        let mut current = lock(&self.file);
        if *current == identity {
            return Ok(false);
        }
        *current = identity;
        self.shared.tell(|told| told.file = Some(file));
        Ok(true)
    }

    /// Where lines are put.
    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What became of lines until now.
    #[must_use]
    pub fn counts(&self) -> LogCounts {
        let Counts { written, full, failed } = &self.shared.counts;
        let [written, full, failed] =
            [written, full, failed].map(|count| count.load(Ordering::Relaxed));
        LogCounts { written, full, failed }
    }

    /// Writes what there is, and ends; the workers have ended. A disk that hangs is not waited for
    /// longer than [`limits::ACCESS_LOG_CLOSE_WITHIN`].
    pub fn close(&self) {
        self.shared.tell(|told| told.closed = true);
        let told = lock(&self.shared.told);
        let waits = |told: &mut Told| !told.over;
        let within = limits::ACCESS_LOG_CLOSE_WITHIN;
        let _ = self.shared.wake.wait_timeout_while(told, within, waits);
    }
}

/// At its end. To a pipe that nobody reads, or too slowly, nothing is written: no wait.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let mode = limits::ACCESS_LOG_MODE;
    OpenOptions::new().append(true).create(true).mode(mode).custom_flags(flags).open(path)
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Shared {
    /// Writes a line of a worker's, if there is room for it.
    pub(super) fn put(&self, worker: usize, line: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = lock(&self.lines[worker]);
        let before = lines.len();
        line(&mut lines);
        let after = lines.len();
        if after > limits::ACCESS_LOG_QUEUE_BYTES {
            lines.truncate(before);
            drop(lines);
            self.counts.full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(lines);
        let half = limits::ACCESS_LOG_QUEUE_BYTES / 2;
        let is_half = (before..after).contains(&half);
        if before == 0 || is_half {
            self.tell(|told| (told.lines, told.many) = (true, told.many || is_half));
        }
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut lock(&self.told));
        self.wake.notify_all();
    }

    /// Waits until there is something to do: a file to go on with, and whether it is the end.
    fn wait(&self) -> (Option<File>, bool) {
        let idle = |told: &mut Told| !told.lines && !told.closed && told.file.is_none();
        let told = self.wake.wait_while(lock(&self.told), idle);
        // Others are about to come, which cost no wake-up of their own then.
        let quiet = |told: &mut Told| !told.many && !told.closed && told.file.is_none();
        let told = told.unwrap_or_else(PoisonError::into_inner);
        let told = self.wake.wait_timeout_while(told, limits::ACCESS_LOG_GATHER, quiet);
        let (mut told, _) = told.unwrap_or_else(PoisonError::into_inner);
        (told.lines, told.many) = (false, false);
        (told.file.take(), told.closed)
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    path: PathBuf,
    file: File,
    /// The last write failed, which was said.
    failing: bool,
    /// Lines that were lost since then.
    lost: u64,
    /// What is in the file ends within a line.
    is_torn: bool,
}

impl Writer {
    fn run(mut self) {
        sandbox::keep_no_capability();
        let mut batch = Vec::new();
        loop {
            let (next, closed) = self.shared.wait();
            let shared = Arc::clone(&self.shared);
            for lines in &shared.lines {
                std::mem::swap(&mut *lock(lines), &mut batch);
                self.write(&batch);
                batch.clear();
            }
            // What came before belongs to the file that was there.
            if let Some(next) = next {
                self.file = next;
                self.is_torn = false;
            }
            if closed {
                shared.tell(|told| told.over = true);
                return;
            }
        }
    }

    fn write(&mut self, batch: &[u8]) {
        if batch.is_empty() {
            return;
        }
        let (written, error) = self.write_all(batch);
        let [in_file, lost] = [&batch[..written], &batch[written..]].map(|part| count(part, b'\n'));
        let counts = &self.shared.counts;
        counts.written.fetch_add(in_file, Ordering::Relaxed);
        counts.failed.fetch_add(lost, Ordering::Relaxed);
        let path = self.path.display();
        match error {
            Some(error) => {
                self.is_torn |= written > 0 && batch[written - 1] != b'\n';
                self.lost += lost;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%path, %error, "the access log cannot be written: lines are lost");
                }
            }
            None => {
                if std::mem::replace(&mut self.failing, false) {
                    let lost = std::mem::take(&mut self.lost);
                    tracing::info!(%path, lost, "the access log is written again");
                }
            }
        }
    }

    /// How much was written, and why no more.
    fn write_all(&mut self, batch: &[u8]) -> (usize, Option<io::Error>) {
        if self.is_torn {
            match self.file.write(b"\n") {
                Ok(1) => self.is_torn = false,
                Ok(_) => return (0, Some(ErrorKind::WriteZero.into())),
                Err(error) => return (0, Some(error)),
            }
        }
        let mut written = 0;
        while written < batch.len() {
            match self.file.write(&batch[written..]) {
                Ok(0) => return (written, Some(ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }
}

fn count(bytes: &[u8], of: u8) -> u64 {
    bytes.iter().filter(|byte| **byte == of).count() as u64
}

/// A panic elsewhere leaves what is here whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
