//! What follows the head of a request, on its way to an origin.

use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tests::origin::{Origin, field};
use tests::versions::{Exchange, VERSIONS, Version, request};

use super::Edge;

/// Says what it was sent: how it was framed, its trailers, and the content itself.
fn echo() -> Origin {
    let origin = Origin::start(|visit, _| {
        loop {
            let head = visit.head()?;
            let (content, trailers) = visit.content_and_trailers(&head)?;
            let framing = match (field(&head, "content-length"), field(&head, "transfer-encoding"))
            {
                (Some(length), None) => length,
                (None, Some(coding)) => coding,
                other => format!("{other:?}"),
            };
            let trailers = trailers.trim().replace("\r\n", ", ");
            visit.say(&format!(
                "HTTP/1.1 200 OK\r\nx-framing: {framing}\r\nx-trailers: {trailers}\r\ncontent-length: {}\r\n\r\n{}",
                content.len(),
                String::from_utf8_lossy(&content),
            ))?;
        }
    });
    origin.expect("a port")
}

fn text(length: usize) -> String {
    (0..length).map(|at| char::from(b'a' + (at % 23) as u8)).collect()
}

#[tokio::test]
async fn content_reaches_the_origin_whole_with_its_length_or_in_chunks() {
    let origin = echo();
    let edge = Edge::in_front_of(&origin, "");
    let content = text(1_000_000);
    for version in VERSIONS {
        let client = edge.client(version).await;
        let answer = client.post("/", content.as_bytes()).await.expect("an answer");
        assert_eq!((answer.status(), answer.field("x-framing")), (200, "1000000"), "{version:?}");
        assert!(answer.text() == content, "{version:?}");

        let begun = client.begin(request("PUT", "/", &[]), true).await;
        let Exchange { mut sender, receiver } = begun.expect("begun");
        for part in [&content[..1], &content[1..70_000], &content[70_000..]] {
            sender.send(Bytes::copy_from_slice(part.as_bytes())).await.expect("sent");
        }
        sender.finish(None).await.expect("sent");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!((answer.status(), answer.field("x-framing")), (200, "chunked"), "{version:?}");
        assert!(answer.text() == content && answer.cut.is_none(), "{version:?}");

        let answer = client.post("/", b"").await.expect("an answer");
        assert_eq!((answer.status(), answer.text().as_str()), (200, ""), "{version:?}");
    }
}

/// RFC 9112 section 7.1.2: all that come, whether or not a `Trailer` has named them.
#[tokio::test]
async fn trailers_of_a_request_reach_an_origin_of_http_11() {
    let origin = echo();
    let edge = Edge::in_front_of(&origin, "");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("17"));
    trailers.insert("x-other", HeaderValue::from_static("1"));
    for version in VERSIONS {
        let client = edge.client(version).await;
        for fields in [&[("trailer", "x-sum")][..], &[]] {
            let begun = client.begin(request("POST", "/", fields), true).await;
            let Exchange { mut sender, receiver } = begun.expect("begun");
            sender.send(Bytes::from_static(b"content")).await.expect("sent");
            sender.finish(Some(trailers.clone())).await.expect("sent");
            let answer = receiver.answer().await.expect("an answer");
            assert_eq!(answer.text(), "content", "{version:?}");
            assert_eq!(answer.field("x-trailers"), "x-sum: 17, x-other: 1", "{version:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_comes_before_the_end_of_an_upload() {
    let origin = Origin::start(|visit, _| {
        loop {
            let head = visit.head()?;
            visit.say("HTTP/1.1 413 No\r\ncontent-length: 8\r\n\r\ntoo much")?;
            visit.content(&head)?;
        }
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let begun =
            client.begin(request("POST", "/", &[("content-length", "1000000")]), true).await;
        let Exchange { mut sender, receiver } = begun.expect("begun");
        sender.send(Bytes::from_static(b"the beginning")).await.expect("sent");
        let answer = receiver.answer().await.expect("an answer");
        assert_eq!((answer.status(), &*answer.text()), (413, "too much"), "{version:?}");
        assert!(answer.cut.is_none(), "{answer:?}");
        if version != Version::Http11 {
            // The connection is as good as before.
            let answer = client.get("/").await.expect("an answer");
            assert_eq!(answer.status(), 413, "{version:?}");
        }
    }
}

/// A client may send all that it has before it looks at what it is answered.
#[tokio::test]
async fn an_upload_goes_on_while_its_answer_is_not_taken() {
    const LENGTH: usize = 16 << 20;
    let origin = Origin::start(|visit, _| {
        loop {
            let head = visit.head()?;
            visit.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"))?;
            let mut writer = visit.stream().try_clone()?;
            let writing = std::thread::spawn(move || writer.write_all(&vec![b'.'; LENGTH]));
            assert_eq!(visit.content(&head)?.len(), LENGTH);
            writing.join().expect("it ends")?;
        }
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let begun = client.begin(request("POST", "/", &[]), true).await;
        let Exchange { mut sender, mut receiver } = begun.expect("begun");
        sender.send(Bytes::from_static(b"x")).await.expect("sent");
        assert_eq!(receiver.head().await.expect("a head").status(), 200, "{version:?}");
        sender.send(vec![b'x'; LENGTH - 1].into()).await.expect("sent");
        sender.finish(None).await.expect("sent");
        let mut length = 0;
        while let Some(part) = receiver.part().await.expect("a part") {
            length += part.len();
        }
        assert_eq!(length, LENGTH, "{version:?}");
        // The connection to the origin is good for the next request.
        let answer = client.post("/", &vec![b'x'; LENGTH]).await.expect("an answer");
        assert_eq!(answer.body.len(), LENGTH, "{version:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_go_on_is_told_so_and_its_origin_is_left() {
    let (gone, left) = std::sync::mpsc::channel();
    let origin = Origin::start(move |visit, _| {
        visit.head()?;
        let _ = gone.send(visit.is_left());
        Ok(())
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "idle_timeout_seconds = 1");
    for version in VERSIONS {
        let client = edge.client(version).await;
        for fields in [&[("content-length", "1000")][..], &[]] {
            let begun = client.begin(request("POST", "/", fields), true).await;
            let Exchange { mut sender, receiver } = begun.expect("begun");
            sender.send(Bytes::from_static(b"the beginning")).await.expect("sent");
            let answer = receiver.answer().await.expect("an answer");
            assert_eq!(answer.status(), 408, "{version:?}: {answer:?}");
            assert_eq!(left.recv(), Ok(true), "{version:?}");
        }
    }
}
