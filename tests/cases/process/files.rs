//! Static files of a process that serves.

use std::fs;
use std::os::unix::fs::symlink;

use bytes::Buf as _;
use http::{Method, Request, header};
use tests::http3::{Answer, Http3};

use super::{Edge, eventually};

/// An edge that serves the directory `www` beside its own files.
fn edge() -> Edge {
    let edge = Edge::new();
    let root = edge.directory.path().join("www");
    fs::create_dir_all(root.join("sub")).expect("writable");
    fs::write(root.join("index.html"), "<p>home").expect("written");
    fs::write(root.join("a.css"), "a { color: red }").expect("written");
    fs::write(root.join("a.css.br"), "as brotli").expect("written");
    edge
}

fn tables(edge: &Edge, root: &str) -> String {
    format!(
        r#"
[[distributions]]
names = ["landfast.test"]
[[distributions.behaviours]]
path = "/"
files = {{ root = "{}", precompressed = ["br"] }}
[[distributions.behaviours]]
path = "/ready"
respond = {{ body = "yes" }}
"#,
        edge.path(root)
    )
}

async fn get(client: &Http3, path: &str, fields: &[(header::HeaderName, &str)]) -> Answer {
    let mut request = Request::builder().method(Method::GET);
    for (name, value) in fields {
        request = request.header(name, *value);
    }
    let request = request.uri(format!("https://landfast.test{path}")).body(()).expect("good");
    client.ask(request).await.expect("an answer")
}

#[tokio::test]
async fn files_are_served_with_conditions_ranges_and_codings() {
    let mut edge = edge();
    edge.distribute(&tables(&edge, "www"));
    edge.start();
    let client = edge.connect().await;
    let home = get(&client, "/", &[]).await;
    assert_eq!((home.status, &home.body[..]), (200, &b"<p>home"[..]));
    assert_eq!(home.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let tag = home.headers[header::ETAG].to_str().expect("text").to_owned();
    let again = get(&client, "/", &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    let part = get(&client, "/", &[(header::RANGE, "bytes=3-"), (header::IF_RANGE, &tag)]).await;
    assert_eq!((part.status, &part.body[..]), (206, &b"home"[..]));
    let coded = get(&client, "/a.css", &[(header::ACCEPT_ENCODING, "gzip, br")]).await;
    assert_eq!(
        (&coded.headers[header::CONTENT_ENCODING], &coded.body[..]),
        (&"br".parse().expect("a value"), &b"as brotli"[..])
    );
    let plain = get(&client, "/a.css", &[]).await;
    assert_eq!(
        (&plain.body[..], &plain.headers[header::VARY]),
        (&b"a { color: red }"[..], &"accept-encoding".parse().expect("a value"))
    );
}

/// Neither by its path nor by a link that somebody left does a client get a file of the host.
#[tokio::test]
async fn nothing_outside_the_directory_is_served() {
    let mut edge = edge();
    let root = edge.directory.path().join("www");
    symlink("../fleet.toml", root.join("up")).expect("made");
    symlink(edge.path("fleet.toml"), root.join("absolute")).expect("made");
    symlink("..", root.join("parent")).expect("made");
    symlink("a.css", root.join("link.css")).expect("made");
    fs::write(root.join(".env"), "secret").expect("written");
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
    edge.distribute(&tables(&edge, "www"));
    edge.start();
    let client = edge.connect().await;
    for path in ["/up", "/absolute", "/parent/fleet.toml", "/.env", "/pipe", "/sub/", "/a.css/"] {
        assert_eq!(get(&client, path, &[]).await.status, 404, "{path}");
    }
    for path in [
        "/../fleet.toml",
        "/%2e%2e/fleet.toml",
        "/sub/..%2f..%2ffleet.toml",
        "/sub//etc/passwd",
        "/a.css%00",
    ] {
        assert_eq!(get(&client, path, &[]).await.status, 400, "{path}");
    }
    assert_eq!(get(&client, "/link.css", &[]).await.status, 200, "a link that stays below");
    assert_eq!(get(&client, "/sub", &[]).await.headers[header::LOCATION], "/sub/");
}

/// A long file goes out as the client takes it; a client that stalls holds up nobody else.
#[tokio::test]
async fn a_long_file_is_streamed_beside_a_client_that_stalls() {
    const BYTES: usize = 30 << 20;
    let mut edge = edge();
    let long: Vec<u8> = (0..BYTES).map(|at| (at >> 8) as u8 ^ at as u8).collect();
    fs::write(edge.directory.path().join("www/long"), &long).expect("written");
    edge.distribute(&tables(&edge, "www"));
    edge.start();
    let (client, other) = (edge.connect().await, edge.connect().await);
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = other.send("/long").await.expect("sent");
        assert_eq!(stream.recv_response().await.expect("begun").status(), 200);
        stalled.push(stream);
    }
    let answer = get(&client, "/long", &[]).await;
    assert!(answer.body == long, "{} bytes of {BYTES}, or other ones", answer.body.len());
    let mut received = 0;
    while let Some(chunk) = stalled[0].recv_data().await.expect("the rest") {
        received += chunk.remaining();
    }
    assert_eq!(received, BYTES);
    assert_eq!(get(&client, "/ready", &[]).await.body, "yes");
}

/// What the sandbox closed at the start no reload opens, and the answer says what to do.
#[tokio::test]
async fn a_root_that_is_not_there_stops_the_start_and_a_new_one_needs_a_restart() {
    let mut edge = edge();
    edge.distribute(&tables(&edge, "nowhere"));
    let output = edge.run(&["serve", "--config", &edge.path("edge.toml")]);
    let said = super::stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nowhere cannot be served: No such file"), "{said}");
    edge.distribute(&tables(&edge, "www"));
    edge.start();
    let client = edge.connect().await;
    assert_eq!(get(&client, "/", &[]).await.status, 200);
    // Another directory in its place is that only after a reload.
    let (www, old) = (edge.path("www"), edge.path("old"));
    fs::rename(&www, &old).expect("ours");
    fs::create_dir(&www).expect("writable");
    fs::write(edge.path("www/index.html"), "<p>new").expect("written");
    assert_eq!(get(&client, "/", &[]).await.body, "<p>home");
    assert_eq!(edge.reload().1, format!("{www}: another directory\n"));
    assert_eq!(get(&client, "/", &[]).await.body, "<p>new");
    edge.distribute(&tables(&edge, "gone"));
    let (code, _, said) = edge.reload();
    assert!(code == Some(1) && said.contains("/gone cannot be served"), "{said}");
    assert_eq!(get(&client, "/", &[]).await.status, 200);
    let log = || edge.log();
    eventually("the log says so", || log().contains("not reloaded: the files of"), log);
}
