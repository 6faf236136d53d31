//! How a line says that an answer ended, and what it says of a WebSocket.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use bytes::Bytes;
use edge_user::limits;
use http::HeaderValue;
use serde_json::Value;
use tests::origin::{Origin, Visit, field, path};
use tests::versions::{Exchange, VERSIONS, Version, request};

use super::{Edge, has};

/// An origin that ends no answer as it should, and takes WebSockets. It says when somebody waits for
/// nothing, and dies in the midst of an answer when it is told to.
fn unruly(heard: Sender<()>, dies: Receiver<()>) -> Origin {
    let (heard, dies) = (Mutex::new(heard), Mutex::new(dies));
    let script = move |visit: &mut Visit, _| {
        let head = visit.head()?;
        match path(&head) {
            "/app/broken" => {
                visit.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234")?;
                dies.lock().expect("whole").recv().map_err(io::Error::other)
            }
            "/app/endless" => {
                visit.say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")?;
                while visit.say(&"x".repeat(100_000)).is_ok() {}
                Ok(())
            }
            "/app/socket" => echo(visit, &head),
            _ => {
                heard.lock().expect("whole").send(()).expect("somebody hears");
                visit.is_left();
                Ok(())
            }
        }
    };
    Origin::start(script).expect("a port")
}

/// Says everything twice. Leaves when the client does, or says so.
fn echo(visit: &mut Visit, head: &str) -> io::Result<()> {
    let key = HeaderValue::try_from(field(head, "sec-websocket-key").unwrap_or_default());
    let accept = edge_user::http::websocket::accept(&key.expect("a value"));
    visit.say(&format!(
        "HTTP/1.1 101 Go\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        accept.to_str().expect("text")
    ))?;
    loop {
        let heard = visit.some()?;
        visit.send(&[&heard[..], &heard].concat())?;
        if heard == b"leave" {
            return Ok(());
        }
    }
}

/// As the log has it.
const fn name(version: Version) -> &'static str {
    match version {
        Version::Http11 => "http/1.1",
        Version::Http2 => "h2",
        Version::Http3 => "h3",
    }
}

