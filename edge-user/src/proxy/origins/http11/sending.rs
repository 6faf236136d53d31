//! A request as bytes, on its way to a server (RFC 9112 sections 3, 6 and 7.1).

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::buf::Writer;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use crate::http::content::Cut;
use crate::proxy::origins::upload::Upload;

/// A request, of which a part is written.
pub(super) struct Sending {
    /// What goes before `data`: the head, and sizes of chunks.
    before: BytesMut,
    data: Bytes,
    /// What goes behind it.
    behind: &'static [u8],
    /// How the content is framed; `None` when all of it was asked for.
    coding: Option<Coding>,
    upload: Upload,
    has_begun: bool,
}

/// How the server is told where the content ends.
enum Coding {
    /// So many bytes are left.
    Length(u64),
    Chunks,
}

/// Why it cannot be sent whole.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The server takes no more.
    Connection(io::Error),
    /// There is no more.
    Client,
}

impl Sending {
    pub(super) fn new(request: Request<Upload>) -> Self {
        let (head, upload) = request.into_parts();
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let coding =
            (!upload.is_end_stream()).then(|| length.map_or(Coding::Chunks, Coding::Length));
        // RFC 9110 section 8.6: where content is expected and there is none, this is said.
        let expects = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
        let framing = match (&coding, length) {
            (Some(Coding::Chunks), _) => "transfer-encoding: chunked\r\n\r\n",
            (None, None) if expects => "content-length: 0\r\n\r\n",
            _ => "\r\n",
        };
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut before = BytesMut::with_capacity(length_of(&head.headers) + target.len() + 96);
        for text in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            before.put_slice(text.as_bytes());
        }
        // RFC 9112 section 3.2: first, so that who reads no further knows whom it is for.
        write_fields(&mut before, &head.headers, |name| *name == HOST);
        write_fields(&mut before, &head.headers, |name| *name != HOST);
        before.put_slice(framing.as_bytes());
        Self { before, data: Bytes::new(), behind: b"", coding, upload, has_begun: false }
    }

    /// Whether the server was sent a byte of it.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Gives back what follows the head.
    pub(super) fn into_upload(self) -> Upload {
        self.upload
    }

    /// Whether the connection has all of it, but for what is flushed.
    fn is_over(&self) -> bool {
        self.coding.is_none() && !self.has_bytes()
    }

    fn has_bytes(&self) -> bool {
        !(self.before.is_empty() && self.data.is_empty() && self.behind.is_empty())
    }

    /// Writes as much as the server takes. Ready when all is written.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: impl AsyncWrite + Unpin,
    ) -> Poll<Result<(), Stopped>> {
        loop {
            if self.data.is_empty() && self.behind.is_empty() && self.coding.is_some() {
                // The first part goes with the head, where it is there.
                let is_pending = self.poll_part(cx)?.is_pending();
                if is_pending && !self.has_bytes() {
                    ready!(Pin::new(&mut stream).poll_flush(cx)).map_err(Stopped::Connection)?;
                    return Poll::Pending;
                }
            }
            if self.has_bytes() {
                ready!(self.poll_write(cx, &mut stream)).map_err(Stopped::Connection)?;
            } else if self.is_over() {
                return Pin::new(&mut stream).poll_flush(cx).map_err(Stopped::Connection);
            }
        }
    }

    /// Takes the next part of the content.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let part = ready!(Pin::new(&mut self.upload).poll_frame(cx));
        let part = part.transpose().map_err(|_: Cut| Stopped::Client)?;
        match (part.map(Frame::into_data), &mut self.coding) {
            (Some(Ok(data)), Some(Coding::Length(left))) => {
                // Whoever said a length keeps to it: its own code sees to that. What is more would be
                // another request.
                *left = left.checked_sub(data.len() as u64).ok_or(Stopped::Client)?;
                self.data = data;
            }
            (Some(Ok(data)), Some(Coding::Chunks)) if !data.is_empty() => {
                write_line(&mut self.before, format_args!("{:x}", data.len()));
                (self.data, self.behind) = (data, b"\r\n");
            }
            (Some(Ok(_)), _) => {}
            (Some(Err(trailers)), Some(Coding::Chunks)) => {
                self.end_chunks(&trailers.into_trailers().unwrap_or_default());
            }
            // There is no place for trailers behind a length.
            (Some(Err(_)), _) => {}
            (None, Some(Coding::Length(1..))) => return Poll::Ready(Err(Stopped::Client)),
            (None, Some(Coding::Chunks)) => self.end_chunks(&HeaderMap::new()),
            (None, _) => self.coding = None,
        }
        Poll::Ready(Ok(()))
    }

    fn end_chunks(&mut self, trailers: &HeaderMap) {
        self.before.put_slice(b"0\r\n");
        write_fields(&mut self.before, trailers, |_| true);
        self.before.put_slice(b"\r\n");
        self.coding = None;
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut all = (&mut self.before).chain(&mut self.data).chain(&mut self.behind);
        let mut slices = [IoSlice::new(b""); 3];
        let count = all.chunks_vectored(&mut slices);
        let written = Pin::new(stream).poll_write_vectored(cx, &slices[..count]);
        match ready!(written)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => {
                all.advance(written);
                self.has_begun = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// About as many bytes as they are written in.
fn length_of(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn write_fields(
    text: &mut BytesMut,
    fields: &HeaderMap,
    is_wanted: impl Fn(&http::HeaderName) -> bool,
) {
    for (name, value) in fields.iter().filter(|(name, _)| is_wanted(name)) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.put_slice(part);
        }
    }
}

fn write_line(text: &mut BytesMut, line: std::fmt::Arguments<'_>) {
    let mut writer: Writer<&mut BytesMut> = text.writer();
    let _ = write!(writer, "{line}\r\n");
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// What a server is sent of a request without content.
    fn sent(method: &str, target: &str, fields: &[(&str, &str)]) -> String {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut sending = Sending::new(request.body(Upload::empty()).expect("a request"));
        let mut written = Vec::new();
        let all = std::future::poll_fn(|cx| sending.poll(cx, &mut written)).now_or_never();
        all.expect("there is room").expect("it takes all");
        String::from_utf8(written).expect("text")
    }

    #[test]
    fn whom_a_request_is_for_comes_first() {
        let fields = [("accept", "*/*"), ("host", "a.example"), ("accept", "b")];
        let expected = "GET /a?b=c HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\naccept: b\r\n\r\n";
        assert_eq!(sent("GET", "/a?b=c", &fields), expected);
        let expected = "OPTIONS * HTTP/1.1\r\nhost: a.example\r\n\r\n";
        assert_eq!(sent("OPTIONS", "*", &[("host", "a.example")]), expected);
    }

    /// RFC 9110 section 8.6.
    #[test]
    fn no_content_is_said_where_some_is_expected() {
        let expected = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(sent("POST", "/", &[("host", "a")]), expected);
        assert_eq!(sent("POST", "/", &[("host", "a"), ("content-length", "0")]), expected);
        assert_eq!(sent("DELETE", "/", &[("host", "a")]), "DELETE / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
}
