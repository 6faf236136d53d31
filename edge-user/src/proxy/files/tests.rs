//! Files of a directory, and what is answered from them.

use std::fs;
use std::future::poll_fn;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use tempfile::TempDir;

use super::*;
use crate::http::Version;

struct Site {
    directory: TempDir,
    root: Arc<Root>,
    files: Files,
    open: OpenFiles,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("writable");
        let root = Arc::new(Root::open(directory.path()).expect("there"));
        let files = Files {
            root: directory.path().to_owned(),
            index: Some("index.html".into()),
            append: Append::Path,
            precompressed: vec![Coding::Brotli, Coding::Gzip],
        };
        let site = Self { directory, root, files, open: OpenFiles::at_most(9) };
        site.write("index.html", "<p>home");
        site.write("a.txt", "0123456789");
        site.write("sub/index.html", "<p>sub");
        site
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().expect("below")).expect("writable");
        fs::write(&path, content).expect("written");
        let file = File::options().write(true).open(&path).expect("there");
        // 2023-01-01, and a part of a second that `Last-Modified` has not.
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_672_531_200, 5);
        file.set_modified(time).expect("ours");
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
        fields: &[(HeaderName, &str)],
    ) -> (Response<()>, Vec<u8>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let request = Request {
            method: &method,
            authority: Some("a.example"),
            path,
            query,
            headers: &headers,
            version: Version::Http3,
            client: "203.0.113.9:4711".parse().expect("an address"),
            upgrade: None,
        };
        let path = Path::parse(path).expect("good");
        let pattern = PathPattern::Prefix("/files".into());
        let answered = answer(&self.files, &self.root, &pattern, &path, &self.open, &request).await;
        let (head, body) = answered;
        (head, body.collect().await.expect("readable").to_bytes().to_vec())
    }

    async fn get(&self, target: &str) -> (u16, Vec<u8>) {
        let (head, body) = self.ask(Method::GET, target, &[]).await;
        (head.status().as_u16(), body)
    }
}

fn field(head: &Response<()>, name: HeaderName) -> &str {
    head.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_file_has_its_type_its_validators_and_its_bytes() {
    let site = Site::new();
    let (head, body) = site.ask(Method::GET, "/a.txt", &[]).await;
    assert_eq!((head.status(), &body[..]), (StatusCode::OK, &b"0123456789"[..]));
    assert_eq!(field(&head, header::CONTENT_TYPE), "text/plain; charset=utf-8");
    assert_eq!(field(&head, header::CONTENT_LENGTH), "10");
    assert_eq!(field(&head, header::LAST_MODIFIED), "Sun, 01 Jan 2023 00:00:00 GMT");
    assert_eq!(field(&head, header::ETAG), "\"63b0cd00.5-a\"");
    assert_eq!(field(&head, header::ACCEPT_RANGES), "bytes");
    assert_eq!(field(&head, header::VARY), "accept-encoding");
    let (same, body) = site.ask(Method::HEAD, "/a.txt", &[]).await;
    assert_eq!((same.headers(), body.len()), (head.headers(), 0));
    for (name, media_type) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.JS", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.webp", "image/webp"),
        ("a.unheard-of", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ] {
        assert_eq!(content_type(name), media_type, "{name}");
    }
    let (head, _) = site.ask(Method::POST, "/a.txt", &[]).await;
    assert_eq!((head.status().as_u16(), field(&head, header::ALLOW)), (405, "GET, HEAD"));
}

#[tokio::test]
async fn a_directory_has_an_index_and_no_listing() {
    let mut site = Site::new();
    assert_eq!(site.get("/").await, (200, b"<p>home".to_vec()));
    assert_eq!(site.get("/sub/").await, (200, b"<p>sub".to_vec()));
    let (head, _) = site.ask(Method::GET, "/sub?a=|", &[]).await;
    assert_eq!((head.status().as_u16(), field(&head, header::LOCATION)), (308, "/sub/?a=%7C"));
    fs::create_dir(site.directory.path().join("empty")).expect("writable");
    assert_eq!(site.get("/empty/").await.0, 404);
    site.files.index = None;
    assert_eq!(site.get("/").await.0, 404);
    site.files.append = Append::Rest;
    assert_eq!(site.get("/files/a.txt").await, (200, b"0123456789".to_vec()));
    assert_eq!(site.get("/files").await.0, 308, "or links of its index would lead elsewhere");
    assert_eq!(site.get("/files/").await.0, 404);
}

