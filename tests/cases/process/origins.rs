//! Origins behind a running edge: what they are sent, and what clients get.

mod bed;
mod cancels;
mod clients;
mod errors;
mod expects;
mod half_open;
mod health;
mod over_http2;
mod reload;
mod responses;
mod retries;
mod sites;
pub(super) mod streaming;
mod uploads;
mod websockets;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use http::{HeaderValue, Request};
use rustls::version::TLS13;
use tests::credentials::SERVER_NAME;
use tests::http2::{self, kind};
use tests::origin::{Origin, Visit};
use tests::raw;

use super::{Edge, WITHIN};

/// Everything goes to `origin`, with these settings of it.
pub(super) fn proxying(origin: &Origin, settings: &str) -> String {
    proxying_to(origin.address(), settings)
}

/// As [`proxying`], to whatever is there.
pub(super) fn proxying_to(address: SocketAddr, settings: &str) -> String {
    format!(
        r#"
[[origins]]
name = "app"
servers = ["http://{address}"]
{settings}
[[distributions]]
names = ["{SERVER_NAME}"]
[[distributions.behaviours]]
path = "/"
proxy = {{ origin = "app" }}
[[distributions.behaviours]]
path = "/fixed"
respond = {{ body = "fixed" }}
"#
    )
}

impl Edge {
    /// By every version, to this origin.
    pub(super) fn in_front_of(origin: &Origin, settings: &str) -> Self {
        let mut edge = Self::new();
        edge.listen_by_tcp();
        edge.distribute(&proxying(origin, settings));
        edge.start();
        edge
    }

    /// HTTP/2 by hand.
    fn http2(&self) -> http2::Raw {
        let tls = self.client_tls(&TLS13, &[b"h2"]);
        http2::Raw::connect(self.address(), &tls, WITHIN).expect("a connection")
    }
}

#[tokio::test]
async fn a_request_of_any_version_reaches_the_origin_as_one_of_http_11() {
    let origin = Origin::answering(200, "from the origin").expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.connect().await;
    let request = Request::get(format!("https://{SERVER_NAME}/a/%2e/b?c=d"))
        .header("x-mine", "1")
        .header("x-forwarded-for", "203.0.113.1");
    let answer = client.ask(request.body(()).expect("good")).await.expect("an answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"from the origin"[..]));
    assert_eq!(answer.headers["via"], "1.1 landfast");
    for version in ["--http2", "--http1.1"] {
        assert_eq!(edge.curl(&[version], "/a?b"), "from the origin");
        assert_eq!(edge.curl(&[version, "--data", "x=y"], "/form"), "from the origin");
    }
    let sent = origin.sent().concat();
    let heads: Vec<_> = sent.split("\r\n\r\n").collect();
    let head = heads[0].to_lowercase();
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "get /a/b?c=d http/1.1");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            &*format!("forwarded: for=127.0.0.1;host={SERVER_NAME};proto=https"),
            &*format!("host: {SERVER_NAME}"),
            "via: 3 landfast",
            "x-forwarded-for: 127.0.0.1",
            &*format!("x-forwarded-host: {SERVER_NAME}"),
            "x-forwarded-proto: https",
            "x-mine: 1",
        ]
    );
    assert_eq!(sent.matches("x=y").count(), 2, "{sent}");
    assert!(sent.contains("via: 2 landfast") && sent.contains("via: 1.1 landfast"), "{sent}");
    let connections = origin.sent().len();
    assert!(connections <= 2, "{connections} connections for requests one after the other");
}

