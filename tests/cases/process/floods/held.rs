//! Whoever keeps the edge waiting by many connections, in each version, holds of its memory what the
//! bounds give each of them; good clients of every version beside him are answered.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge_user::limits;
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt};
use tests::credentials::SERVER_NAME;
use tests::http2::{field, frame, get, kind, request};
use tests::memory::Memory;
use tests::origin::Origin;
use tests::raw;
use tests::versions::{Client, VERSIONS, Version, request as request_head};

use super::super::origins::streaming::settled;
use super::{Edge, attacker, eventually, http3};

/// Attackers by TCP, with a connection each. Many, so that what each holds is told from what the
/// edge holds anyway.
const BY_TCP: usize = 256;
/// Attackers by QUIC, who may hold more.
const BY_QUIC: usize = 24;
/// Attackers whose requests an origin has, at most one client's share of it.
const WITH_CONTENT: usize = limits::MIN_ORIGIN_SHARE * 2 / 3;
/// What a head that is read may hold: its bytes, and half as many in the buffer that they grew out of.
const HEAD_BYTES: usize = limits::HTTP1_BUFFER_BYTES * 3 / 2;
/// What each field of it may hold that was read: its name and value, and their places in a map.
const FIELD_BYTES: usize = 128;
/// What an answer may hold: a chunk that is read, and one that is written.
const ANSWER_BYTES: usize = limits::BODY_CHUNK_BYTES + limits::STREAM_SEND_BUFFER_BYTES;
/// What a connection over TCP holds beside heads, content and answers: what TLS and HTTP gather.
const TCP_BYTES: usize = 2 * limits::GATHERED_BYTES;
/// What a connection over QUIC holds beside them: twice what an idle one does.
const QUIC_BYTES: usize = 64 << 10;
/// Attackers with as many streams as there may be.
const WITH_STREAMS: usize = 8;
/// Of the file, and of what an origin is sent.
const FILE_BYTES: usize = 4 << 20;
const CONTENT_BYTES: usize = 4 << 20;
static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];

/// An edge that has files and an origin which takes heads and no content.
struct Scene {
    edge: Edge,
    good: Vec<Client>,
    /// Heads that the origin has.
    heads: Arc<AtomicU64>,
    _origin: Origin,
}

impl Scene {
    async fn new() -> Self {
        let heads = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&heads);
        let origin = Origin::start(move |visit, _| {
            visit.head()?;
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::park_timeout(Duration::from_secs(60));
            Ok(())
        });
        let origin = origin.expect("a port");
        let mut edge = Edge::new();
        edge.listen_by_tcp();
        let files = edge.directory.path().join("www");
        std::fs::create_dir(&files).expect("writable");
        std::fs::write(files.join("file"), vec![b'f'; FILE_BYTES]).expect("written");
        edge.distribute(&format!(
            r#"
[[origins]]
name = "lazy"
servers = ["http://{}"]
[[distributions]]
names = ["{SERVER_NAME}"]
[[distributions.behaviours]]
path = "/"
files = {{ root = "{}" }}
[[distributions.behaviours]]
path = "/lazy"
proxy = {{ origin = "lazy" }}
[[distributions.behaviours]]
path = "/good"
respond = {{ body = "good" }}
"#,
            origin.address(),
            files.display(),
        ));
        edge.start();
        let mut good = Vec::new();
        for version in VERSIONS {
            good.push(edge.client(version).await);
        }
        let scene = Self { edge, good, heads, _origin: origin };
        scene.good_are_answered().await;
        scene
    }

    async fn good_are_answered(&self) {
        for client in &self.good {
            let answer = client.get("/good").await.expect("an answer");
            assert_eq!((answer.status(), answer.text().as_str()), (200, "good"));
        }
    }

    /// Requests by this version that were answered, or are being.
    fn answered(&self, version: Version) -> usize {
        let (_, text) = self.edge.get("/metrics").expect("it answers");
        let label = ["http/1.1", "h2", "h3"][version as usize];
        let version = format!("version=\"{label}\"");
        let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
        let of_version = samples.filter(|(sample, _)| {
            sample.starts_with("landfast_distribution_requests_total{") && sample.contains(&version)
        });
        of_version.map(|(_, count)| count.parse::<usize>().expect("a number")).sum()
    }

    /// Waits until the edge has read all that came by TCP: the kernel has nothing of it (proc(5)).
    async fn has_read(&self, _: &Memory) {
        let port = format!(":{:04X}", self.edge.port);
        let unread = || -> usize {
            let tables = ["tcp", "tcp6"].map(|name| format!("/proc/net/{name}"));
            let tables = tables.map(|path| std::fs::read_to_string(path).expect("it is there"));
            let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(|line| {
                let mut columns = line.split_whitespace().skip(1);
                columns.next().filter(|local| local.ends_with(&port))?;
                let (_, unread) = columns.nth(2)?.split_once(':')?;
                usize::from_str_radix(unread, 16).ok()
            });
            sockets.sum()
        };
        eventually("all is read", || unread() == 0, || format!("{} bytes are not", unread()));
    }

    /// Waits until so many more by this version are.
    fn answers(&self, version: Version, count: usize) -> impl AsyncFn(&Memory) {
        // With those that were there before, and one of the good client's.
        let all = self.answered(version) + count + count / 2 + 1;
        async move |_| {
            let has_come = || self.answered(version) >= all;
            eventually("they are answered", has_come, || self.edge.log());
        }
    }

    /// So many attackers are there at one time, beside half as many that were there before, when
    /// `has_come` has returned. Each of them holds `most_bytes` at most.
    async fn attack<T>(
        &self,
        what: &str,
        (count, most_bytes): (usize, usize),
        mut attacker: impl AsyncFnMut() -> T,
        has_come: impl AsyncFn(&Memory),
    ) {
        // These have what the start of the edge has left of memory.
        let mut attackers = Vec::new();
        for _ in 0..count / 2 {
            attackers.push(attacker().await);
        }
        self.good_are_answered().await;
        let memory = self.edge.memory();
        for _ in 0..count {
            attackers.push(attacker().await);
        }
        has_come(&memory).await;
        self.good_are_answered().await;
        memory.is_within(count * most_bytes, what);
    }
}

