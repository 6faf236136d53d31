//! Whoever attacks by HTTP/3 is ended, too, and holds little of the edge's memory; a good client
//! beside it is answered all the while.

use edge_user::limits;
use quinn::{Connection, Endpoint, VarInt};
use tests::credentials::SERVER_NAME;
use tests::memory::Memory;
use tests::origin::Origin;
use tests::{http3, raw};

use super::{ATTACKERS, CONNECTION_BYTES, Edge};

/// H3_EXCESSIVE_LOAD (RFC 9114 section 8.1).
const EXCESSIVE_LOAD: u64 = 0x107;
/// H3_REQUEST_CANCELLED.
const CANCELLED: VarInt = VarInt::from_u32(0x10c);

pub(super) struct Scene {
    pub(super) edge: Edge,
    origin: Origin,
    good: (Endpoint, Connection),
    memory: Memory,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let origin = Origin::answering(200, "good").expect("a port");
        Self::of(Edge::in_front_of(&origin, ""), origin).await
    }

    async fn of(edge: Edge, origin: Origin) -> Self {
        let good = connect(&edge, quinn::TransportConfig::default()).await;
        let memory = edge.memory();
        let mut scene = Self { edge, origin, good, memory };
        scene.good_is_answered().await;
        scene.memory = scene.edge.memory();
        scene
    }

    pub(super) async fn good_is_answered(&self) {
        let answer = raw::ask(&self.good.1, "/good").await.read_to_end(10_000).await;
        assert!(answer.expect("an answer").ends_with(b"good"));
        self.memory.is_within(CONNECTION_BYTES, "one attacker");
    }

    pub(super) fn refused(&self, reason: &str) -> u64 {
        let of = |worker: u8| {
            let name =
                format!(r#"landfast_http3_refused_total{{reason="{reason}",worker="{worker}"}}"#);
            self.edge.sample(&name).expect("a sample").parse::<u64>().expect("a number")
        };
        of(0) + of(1)
    }

    /// A new attacker does this until it is ended for `reason`, and then another one. Says how often
    /// the last one did.
    async fn attack(
        &self,
        reason: &str,
        mut attack: impl AsyncFnMut(&Connection, usize) -> Option<()>,
    ) -> usize {
        let before = self.refused(reason);
        let mut turns = 0;
        for _ in 0..ATTACKERS {
            let transport = quinn::TransportConfig::default();
            let (_endpoint, connection) = connect(&self.edge, transport).await;
            turns = 0;
            while attack(&connection, turns).await.is_some() {
                turns += 1;
                assert!(turns < 1 << 20, "{reason}: it has no end");
            }
            let quinn::ConnectionError::ApplicationClosed(close) = connection.closed().await else {
                panic!("{reason}: closed without a word")
            };
            assert_eq!(close.error_code.into_inner(), EXCESSIVE_LOAD, "{reason}");
        }
        assert_eq!(self.refused(reason), before + ATTACKERS as u64, "{reason}");
        self.good_is_answered().await;
        turns
    }

    /// Writes these bytes to a unidirectional stream over and over.
    async fn flood(&self, reason: &str, start: &[u8], more: &[u8]) {
        let mut stream = None;
        let (start, more) = (start.to_vec(), more.repeat(100));
        self.attack(reason, async |connection, turn| {
            if turn == 0 {
                let mut opened = connection.open_uni().await.ok()?;
                opened.write_all(&start).await.ok()?;
                stream = Some(opened);
            }
            stream.as_mut()?.write_all(&more).await.ok()
        })
        .await;
    }
}

pub(super) async fn connect(
    edge: &Edge,
    transport: quinn::TransportConfig,
) -> (Endpoint, Connection) {
    let mut config = http3::client_config(&edge.credentials.authority_der).expect("trusted");
    config.transport_config(std::sync::Arc::new(transport));
    let endpoint = http3::endpoint(std::net::Ipv4Addr::LOCALHOST.into(), config).expect("a socket");
    let connecting = endpoint.connect(edge.address(), SERVER_NAME).expect("a config");
    let connection = connecting.await.expect("a handshake");
    (endpoint, connection)
}

