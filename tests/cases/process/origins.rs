//! Origins behind a running edge: what they are sent, and what clients get.

use http::Request;
use tests::credentials::SERVER_NAME;
use tests::origin::Origin;

use super::Edge;

/// Everything goes to `origin`, with these settings of it.
fn proxying(origin: &Origin, settings: &str) -> String {
    format!(
        r#"
[[origins]]
name = "app"
servers = ["http://{}"]
{settings}
[[distributions]]
names = ["{SERVER_NAME}"]
[[distributions.behaviours]]
path = "/"
proxy = {{ origin = "app" }}
"#,
        origin.address()
    )
}

impl Edge {
    /// By every version, to this origin.
    fn in_front_of(origin: &Origin, settings: &str) -> Self {
        let mut edge = Self::new();
        edge.listen_by_tcp();
        edge.distribute(&proxying(origin, settings));
        edge.start();
        edge
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