/// A connection of HTTP/3, and what is kept of it.
struct ByQuic {
    connection: Connection,
    _endpoint: Endpoint,
    streams: Vec<(SendStream, RecvStream)>,
}

impl ByQuic {
    async fn connect(edge: &Edge, transport: TransportConfig) -> Self {
        let (endpoint, connection) = http3::connect(edge, transport).await;
        Self { connection, _endpoint: endpoint, streams: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        let (mut send, receive) = self.connection.open_bi().await.expect("allowed");
        send.write_all(bytes).await.expect("there is room");
        self.streams.push((send, receive));
    }
}

/// Each is nearly as long as it may be.
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_do_not_end_hold_what_a_head_may_have() {
    let text = "a".repeat(limits::MAX_FIELD_SECTION_BYTES as usize - 1000);
    let head = format!("GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\nx: {text}");
    let bound = (BY_TCP, HEAD_BYTES + TCP_BYTES);
    let scene = Scene::new().await;
    let by_http11 = async || {
        let mut stream = scene.edge.http11();
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    };
    scene
        .attack("heads by HTTP/1.1", bound, by_http11, async |it: &Memory| scene.has_read(it).await)
        .await;

    // Of a byte and a byte, which count for 34.
    let count = text.len() / 34;
    let fields = field("x", "y").repeat(count);
    let bound = (BY_TCP, HEAD_BYTES + count * FIELD_BYTES + TCP_BYTES);
    let mut parts = fields.chunks(fields.len().div_ceil(4));
    let start = [request("GET", "/", &[]), parts.next().expect("some").to_vec()].concat();
    let mut head = frame(kind::HEADERS, 0, 1, &start);
    parts.for_each(|part| head.extend(frame(kind::CONTINUATION, 0, 1, part)));
    let scene = Scene::new().await;
    let by_http2 = async || {
        let mut client = attacker(&scene.edge);
        client.send(&head).expect("sent");
        client
    };
    scene
        .attack("heads by HTTP/2", bound, by_http2, async |it: &Memory| scene.has_read(it).await)
        .await;

    let head = raw::request("GET", SERVER_NAME, "/", &[("x", &text)]);
    // One less than there is room for, so that there is some for another request.
    let heads = limits::CONNECTION_RECEIVE_WINDOW_BYTES as usize / head.len() - 1;
    let bound = (BY_QUIC, heads * HEAD_BYTES + QUIC_BYTES);
    let scene = Scene::new().await;
    let by_http3 = async || {
        let mut client = ByQuic::connect(&scene.edge, TransportConfig::default()).await;
        for _ in 0..heads {
            client.send(&head[..head.len() - 1]).await;
        }
        // Behind them: they were read when this is answered.
        let answer = raw::ask(&client.connection, "/good").await.read_to_end(1000).await;
        assert!(answer.expect("an answer").ends_with(b"good"));
        client
    };
    scene.attack("heads by HTTP/3", bound, by_http3, async |_: &Memory| {}).await;
}

/// Of a long one, to an origin that takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn content_that_does_not_end_holds_what_its_window_allows() {
    for version in VERSIONS {
        let most_bytes = limits::STREAM_RECEIVE_WINDOW_BYTES as usize + HEAD_BYTES + QUIC_BYTES;
        let scene = Scene::new().await;
        let sent = Arc::<AtomicU64>::default();
        let attacker = async || {
            let length = (CONTENT_BYTES + 1).to_string();
            let head = request_head("POST", "/lazy", &[("content-length", &length)]);
            let client = scene.edge.client(version).await;
            let mut exchange = client.begin(head, true).await.expect("begun");
            let sent = Arc::clone(&sent);
            let sending = tokio::spawn(async move {
                for _ in 0..CONTENT_BYTES / BLOCK.len() {
                    exchange.sender.send(Bytes::from_static(&BLOCK)).await.expect("it waits");
                    sent.fetch_add(BLOCK.len() as u64, Ordering::Relaxed);
                }
                std::future::pending::<()>().await;
                drop(exchange);
            });
            (client, sending)
        };
        let has_come = async |_: &Memory| {
            let all =
                || scene.heads.load(Ordering::Relaxed) == (WITH_CONTENT + WITH_CONTENT / 2) as u64;
            eventually("the origin has all heads", all, || scene.edge.log());
            let sent = settled(&sent).await;
            assert!(
                sent > 2 * (WITH_CONTENT * most_bytes) as u64,
                "{sent} bytes of content are few"
            );
        };
        let what = format!("content by {version:?}");
        scene.attack(&what, (WITH_CONTENT, most_bytes), attacker, has_come).await;
    }
}

