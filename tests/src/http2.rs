//! HTTP/2 by hand, a frame at a time: what no client library would send, and what it would hide.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::credentials::SERVER_NAME;

/// Types of frames (RFC 9113 section 6, RFC 8336 section 2.1).
pub mod kind {
    #![allow(missing_docs, reason = "their names are those of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const ORIGIN: u8 = 0xc;
}

/// Of DATA and HEADERS (RFC 9113 section 6.1).
pub const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;

/// Codes of errors (RFC 9113 section 7).
pub mod code {
    #![allow(missing_docs, reason = "their names are those of the RFC")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream, 0 for the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a GOAWAY or RST_STREAM.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::RST_STREAM => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(*self.payload.get(at..)?.first_chunk()?))
    }

    /// The last stream of a GOAWAY.
    #[must_use]
    pub fn last_stream(&self) -> Option<u32> {
        let stream = u32::from_be_bytes(*self.payload.first_chunk()?);
        (self.kind == kind::GOAWAY).then_some(stream)
    }
}

/// A frame in bytes.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// A field in HPACK, not indexed (RFC 7541 section 6.2.2). Neither part is longer than 126 bytes.
#[must_use]
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|length| *length < 127);
    let (name_length, value_length) = (length(name).expect("short"), length(value).expect("short"));
    [&[0, name_length], name.as_bytes(), &[value_length], value.as_bytes()].concat()
}

/// The header block of a request with more fields behind its own.
#[must_use]
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own =
        [(":method", method), (":scheme", "https"), (":authority", SERVER_NAME), (":path", path)];
    own.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

/// A GET, whole.
#[must_use]
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", path, &[]))
}

/// A connection.
pub struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Raw {
    /// Connects, sends preface and empty SETTINGS (RFC 9113 section 3.4), and acknowledges those of
    /// the server, whatever they are. No read takes longer than `within`.
    ///
    /// # Errors
    /// Where the handshake fails.
    pub fn connect(address: SocketAddr, tls: &ClientConfig, within: Duration) -> io::Result<Self> {
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let name = SERVER_NAME.try_into().map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::new(tls), name).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(within))?;
        let mut raw = Self { stream: StreamOwned::new(client, stream) };
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        raw.send(&frame(kind::SETTINGS, 0, 0, &[]))?;
        raw.send(&frame(kind::SETTINGS, ACK, 0, &[]))?;
        Ok(raw)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// Where the server has ended the connection.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next frame; nothing at the end of the connection.
    ///
    /// # Errors
    /// Where none comes in time.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let mut head = [0; 9];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        let stream = u32::from_be_bytes(stream);
        Ok(self.fill(&mut payload)?.then_some(Frame { kind, flags, stream, payload }))
    }

    /// Whether there was so much before the end. What came before it is read, although the server may
    /// take nothing any more.
    fn fill(&mut self, mut bytes: &mut [u8]) -> io::Result<bool> {
        while !bytes.is_empty() {
            match self.stream.conn.reader().read(bytes) {
                Ok(0) => return Ok(false),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.stream.conn.read_tls(&mut self.stream.sock) {
                        Err(error) if is_timeout(&error) => return Err(error),
                        // However it ended.
                        Ok(0) | Err(_) => return Ok(false),
                        Ok(_) => {}
                    }
                    self.stream.conn.process_new_packets().map_err(io::Error::other)?;
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next frame of this type, whatever comes before it.
    ///
    /// # Errors
    /// Where none comes in time, or before the end of the connection.
    pub fn next_of(&mut self, kind: u8) -> io::Result<Frame> {
        loop {
            match self.next_frame()? {
                Some(frame) if frame.kind == kind => return Ok(frame),
                Some(_) => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Waits until all that was sent before was read: a PING and its answer (RFC 9113 section 6.7).
    ///
    /// # Errors
    /// As [`Self::next_of`].
    pub fn is_read(&mut self) -> io::Result<()> {
        self.send(&frame(kind::PING, 0, 0, b"is read?"))?;
        while self.next_of(kind::PING)?.flags & ACK == 0 {}
        Ok(())
    }

    /// Sends these bytes over and over until the server ends the connection, at most `most` times.
    /// Says with which code.
    ///
    /// # Errors
    /// Where it does not end it.
    pub fn flood(
        &mut self,
        most: usize,
        mut bytes: impl FnMut(usize) -> Vec<u8>,
    ) -> io::Result<u32> {
        for turn in 0..most {
            if self.send(&bytes(turn)).is_err() {
                break;
            }
        }
        let goodbye = self.next_of(kind::GOAWAY)?;
        while self.next_frame()?.is_some() {}
        goodbye.code().ok_or_else(|| io::Error::other("half a GOAWAY"))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
