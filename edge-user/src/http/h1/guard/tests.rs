//! Beside hyper: whatever comes, both see the same requests, or the guard refuses.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::limits;

/// A client that sends these pieces, one a read, and takes whatever it is answered.
struct Client(VecDeque<Vec<u8>>);

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(piece) = self.0.front_mut() else { return Poll::Pending };
        let taken = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..taken]);
        piece.drain(..taken);
        if piece.is_empty() {
            self.0.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(b.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request as hyper gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    target: String,
    content: Vec<u8>,
    /// How the guard found it.
    head: Result<(), Rejection>,
    /// hyper ends the connection by itself: it is of HTTP/1.0, or its content is none.
    is_last: bool,
}

/// What hyper makes of these pieces, whether it ended without an error, and what the guard says of
/// one more request.
fn serve(pieces: Vec<Vec<u8>>) -> (Vec<Seen>, bool, Result<(), Rejection>) {
    let stream = Guarded::new(Client(pieces.into_iter().filter(|it| !it.is_empty()).collect()));
    let (guard, seen) = (stream.guard(), Rc::new(RefCell::new(Vec::new())));
    let service = service_fn(|request: Request<Incoming>| {
        let (guard, seen) = (guard.clone(), Rc::clone(&seen));
        async move {
            let target = request.uri().to_string();
            let is_1_0 = request.version() < Version::HTTP_11;
            let head = guard.next_head();
            let content = request.into_body().collect().await;
            let ends = head.is_err() || guard.content_is_broken();
            let is_last = is_1_0 || content.is_err();
            let content = content.map(|it| it.to_bytes().to_vec()).unwrap_or_default();
            seen.borrow_mut().push(Seen { target, content, head, is_last });
            let mut response = Response::new(Empty::<Bytes>::new());
            if ends {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits::HTTP1_BUFFER_BYTES)
        .max_header_size(limits::MAX_FIELD_SECTION_BYTES as usize)
        .max_headers(limits::MAX_FIELDS)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    // Its clock goes on when everybody waits.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let ended = runtime
        .expect("no file is needed")
        .block_on(async { tokio::time::timeout(Duration::from_secs(1), connection).await });
    let is_good = ended.is_err() || ended.is_ok_and(|ended| ended.is_ok());
    (seen.take(), is_good, guard.next_head())
}

/// What follows a head, and how that is said in it.
fn content() -> impl Strategy<Value = (Vec<u8>, Option<String>, Vec<u8>)> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(b"\r\n\r\nGET /inside HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n".to_vec()),
    ];
    let space = select(vec!["", " ", "\t "]);
    let name = select(vec!["Content-Length", "content-length", "CONTENT-length"]);
    let length = (name, space.clone(), bytes.clone()).prop_map(|(name, space, bytes)| {
        (bytes.clone(), Some(format!("{name}:{space}{}{space}", bytes.len())), bytes)
    });
    let name = select(vec!["Transfer-Encoding", "transfer-encoding"]);
    let extension = select(vec!["", ";x", " ;x=\"y\""]);
    let trailers = select(vec!["", "x: y\r\n", "x: y\r\nz: a\r\n"]);
    let chunks = (name, space, vec((bytes, extension), 0..4), trailers);
    let chunks = chunks.prop_map(|(name, space, chunks, trailers)| {
        let (mut content, mut coded) = (Vec::new(), Vec::new());
        for (bytes, extension) in chunks.into_iter().filter(|(bytes, _)| !bytes.is_empty()) {
            coded.extend(format!("{:X}{extension}\r\n", bytes.len()).into_bytes());
            coded.extend([&bytes[..], b"\r\n"].concat());
            content.extend(bytes);
        }
        coded.extend(format!("0\r\n{trailers}\r\n").into_bytes());
        (content, Some(format!("{name}:{space}chunked{space}")), coded)
    });
    prop_oneof![Just((Vec::new(), None, Vec::new())), length, chunks]
}

/// A request that is good: its target, its content, and its bytes.
fn request() -> impl Strategy<Value = (String, Vec<u8>, Vec<u8>)> {
    let field =
        ("x-[a-zA-Z]{0,70}", " ?[ -~]{0,90}").prop_map(|(name, value)| format!("{name}:{value}"));
    let line = (
        select(vec!["", "\r\n"]),
        select(vec!["GET", "POST", "OPTIONS"]),
        "/[a-z]{0,9}(\\?[a-z]{0,9})?",
    );
    (line, vec(field, 0..4), content(), any::<prop::sample::Index>()).prop_map(
        |((before, method, target), mut fields, (content, said, coded), place)| {
            fields.push("Host: a.example".to_owned());
            if let Some(said) = said {
                fields.insert(place.index(fields.len() + 1), said);
            }
            let head =
                format!("{before}{method} {target} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
            (target, content, [head.into_bytes(), coded].concat())
        },
    )
}

/// Cuts bytes into pieces of these lengths, over and over.
fn cut(mut bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min(*length));
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![usize::MAX]), vec(1_usize..80, 1..20)]
}

proptest! {
    #[test]
    fn requests_that_are_good_go_to_hyper_as_they_came(
        requests in vec(request(), 1..6),
        lengths in lengths(),
    ) {
        let bytes = requests.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect::<Vec<u8>>();
        let (seen, is_good, one_more) = serve(cut(&bytes, &lengths));
        let expected = requests.into_iter().map(|(target, content, _)| {
            Seen { target, content, head: Ok(()), is_last: false }
        });
        prop_assert_eq!(seen, expected.collect::<Vec<_>>());
        prop_assert!(is_good);
        prop_assert_eq!(one_more, Err(Rejection::Framing), "it has seen as many");
    }

    /// Bytes are put in, taken out or changed anywhere.
    #[test]
    fn hyper_and_the_guard_see_as_many_requests_or_the_guard_refuses(
        requests in vec(request(), 1..6),
        edits in vec((any::<prop::sample::Index>(), 0..3_usize, edit()), 1..4),
        lengths in lengths(),
    ) {
        let mut bytes = requests.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect::<Vec<u8>>();
        for (place, removed, added) in edits {
            let place = place.index(bytes.len() + 1);
            let end = bytes.len().min(place + removed);
            bytes.splice(place..end, added.bytes());
        }
        let (seen, is_good, one_more) = serve(cut(&bytes, &lengths));
        let refused = seen.iter().position(|seen| seen.head.is_err());
        // Whoever is refused is the last.
        prop_assert!(refused.is_none_or(|refused| refused + 1 == seen.len()), "{:?}", seen);
        let ends = seen.iter().any(|seen| seen.is_last);
        if refused.is_none() && is_good && !ends {
            prop_assert!(one_more.is_err(), "hyper has not seen all: {}", bytes.escape_ascii());
        }
    }
}

/// What makes two readers differ.
fn edit() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "\n",
        "\r",
        "\r\n",
        "\r\n\r\n",
        "\n\n",
        "#",
        ":",
        " ",
        "\t",
        "\0",
        ",",
        ";",
        "0",
        "1",
        "f",
        "x",
        "\u{e9}",
        "GET / HTTP/1.1\r\n\r\n",
        "0\r\n\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\nContent-Length: 1",
        "\nTransfer-Encoding: chunked",
        "\r\n Content-Length: 1\r\n",
    ])
}
