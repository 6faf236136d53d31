//! An origin that says what it is told to, byte by byte, and remembers what it was sent: whatever a
//! proxy makes of a request is seen here as it is.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long it waits for bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What it does with one connection, of which it has taken so many before.
pub type Script = dyn Fn(&mut Visit, usize) -> io::Result<()> + Send + Sync;

/// An origin of HTTP/1.1 at an address of its own.
pub struct Origin {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A connection to it.
pub struct Visit {
    stream: TcpStream,
    /// Bytes that were read and not looked at.
    ahead: Vec<u8>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    index: usize,
}

impl Origin {
    /// Does with each connection what `script` says, until that ends.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn start(
        script: impl Fn(&mut Visit, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (sent, script) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::new(script));
        let noted = Arc::clone(&sent);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                locked(&noted).push(Vec::new());
                let (sent, script) = (Arc::clone(&noted), Arc::clone(&script));
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let _ = stream.set_nodelay(true);
                    let mut visit = Visit { stream, ahead: Vec::new(), sent, index };
                    // Whoever talks to it is gone when it fails.
                    let _ = script(&mut visit, index);
                });
            }
        });
        Ok(Self { address, sent })
    }

    /// Answers every request with this status and content.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn answering(status: u16, content: &'static str) -> io::Result<Self> {
        Self::start(move |visit, _| {
            loop {
                let head = visit.head()?;
                visit.content(&head)?;
                visit.say(&format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n{content}",
                    content.len()
                ))?;
            }
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was sent, by connection.
    #[must_use]
    pub fn sent(&self) -> Vec<String> {
        let sent = locked(&self.sent);
        sent.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

impl Visit {
    /// Reads to the end of a head, which is what is returned.
    ///
    /// # Errors
    /// Where the other side closes before, or says nothing for long.
    pub fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            self.read()?;
        }
    }

    /// Reads what follows a head: by its length, or by chunks to the end of the trailers.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn content(&mut self, head: &str) -> io::Result<Vec<u8>> {
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let line = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
            line.map(|(_, value)| value.trim().to_owned())
        };
        if field("transfer-encoding").is_some() {
            loop {
                let end = self.ahead.windows(3).position(|bytes| bytes == b"0\r\n");
                let whole = end.and_then(|end| {
                    let trailers = &self.ahead[end + 1..];
                    let past = trailers.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                    past.map(|past| end + 1 + past + 4)
                });
                if let Some(whole) = whole {
                    return Ok(self.ahead.drain(..whole).collect());
                }
                self.read()?;
            }
        }
        let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.ahead.len() < length {
            self.read()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// The next bytes, some of them.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.ahead.is_empty() {
            self.read()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Reads some bytes.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        let length = self.stream.read(&mut bytes)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ahead.extend_from_slice(&bytes[..length]);
        locked(&self.sent)[self.index].extend_from_slice(&bytes[..length]);
        Ok(())
    }

    /// Writes this.
    ///
    /// # Errors
    /// Where the other side is gone.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

fn locked(sent: &Mutex<Vec<Vec<u8>>>) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}
