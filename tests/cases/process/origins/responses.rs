//! Responses of origins as clients of each version get them.

use tests::origin::{Origin, path};
use tests::versions::{VERSIONS, Version, request};

use super::Edge;

/// Answers every request by its path.
fn by_path(answers: &'static [(&'static str, &'static str)]) -> Origin {
    let origin = Origin::start(move |visit, _| {
        loop {
            let head = visit.head()?;
            let answer = answers.iter().find(|(known, _)| *known == path(&head));
            let (_, answer) = answer.unwrap_or_else(|| panic!("{head}"));
            visit.say(answer)?;
            if !answer.contains("content-length") && answer.contains("200 To the end") {
                return Ok(());
            }
        }
    });
    origin.expect("a port")
}

#[tokio::test]
async fn trailers_of_a_response_reach_whoever_can_have_them() {
    let origin = by_path(&[
        (
            "/named",
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
             7\r\ncontent\r\n0\r\nx-sum: 17\r\ncontent-length: 5\r\n\r\n",
        ),
        (
            "/unnamed",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\ncontent\r\n0\r\nx-sum: 17\r\n\r\n",
        ),
    ]);
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        for path in ["/named", "/unnamed"] {
            for te in [&[("te", "trailers")][..], &[]] {
                let mut fields = te.to_vec();
                if version == Version::Http11 && !te.is_empty() {
                    fields.push(("connection", "te"));
                }
                let answer = client.ask(request("GET", path, &fields)).await.expect("an answer");
                assert_eq!(answer.text(), "content", "{version:?} {path}");
                assert_eq!(answer.cut, None, "{version:?} {path}");
                let sum = answer.trailers.get("x-sum").map(|value| value.as_bytes());
                // RFC 9110 section 6.5.1: to a client of HTTP/1.1 only where both have said so.
                let can = version != Version::Http11 || path == "/named" && !te.is_empty();
                assert_eq!(sum, can.then_some(&b"17"[..]), "{version:?} {path} {te:?}");
                assert!(!answer.trailers.contains_key("content-length"), "{version:?} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_response_without_content_is_one_for_each_version() {
    let origin = by_path(&[
        ("/head", "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"e\"\r\n\r\n"),
        ("/head/chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("/204", "HTTP/1.1 204 Nothing\r\netag: \"e\"\r\n\r\n"),
        ("/205", "HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n"),
        ("/304", "HTTP/1.1 304 Same\r\netag: \"e\"\r\ncontent-length: 1234\r\n\r\n"),
    ]);
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        for (method, path, status, length) in [
            ("HEAD", "/head", 200, "1234"),
            ("HEAD", "/head/chunked", 200, ""),
            ("GET", "/204", 204, ""),
            ("GET", "/205", 205, "0"),
            ("GET", "/304", 304, "1234"),
        ] {
            let fields = [("if-none-match", "\"e\"")];
            let answer = client.ask(request(method, path, &fields)).await.expect("an answer");
            // hyper's server says no length of what a 304 stands for, which is as good (RFC 9110
            // section 8.6).
            let says = version != Version::Http11 || status != 304;
            let length = if says { length } else { "" };
            let seen = (answer.status(), answer.field("content-length"));
            assert_eq!(seen, (status, length), "{version:?} {path}: {answer:?}");
            assert!(answer.body.is_empty() && answer.cut.is_none(), "{version:?} {path}");
        }
    }
    // All of them leave a connection that is good for the next: one for each worker.
    let connections = origin.sent().len();
    assert!(connections <= 2, "{connections} connections for requests one after the other");
}

#[tokio::test]
async fn a_response_without_a_length_ends_with_its_connection() {
    let origin = by_path(&[
        ("/1.1", "HTTP/1.1 200 To the end\r\n\r\nall of it"),
        ("/1.0", "HTTP/1.0 200 To the end\r\n\r\nall of it"),
    ]);
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        for (path, via) in [("/1.1", "1.1 landfast"), ("/1.0", "1.0 landfast")] {
            let answer = client.get(path).await.expect("an answer");
            assert_eq!(
                (answer.status(), &*answer.text()),
                (200, "all of it"),
                "{version:?} {path}"
            );
            assert_eq!((answer.cut.as_deref(), answer.field("via")), (None, via), "{version:?}");
        }
    }
}

#[tokio::test]
async fn interim_responses_come_first_where_the_version_has_them() {
    let origin = by_path(&[(
        "/",
        "HTTP/1.1 103 Early\r\nlink: </a.css>; rel=preload\r\nconnection: x-a\r\nx-a: 1\r\n\r\n\
         HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )]);
    let edge = Edge::in_front_of(&origin, "");
    for version in VERSIONS {
        let client = edge.client(version).await;
        let answer = client.get("/").await.expect("an answer");
        assert_eq!((answer.status(), &*answer.text()), (200, "ok"), "{version:?}");
        let seen: Vec<_> = answer.interim.iter().map(|head| head.status().as_u16()).collect();
        if version == Version::Http11 {
            // hyper's server sends none but 100.
            assert!(seen.is_empty(), "{seen:?}");
            continue;
        }
        assert_eq!(seen, [103, 102], "{version:?}");
        let fields = answer.interim[0].headers();
        assert_eq!(fields["link"], "</a.css>; rel=preload", "{version:?}");
        assert!(!fields.contains_key("x-a") && !fields.contains_key("connection"), "{fields:?}");
    }
    let said = edge.curl(&["--http2", "--include"], "/");
    assert!(said.starts_with("HTTP/2 103 \r\nlink: </a.css>; rel=preload\r\n"), "{said}");
}