fn ended(line: &Value, version: Version, path: &str, end: &str) {
    let fields = [("version", name(version).into()), ("path", path.into()), ("end", end.into())];
    has(line, &fields);
    has(line, &[("origin", "app".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_that_is_not_whole_says_how_it_ended_in_every_version() {
    let ((heard, hears), (kill, dies)) = (channel(), channel());
    let origin = unruly(heard, dies);
    let edge = Edge::noting(None, "json", Some(&origin));
    let mut count = 0;
    let mut next = || {
        count += 1;
        edge.noted(count).remove(count - 1)
    };
    for version in VERSIONS {
        let client = edge.client(version).await;
        let head = request("GET", "/app/broken", &[]);
        let mut exchange = client.begin(head, false).await.expect("sent");
        exchange.receiver.head().await.expect("a head");
        let part = exchange.receiver.part().await.expect("a beginning").expect("a beginning");
        assert_eq!(part, "1234");
        kill.send(()).expect("it lives");
        let more = exchange.receiver.part().await;
        assert!(more.is_err(), "{version:?}: {more:?}");
        let line = next();
        ended(&line, version, "/app/broken", "broken");
        has(&line, &[("status", 200.into()), ("bytes", 4.into())]);

        let head = request("GET", "/app/endless", &[]);
        let mut exchange = client.begin(head, false).await.expect("sent");
        exchange.receiver.head().await.expect("a head");
        exchange.receiver.part().await.expect("a beginning");
        exchange.cancel();
        let line = next();
        ended(&line, version, "/app/endless", "cut");
        has(&line, &[("status", 200.into())]);

        let head = request("GET", "/app/never", &[]);
        let exchange = client.begin(head, false).await.expect("sent");
        hears.recv().expect("the origin is asked");
        exchange.cancel();
        let line = next();
        ended(&line, version, "/app/never", "cancelled");
        has(&line, &[("status", Value::Null), ("bytes", 0.into())]);
    }
}

/// What is given back, twice, of what is said.
async fn talk(exchange: &mut Exchange, text: &'static str) {
    exchange.sender.send(Bytes::from_static(text.as_bytes())).await.expect("taken");
    let (mut heard, expected) = (Vec::new(), text.repeat(2));
    while heard.len() < expected.len() {
        heard.extend(exchange.receiver.part().await.expect("whole").expect("not the end"));
    }
    assert_eq!(heard, expected.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_websocket_of_any_version_has_one_line_when_it_ends() {
    let origin = unruly(channel().0, channel().1);
    let edge = Edge::noting(None, "json", Some(&origin));
    let mut count = 0;
    for version in VERSIONS {
        let client = edge.client(version).await;
        for (last, bytes) in [(None, 10_u64), (Some("leave"), 20)] {
            let mut socket = client.websocket("/app/socket", &[]).await.expect("sent");
            let head = socket.receiver.head().await.expect("a head");
            let begun = Instant::now();
            let status = if version == Version::Http11 { 101 } else { 200 };
            assert_eq!(head.status(), status, "{version:?}");
            talk(&mut socket, "hello").await;
            // Another one that ends sooner, and the log says so sooner.
            edge.curl(&["--http2"], "/old");
            count += 1;
            let lines = edge.noted(count);
            has(&lines[count - 1], &[("path", "/old".into())]);

            let lasted = begun.elapsed();
            match last {
                // The origin ends it.
                Some(text) => talk(&mut socket, text).await,
                None => socket.sender.finish(None).await.expect("open"),
            }
            while let Some(part) = socket.receiver.part().await.expect("an end") {
                // That of HTTP/2 is a frame of its own.
                assert!(part.is_empty(), "{version:?}: {part:?}");
            }
            count += 1;
            // By the time of their requests it comes before the other one.
            let line = edge.noted(count).remove(count - 2);
            ended(&line, version, "/app/socket", "whole");
            let method = if version == Version::Http11 { "GET" } else { "CONNECT" };
            has(&line, &[("status", status.into()), ("bytes", bytes.into())]);
            has(&line, &[("method", method.into()), ("by", "proxy".into())]);
            let seconds = |name: &str| line[name].as_f64().expect("a number");
            assert!(seconds("seconds") >= lasted.as_secs_f64(), "{lasted:?}: {line}");
            assert!(seconds("head_seconds") <= seconds("seconds"), "{line}");
        }
        // One that the client leaves without a word.
        let mut socket = client.websocket("/app/socket", &[]).await.expect("sent");
        socket.receiver.head().await.expect("a head");
        talk(&mut socket, "hello").await;
        socket.cancel();
        drop(client);
        count += 1;
        let line = edge.noted(count).remove(count - 1);
        has(&line, &[("path", "/app/socket".into()), ("version", name(version).into())]);
        let end = if version == Version::Http11 { "whole" } else { "cut" };
        has(&line, &[("end", end.into())]);
    }
}

/// RFC 6585 section 5. Over HTTP/1.1 the library that reads them says so itself, and what is not a whole
/// request has no line.
#[tokio::test]
async fn a_request_with_too_many_fields_has_a_line() {
    let edge = Edge::noting(None, "json", None);
    let fields = [("x-one", "more"); limits::MAX_FIELDS + 1];
    for (count, version) in [Version::Http2, Version::Http3].into_iter().enumerate() {
        let client = edge.client(version).await;
        let answer = client.ask(request("GET", "/many", &fields)).await.expect("an answer");
        assert_eq!(answer.status(), 431, "{version:?}");
        let line = edge.noted(count + 1).remove(count);
        has(&line, &[("status", 431.into()), ("reason", "fields".into())]);
        has(&line, &[("version", name(version).into()), ("end", "whole".into())]);
        // Our own codec stops before it knows what is asked for.
        let (method, path) = if version == Version::Http2 { ("GET", "/many") } else { ("-", "") };
        has(&line, &[("method", method.into()), ("path", path.into())]);
        let sample = format!(
            "landfast_distribution_requests_total{{distribution=\"-\",status=\"4xx\",version=\"{}\"}}",
            name(version)
        );
        assert_eq!(edge.sample(&sample).as_deref(), Some("1"), "{version:?}");
    }
}
