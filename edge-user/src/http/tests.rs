//! Clients over TCP that keep us waiting. The clock stands still until everybody waits for it.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as Deadline};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::Instant;

use super::client::{Client, Hosting};
use super::*;
use crate::config::UnknownNames;
use crate::limits;
use crate::tcp::connections::{Bounds, Connections, Seat};
use crate::tcp::stream::Stream;
use crate::tcp::tally::{Refusal, Tally};
use crate::tls::live::samples;

/// What a socket holds of what is not read.
const SOCKET_BYTES: usize = 16 << 10;
const NAME: &str = "a.example";
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4711);

struct Server {
    hosting: Rc<Hosting>,
    connections: Rc<Connections>,
    tally: Arc<Tally>,
    drain: watch::Sender<Option<Deadline>>,
}

impl Server {
    fn new() -> Self {
        let place = Place {
            own: ServerId { node: 1, worker: 0, generation: 3 },
            name: "ams1".into(),
            site: "ams".into(),
            requests: Rc::default(),
            cut: Cell::default(),
            date: Default::default(),
            port: 443,
            encoder: Default::default(),
            distributions: Default::default(),
            open_files: crate::proxy::files::read::OpenFiles::at_most(9),
            certificates: Arc::new(samples::live(UnknownNames::Refuse, &[&[NAME]])),
            covered: Default::default(),
            refused: Default::default(),
            access_log: None,
        };
        let tally = Arc::<Tally>::default();
        let bounds = Bounds { connections: 9, handshakes: 9 };
        let connections = Connections::new(bounds, tally.clone());
        let watched = connections.clone();
        spawn_local(async move { watched.watch().await });
        let hosting = Rc::new(Hosting::new(Rc::new(place), tally.clone(), 443));
        Self { hosting, connections, tally, drain: watch::Sender::new(None) }
    }

    /// A connection of this version, and the client's end of it.
    fn connect(&self, version: Version) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(SOCKET_BYTES);
        let seat = self.connections.admit().expect("room");
        let client =
            Client { hosting: self.hosting.clone(), address: CLIENT, name: Some(NAME.into()) };
        let (stream, drain) =
            (Stream::new(ours, seat.pulse(), Default::default()), self.drain.subscribe());
        match version {
            Version::Http2 => spawn_local(h2::serve(stream, client, seat, drain)),
            _ => spawn_local(h1::serve(stream, client, seat, drain)),
        };
        theirs
    }

    /// Takes all other places, so that whoever has no request is asked to leave.
    fn crowd(&self) -> Vec<Seat> {
        let mut others = Vec::new();
        while self.refused(Refusal::HttpsCrowdedOut) == 0 {
            others.push(self.connections.admit().expect("somebody makes way"));
        }
        others
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.tally.refused(refusal)
    }
}

async fn locally<F: Future>(future: F) -> F::Output {
    LocalSet::new().run_until(future).await
}

/// Waits for the end of a connection: what comes before it, and how long it took.
async fn end(stream: &mut DuplexStream) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("a pipe does not fail");
    (rest, begun.elapsed())
}

