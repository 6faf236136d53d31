//! Requests that are sent once more, where that is sure to do no harm.

use std::net::{Ipv4Addr, TcpListener};

use tests::http2::{END_HEADERS, END_STREAM, frame, kind};
use tests::origin::{Origin, path};
use tests::versions::{Version, request};

use super::Edge;
use super::bed::url;

/// How often it was asked for this path.
fn asked(origin: &Origin, path: &str) -> usize {
    origin.sent().iter().map(|sent| sent.matches(&format!(" {path} HTTP/1.1\r\n")).count()).sum()
}

/// Answers `/first`, and closes each connection at the second request on it.
fn tired() -> Origin {
    let origin = Origin::start(|visit, _| {
        let head = visit.head()?;
        if path(&head).starts_with("/never") {
            return Ok(());
        }
        visit.content(&head)?;
        visit.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        visit.head()?;
        Ok(())
    });
    origin.expect("a port")
}

#[tokio::test]
async fn a_safe_request_goes_again_where_a_kept_connection_was_closed() {
    let origin = tired();
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.client(Version::Http2).await;
    for turn in 0..4 {
        let answer = client.get("/a").await.expect("an answer");
        assert_eq!((answer.status(), &*answer.text()), (200, "ok"), "{turn}");
    }
    assert_eq!(asked(&origin, "/a"), 7, "each but the first twice: {:?}", origin.sent());
}

#[tokio::test]
async fn a_request_goes_again_once_and_not_on_a_new_connection() {
    let origin = tired();
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.client(Version::Http2).await;
    assert_eq!(client.get("/never/1").await.expect("an answer").status(), 502);
    assert_eq!(asked(&origin, "/never/1"), 1, "it was new: {:?}", origin.sent());
    assert_eq!(client.get("/first").await.expect("an answer").status(), 200);
    assert_eq!(client.get("/never/2").await.expect("an answer").status(), 502);
    assert_eq!(asked(&origin, "/never/2"), 2, "{:?}", origin.sent());
}

/// RFC 9110 section 9.2.2: it may have been acted on.
#[tokio::test]
async fn a_request_that_changes_something_does_not_go_again() {
    let origin = tired();
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.client(Version::Http2).await;
    for (path, content) in [("/with", &b"content"[..]), ("/without", b"")] {
        assert_eq!(client.get("/first").await.expect("an answer").status(), 200);
        assert_eq!(client.post(path, content).await.expect("an answer").status(), 502, "{path}");
        assert_eq!(asked(&origin, path), 1, "{:?}", origin.sent());
    }
}

#[tokio::test]
async fn another_server_is_asked_where_one_cannot_be_reached() {
    let origin = Origin::answering(200, "here").expect("a port");
    let refused = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("bound")
    };
    let servers = [url(refused), url(origin.address())];
    // It is never left alone, so that it is asked again and again.
    let edge = Edge::in_front_of_all(&[("app", &servers, "max_failures = 0")]);
    let client = edge.client(Version::Http3).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.expect("an answer").status(), 200);
        assert_eq!(client.post("/", b"content").await.expect("an answer").status(), 200);
    }
    assert_eq!(origin.sent().concat().matches("content-length: 7\r\n").count(), 20);
}

/// `:status: 200` by the static table of HPACK, and no content.
fn ok(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &[0x88])
}

#[tokio::test]
async fn a_request_that_an_origin_of_http2_refused_goes_again() {
    let origin = Origin::start(|visit, _| {
        visit.begin_http2()?;
        for turn in 0.. {
            let stream = visit.next_request()?;
            // RFC 9113 section 8.7: REFUSED_STREAM says that nothing was done.
            let said = match turn % 2 {
                0 => frame(kind::RST_STREAM, 0, stream, &7u32.to_be_bytes()),
                _ => ok(stream),
            };
            visit.send(&said)?;
        }
        Ok(())
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "protocol = \"h2\"\nmax_failures = 0");
    let client = edge.client(Version::Http2).await;
    for method in ["GET", "DELETE"] {
        let answer = client.ask(request(method, "/", &[])).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{method}");
    }
    assert_eq!(origin.sent().len(), 1, "one connection does");
}

/// RFC 9113 section 6.8: what comes behind the last stream of a GOAWAY was not looked at, and goes to
/// a new connection.
#[tokio::test]
async fn a_request_that_an_origin_of_http2_left_behind_goes_again() {
    let origin = Origin::start(|visit, _| {
        visit.begin_http2()?;
        let first = visit.next_request()?;
        visit.send(&ok(first))?;
        visit.next_request()?;
        let last = [first.to_be_bytes(), 0u32.to_be_bytes()].concat();
        visit.send(&frame(kind::GOAWAY, 0, 0, &last))?;
        visit.is_left();
        Ok(())
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "protocol = \"h2\"\nmax_failures = 0");
    let client = edge.client(Version::Http2).await;
    for (turn, method) in ["GET", "DELETE", "GET", "DELETE"].into_iter().enumerate() {
        let answer = client.ask(request(method, "/", &[])).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{turn} {method}");
    }
    assert_eq!(origin.sent().len(), 4, "each but the first on a new connection");
}

/// It may be dead: nobody tells the edge of a host that has vanished. Its successor answers, and what
/// the first one may have looked at is not sent again.
#[tokio::test]
async fn a_connection_of_http2_that_does_not_respond_is_left_to_itself() {
    let origin = Origin::start(|visit, connection| {
        visit.begin_http2()?;
        loop {
            let stream = visit.next_request()?;
            if connection > 0 {
                visit.send(&ok(stream))?;
            }
        }
    });
    let origin = origin.expect("a port");
    let settings = "protocol = \"h2\"\nmax_failures = 0\nresponse_timeout_seconds = 1";
    let edge = Edge::in_front_of(&origin, settings);
    let client = edge.client(Version::Http2).await;
    for (turn, status) in [504, 200, 200].into_iter().enumerate() {
        let answer = client.ask(request("GET", "/", &[])).await.expect("an answer");
        assert_eq!(answer.status(), status, "{turn}");
    }
    assert_eq!(origin.sent().len(), 2, "its successor is one");
}
