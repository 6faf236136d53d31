//! An origin that says what it is told to, byte by byte, and remembers what it was sent: whatever a
//! proxy makes of a request is seen here as it is.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::http2::{self, kind};

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

    /// Reads what follows a head, by its length or by chunks.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn content(&mut self, head: &str) -> io::Result<Vec<u8>> {
        self.content_and_trailers(head).map(|(content, _)| content)
    }

    /// Reads what follows a head, and the trailers, as they are.
    ///
    /// # Errors
    /// As [`Self::head`], and where a chunk has no length.
    pub fn content_and_trailers(&mut self, head: &str) -> io::Result<(Vec<u8>, String)> {
        if field(head, "transfer-encoding").is_none() {
            let length = field(head, "content-length").and_then(|length| length.parse().ok());
            return Ok((self.exactly(length.unwrap_or(0))?, String::new()));
        }
        let mut content = Vec::new();
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            if length == 0 {
                break;
            }
            content.extend(self.exactly(length)?);
            self.line()?;
        }
        let mut trailers = String::new();
        loop {
            let line = self.line()?;
            if line.trim().is_empty() {
                return Ok((content, trailers));
            }
            trailers += &line;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.read()?;
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
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

    /// Whether the other side leaves, whatever it sends before: not, where it says nothing for long.
    pub fn is_left(&mut self) -> bool {
        loop {
            match self.read() {
                Ok(()) => {}
                Err(error) => {
                    return !matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
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

    /// Reads the preface of HTTP/2 (RFC 9113 section 3.4), and says the same with empty SETTINGS.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn begin_http2(&mut self) -> io::Result<()> {
        self.exactly(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len())?;
        self.send(&http2::frame(kind::SETTINGS, 0, 0, &[]))
    }

    /// The stream of the next request of HTTP/2. What else comes before is answered as is due.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn next_request(&mut self) -> io::Result<u32> {
        loop {
            let head = self.exactly(9)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let payload = self.exactly(length as usize)?;
            match (head[3], head[4] & http2::ACK) {
                (kind::HEADERS, _) => {
                    let stream = [head[5], head[6], head[7], head[8]];
                    return Ok(u32::from_be_bytes(stream));
                }
                (kind::SETTINGS, 0) => {
                    self.send(&http2::frame(kind::SETTINGS, http2::ACK, 0, &[]))?;
                }
                (kind::PING, 0) => {
                    self.send(&http2::frame(kind::PING, http2::ACK, 0, &payload))?;
                }
                _ => {}
            }
        }
    }

    /// Writes these bytes.
    ///
    /// # Errors
    /// Where the other side is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Writes this.
    ///
    /// # Errors
    /// Where the other side is gone.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.send(text.as_bytes())
    }

    /// Throws away so many bytes at most, of those that were read and not looked at. How many.
    pub fn skip_ahead(&mut self, most: u64) -> u64 {
        let length = most.min(self.ahead.len() as u64);
        self.ahead.drain(..length as usize);
        length
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// The value of a field of a head.
#[must_use]
pub fn field(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let line = lines.find(|(field, _)| field.eq_ignore_ascii_case(name));
    line.map(|(_, value)| value.trim().to_owned())
}

/// The path of a head of a request.
#[must_use]
pub fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn locked(sent: &Mutex<Vec<Vec<u8>>>) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}
