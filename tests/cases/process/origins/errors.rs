//! Origins that fail, and what clients are told.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tests::origin::{Origin, path};
use tests::versions::{Answer, VERSIONS, Version};
use tokio::net::{TcpListener as AsyncListener, TcpSocket};

use super::Edge;
use super::bed::url;

/// Short, and nobody is left alone.
const SETTINGS: &str = "connect_timeout_seconds = 1\nresponse_timeout_seconds = 1
idle_timeout_seconds = 1\nmax_failures = 0";

/// What an origin says to every request, and then: it closes, or says nothing more.
struct Said {
    path: &'static str,
    text: String,
    closes: bool,
}

impl Edge {
    /// In front of an origin that says this.
    fn in_front_of_bad(said: Vec<Said>, settings: &str) -> (Self, Origin) {
        let origin = Origin::start(move |visit, _| {
            let head = visit.head()?;
            let said = said.iter().find(|said| said.path == path(&head));
            let Said { text, closes, .. } = said.unwrap_or_else(|| panic!("{head}"));
            visit.say(text)?;
            if !closes {
                visit.is_left();
            }
            Ok(())
        });
        let origin = origin.expect("a port");
        (Self::in_front_of(&origin, settings), origin)
    }

    async fn ask(&self, version: Version, path: &str) -> Answer {
        let answer = self.client(version).await.get(path).await;
        answer.unwrap_or_else(|error| panic!("{version:?} {path}: {error:#}"))
    }
}

fn closing(path: &'static str, text: &str) -> Said {
    Said { path, text: text.into(), closes: true }
}

fn stalling(path: &'static str, text: &str) -> Said {
    Said { path, text: text.into(), closes: false }
}