#[tokio::test]
async fn hidden_files_and_what_stands_beside_nothing_are_not_there() {
    let site = Site::new();
    for name in [".env", ".git/config", "sub/.secret", ".well-known/security.txt", "only.txt.gz"] {
        site.write(name, "x");
    }
    for path in ["/.env", "/.git/config", "/%2eenv", "/sub/.secret", "/only.txt", "/nothing"] {
        assert_eq!(site.get(path).await.0, 404, "{path}");
    }
    assert_eq!(site.get("/.well-known/security.txt").await.0, 200);
}

#[tokio::test]
async fn a_client_gets_the_coding_that_it_takes_and_that_there_is() {
    let site = Site::new();
    site.write("a.txt.br", "brotli");
    site.write("a.txt.gz", "gzip it");
    site.write("b.txt", "b");
    let asked = async |accepts: &str, path: &str| {
        let (head, body) = site.ask(Method::GET, path, &[(header::ACCEPT_ENCODING, accepts)]).await;
        assert_eq!(field(&head, header::CONTENT_TYPE), "text/plain; charset=utf-8");
        assert_eq!(field(&head, header::VARY), "accept-encoding");
        let coding = field(&head, header::CONTENT_ENCODING).to_owned();
        (coding, String::from_utf8(body).expect("text"), field(&head, header::ETAG).to_owned())
    };
    let got = |coding: &str, body: &str, tag: &str| (coding.into(), body.into(), tag.into());
    assert_eq!(asked("gzip, br", "/a.txt").await, got("br", "brotli", "\"63b0cd00.5-6-br\""));
    assert_eq!(asked("gzip", "/a.txt").await, got("gzip", "gzip it", "\"63b0cd00.5-7-gzip\""));
    assert_eq!(asked("zstd", "/a.txt").await, got("", "0123456789", "\"63b0cd00.5-a\""));
    assert_eq!(asked("gzip, br", "/b.txt").await, got("", "b", "\"63b0cd00.5-1\""));
}

#[tokio::test]
async fn conditions_and_ranges_are_answered_in_their_words() {
    let site = Site::new();
    let ask = async |name, value| site.ask(Method::GET, "/a.txt", &[(name, value)]).await;
    let (head, body) = ask(header::RANGE, "bytes=2-4").await;
    assert_eq!((head.status().as_u16(), &body[..]), (206, &b"234"[..]));
    assert_eq!(field(&head, header::CONTENT_RANGE), "bytes 2-4/10");
    assert_eq!(field(&head, header::CONTENT_LENGTH), "3");
    let (head, body) = ask(header::RANGE, "bytes=10-").await;
    assert_eq!((head.status().as_u16(), body.len()), (416, 0));
    assert_eq!(field(&head, header::CONTENT_RANGE), "bytes */10");
    let (head, body) = ask(header::IF_NONE_MATCH, "\"63b0cd00.5-a\"").await;
    assert_eq!((head.status().as_u16(), body.len()), (304, 0));
    assert_eq!(field(&head, header::ETAG), "\"63b0cd00.5-a\"");
    assert_eq!(field(&head, header::VARY), "accept-encoding");
    assert!(!head.headers().contains_key(header::CONTENT_LENGTH));
    assert_eq!(ask(header::IF_MATCH, "\"b\"").await.0.status().as_u16(), 412);
    let (head, _) = site.ask(Method::HEAD, "/a.txt", &[(header::RANGE, "bytes=2-4")]).await;
    assert_eq!((head.status().as_u16(), field(&head, header::CONTENT_LENGTH)), (200, "10"));
}

#[tokio::test]
async fn a_long_file_comes_in_chunks_and_one_that_shrinks_is_cut() {
    let site = Site::new();
    let long: Vec<u8> = (0..3 * limits::BODY_CHUNK_BYTES + 7).map(|at| at as u8).collect();
    site.write("long", &long);
    assert_eq!(site.get("/long").await, (200, long.clone()));
    let (head, body) = site.ask(Method::GET, "/long", &[(header::RANGE, "bytes=5-196600")]).await;
    assert_eq!((head.status().as_u16(), &body[..]), (206, &long[5..=196_600]));

    let permit = site.open.try_one().expect("one of many");
    let file = File::open(site.directory.path().join("long")).expect("there");
    let first = b"first".to_vec();
    let mut body = FileBody::new(Opened::new(file, permit), first, 5, long.len() as u64 - 5);
    let chunk = poll_fn(|cx| body.poll_chunk(cx)).await.expect("more").expect("readable");
    assert_eq!((&chunk[..], body.left()), (&b"first"[..], long.len() as u64 - 5));
    let chunk = poll_fn(|cx| body.poll_chunk(cx)).await.expect("more").expect("readable");
    assert_eq!(chunk, long[5..5 + limits::BODY_CHUNK_BYTES]);
    site.write("long", "short");
    assert!(poll_fn(|cx| body.poll_chunk(cx)).await.expect("more").is_err());
    assert!(poll_fn(|cx| body.poll_chunk(cx)).await.is_none());
}

