//! Origins of libraries for Rust: hyper by HTTP/1.1, and h2, by which it speaks HTTP/2.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::thread;

use bytes::Bytes;
use futures_util::stream;
use h2::RecvStream;
use h2::server::SendResponse;
use http::response::Builder;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tests::http2_origin::Http2Origin;
use tokio::net::TcpListener;

use super::super::bed::url;
use super::{LARGE_BYTES, Site};

/// By HTTP/1.1.
pub(super) fn hyper() -> Site {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(answer_by_hyper);
                let connection = http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    // Its server sends no interim response but 100.
    Site::of("hyper", "HTTP/1.1", url(address), "", &["hints", "websocket"])
}

/// By HTTP/2, with prior knowledge.
pub(super) fn h2() -> Site {
    let origin = Http2Origin::start(None, answer_by_h2).expect("a port");
    let settings = r#"protocol = "h2""#;
    Site::of("h2", "HTTP/2 in clear", url(origin.address()), settings, &["websocket"])
}

/// The response to a request, of which so much content has come.
fn respond(path: &str, fields: &HeaderMap, uploaded: usize) -> (Builder, Bytes) {
    let response = Response::builder();
    let small = Bytes::from_static(b"hello\n");
    match path {
        "/small" if fields.contains_key("if-none-match") => {
            (response.status(304).header("etag", "\"small\""), Bytes::new())
        }
        "/small" => (response.header("etag", "\"small\""), small),
        "/large" if fields.contains_key("range") => {
            let range = format!("bytes 5-9/{LARGE_BYTES}");
            (response.status(206).header("content-range", range), Bytes::from_static(b"xxxxx"))
        }
        "/large" => {
            (response.header("content-length", LARGE_BYTES), vec![b'x'; LARGE_BYTES].into())
        }
        "/moved" => (response.status(302).header("location", "/small"), Bytes::new()),
        "/upload" => (response, uploaded.to_string().into()),
        "/trailers" => (response.header("trailer", "x-sum"), small),
        _ => (response, small),
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("17"));
    trailers
}

async fn answer_by_hyper(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, mut content) = request.into_parts();
    let mut uploaded = 0;
    while let Some(Ok(part)) = content.frame().await {
        uploaded += part.data_ref().map_or(0, Bytes::len);
    }
    let (response, body) = respond(head.uri.path(), &head.headers, uploaded);
    let body = match head.uri.path() {
        // Of a length that is not known, or nothing could follow.
        "/trailers" => {
            let parts = [Frame::data(body), Frame::trailers(trailers())];
            BodyExt::boxed(StreamBody::new(stream::iter(parts.map(Ok))))
        }
        _ => Full::new(body).boxed(),
    };
    Ok(response.body(body).expect("a head"))
}

async fn answer_by_h2(request: Request<RecvStream>, mut responder: SendResponse<Bytes>) {
    let (head, mut content) = request.into_parts();
    let mut uploaded = 0;
    while let Some(Ok(part)) = content.data().await {
        let _ = content.flow_control().release_capacity(part.len());
        uploaded += part.len();
    }
    if head.uri.path() == "/hints" {
        let hints = Response::builder().status(103).header("link", "</a.css>").body(());
        let _ = responder.send_informational(hints.expect("a head"));
    }
    let (response, mut left) = respond(head.uri.path(), &head.headers, uploaded);
    let is_head = head.method == Method::HEAD;
    let response = response.body(()).expect("a head");
    let Ok(mut stream) = responder.send_response(response, is_head) else { return };
    if is_head {
        return;
    }
    while !left.is_empty() {
        stream.reserve_capacity(left.len().min(1 << 16));
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(room)) = room else { return };
        let _ = stream.send_data(left.split_to(room.min(left.len())), false);
    }
    let _ = stream.send_trailers(trailers());
}
