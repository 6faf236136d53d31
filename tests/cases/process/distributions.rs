//! What is answered under which names, and changed while connections live.

use std::fs;
use std::process::Command;

use http::{Method, Request};
use tests::credentials::SERVER_NAME;
use tests::http3::{Answer, Http3};

use super::{Edge, stderr};

/// A site, with this body at `/`.
fn site(body: &str) -> String {
    format!(
        r#"
[[distributions]]
names = ["{SERVER_NAME}", "*.landfast.test"]
request_id = "x-request-id"
response_headers = {{ set = {{ x-site = "first" }} }}
[[distributions.behaviours]]
path = "/"
respond = {{ body = "{body}" }}
[[distributions.behaviours]]
path = "/old"
redirect = {{ to = "https://www.landfast.test/new", status = 308, append = "rest" }}
[[distributions.behaviours]]
path = "/private"
respond = {{ status = 403, body = "private\n" }}
"#
    )
}

impl Edge {
    /// With these tables at the end of the configuration.
    fn serving(tables: &str) -> Self {
        let mut edge = Self::new();
        edge.distribute(tables);
        edge.start();
        edge
    }

    /// Puts these tables in the place of those that were at the end of the configuration.
    pub(super) fn distribute(&self, tables: &str) {
        let path = self.path("edge.toml");
        let config = fs::read_to_string(&path).expect("written");
        let (config, _) = config.split_once("# Tables\n").unwrap_or((&config, ""));
        fs::write(&path, format!("{config}# Tables\n{tables}")).expect("written");
    }
}

async fn ask(client: &Http3, method: Method, url: &str) -> Answer {
    let request = Request::builder().method(method).uri(format!("https://{url}"));
    client.ask(request.body(()).expect("good")).await.expect("an answer")
}

async fn get(client: &Http3, url: &str) -> Answer {
    ask(client, Method::GET, url).await
}

#[tokio::test]
async fn hosts_and_paths_are_answered_as_the_file_says_and_others_are_misdirected() {
    let edge = Edge::serving(&site("hello"));
    let client = edge.connect().await;
    let answer = get(&client, "landfast.test/x").await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    let field = |answer: &Answer, name: &str| {
        answer.headers.get(name).map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(field(&answer, "x-site").as_deref(), Some("first"));
    assert_eq!(field(&answer, "content-type").as_deref(), Some("text/plain; charset=utf-8"));
    assert_eq!(field(&answer, "x-request-id").expect("there").len(), 32);
    let answer = ask(&client, Method::HEAD, "landfast.test:4433/").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(field(&answer, "content-length").as_deref(), Some("5"));
    let answer = get(&client, "landfast.test/old/a%2Ab?c=d").await;
    assert_eq!(answer.status, 308);
    let to = "https://www.landfast.test/new/a*b?c=d";
    assert_eq!(field(&answer, "location").as_deref(), Some(to));

    for url in ["other.test/", "a.b.landfast.test/", "127.0.0.1/"] {
        assert_eq!(get(&client, url).await.status, 421, "{url}");
    }
    let (_, metrics) = edge.get("/metrics").expect("answered");
    for (distribution, status, count) in
        [("landfast.test", "2xx", 2), ("landfast.test", "3xx", 1), ("-", "4xx", 3)]
    {
        let line = format!(
            "landfast_distribution_requests_total{{distribution=\"{distribution}\",status=\"{status}\",version=\"h3\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}

/// Who writes a path in another way gets what its plain form gets, or nothing.
#[tokio::test]
async fn nobody_walks_round_a_behaviour_of_a_running_edge() {
    let edge = Edge::serving(&site("hello"));
    let client = edge.connect().await;
    for path in ["/private", "/private/x", "/%70rivate/x", "/a/../private", "/a/%2e%2E/private/"] {
        assert_eq!(get(&client, &format!("landfast.test{path}")).await.status, 403, "{path}");
    }
    for path in [
        "/a//../private",
        "/a/..;/private",
        "/a%2F..%2Fprivate",
        "/%c0%ae/private",
        "/%5cprivate",
        "/private%00",
        "/../private",
        "/%zz",
    ] {
        assert_eq!(get(&client, &format!("landfast.test{path}")).await.status, 400, "{path}");
    }
    for path in ["/privately", "/Private", "/private/../x"] {
        assert_eq!(get(&client, &format!("landfast.test{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_reload_changes_what_open_connections_are_answered() {
    let edge = Edge::serving(&site("hello"));
    let client = edge.connect().await;
    assert_eq!(get(&client, "landfast.test/").await.body, "hello");

    edge.distribute(&site("good bye"));
    let (code, said, warned) = edge.reload();
    assert_eq!((code, warned.as_str()), (Some(0), ""), "{said}");
    assert_eq!(said, "distribution landfast.test: changed\n");
    assert_eq!(get(&client, "landfast.test/").await.body, "good bye");
    let (_, metrics) = edge.get("/metrics").expect("answered");
    let of = "distribution=\"landfast.test\",status=\"2xx\",version=\"h3\"";
    let line = format!("landfast_distribution_requests_total{{{of}}} 2\n");
    assert!(metrics.contains(&line), "the counts go on: {metrics}");

    edge.distribute(&site("lost").replace("status = 403", "status = 304"));
    let (code, _, said) = edge.reload();
    assert_eq!(code, Some(1), "{said}");
    for words in ["nothing is changed", "edge.toml:", "304 answers a question that nobody asked"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    assert!(edge.log().contains("not reloaded: "), "{}", edge.log());
    assert_eq!(get(&client, "landfast.test/").await.body, "good bye");

    edge.distribute("");
    assert_eq!(edge.reload().1, "distribution landfast.test: removed\n");
    client.identity().await.expect("who answers, as without distributions");
    assert_eq!(edge.reload().1, "nothing has changed\n");
}

#[tokio::test]
async fn a_reload_says_which_settings_wait_for_a_restart() {
    let edge = Edge::serving(&site("hello"));
    let path = edge.path("edge.toml");
    let config = fs::read_to_string(&path).expect("written");
    let config = config.replace("drain_seconds = 20", "drain_seconds = 21");
    fs::write(&path, config.replace("hello", "changed")).expect("written");
    let (code, said, warned) = edge.reload();
    assert_eq!((code, said.as_str()), (Some(0), "distribution landfast.test: changed\n"));
    assert!(warned.contains("restart to have them in force"), "{warned}");
}

/// With a client that is not ours: ngtcp2's.
#[test]
fn a_client_of_others_is_answered_and_redirected() {
    let edge = Edge::serving(&site("hello"));
    let port = edge.port.to_string();
    let uris = ["/x", "/old/y"].map(|path| format!("https://{SERVER_NAME}{path}"));
    let output = Command::new("gtlsclient")
        .args(["--no-quic-dump", "--exit-on-all-streams-close", "--timeout=10s"])
        .args([&format!("--sni={SERVER_NAME}"), "127.0.0.1", &port])
        .args(&uris)
        .output()
        .expect("gtlsclient is installed");
    let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    for words in
        [":status: 200", "x-site: first", ":status: 308", "https://www.landfast.test/new/y"]
    {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
}