fn about(took: Duration, expected: Duration) -> bool {
    (expected..=expected + 2 * limits::TCP_LOOK_EVERY).contains(&took)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_ends_the_connection() {
    locally(async {
        let server = Server::new();
        for (version, begun) in [
            (Version::Http11, &b"GET / HTTP/1.1\r\nHost: a.ex"[..]),
            (Version::Http2, b""),
            (Version::Http2, b"PRI * HTTP/2.0\r\n\r\n"),
            (Version::Http2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x01\x01\0\0\0\0\x01\x82"),
        ] {
            let before = server.refused(Refusal::HttpsSlow);
            let mut stream = server.connect(version);
            stream.write_all(begun).await.expect("there is room");
            let (_, took) = end(&mut stream).await;
            assert!(about(took, limits::REQUEST_HEAD_WITHIN), "{begun:?}: {took:?}");
            assert_eq!(server.refused(Refusal::HttpsSlow), before + 1, "{begun:?}");
        }
    })
    .await;
}

/// A byte now and then is not enough.
#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_ends_the_connection() {
    locally(async {
        let server = Server::new();
        let (mut reader, mut writer) = tokio::io::split(server.connect(Version::Http11));
        let trickle = async {
            for byte in GET.as_bytes() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if writer.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        };
        let mut said = Vec::new();
        let (_, read) = tokio::join!(trickle, reader.read_to_end(&mut said));
        assert_eq!(read.expect("an end"), 0);
        assert_eq!(server.refused(Refusal::HttpsSlow), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_and_is_not_counted() {
    locally(async {
        let server = Server::new();
        let mut stream = server.connect(Version::Http11);
        stream.write_all(GET.as_bytes()).await.expect("there is room");
        let (said, took) = end(&mut stream).await;
        assert!(said.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(about(took, limits::TCP_IDLE_WITHIN), "{took:?}");

        let (mut requests, connection) = http2(server.connect(Version::Http2), |_| {}).await;
        let ended = spawn_local(connection);
        get(&mut requests, "/").await.expect("an answer");
        let begun = Instant::now();
        // GOAWAY without an error is no error.
        ended.await.expect("no panic").expect("a good end");
        assert!(about(begun.elapsed(), limits::TCP_IDLE_WITHIN), "{:?}", begun.elapsed());
        assert!(Refusal::ALL.iter().all(|refusal| server.refused(*refusal) == 0));
    })
    .await;
}

/// Who never reads holds a connection for no longer than who is gone.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_ends_the_connection() {
    locally(async {
        let server = Server::new();
        let request = GET.replace(" / ", " /bytes/1000000 ");
        let mut stream = server.connect(Version::Http11);
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await.expect("there is room");
        std::future::poll_fn(|cx| server.connections.poll_over(cx)).await;
        assert!(about(begun.elapsed(), limits::PROGRESS_WITHIN), "{:?}", begun.elapsed());
        assert_eq!(server.refused(Refusal::HttpsStalled), 1);
    })
    .await;
}

/// Who is asked to leave, and had just sent a request, has no more time than others.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_ends_a_connection_that_was_asked_to_leave() {
    locally(async {
        let server = Server::new();
        let mut stream = server.connect(Version::Http11);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let request = GET.replace(" / ", " /bytes/1000000 ");
        stream.write_all(request.as_bytes()).await.expect("there is room");
        drop(server.crowd());
        let over = std::future::poll_fn(|cx| server.connections.poll_over(cx));
        tokio::time::timeout(2 * limits::PROGRESS_WITHIN, over).await.expect("an end");
        assert!(about(begun.elapsed(), limits::PROGRESS_WITHIN), "{:?}", begun.elapsed());
        assert_eq!(server.refused(Refusal::HttpsStalled), 1);
    })
    .await;
}

/// RFC 9113 section 6.8. It keeps quiet about the PING that follows the GOAWAY.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_asked_to_leave_ends_with_its_last_request() {
    locally(async {
        let server = Server::new();
        let mut stream = server.connect(Version::Http2);
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("room");
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.expect("room");
        tokio::time::sleep(Duration::from_secs(1)).await;
        // HEADERS of stream 1: GET, https, :path and :authority.
        stream.write_all(b"\0\0\x1d\x01\x05\0\0\0\x01").await.expect("room");
        stream.write_all(b"\x82\x87\x04\x0e/bytes/1000000\x41\x09a.example").await.expect("room");
        let _others = server.crowd();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.hosting.http2.get(), 1);
        // RST_STREAM of stream 1: CANCEL.
        stream.write_all(b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08").await.expect("room");
        let ended = tokio::time::timeout(2 * limits::TCP_IDLE_WITHIN, end(&mut stream)).await;
        let (said, took) = ended.expect("an end");
        assert!(took < Duration::from_secs(1), "{took:?}");
        // GOAWAY is of type 7, its last stream 1, its error none.
        assert_eq!(said[said.len() - 14], 7);
        assert_eq!(said[said.len() - 8..], [0, 0, 0, 1, 0, 0, 0, 0]);
    })
    .await;
}

/// A window that never opens holds its stream for so long, and the connection not at all.
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_window_is_given_up_and_the_connection_goes_on() {
    locally(async {
        let server = Server::new();
        let stream = server.connect(Version::Http2);
        let no_window = |builder: &mut ::h2::client::Builder| {
            builder.initial_window_size(0);
        };
        let (mut requests, connection) = http2(stream, no_window).await;
        spawn_local(connection);
        let (answer, _) = requests.send_request(request("/bytes/10"), true).expect("sent");
        let mut body = answer.await.expect("a head").into_body();
        let begun = Instant::now();
        let error = body.data().await.expect("an end").expect_err("not as it should");
        assert_eq!(error.reason(), Some(::h2::Reason::CANCEL));
        assert!(about(begun.elapsed(), limits::PROGRESS_WITHIN));
        assert_eq!(server.refused(Refusal::HttpsStalled), 1);
        let mut head = request("/bytes/10");
        *head.method_mut() = http::Method::HEAD;
        let (answer, _) = requests.send_request(head, true).expect("sent");
        assert_eq!(answer.await.expect("an answer").status(), 200);
    })
    .await;
}

/// The answer does not depend on what comes too slowly: it is given, and the rest not waited for.
#[tokio::test(start_paused = true)]
async fn content_that_does_not_end_is_not_waited_for() {
    locally(async {
        let server = Server::new();
        let mut stream = server.connect(Version::Http11);
        let begun = GET.replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n1234");
        stream.write_all(begun.as_bytes()).await.expect("there is room");
        let (said, took) = end(&mut stream).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("connection: close"));
        assert!(about(took, limits::DISCARD_WITHIN), "{took:?}");

        let (mut requests, connection) = http2(server.connect(Version::Http2), |_| {}).await;
        spawn_local(connection);
        let (answer, mut content) = requests.send_request(request("/"), false).expect("sent");
        assert_eq!(answer.await.expect("an answer at once").status(), 200);
        let begun = Instant::now();
        let reason = std::future::poll_fn(|cx| content.poll_reset(cx)).await.expect("told to stop");
        assert_eq!(reason, ::h2::Reason::NO_ERROR);
        assert!(about(begun.elapsed(), limits::DISCARD_WITHIN));
    })
    .await;
}

/// A client that does not answer the PING of a drain is waited for no longer than one that does.
#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_who_says_nothing() {
    locally(async {
        let server = Server::new();
        let mut stream = server.connect(Version::Http2);
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .expect("room");
        let mut idle = server.connect(Version::Http11);
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.drain.send_replace(Some(Deadline::now() + Duration::from_secs(3600)));
        assert_eq!(end(&mut idle).await.1, Duration::ZERO);
        let (said, took) = end(&mut stream).await;
        assert!(
            (limits::GOAWAY_GRACE_MAX..2 * limits::GOAWAY_GRACE_MAX).contains(&took),
            "{took:?}"
        );
        // GOAWAY is of type 7, and the last frame.
        assert_eq!(said[said.len() - 14], 7);
        std::future::poll_fn(|cx| server.connections.poll_over(cx)).await;
        assert_eq!(server.hosting.place.cut.get(), 0);
    })
    .await;
}

type Requests = ::h2::client::SendRequest<Bytes>;

async fn http2(
    stream: DuplexStream,
    set: impl FnOnce(&mut ::h2::client::Builder),
) -> (Requests, ::h2::client::Connection<DuplexStream, Bytes>) {
    let mut builder = ::h2::client::Builder::new();
    set(&mut builder);
    builder.handshake(stream).await.expect("HTTP/2")
}

fn request(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://{NAME}{path}")).body(()).expect("a request")
}

async fn get(requests: &mut Requests, path: &str) -> io::Result<usize> {
    let sent = requests.send_request(request(path), true).map_err(io::Error::other)?;
    let mut body = sent.0.await.map_err(io::Error::other)?.into_body();
    let mut length = 0;
    while let Some(chunk) = body.data().await {
        length += chunk.map_err(io::Error::other)?.len();
    }
    Ok(length)
}