/// Wherever the file system is, and whoever reads.
#[tokio::test]
async fn whether_the_disk_is_waited_for_changes_no_answer() {
    let mut site = Site::new();
    site.write("a.txt.br", "as brotli");
    let long: Vec<u8> = (0..3 * limits::BODY_CHUNK_BYTES + 7).map(|i| i as u8).collect();
    site.write("long", &long);
    let fields = [(header::ACCEPT_ENCODING, "br")];
    let targets = ["/", "/a.txt", "/sub", "/sub/", "/none", "/a.txt/", "/long"];
    let mut answers = Vec::new();
    for pace in [Pace::Waiting, Pace::AtOnce] {
        let root = Root::open(site.directory.path()).expect("there");
        site.root = Arc::new(if pace == Pace::Waiting { root.slow() } else { root });
        for target in targets {
            let (head, body) = site.ask(Method::GET, target, &fields).await;
            answers.push((target, head.status(), head.headers().clone(), body));
        }
    }
    let (waited, at_once) = answers.split_at(targets.len());
    assert_eq!(waited, at_once);
    let last = at_once.last().expect("there are some");
    assert_eq!((last.1, &last.3), (StatusCode::OK, &long));
}

/// What a client does not take is memory, however short the file is.
#[tokio::test]
async fn an_answer_counts_until_the_client_has_it() {
    let mut site = Site::new();
    site.open = OpenFiles::at_most(1);
    let headers = HeaderMap::new();
    let request = Request {
        method: &Method::GET,
        authority: Some("a.example"),
        path: "/a.txt",
        query: None,
        headers: &headers,
        version: Version::Http3,
        client: "203.0.113.9:4711".parse().expect("an address"),
        upgrade: None,
    };
    let (path, pattern) = (Path::parse("/a.txt").expect("good"), PathPattern::Prefix("/".into()));
    let answered = answer(&site.files, &site.root, &pattern, &path, &site.open, &request).await;
    assert_eq!(site.get("/a.txt").await.0, 503);
    // What HTTP has taken of it and its client has not counts, too.
    let (_, mut body) = answered;
    let on_its_way = body.next_frame().await.expect("there").expect("readable");
    drop(body);
    assert_eq!(site.get("/a.txt").await.0, 503);
    drop(on_its_way);
    assert_eq!(site.get("/a.txt").await.0, 200);
}

/// A thread that waits for a disk, and clients who ask and go away at once: what waits behind them
/// stays within the bound.
#[test]
fn who_goes_away_gives_nothing_back_before_the_disk_has_answered() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_time().build();
    let runtime = runtime.expect("threads");
    let mut site = Site::new();
    site.root = Arc::new(Root::open(site.directory.path()).expect("there").slow());
    site.open = OpenFiles::at_most(2);
    runtime.block_on(async {
        let (disk, waits) = std::sync::mpsc::channel::<()>();
        let busy = spawn_blocking(move || waits.recv());
        for _ in 0..2 {
            let asked = site.get("/a.txt");
            assert!(asked.now_or_never().is_none(), "it waits, and is given up");
        }
        assert_eq!(site.get("/a.txt").await.0, 503);
        disk.send(()).expect("it waits");
        busy.await.expect("no panic").expect("sent");
        // The one thread takes one after the other, so those before this are done.
        spawn_blocking(|| ()).await.expect("no panic");
        assert_eq!(site.get("/a.txt").await.0, 200);
    });
}

/// Whoever opens files and does not take them keeps no more than the bound, and nobody waits.
#[tokio::test]
async fn beyond_the_bound_of_open_files_there_is_a_503() {
    let site = Site::new();
    let held: Vec<_> = std::iter::from_fn(|| site.open.try_one()).collect();
    assert_eq!(site.get("/a.txt").await.0, 503);
    drop(held);
    assert_eq!(site.get("/a.txt").await.0, 200);
}
