//! HTTP/1.1 over TLS, by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http2::tls;
use crate::credentials::SERVER_NAME;

/// No head is longer.
const MAX_HEAD_BYTES: usize = 256 << 10;

type Stream = TlsStream<TcpStream>;

/// Makes a connection for each request.
pub(super) struct Client {
    address: SocketAddr,
    tls: TlsConnector,
}

pub(super) struct Sender {
    stream: WriteHalf<Stream>,
    in_chunks: bool,
    is_upgrade: bool,
}

pub(super) struct Receiver {
    stream: ReadHalf<Stream>,
    ahead: BytesMut,
    is_head: bool,
    left: Left,
    trailers: HeaderMap,
}

/// What is left of the content.
enum Left {
    Bytes(u64),
    /// The rest of a chunk, and others.
    Chunks(u64),
    /// Everything until the connection ends.
    ToEnd,
}

impl Client {
    pub(super) fn new(address: SocketAddr, authority: &CertificateDer<'static>) -> Result<Self> {
        Ok(Self { address, tls: TlsConnector::from(Arc::new(tls(authority, b"http/1.1")?)) })
    }

    pub(super) async fn begin(
        &self,
        head: &Request<()>,
        has_content: bool,
    ) -> Result<(Sender, Receiver)> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(SERVER_NAME.try_into()?, stream).await?;
        let (read, mut write) = split(stream);
        let target = head.uri().path_and_query().context("a path")?;
        let mut text = format!("{} {target} HTTP/1.1\r\nhost: {SERVER_NAME}\r\n", head.method());
        for (name, value) in head.headers() {
            text += &format!("{name}: {}\r\n", value.to_str()?);
        }
        let in_chunks = has_content && !head.headers().contains_key(header::CONTENT_LENGTH);
        if in_chunks {
            text += "transfer-encoding: chunked\r\n";
        }
        write.write_all((text + "\r\n").as_bytes()).await?;
        let is_head = head.method() == Method::HEAD;
        let (ahead, left, trailers) = (BytesMut::new(), Left::Bytes(0), HeaderMap::new());
        let receiver = Receiver { stream: read, ahead, is_head, left, trailers };
        let is_upgrade = head.headers().contains_key(header::UPGRADE);
        Ok((Sender { stream: write, in_chunks, is_upgrade }, receiver))
    }
}

impl Sender {
    pub(super) async fn send(&mut self, content: &[u8]) -> Result<()> {
        if self.in_chunks {
            self.stream.write_all(format!("{:x}\r\n", content.len()).as_bytes()).await?;
        }
        self.stream.write_all(content).await?;
        if self.in_chunks {
            self.stream.write_all(b"\r\n").await?;
        }
        Ok(self.stream.flush().await?)
    }

    pub(super) async fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<()> {
        if !self.in_chunks {
            ensure!(trailers.is_none(), "trailers follow chunks");
            if self.is_upgrade {
                self.stream.shutdown().await?;
            }
            return Ok(());
        }
        let mut text = String::from("0\r\n");
        for (name, value) in trailers.iter().flatten() {
            text += &format!("{}: {}\r\n", name.as_str(), value.to_str()?);
        }
        self.stream.write_all((text + "\r\n").as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }
}

impl Receiver {
    pub(super) async fn head(&mut self) -> Result<Response<()>> {
        let text = self.until(b"\r\n\r\n").await?;
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = status.and_then(|line| line.get(..3)).context("a status line")?;
        let mut head = Response::builder().status(status).body(())?;
        *head.headers_mut() = fields(lines)?;
        let fields = head.headers();
        let without = matches!(head.status().as_u16(), 100..200 | 204 | 304) || self.is_head;
        let length = fields.get(header::CONTENT_LENGTH).map(|value| value.to_str());
        self.left = match (without, fields.contains_key(header::TRANSFER_ENCODING), length) {
            _ if head.status() == StatusCode::SWITCHING_PROTOCOLS => Left::ToEnd,
            (true, _, _) => Left::Bytes(0),
            (false, true, None) => Left::Chunks(0),
            (false, true, Some(_)) => bail!("two lengths: {text}"),
            (false, false, Some(length)) => Left::Bytes(length?.parse()?),
            (false, false, None) => Left::ToEnd,
        };
        Ok(head)
    }

    pub(super) async fn part(&mut self) -> Result<Option<Bytes>> {
        let left = match self.left {
            Left::Bytes(0) => return Ok(None),
            Left::Bytes(left) => left,
            Left::Chunks(0) => match self.next_chunk().await? {
                Some(left) => left,
                None => return Ok(None),
            },
            Left::Chunks(left) => left,
            Left::ToEnd => u64::MAX,
        };
        if self.ahead.is_empty() && !self.read().await? {
            match self.left {
                Left::ToEnd => return Ok(None),
                _ => bail!("the connection ends, and {left} bytes are missing"),
            }
        }
        let length = left.min(self.ahead.len() as u64);
        let part = self.ahead.split_to(length as usize).freeze();
        match &mut self.left {
            Left::Bytes(left) => *left -= length,
            Left::Chunks(left) => {
                *left -= length;
                if *left == 0 {
                    ensure!(self.until(b"\r\n").await?.trim().is_empty(), "a chunk is longer");
                }
            }
            Left::ToEnd => {}
        }
        Ok(Some(part))
    }

    pub(super) fn trailers(&mut self) -> HeaderMap {
        std::mem::take(&mut self.trailers)
    }

    /// Its length; nothing behind the last one and the trailers.
    async fn next_chunk(&mut self) -> Result<Option<u64>> {
        let line = self.until(b"\r\n").await?;
        let length = u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16)?;
        if length > 0 {
            self.left = Left::Chunks(length);
            return Ok(Some(length));
        }
        loop {
            let line = self.until(b"\r\n").await?;
            if line.trim().is_empty() {
                break;
            }
            self.trailers.extend(fields([line.trim()].into_iter())?);
        }
        self.left = Left::Bytes(0);
        Ok(None)
    }

    async fn until(&mut self, end: &[u8]) -> Result<String> {
        loop {
            let found = self.ahead.windows(end.len()).position(|bytes| bytes == end);
            if let Some(found) = found {
                let text = self.ahead.split_to(found);
                self.ahead.advance(end.len());
                return Ok(String::from_utf8(text.to_vec())?);
            }
            ensure!(self.ahead.len() < MAX_HEAD_BYTES, "a head without end");
            ensure!(self.read().await?, "the connection ends behind {:?}", self.ahead);
        }
    }

    /// Whether there was more.
    async fn read(&mut self) -> Result<bool> {
        self.ahead.reserve(64 << 10);
        Ok(self.stream.read_buf(&mut self.ahead).await? > 0)
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').context("a field")?;
        let value = HeaderValue::from_str(value.trim())?;
        fields.append(HeaderName::try_from(name)?, value);
    }
    Ok(fields)
}
