//! One HTTP/1 message on a stream: a request that somebody sends, a response that ends with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// A server on this machine answers at once, unless it is told to wait.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// An order of a hundred names has a few kilobytes.
const LONGEST_BODY: u64 = 1 << 20;
/// A head has a few hundred bytes.
const LONGEST_HEAD: u64 = 16 << 10;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Request {
    pub(super) fn get(path: &str) -> Self {
        let method = "GET".to_owned();
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// `media_type` is that of `body`.
    pub(super) fn post(path: &str, media_type: &str, body: String) -> Self {
        let headers = vec![("content-type".to_owned(), media_type.to_owned())];
        Self { method: "POST".to_owned(), headers, body: body.into(), ..Self::get(path) }
    }

    /// Reads what a client sends; `None` where it goes away without a word.
    pub(super) fn read(stream: &mut impl Read) -> Result<Option<Self>> {
        let mut reader = BufReader::new(stream);
        let Some((first, headers)) = read_head(&mut reader)? else { return Ok(None) };
        let mut words = first.split(' ').map(str::to_owned);
        let method = words.next().context("no method")?;
        let path = words.next().context("no path")?;
        let length = header(&headers, "content-length").map_or(Ok(0), str::parse)?;
        ensure!(length <= LONGEST_BODY, "a body of {length} bytes");
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        Ok(Some(Self { method, path, headers, body }))
    }

    /// Sends it and reads the response. HTTP/1.0: the response is not chunked, and the connection
    /// ends with it.
    pub(super) fn ask(&self, stream: &mut (impl Read + Write), host: &str) -> Result<Response> {
        let Self { method, path, headers, body } = self;
        let mut head = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\n");
        for (name, value) in headers.iter().filter(|(name, _)| !is_of_the_connection(name)) {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), body].concat())?;
        stream.flush()?;
        Response::read(stream)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Response {
    fn read(stream: &mut impl Read) -> Result<Self> {
        let mut reader = BufReader::new(stream);
        let (first, headers) = read_head(&mut reader)?.context("no response")?;
        let status = first.split(' ').nth(1).context("no status")?.parse()?;
        let mut body = Vec::new();
        reader.take(LONGEST_BODY).read_to_end(&mut body)?;
        Ok(Self { status, headers, body })
    }

    /// The value of the first header of this name, which is in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Sends it, as the last of its connection.
    pub(super) fn write(&self, stream: &mut impl Write) -> Result<()> {
        let mut head = format!("HTTP/1.1 {} .\r\n", self.status);
        for (name, value) in self.headers.iter().filter(|(name, _)| !is_of_the_connection(name)) {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len());
        stream.write_all(&[head.as_bytes(), &self.body].concat())?;
        Ok(stream.flush()?)
    }
}

/// Sends `request` to `address` by HTTP.
pub(super) fn ask(address: SocketAddr, request: &Request) -> Result<Response> {
    request.ask(&mut connect(address)?, &address.to_string())
}

pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWERS_WITHIN)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What each hop says anew.
fn is_of_the_connection(name: &str) -> bool {
    ["host", "connection", "content-length", "transfer-encoding", "keep-alive"].contains(&name)
}

fn header<'a>(headers: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

type Head = (String, Vec<(String, String)>);

fn read_head(reader: &mut impl BufRead) -> Result<Option<Head>> {
    let mut lines = reader.take(LONGEST_HEAD).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            return Ok(Some((first, headers)));
        }
        let (name, value) = line.split_once(':').context("a header has a colon")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    anyhow::bail!("the head does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_passed_on_with_its_headers_but_not_those_of_the_connection() {
        let sent =
            b"POST /order-plz HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nContent-Length: 2\r\n\r\n{}...";
        let request = Request::read(&mut &sent[..]).expect("read").expect("there is one");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/order-plz"));
        assert_eq!(request.body, b"{}");
        assert_eq!(request.header("x-one"), Some("1"));

        let answer = b"HTTP/1.0 201 Created\r\nReplay-Nonce: n\r\nConnection: close\r\n\r\nbody";
        let response = Response::read(&mut &answer[..]).expect("read");
        let mut written = Vec::new();
        response.write(&mut written).expect("written");
        let written = String::from_utf8(written).expect("text");
        assert_eq!(
            written,
            "HTTP/1.1 201 .\r\nreplay-nonce: n\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody"
        );
    }

    #[test]
    fn a_client_that_says_nothing_asks_nothing() {
        assert!(Request::read(&mut &b""[..]).expect("no error").is_none());
        assert!(Request::read(&mut &b"GET / HTTP/1.1\r\nhost: a\r\n"[..]).is_err());
    }
}