#[tokio::test]
async fn what_is_no_response_is_a_bad_gateway() {
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(10_000);
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(2000));
    let cases = [
        (closing("/silent", ""), "closed the connection"),
        (closing("/half", "HTTP/1.1 200 OK\r\ncontent-le"), "closed the connection"),
        (closing("/garbage", "what is this?\r\n\r\n"), "malformed"),
        (closing("/ssh", "SSH-2.0-OpenSSH_9.2\r\n"), "malformed"),
        (stalling("/long", &long), "malformed"),
        (stalling("/many", &many), "malformed"),
        (
            stalling(
                "/lengths",
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
            ),
            "malformed",
        ),
        (stalling("/negative", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"), "malformed"),
        (stalling("/nul", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"), "malformed"),
        (
            stalling("/cr", "HTTP/1.1 200 OK\r\nx: a\rset-cookie: b\r\ncontent-length: 0\r\n\r\n"),
            "malformed",
        ),
        (
            stalling("/folded", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
            "malformed",
        ),
        (stalling("/spaced", "HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n"), "malformed"),
        (
            stalling("/101", "HTTP/1.1 101 Now\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            "malformed",
        ),
        (stalling("/flood", &flood), "interim responses without end"),
    ];
    let (said, expected): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .map(|(said, words)| ((said.path, words), said))
        .map(|(a, b)| (b, a))
        .unzip();
    let (edge, _origin) = Edge::in_front_of_bad(said, SETTINGS);
    for version in VERSIONS {
        for (path, words) in &expected {
            let answer = edge.ask(version, path).await;
            let text = answer.text();
            assert_eq!(answer.status(), 502, "{version:?} {path}: {answer:?}");
            assert!(text.starts_with(r#"{"error":""#) && text.contains(words), "{path}: {text}");
            assert_eq!(answer.field("cache-control"), "no-store", "{version:?} {path}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_a_bad_gateway_and_a_slow_one_a_timeout() {
    let (silent, _origin_that_waits) = full_listener().await;
    let refused = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("bound")
    };
    let waiting = Origin::start(|visit, _| {
        visit.head()?;
        visit.is_left();
        Ok(())
    });
    let waiting = waiting.expect("a port");
    let total = format!("{SETTINGS}\ntotal_timeout_seconds = 1")
        .replace("response_timeout_seconds = 1", "response_timeout_seconds = 60");
    let edge = Edge::in_front_of_all(&[
        ("refused", &[url(refused)], SETTINGS),
        ("silent", &[url(silent)], SETTINGS),
        ("unknown", &["http://nobody.invalid:80".to_owned()], SETTINGS),
        ("waiting", &[url(waiting.address())], SETTINGS),
        ("total", &[url(waiting.address())], &total),
    ]);
    for version in VERSIONS {
        for (path, status, words) in [
            ("/refused", 502, "cannot be reached"),
            ("/silent", 504, "cannot be reached in time"),
            ("/unknown", 502, "has no address"),
            ("/waiting", 504, "did not respond in time"),
            ("/total", 504, "is not complete in time"),
        ] {
            let answer = edge.ask(version, path).await;
            assert_eq!(answer.status(), status, "{version:?} {path}: {answer:?}");
            assert!(answer.text().contains(words), "{version:?} {path}: {answer:?}");
        }
    }
}

/// One whose backlog is full: who connects is not answered.
async fn full_listener() -> (SocketAddr, (AsyncListener, Vec<TcpStream>)) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "a backlog of one has no end");
    }
    (address, (listener, waiting))
}

#[tokio::test]
async fn a_response_that_is_not_whole_is_cut_so_that_nobody_takes_it_for_whole() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let said = vec![
        closing("/short", &format!("{ok}content-length: 100\r\n\r\nthe beginning")),
        stalling("/stalled", &format!("{ok}content-length: 100\r\n\r\nthe beginning")),
        closing("/chunk", &format!("{ok}transfer-encoding: chunked\r\n\r\n64\r\nthe beginning")),
        closing(
            "/unended",
            &format!("{ok}transfer-encoding: chunked\r\n\r\nd\r\nthe beginning\r\n"),
        ),
        stalling(
            "/bad",
            &format!("{ok}transfer-encoding: chunked\r\n\r\nd\r\nthe beginning\r\nxyz\r\n"),
        ),
    ];
    let paths: Vec<_> = said.iter().map(|said| said.path).collect();
    let (edge, _origin) = Edge::in_front_of_bad(said, SETTINGS);
    for version in VERSIONS {
        for path in &paths {
            let answer = match edge.client(version).await.get(path).await {
                Ok(answer) => answer,
                // RFC 9000 section 3.2: a reset overtakes what was sent before.
                Err(_) if version == Version::Http3 => continue,
                Err(error) => panic!("{version:?} {path}: {error:#}"),
            };
            assert_eq!(answer.status(), 200, "{version:?} {path}: {answer:?}");
            assert!("the beginning".starts_with(&answer.text()), "{version:?} {path}: {answer:?}");
            assert!(answer.cut.is_some(), "{version:?} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn all_of_a_response_has_to_come_in_the_total_time() {
    let origin = Origin::start(|visit, _| {
        visit.head()?;
        visit.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        loop {
            // Until nobody is there.
            visit.say("1\r\n.\r\n")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "total_timeout_seconds = 1");
    for version in VERSIONS {
        let answer = edge.ask(version, "/").await;
        assert!(answer.status() == 200 && answer.cut.is_some(), "{version:?}: {answer:?}");
    }
}

/// RFC 9112 section 6.3: chunks frame it, and the length is nobody's word.
#[tokio::test]
async fn a_length_beside_chunks_frames_nothing() {
    let origin = Origin::start(|visit, _| {
        loop {
            visit.head()?;
            visit.say(
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n\
                 7\r\ncontent\r\n0\r\n\r\n",
            )?;
        }
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, SETTINGS);
    for version in VERSIONS {
        let answer = edge.ask(version, "/").await;
        assert_eq!((answer.status(), &*answer.text()), (200, "content"), "{version:?}");
        assert_eq!((answer.field("content-length"), &answer.cut), ("", &None), "{version:?}");
    }
}

/// What an origin says on a connection that carries no request is nobody's response.
#[tokio::test]
async fn what_is_said_behind_a_response_answers_nobody() {
    let said = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
                HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
    let (edge, _origin) = Edge::in_front_of_bad(vec![stalling("/", said)], SETTINGS);
    for version in VERSIONS {
        let client = edge.client(version).await;
        for _ in 0..4 {
            let answer = client.get("/").await.expect("an answer");
            assert_eq!((answer.status(), &*answer.text()), (200, "ok"), "{version:?}");
        }
    }
}
