//! HTTP/2 and HTTP/1.1 over TLS over TCP, as clients that nobody of this project wrote meet them.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use nix::sys::signal::Signal;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use tests::credentials::SERVER_NAME;
use tests::http3::Identity;

use super::{Edge, WITHIN, eventually, stderr};

/// A connection of TLS over TCP.
pub(super) type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Edge {
    /// An edge that serves by TCP, too.
    pub(super) fn by_tcp() -> Self {
        let mut edge = Self::new();
        edge.listen_by_tcp();
        edge.start();
        edge
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// TLS of a client that offers these protocols.
    pub(super) fn client_tls(
        &self,
        version: &'static SupportedProtocolVersion,
        protocols: &[&[u8]],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.credentials.authority_der.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("known")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// Shakes hands, and says which protocol it is.
    pub(super) fn tls(
        &self,
        config: ClientConfig,
        name: &'static str,
    ) -> Result<Tls, rustls::Error> {
        let name = ServerName::try_from(name).expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = TcpStream::connect(self.address()).expect("somebody listens");
        stream.set_read_timeout(Some(WITHIN)).expect("not zero");
        while client.is_handshaking() {
            client.complete_io(&mut stream).map_err(|error| {
                let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
                inner.unwrap_or_else(|| panic!("no alert: {error}")).clone()
            })?;
        }
        Ok(StreamOwned::new(client, stream))
    }

    /// One connection of HTTP/1.1.
    pub(super) fn http11(&self) -> Tls {
        self.tls(self.client_tls(&TLS13, &[b"http/1.1"]), SERVER_NAME).expect("a handshake")
    }

    /// What curl prints, of an answer or of why there is none.
    pub(super) fn curl(&self, arguments: &[&str], path: &str) -> String {
        let (name, port) = (SERVER_NAME, self.port);
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*"])
            .args(["--path-as-is", "--cacert"])
            .arg(&self.credentials.authority)
            .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
            .args(arguments)
            .arg(format!("https://{name}:{port}{path}"))
            .output()
            .expect("curl is installed");
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(super) fn refused(&self, reason: &str) -> u64 {
        let name = format!(r#"landfast_tcp_refused_total{{port="https",reason="{reason}"}}"#);
        self.sample(&name).expect("a sample").parse().expect("a number")
    }
}

/// The head of an answer by HTTP/1.1, and its content, which has a length.
fn answer(stream: &mut Tls) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.expect("a length").parse().expect("a number");
    let mut content = vec![0; length];
    stream.read_exact(&mut content).expect("all of it");
    (head, content)
}

#[test]
fn curl_is_answered_by_each_version_and_told_of_http3() {
    let edge = Edge::by_tcp();
    for (option, version, protocol) in
        [("--http2", "HTTP/2 ", "h2"), ("--http1.1", "HTTP/1.1 ", "http/1.1")]
    {
        for tls in ["1.2", "1.3"] {
            let said = edge.curl(&[option, "--tls-max", tls, "--include"], "/");
            let (head, body) = said.split_once("\r\n\r\n").expect("both");
            assert!(head.starts_with(&format!("{version}200")), "{said}");
            let alt_svc = format!("alt-svc: h3=\":{}\"; ma=86400", edge.port);
            assert!(head.lines().any(|line| line == alt_svc), "{head}");
            let dates = head.lines().filter(|line| line.starts_with("date: ")).count();
            assert_eq!(dates, 1, "{head}");
            let identity: Identity = serde_json::from_str(body).expect("JSON");
            assert_eq!((identity.name.as_str(), identity.protocol.as_str()), ("here", protocol));
            assert_eq!(identity.client.ip(), Ipv4Addr::LOCALHOST);
        }
        let length = "%{http_code} %{size_download}";
        let quiet = [option, "--output", "/dev/null", "--write-out", length];
        assert_eq!(edge.curl(&quiet, "/bytes/30000000"), "200 30000000");
        assert_eq!(edge.curl(&[&quiet[..], &["--head"]].concat(), "/bytes/1000"), "200 0");
        // Longer than what we read of it, and than any window.
        let upload = edge.path("upload");
        std::fs::write(&upload, vec![b'a'; 3 << 20]).expect("written");
        let posted = format!("@{upload}");
        let post = [&quiet[..], &["--data-binary", &posted]].concat();
        assert!(edge.curl(&post, "/").starts_with("405 "), "{option}");
        let short = [&quiet[..], &["--data-binary", "a=b"]].concat();
        assert!(edge.curl(&short, "/").starts_with("405 "), "{option}");
    }
    let requests = |version: &str| {
        let name = |worker| {
            format!(r#"landfast_tcp_requests_total{{version="{version}",worker="{worker}"}}"#)
        };
        let count = |worker| {
            edge.sample(&name(worker)).expect("a sample").parse::<u64>().expect("a number")
        };
        count(0) + count(1)
    };
    assert_eq!((requests("h2"), requests("http/1.1")), (6, 6));
}

/// RFC 7301 section 3.2, RFC 9113 section 3.2.
#[test]
fn alpn_says_what_is_spoken_and_nothing_else_is() {
    let edge = Edge::by_tcp();
    let unknown = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [
            (&[][..], Ok(None)),
            (&[&b"http/1.1"[..]], Ok(Some(&b"http/1.1"[..]))),
            (&[b"h2"], Ok(Some(b"h2"))),
            (&[b"http/1.1", b"h2"], Ok(Some(b"h2"))),
            (&[b"h3", b"h2"], Ok(Some(b"h2"))),
            (&[b"h3"], Err(&unknown)),
            (&[b"http/1.0", b"spdy/3"], Err(&unknown)),
        ] {
            let met = edge.tls(edge.client_tls(version, offered), SERVER_NAME);
            let met = met.as_ref().map(|stream| stream.conn.alpn_protocol());
            assert_eq!(met, chosen, "{offered:?}");
        }
        // RFC 8737: there is no answer, and nothing else is served, whatever else is offered.
        for offered in [&[&b"acme-tls/1"[..]][..], &[b"h2", b"acme-tls/1"]] {
            let refused = edge.tls(edge.client_tls(version, offered), SERVER_NAME);
            let Err(refused) = refused else { panic!("there is no answer") };
            assert!(matches!(refused, rustls::Error::AlertReceived(_)) && refused != unknown);
        }
    }
    let protocol = r#"landfast_tcp_refused_total{port="tls",reason="protocol"}"#;
    assert_eq!(edge.sample(protocol).as_deref(), Some("4"));
    let unknown = r#"landfast_challenges_total{kind="tls-alpn-01",result="unknown"}"#;
    assert_eq!(edge.sample(unknown).as_deref(), Some("4"));
}

/// As by QUIC.
#[test]
fn a_name_without_certificate_is_refused_where_there_is_no_default() {
    let mut edge = Edge::new();
    edge.listen_by_tcp();
    edge.change_config("tls = {", r#"tls = { unknown_names = "refuse","#);
    edge.start();
    let refused = edge.tls(edge.client_tls(&TLS13, &[b"h2"]), "other.test");
    assert!(matches!(refused, Err(rustls::Error::AlertReceived(_))));
    let unknown = r#"landfast_names_refused_total{reason="unknown"}"#;
    assert_eq!(edge.sample(unknown).as_deref(), Some("1"));
    edge.tls(edge.client_tls(&TLS13, &[b"h2"]), SERVER_NAME).expect("served");
}

/// RFC 9110 section 15.5.20, RFC 9113 section 8.3.1.
#[test]
fn a_request_for_another_host_is_misdirected_and_one_for_none_is_bad() {
    let edge = Edge::by_tcp();
    for option in ["--http2", "--http1.1"] {
        let status = |host: &str| {
            let header = format!("Host: {host}");
            let head = edge.curl(&[option, "--head", "--header", &header], "/");
            let status = head.split(' ').nth(1).expect("a status").to_owned();
            (status, head.contains("alt-svc"))
        };
        assert_eq!(status(SERVER_NAME), ("200".to_owned(), true));
        assert_eq!(status("other.test"), ("421".to_owned(), false), "{option}");
        assert_eq!(status("127.0.0.1"), ("421".to_owned(), false));
        assert_eq!(status("u@landfast.test"), ("400".to_owned(), true));
        let target = edge.curl(&[option, "--head"], "//landfast.test/");
        assert_eq!(target.split(' ').nth(1), Some("400"), "{target}");
    }
    for (reason, count) in [("unknown_name", 4), ("host", 2), ("target", 2)] {
        assert_eq!(edge.refused(reason), count, "{reason}");
    }
}

/// What would leave hyper in doubt where the next request begins ends the connection.
#[test]
fn a_connection_of_http11_is_kept_where_the_request_has_ended_and_closed_where_not() {
    let edge = Edge::by_tcp();
    let mut stream = edge.http11();
    let host = format!("Host: {SERVER_NAME}\r\n");
    for request in [
        format!("GET / HTTP/1.1\r\n{host}\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        format!("GET https://{SERVER_NAME}/ HTTP/1.1\r\n{host}\r\n"),
    ] {
        stream.write_all(request.as_bytes()).expect("sent");
        let (head, _) = answer(&mut stream);
        assert!(!head.contains("connection: close"), "{request}: {head}");
    }
    let closed = [
        (format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"), "200"),
        // The client may send its content or not, now that it has its answer.
        (
            format!("POST / HTTP/1.1\r\n{host}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
            "405",
        ),
        (format!("CONNECT {SERVER_NAME}:443 HTTP/1.1\r\n{host}\r\n"), "405"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\n"), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".into(), "400"),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n".into(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "x: y\r\n".repeat(300)), "431"),
        (format!("GET / HTTP/1.1\r\n{host}x: {}\r\n\r\n", "y".repeat(80_000)), "431"),
        // Two lengths (RFC 9112 sections 6.1 and 6.3).
        (
            format!(
                "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            "400",
        ),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}x : y\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}x: y\r\n z\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}x: y\0z\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}x: y\rz\r\n\r\n"), "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), ""),
    ];
    for (request, status) in closed {
        let mut stream = edge.http11();
        let then = format!("{request}GET /bytes/77 HTTP/1.1\r\n{host}\r\n");
        // It may be closed before all of it was sent.
        let _ = stream.write_all(then.as_bytes());
        let mut said = Vec::new();
        // The end may be a reset, where not all of it was read.
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.split(' ').nth(1).unwrap_or(""), status, "{request:.200}: {said:.200}");
        assert_eq!(
            said.matches("HTTP/1.1 ").count(),
            usize::from(!status.is_empty()),
            "{said:.500}"
        );
    }
}

/// RFC 9113 section 6.8: the first GOAWAY refuses nothing, the second says what was answered.
#[tokio::test]
async fn a_drain_lets_http2_end_its_requests_and_refuses_new_ones() {
    const BYTES: usize = 20_000_000;
    let mut edge = Edge::by_tcp();
    let (mut requests, connection) = h2(&edge).await;
    let (idle, idle_connection) = h2(&edge).await;
    let ended = tokio::spawn(connection);
    let (response, _) = requests.send_request(get(&format!("/bytes/{BYTES}")), true).expect("sent");
    let mut body = response.await.expect("begun").into_body();
    edge.signal(Signal::SIGTERM);
    // The one without requests is over at once; the client closes what was closed.
    idle_connection.await.expect("a good end");
    drop(idle);
    let refused = async {
        loop {
            match requests.clone().ready().await {
                Err(error) => return error,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(refused.await.reason(), Some(h2::Reason::NO_ERROR));
    let mut received = 0;
    while let Some(chunk) = body.data().await {
        let chunk = chunk.expect("the rest");
        body.flow_control().release_capacity(chunk.len()).expect("ours");
        received += chunk.len();
    }
    assert_eq!(received, BYTES);
    drop(requests);
    ended.await.expect("no panic").expect("a good end");
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
    assert!(!edge.log().contains("cut off"), "{}", edge.log());
}

fn get(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://{SERVER_NAME}{path}")).body(()).expect("a request")
}

type Connection =
    h2::client::Connection<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, Bytes>;

/// A connection of h2's, to be polled.
async fn h2(edge: &Edge) -> (h2::client::SendRequest<Bytes>, Connection) {
    let tls = Arc::new(edge.client_tls(&TLS13, &[b"h2"]));
    let stream = tokio::net::TcpStream::connect(edge.address()).await.expect("somebody listens");
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await;
    h2::client::handshake(stream.expect("a handshake")).await.expect("HTTP/2")
}

/// RFC 9112 section 9.6.
#[test]
fn a_drain_lets_http11_end_its_answer_and_closes_who_has_none() {
    const BYTES: usize = 20_000_000;
    let mut edge = Edge::by_tcp();
    let (mut busy, mut idle) = (edge.http11(), edge.http11());
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
    idle.write_all(request("/").as_bytes()).expect("sent");
    assert!(answer(&mut idle).0.starts_with("HTTP/1.1 200 "));
    busy.write_all(request(&format!("/bytes/{BYTES}")).as_bytes()).expect("sent");
    let mut begun = [0; 12];
    busy.read_exact(&mut begun).expect("begun");
    edge.signal(Signal::SIGTERM);
    assert_eq!(idle.read(&mut begun).expect("an end that is said"), 0);
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).expect("the rest, and an end that is said");
    let head = rest.windows(4).position(|part| part == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(rest.len() - head, BYTES);
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
}

/// What the deadline cuts off is counted, by either version.
#[tokio::test]
async fn a_drain_that_is_too_short_says_what_it_cut_of_tcp() {
    let mut edge = Edge::new();
    edge.listen_by_tcp();
    edge.change_config("drain_seconds = 20", "drain_seconds = 1");
    edge.start();
    let mut held = edge.http11();
    let request = format!("GET /bytes/1000000000 HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
    held.write_all(request.as_bytes()).expect("sent");
    held.read_exact(&mut [0; 12]).expect("begun");
    let (mut requests, connection) = h2(&edge).await;
    tokio::spawn(connection);
    let (response, _) = requests.send_request(get("/bytes/1000000000"), true).expect("sent");
    let _body = response.await.expect("begun");
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
    let warning = "requests were cut off: the drain was too short requests=2 drain_seconds=1";
    assert!(edge.log().contains(warning), "{}", edge.log());
}

/// The kernel spreads them, and each worker answers what it took.
#[test]
fn connections_by_tcp_are_spread_over_the_workers() {
    let edge = Edge::by_tcp();
    let mut workers = HashSet::new();
    let mut connections = Vec::new();
    // That all of them go to one of two workers is less likely than one in a billion billions.
    for _ in 0..64 {
        let mut stream = edge.http11();
        let request = format!("GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let (_, body) = answer(&mut stream);
        workers.insert(serde_json::from_slice::<Identity>(&body).expect("JSON").worker);
        connections.push(stream);
    }
    assert_eq!(workers.len(), 2);
    let open = |worker| edge.sample(&format!(r#"landfast_tcp_connections{{worker="{worker}"}}"#));
    let open =
        [0, 1].map(|worker| open(worker).expect("a sample").parse::<u64>().expect("a number"));
    assert_eq!(open.iter().sum::<u64>(), 64);
    drop(connections);
    let sum = || {
        let open =
            |worker: u8| edge.sample(&format!(r#"landfast_tcp_connections{{worker="{worker}"}}"#));
        [0, 1].map(|worker| open(worker).unwrap_or_default()).join(" ")
    };
    eventually("all are gone", || sum() == "0 0", || edge.log());
}

/// A ticket of one worker is taken by the other: they are the fleet's.
#[test]
fn sessions_are_resumed_over_tcp() {
    let edge = Edge::by_tcp();
    for version in [&TLS12, &TLS13] {
        let config = edge.client_tls(version, &[b"http/1.1"]);
        let kinds: Vec<_> = (0..4)
            .map(|_| {
                let mut stream = edge.tls(config.clone(), SERVER_NAME).expect("a handshake");
                let request = format!("GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
                stream.write_all(request.as_bytes()).expect("sent");
                answer(&mut stream);
                stream.conn.handshake_kind()
            })
            .collect();
        assert!(matches!(kinds[0], Some(rustls::HandshakeKind::Full)), "{kinds:?}");
        let resumed = |kind: &Option<_>| matches!(kind, Some(rustls::HandshakeKind::Resumed));
        assert!(kinds[1..].iter().all(resumed), "{kinds:?}");
    }
}