/// A file of which nobody takes anything: by windows that do not open, or by not reading.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_taken_hold_a_chunk_or_two_each() {
    const STREAMS: usize = limits::MAX_REQUEST_STREAMS as usize;
    let asked = format!("GET /file HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n");
    let bound = (BY_TCP, ANSWER_BYTES + TCP_BYTES);
    let scene = Scene::new().await;
    let by_http11 = async || {
        let mut stream = scene.edge.http11();
        stream.write_all(asked.as_bytes()).expect("sent");
        stream
    };
    let has_come = scene.answers(Version::Http11, BY_TCP);
    scene.attack("answers by HTTP/1.1", bound, by_http11, has_come).await;

    let no_window = frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let asked: Vec<_> = (0..STREAMS).flat_map(|turn| get(super::stream(turn), "/file")).collect();
    let bound = (WITH_STREAMS, STREAMS * ANSWER_BYTES + TCP_BYTES);
    let scene = Scene::new().await;
    let by_http2 = async || {
        let mut client = attacker(&scene.edge);
        client.send(&no_window).expect("sent");
        client.is_read().expect("read");
        client.send(&asked).expect("sent");
        client
    };
    let has_come = scene.answers(Version::Http2, WITH_STREAMS * STREAMS);
    scene.attack("windows by HTTP/2", bound, by_http2, has_come).await;

    let bound = (WITH_STREAMS, STREAMS * ANSWER_BYTES + QUIC_BYTES);
    let scene = Scene::new().await;
    let by_http3 = async || {
        let mut transport = TransportConfig::default();
        // There is room for the edge's control streams.
        transport.stream_receive_window(VarInt::from_u32(1000));
        let mut client = ByQuic::connect(&scene.edge, transport).await;
        let asked = raw::get("/file");
        for _ in 0..STREAMS {
            client.send(&asked).await;
        }
        client
    };
    let has_come = scene.answers(Version::Http3, WITH_STREAMS * STREAMS);
    scene.attack("windows by HTTP/3", bound, by_http3, has_come).await;
}
