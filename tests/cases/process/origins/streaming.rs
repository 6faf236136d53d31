//! Content goes through as it comes: of whatever length, within a bound of memory, and no faster than
//! whoever takes it.

use std::env;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use tests::http2_origin::Http2Origin;
use tests::origin::{Origin, field, path};
use tests::versions::{Exchange, VERSIONS, Version, request};

use super::Edge;
use super::bed::url;

/// What a body may take of memory, whatever its length.
const MOST_BYTES: u64 = 50_000_000;
/// Of one that nobody takes: windows and buffers of both sides.
const MOST_STALLED_BYTES: u64 = 16 << 20;
/// What kernels and windows may hold of one that nobody takes: socket buffers of both sides of both
/// connections, each at most 6 MiB (`tcp_rmem`, `tcp_wmem`).
const MOST_UNDER_WAY_BYTES: u64 = 32 << 20;
static BLOCK: [u8; 64 << 10] = [b'x'; 64 << 10];

/// More than memory may be taken for it; with `--all` what the edge promises.
fn length() -> u64 {
    if env::var_os("LANDFAST_TEST_ALL").is_some() { 10_000_000_000 } else { 64 << 20 }
}

impl Edge {
    /// The program is read as it is needed: what every request needs of it is there afterwards.
    async fn warm_up(&self) {
        for version in VERSIONS {
            for below in ["", "/h2"] {
                download(self, version, below, 1 << 20).await;
                upload(self, version, below, 1 << 20).await;
            }
        }
    }
}

/// Gives as many bytes as the path says, and takes whatever it is sent; counts both.
fn bulk() -> (Origin, Arc<AtomicU64>) {
    let given = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&given);
    let origin = Origin::start(move |visit, _| {
        loop {
            let head = visit.head()?;
            if let Some(length) = field(&head, "content-length") {
                let mut left: u64 = length.parse().expect("a number");
                left -= visit.skip_ahead(left);
                while left > 0 {
                    let mut block = vec![0; left.min(1 << 18) as usize];
                    let length = visit.stream().read(&mut block)?;
                    if length == 0 {
                        return Ok(());
                    }
                    left -= length as u64;
                }
                visit.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            let mut left: u64 = last(path(&head));
            visit.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n"))?;
            while left > 0 {
                let part = left.min(BLOCK.len() as u64);
                visit.send(&BLOCK[..part as usize])?;
                counted.fetch_add(part, Ordering::Relaxed);
                left -= part;
            }
        }
    });
    (origin.expect("a port"), given)
}

/// The number at the end of a path; 0 where there is none.
fn last(path: &str) -> u64 {
    path.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

/// The same by HTTP/2.
fn bulk_by_http2() -> (Http2Origin, Arc<AtomicU64>) {
    let given = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&given);
    let origin = Http2Origin::start(None, move |request: Request<RecvStream>, mut respond| {
        let counted = Arc::clone(&counted);
        async move {
            let mut left: u64 = last(request.uri().path());
            let mut content = request.into_body();
            while let Some(Ok(part)) = content.data().await {
                let _ = content.flow_control().release_capacity(part.len());
            }
            let respond: &mut SendResponse<Bytes> = &mut respond;
            let sent = respond.send_response(Response::new(()), left == 0);
            let Ok(mut stream) = sent else { return };
            while left > 0 {
                stream.reserve_capacity(left.min(BLOCK.len() as u64) as usize);
                let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { return };
                let part = room.min(BLOCK.len()).min(left as usize);
                let _ = stream.send_data(Bytes::from_static(&BLOCK[..part]), left == part as u64);
                counted.fetch_add(part as u64, Ordering::Relaxed);
                left -= part as u64;
            }
        }
    });
    (origin.expect("a port"), given)
}

/// From what is below a path.
async fn download(edge: &Edge, version: Version, below: &str, length: u64) {
    let client = edge.client(version).await;
    let begun = client.begin(request("GET", &format!("{below}/{length}"), &[]), false).await;
    let Exchange { sender: _sender, mut receiver } = begun.expect("begun");
    assert_eq!(receiver.head().await.expect("a head").status(), 200, "{version:?}");
    let mut received = 0;
    while let Some(part) = receiver.part().await.expect("more of it") {
        received += part.len() as u64;
    }
    assert_eq!(received, length, "{version:?}");
}

