//! Clients that leave: their origins are left as well, long before any timeout.

use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use tests::http2_origin::Http2Origin;
use tests::origin::{Origin, path};
use tests::versions::{Exchange, VERSIONS, Version, request};

use super::Edge;
use super::bed::url;

/// What an origin tells of a request.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// It has come.
    Begun,
    /// It was given up.
    Left,
}

/// Says nothing, or the beginning of a response, and waits until it is left.
fn waiting() -> (Origin, Receiver<Told>) {
    let (tell, told) = channel();
    let origin = Origin::start(move |visit, _| {
        let head = visit.head()?;
        if path(&head) == "/begun" {
            visit.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nthe beginning")?;
        }
        let _ = tell.send(Told::Begun);
        if visit.is_left() {
            let _ = tell.send(Told::Left);
        }
        Ok(())
    });
    (origin.expect("a port"), told)
}

/// The same by HTTP/2.
fn waiting_by_http2() -> (Http2Origin, Receiver<Told>) {
    let (tell, told) = channel::<Told>();
    let origin = Http2Origin::start(None, move |request, mut respond| {
        let tell: Sender<Told> = tell.clone();
        async move {
            let _content = request.body();
            if request.uri().path() != "/begun" {
                let _ = tell.send(Told::Begun);
                let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
            } else if let Ok(mut stream) = respond.send_response(http::Response::new(()), false) {
                let _ = stream.send_data(Bytes::from_static(b"the beginning"), false);
                let _ = tell.send(Told::Begun);
                let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            }
            let _ = tell.send(Told::Left);
        }
    });
    (origin.expect("a port"), told)
}

async fn leave(edge: &Edge, version: Version, told: &Receiver<Told>) {
    for (path, has_content) in [("/", false), ("/begun", false), ("/", true)] {
        let client = edge.client(version).await;
        let begun = client.begin(request("POST", path, &[]), has_content).await;
        let mut exchange: Exchange = begun.expect("begun");
        if has_content {
            exchange.sender.send(Bytes::from_static(b"more is to come")).await.expect("sent");
        }
        if path == "/begun" {
            exchange.receiver.head().await.expect("a head");
            let part = exchange.receiver.part().await.expect("it is there");
            assert_eq!(part.as_deref(), Some(&b"the beginning"[..]), "{version:?}");
        }
        let next = || tokio::task::block_in_place(|| told.recv_timeout(super::super::WITHIN));
        assert_eq!(next(), Ok(Told::Begun), "{version:?} {path} {has_content}");
        exchange.cancel();
        assert_eq!(next(), Ok(Told::Left), "{version:?} {path} {has_content}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_of_http_11_is_left_when_its_client_leaves() {
    let (origin, told) = waiting();
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        leave(&edge, version, &told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_of_http2_is_left_when_its_client_leaves() {
    let (origin, told) = waiting_by_http2();
    let servers = [url(origin.address())];
    let edge = Edge::in_front_of_all(&[("app", &servers, r#"protocol = "h2""#)]);
    for version in VERSIONS {
        leave(&edge, version, &told).await;
    }
    // The others of a connection are not disturbed: it is kept.
    assert!(origin.connections() <= 2, "{} connections", origin.connections());
}