/// An origin that takes WebSockets, and says what it hears backwards.
fn echoing() -> Origin {
    let script = |visit: &mut Visit, _| {
        let head = visit.head()?;
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let Some(key) = key.filter(|_| head.contains("upgrade: websocket\r\n")) else {
            return visit.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
        };
        let key = HeaderValue::from_str(key).expect("a value");
        let accept = edge_user::http::websocket::accept(&key);
        visit.say(&format!(
            "HTTP/1.1 101 Go\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {}\r\nsec-websocket-protocol: chat\r\n\r\nhello",
            accept.to_str().expect("text")
        ))?;
        loop {
            let mut heard = visit.some()?;
            heard.reverse();
            visit.say(&String::from_utf8_lossy(&heard))?;
        }
    };
    Origin::start(script).expect("a port")
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[test]
fn a_websocket_over_http_11_reaches_an_origin_over_http_11() {
    let origin = echoing();
    let edge = Edge::in_front_of(&origin, "");
    let mut client = edge.http11();
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {SERVER_NAME}\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\nabc"
    );
    client.write_all(request.as_bytes()).expect("taken");
    let said = until(&mut client, "cba");
    let head = said.to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{said}");
    assert!(said.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{said}");
    assert!(head.contains("sec-websocket-protocol: chat"), "{said}");
    assert!(said.ends_with("\r\n\r\nhellocba"), "{said}");
    client.write_all(b"xyz").expect("taken");
    assert_eq!(until(&mut client, "zyx"), "zyx");
    let sent = origin.sent().concat();
    assert!(!sent.contains(KEY) && sent.contains("connection: Upgrade\r\n"), "{sent}");
    // One that is no handshake reaches nobody.
    let mut client = edge.http11();
    let request = request.replace(KEY, "short");
    client.write_all(request.as_bytes()).expect("taken");
    assert!(until(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(origin.sent().len(), 1);
}

#[test]
fn a_websocket_over_http2_reaches_an_origin_over_http_11() {
    let origin = echoing();
    let edge = Edge::in_front_of(&origin, "");
    let mut client = edge.http2();
    let more = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
    let head = http2::request("CONNECT", "/chat", &more);
    client.send(&http2::frame(kind::HEADERS, 4, 1, &head)).expect("taken");
    client.send(&http2::frame(kind::DATA, 0, 1, b"abc")).expect("taken");
    let head = client.next_of(kind::HEADERS).expect("an answer");
    // RFC 7541 appendix A: 8 is `:status: 200`.
    assert_eq!((head.stream, head.payload[0]), (1, 0x88));
    let mut heard = Vec::new();
    while heard != b"hellocba" {
        heard.extend(client.next_of(kind::DATA).expect("data").payload);
    }
    // The client has said all.
    client.send(&http2::frame(kind::DATA, 1, 1, b"")).expect("taken");
    let last = client.next_of(kind::DATA).expect("the end");
    assert_eq!((last.flags & 1, last.payload.len()), (1, 0));
}

#[tokio::test]
async fn a_websocket_over_http3_reaches_an_origin_over_http_11() {
    let origin = echoing();
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.connect().await;
    let (mut send, mut receive) = client.connection().open_bi().await.expect("a stream");
    let more = [(":protocol", "websocket"), ("sec-websocket-version", "13")];
    send.write_all(&raw::request("CONNECT", SERVER_NAME, "/chat", &more)).await.expect("taken");
    send.write_all(&raw::frame(0, b"abc")).await.expect("taken");
    let mut heard = Vec::new();
    while !heard.ends_with(b"cba") {
        let mut bytes = [0; 1000];
        let length = receive.read(&mut bytes).await.expect("an answer").expect("more of it");
        heard.extend_from_slice(&bytes[..length]);
    }
    assert!(heard.windows(5).any(|bytes| bytes == b"hello"), "{heard:?}");
    send.finish().expect("open");
    assert_eq!(receive.read_to_end(1000).await.expect("an end"), b"");
    // Another protocol, and a place without WebSockets.
    let refused = [
        ("connect-udp", "/", "this method is not served here"),
        ("websocket", "/fixed", "there is no WebSocket here"),
    ];
    for (protocol, path, why) in refused {
        let (mut send, mut receive) = client.connection().open_bi().await.expect("a stream");
        let head = raw::request("CONNECT", SERVER_NAME, path, &[(":protocol", protocol)]);
        send.write_all(&head).await.expect("taken");
        send.finish().expect("open");
        let answer = receive.read_to_end(1000).await.expect("an answer");
        assert!(String::from_utf8_lossy(&answer).contains(why), "{answer:?}");
    }
}

/// What comes, up to this.
fn until(client: &mut impl io::Read, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error} after {:?}", String::from_utf8_lossy(&said));
        });
        said.extend(byte);
    }
    String::from_utf8(said).expect("text")
}

/// RFC 9110 section 10.1.1, and RFC 9112 section 9.3: what follows such an answer could be the content
/// that was announced, or the next request.
#[test]
fn a_connection_ends_where_nobody_could_tell_content_from_a_request() {
    let script = |visit: &mut Visit, _| {
        loop {
            visit.head()?;
            visit.say("HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno")?;
        }
    };
    let origin = Origin::start(script).expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    let host = format!("Host: {SERVER_NAME}\r\n");
    let upgrade = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n"
    );
    for head in [
        format!("POST / HTTP/1.1\r\n{host}Expect: 100-continue\r\nContent-Length: 41\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{upgrade}\r\n"),
    ] {
        let mut client = edge.http11();
        let smuggled = format!("GET /smuggled HTTP/1.1\r\n{host}\r\n");
        client.write_all(head.as_bytes()).expect("taken");
        let answer = until(&mut client, "\r\n\r\nno");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        // The edge may have closed by now.
        let _ = client.write_all(smuggled.as_bytes());
        let mut rest = Vec::new();
        let _ = io::Read::read_to_end(&mut client, &mut rest);
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
    assert!(!origin.sent().concat().contains("smuggled"));
}

/// hyper takes a GET of unknown length for one without content.
#[test]
fn content_of_unknown_length_reaches_the_origin_whatever_the_method() {
    let origin = Origin::answering(200, "done").expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    for method in ["GET", "POST"] {
        let mut client = edge.http11();
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: {SERVER_NAME}\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        );
        client.write_all(request.as_bytes()).expect("taken");
        until(&mut client, "done");
    }
    let sent = origin.sent().concat().to_lowercase();
    assert_eq!(sent.matches("transfer-encoding: chunked").count(), 2, "{sent}");
    assert_eq!(sent.matches("5\r\nhello\r\n0\r\n\r\n").count(), 2, "{sent}");
}