async fn upload(edge: &Edge, version: Version, below: &str, length: u64) {
    let client = edge.client(version).await;
    let begun = request("POST", &format!("{below}/"), &[("content-length", &length.to_string())]);
    let Exchange { mut sender, receiver } = client.begin(begun, true).await.expect("begun");
    let mut left = length;
    while left > 0 {
        let part = left.min(BLOCK.len() as u64);
        sender.send(Bytes::from_static(&BLOCK[..part as usize])).await.expect("sent");
        left -= part;
    }
    sender.finish(None).await.expect("sent");
    assert_eq!(receiver.answer().await.expect("an answer").status(), 200, "{version:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_length_goes_through_fifty_megabytes() {
    let (origin, _) = bulk();
    let (by_http2, _) = bulk_by_http2();
    let servers = [url(by_http2.address())];
    let edge = Edge::in_front_of_all(&[
        ("app", &[url(origin.address())], ""),
        ("h2", &servers, "protocol = \"h2\""),
    ]);
    edge.warm_up().await;
    let memory = edge.memory();
    for version in VERSIONS {
        for below in ["", "/h2"] {
            download(&edge, version, below, length()).await;
            upload(&edge, version, below, length()).await;
            let peak = memory.peak();
            assert!(peak < MOST_BYTES, "{version:?} {below}: {peak} bytes more than before");
        }
    }
}

/// Waits until a count stays as it is: what follows is said of it, however long that was.
pub(in crate::process) async fn settled(count: &AtomicU64) -> u64 {
    let (mut seen, mut turns) = (count.load(Ordering::Relaxed), 0);
    while turns < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = count.load(Ordering::Relaxed);
        turns = if now == seen && now > 0 { turns + 1 } else { 0 };
        seen = now;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_gives_no_more_than_its_client_takes() {
    const LENGTH: u64 = 100_000_000;
    let (http11, given_by_http11) = bulk();
    let (http2, given_by_http2) = bulk_by_http2();
    let settings = "protocol = \"h2\"";
    let origins = [
        (url(http11.address()), "", given_by_http11),
        (url(http2.address()), settings, given_by_http2),
    ];
    for (server, settings, given) in origins {
        let edge = Edge::in_front_of_all(&[("app", &[server], settings)]);
        for version in VERSIONS {
            let client = edge.client(version).await;
            download(&edge, version, "", 1 << 20).await;
            let memory = edge.memory();
            given.store(0, Ordering::Relaxed);
            let begun = client.begin(request("GET", &format!("/{LENGTH}"), &[]), false).await;
            let mut exchange = begun.expect("begun");
            assert_eq!(exchange.receiver.head().await.expect("a head").status(), 200);
            // It takes nothing.
            let given = settled(&given).await;
            assert!(given < MOST_UNDER_WAY_BYTES, "{version:?} {settings}: {given} bytes");
            let peak = memory.peak();
            assert!(peak < MOST_STALLED_BYTES, "{version:?} {settings}: {peak} bytes more");
            exchange.cancel();
        }
    }
}

/// Takes what is sent to `/taken`, and of anything else the head alone.
fn lazy() -> Origin {
    let origin = Origin::start(|visit, _| {
        let head = visit.head()?;
        if path(&head) == "/taken" {
            visit.content(&head)?;
            return visit.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        std::thread::park_timeout(Duration::from_secs(60));
        Ok(())
    });
    origin.expect("a port")
}

fn lazy_by_http2() -> Http2Origin {
    let origin = Http2Origin::start(None, async |request: Request<RecvStream>, mut respond| {
        let respond: &mut SendResponse<Bytes> = &mut respond;
        if request.uri().path() == "/taken" {
            let _ = respond.send_response(Response::new(()), true);
            return;
        }
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
    });
    origin.expect("a port")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gives_no_more_than_its_origin_takes() {
    let (http11, http2) = (lazy(), lazy_by_http2());
    let settings = "protocol = \"h2\"";
    for (server, settings) in [(url(http11.address()), ""), (url(http2.address()), settings)] {
        let edge = Edge::in_front_of_all(&[("app", &[server], settings)]);
        for version in VERSIONS {
            let client = edge.client(version).await;
            // The program is read as it is needed, and a request needs much of it.
            client.post("/taken", &BLOCK).await.expect("an answer");
            let memory = edge.memory();
            let begun = request("POST", "/", &[("content-length", "100000000")]);
            let mut exchange = client.begin(begun, true).await.expect("begun");
            let sent = Arc::<AtomicU64>::default();
            let counted = Arc::clone(&sent);
            let sending = tokio::spawn(async move {
                while exchange.sender.send(Bytes::from_static(&BLOCK)).await.is_ok() {
                    counted.fetch_add(BLOCK.len() as u64, Ordering::Relaxed);
                }
            });
            let sent = settled(&sent).await;
            assert!(sent < MOST_UNDER_WAY_BYTES, "{version:?} {settings}: {sent} bytes");
            let peak = memory.peak();
            assert!(peak < MOST_STALLED_BYTES, "{version:?} {settings}: {peak} bytes more");
            sending.abort();
        }
    }
}