/// CVE-2023-44487, and CVE-2025-8671: what the client takes back, and what we must reset.
#[tokio::test]
async fn requests_that_come_to_nothing_end_the_connection() {
    let scene = Scene::new().await;
    let taken_back = scene
        .attack("resets", async |connection, _| {
            let (mut send, mut receive) = connection.open_bi().await.ok()?;
            send.write_all(&raw::get("/good")).await.ok()?;
            send.reset(CANCELLED).ok()?;
            receive.stop(CANCELLED).ok()
        })
        .await;
    assert!(taken_back >= limits::CLIENT_RESETS_AT_ONCE as usize, "{taken_back}");
    let malformed = raw::request("GET", SERVER_NAME, "/good", &[("connection", "close")]);
    let malformed = scene
        .attack("resets", async |connection, _| {
            let (mut send, _receive) = connection.open_bi().await.ok()?;
            send.write_all(&malformed).await.ok()
        })
        .await;
    assert!(malformed >= limits::CLIENT_RESETS_AT_ONCE as usize, "{malformed}");
    let requests = ATTACKERS * limits::CLIENT_RESETS_AT_ONCE as usize;
    assert!(scene.origin.sent().len() < requests, "connections to the origin are kept");
}

/// RFC 9114 section 10.5, RFC 9204 section 7.3.
#[tokio::test]
async fn frames_and_streams_of_no_use_end_the_connection() {
    let scene = Scene::new().await;
    let control = [0x00, 0x04, 0x00];
    scene.flood("control", &control, &raw::frame(0x21, b"")).await;
    scene.flood("control", &control, &raw::frame(0x0d, &[9])).await;
    scene.flood("control", &control, &raw::frame(0xf_0700, b"\0u=1")).await;
    scene.flood("control", &[0x02], &[0x20]).await;
    scene.flood("control", &[0x03], &[0x44]).await;
    scene
        .attack("control", async |connection, _| {
            let mut stream = connection.open_uni().await.ok()?;
            // It may be told to stop before.
            let _ = stream.write_all(&[0x21, 1]).await;
            let _ = stream.finish();
            Some(())
        })
        .await;
}

#[tokio::test]
async fn data_without_content_ends_the_request() {
    let scene = Scene::new().await;
    let (mut send, mut receive) = scene.good.1.open_bi().await.expect("allowed");
    send.write_all(&raw::request("POST", SERVER_NAME, "/empty", &[])).await.expect("sent");
    let empty = raw::frame(0x00, b"").repeat(limits::MAX_EMPTY_FRAMES as usize + 1);
    let _ = send.write_all(&empty).await;
    let reset = receive.read_to_end(1000).await.expect_err("no answer");
    let code = VarInt::from_u64(EXCESSIVE_LOAD).expect("it is one");
    assert_eq!(reset, quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)));
    assert_eq!(scene.refused("flood"), 1);
    scene.good_is_answered().await;
}

/// A byte, and then nothing: by each version it is given up after the origin's idle time.
#[tokio::test]
async fn content_that_does_not_come_is_given_up() {
    use std::io::{Read as _, Write as _};
    use tests::http2::{END_HEADERS, frame, kind, request};
    let origin = Origin::answering(200, "good").expect("a port");
    let edge = Edge::in_front_of(&origin, "idle_timeout_seconds = 1");
    let scene = Scene::of(edge, origin).await;

    let mut http11 = scene.edge.http11();
    let head = format!("POST /slow1 HTTP/1.1\r\nHost: {SERVER_NAME}\r\nContent-Length: 9\r\n\r\na");
    http11.write_all(head.as_bytes()).expect("sent");
    let mut http2 = super::attacker(&scene.edge);
    let block = request("POST", "/slow2", &[("content-length", "9")]);
    http2.send(&frame(kind::HEADERS, END_HEADERS, 1, &block)).expect("sent");
    http2.send(&frame(kind::DATA, 0, 1, b"a")).expect("sent");
    let (mut send, mut receive) = scene.good.1.open_bi().await.expect("allowed");
    let head = raw::request("POST", SERVER_NAME, "/slow3", &[("content-length", "9")]);
    send.write_all(&[head, vec![0x00, 0x09, b'a']].concat()).await.expect("sent");
    scene.good_is_answered().await;

    let mut said = Vec::new();
    let _ = http11.read_to_end(&mut said);
    assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
    let answer = http2.next_of(kind::HEADERS).expect("an answer");
    assert_eq!(answer.stream, 1);
    let answer = receive.read_to_end(10_000).await.expect("an answer");
    assert!(String::from_utf8_lossy(&answer).contains("408"), "{answer:02x?}");
    scene.good_is_answered().await;
}
