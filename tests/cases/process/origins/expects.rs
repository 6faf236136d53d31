//! `Expect: 100-continue` (RFC 9110 section 10.1.1).

use bytes::Bytes;
use http::Request;
use tests::origin::Origin;
use tests::versions::{Exchange, VERSIONS, request};

use super::Edge;

fn expecting() -> Request<()> {
    request("POST", "/", &[("content-length", "7"), ("expect", "100-continue")])
}

#[tokio::test]
async fn content_is_sent_when_the_origin_asks_for_it() {
    let origin = Origin::start(|visit, _| {
        loop {
            let head = visit.head()?.to_lowercase();
            assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
            visit.say("HTTP/1.1 100 Continue\r\n\r\n")?;
            let content = visit.content(&head)?;
            assert_eq!(content, b"content");
            visit.say("HTTP/1.1 201 Made\r\ncontent-length: 0\r\n\r\n")?;
        }
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let begun = client.begin(expecting(), true).await;
        let Exchange { mut sender, mut receiver } = begun.expect("begun");
        assert_eq!(receiver.head().await.expect("a head").status(), 100, "{version:?}");
        sender.send(Bytes::from_static(b"content")).await.expect("sent");
        sender.finish(None).await.expect("sent");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!(answer.status(), 201, "{version:?}");
        assert!(answer.interim.is_empty(), "100 comes once: {:?}", answer.interim);
    }
}

#[tokio::test]
async fn content_that_the_origin_does_not_want_is_never_asked_for() {
    let origin = Origin::start(|visit, _| {
        visit.head()?;
        visit.say("HTTP/1.1 401 Who\r\ncontent-length: 0\r\n\r\n")?;
        visit.is_left();
        Ok(())
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    for (index, version) in VERSIONS.into_iter().enumerate() {
        let client = edge.client(version).await;
        let Exchange { sender, receiver } = client.begin(expecting(), true).await.expect("begun");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!((answer.status(), answer.interim.len()), (401, 0), "{version:?}");
        drop(sender);
        let sent = &origin.sent()[index];
        assert!(sent.ends_with("\r\n\r\n"), "the origin was sent more than a head: {sent}");
    }
}

#[tokio::test]
async fn a_client_is_told_to_go_on_where_the_origin_says_nothing() {
    let origin = Origin::start(|visit, _| {
        loop {
            let head = visit.head()?;
            visit.content(&head)?;
            visit.say("HTTP/1.1 201 Made\r\ncontent-length: 0\r\n\r\n")?;
        }
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let begun = client.begin(expecting(), true).await;
        let Exchange { mut sender, mut receiver } = begun.expect("begun");
        assert_eq!(receiver.head().await.expect("a head").status(), 100, "{version:?}");
        sender.send(Bytes::from_static(b"content")).await.expect("sent");
        sender.finish(None).await.expect("sent");
        assert_eq!(receiver.answer().await.expect("an answer").status(), 201, "{version:?}");
    }
}
