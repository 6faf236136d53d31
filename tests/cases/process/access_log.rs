//! The access log of a running edge.

mod ends;

use std::fs;

use http::Request;
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::credentials::SERVER_NAME;
use tests::origin::Origin;

use super::{Edge, eventually};

impl Edge {
    /// By every version, with an access log at this path: a proxy, a redirect and a response.
    fn noting(log: Option<&str>, format: &str, origin: Option<&Origin>) -> Self {
        let mut edge = Self::new();
        edge.listen_by_tcp();
        let log = log.map_or_else(|| edge.path("access.log"), str::to_owned);
        let nobody = "192.0.2.7:80".parse().expect("an address");
        let origin = origin.map_or(nobody, Origin::address);
        edge.distribute(&format!(
            r#"
[access_log]
path = "{log}"
format = "{format}"
[[origins]]
name = "app"
servers = ["http://{origin}"]
idle_timeout_seconds = 1
[[distributions]]
names = ["{SERVER_NAME}"]
request_id = "x-request-id"
[[distributions.behaviours]]
path = "/"
respond = {{ body = "hello" }}
[[distributions.behaviours]]
path = "/old"
redirect = {{ to = "/new" }}
[[distributions.behaviours]]
path = "/app"
proxy = {{ origin = "app" }}
"#
        ));
        edge.start();
        edge
    }

    /// So many lines, as soon as they are in the file.
    fn lines(&self, count: usize) -> Vec<String> {
        let read = || fs::read_to_string(self.path("access.log")).unwrap_or_default();
        let what = format!("{count} lines are in the log");
        eventually(&what, || read().lines().count() >= count, || read() + &self.log());
        let lines: Vec<_> = read().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// By the time of their requests: workers do not wait for one another.
    fn noted(&self, count: usize) -> Vec<Value> {
        let parse = |line: String| serde_json::from_str(&line).expect("JSON");
        let mut lines: Vec<Value> = self.lines(count).into_iter().map(parse).collect();
        lines.sort_by_key(|line| line["time"].to_string());
        lines
    }
}

fn has(line: &Value, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        assert_eq!(line.get(name).unwrap_or(&Value::Null), value, "{name} of {line}");
    }
}

#[tokio::test]
async fn each_request_of_any_version_has_a_line_that_says_who_answered_it() {
    let origin = Origin::answering(201, "from the origin").expect("a port");
    let edge = Edge::noting(None, "json", Some(&origin));
    let client = edge.connect().await;
    let request = Request::get(format!("https://{SERVER_NAME}/app/%2e/x?y=%22z"))
        .header("user-agent", "a\"gent")
        .header("referer", "https://b.test/");
    let answer = client.ask(request.body(()).expect("good")).await.expect("an answer");
    assert_eq!(answer.status, 201);
    let line = edge.noted(1).remove(0);
    has(
        &line,
        &[
            ("client", "127.0.0.1".into()),
            ("method", "GET".into()),
            ("host", SERVER_NAME.into()),
            ("path", "/app/%2e/x?y=%22z".into()),
            ("version", "h3".into()),
            ("status", 201.into()),
            ("bytes", 15.into()),
            ("end", "whole".into()),
            ("distribution", SERVER_NAME.into()),
            ("behaviour", "/app".into()),
            ("by", "proxy".into()),
            ("origin", "app".into()),
            ("server", origin.address().to_string().into()),
            ("reason", Value::Null),
            ("request_id", answer.headers["x-request-id"].to_str().expect("text").into()),
            ("user_agent", "a\"gent".into()),
            ("referer", "https://b.test/".into()),
        ],
    );
    let seconds = |name: &str| line[name].as_f64().expect("a number");
    assert!(seconds("head_seconds") <= seconds("seconds"), "{line}");

    edge.curl(&["--http2"], "/");
    edge.curl(&["--http1.1", "--head"], "/");
    edge.curl(&["--http2"], "/old");
    edge.curl(&["--http1.1", "--header", "expect: much"], "/");
    let lines = edge.noted(5);
    let of = |index: usize, version: &str, status: u16, bytes: u64, by: Option<&str>| {
        let fields = [
            ("version", version.into()),
            ("status", status.into()),
            ("bytes", bytes.into()),
            ("by", by.map_or(Value::Null, Value::from)),
            ("end", "whole".into()),
            ("origin", Value::Null),
        ];
        has(&lines[index], &fields);
    };
    of(1, "h2", 200, 5, Some("respond"));
    of(2, "http/1.1", 200, 0, Some("respond"));
    of(3, "h2", 302, 0, Some("redirect"));
    has(&lines[4], &[("status", 417.into()), ("reason", "expectation".into())]);
    has(&lines[4], &[("distribution", Value::Null), ("version", "http/1.1".into())]);
}

#[test]
fn text_is_what_readers_of_the_combined_log_format_know() {
    let edge = Edge::noting(None, "text", None);
    edge.curl(&["--http2", "--user-agent", "a\"b", "--referer", "https://b.test/"], "/x?y");
    let line = edge.lines(1).remove(0);
    let (start, rest) = line.split_once(" [").expect("a time");
    assert_eq!(start, "127.0.0.1 - -");
    let (_, rest) = rest.split_once("] ").expect("a request");
    assert_eq!(rest, r#""GET /x?y HTTP/2.0" 200 5 "https://b.test/" "a\x22b""#);
}

// The client goes on while the test waits.
#[test]
fn a_log_that_was_moved_away_is_made_anew_by_a_reload_and_complete_at_the_end() {
    let mut edge = Edge::noting(None, "json", None);
    edge.curl(&["--http2"], "/first");
    edge.noted(1);
    let path = edge.path("access.log");
    fs::rename(&path, edge.path("access.log.1")).expect("moved");
    let (code, said, warned) = edge.reload();
    assert_eq!((code, warned.as_str()), (Some(0), ""), "{said}");
    assert_eq!(said, format!("access log: {path} is another file\n"));
    edge.curl(&["--http2"], "/second");
    has(&edge.noted(1)[0], &[("path", "/second".into())]);
    // Not even a configuration with mistakes is in its way.
    fs::rename(&path, edge.path("access.log.2")).expect("moved");
    edge.distribute("[[distributions]]\n");
    assert_eq!(edge.reload().0, Some(1));
    edge.curl(&["--http2"], "/third");
    edge.signal(Signal::SIGTERM);
    assert!(edge.ended().success(), "{}", edge.log());
    has(&edge.noted(1)[0], &[("path", "/third".into())]);
}

#[test]
fn a_disk_that_is_full_is_said_once_and_stops_no_answer() {
    let edge = Edge::noting(Some("/dev/full"), "json", None);
    let lost = || edge.sample(r#"landfast_access_log_dropped_total{reason="failed"}"#);
    for count in 1..=3 {
        assert_eq!(edge.curl(&["--http2"], "/"), "hello");
        eventually("a line is lost", || lost() == Some(count.to_string()), || edge.log());
    }
    let said = edge.log().matches("the access log cannot be written").count();
    assert_eq!(said, 1, "{}", edge.log());
    assert_eq!(edge.sample("landfast_access_log_lines_total").as_deref(), Some("0"));
}
