//! The port of HTTP in clear, as authorities, browsers and strangers meet it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use super::{Edge, WITHIN, eventually, free_port};

/// RFC 8555 section 8.3, with a token that nobody has set.
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

impl Edge {
    /// Has it listen by TCP, too, and says at which port by HTTP.
    pub(super) fn listen_by_tcp(&mut self) -> u16 {
        let (http, tls) = (free_port(), free_port());
        self.change_config(
            &format!("port = {}, workers", self.port),
            &format!("port = {tls}, workers"),
        );
        self.change_config("workers = 2", &format!("workers = 2, tcp = true, http_port = {http}"));
        self.port = tls;
        http
    }

    pub(super) fn change_config(&self, from: &str, to: &str) {
        let path = self.path("edge.toml");
        let config = fs::read_to_string(&path).expect("written");
        assert!(config.contains(from), "{config}");
        fs::write(&path, config.replace(from, to)).expect("written");
    }

    /// What a sample of `/metrics` says.
    pub(super) fn sample(&self, name: &str) -> Option<String> {
        let (_, text) = self.get("/metrics")?;
        let mut samples = text.lines().filter_map(|line| line.rsplit_once(' '));
        samples.find(|(sample, _)| *sample == name).map(|(_, value)| value.to_owned())
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    stream.set_read_timeout(Some(WITHIN)).expect("not zero");
    stream
}

/// Status and target of what curl is answered.
fn curl(port: u16, path: &str, arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--path-as-is"])
        .args(["--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}"])
        .args(arguments)
        .arg(format!("http://127.0.0.1:{port}{path}"))
        .output()
        .expect("curl is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}: {}", super::stderr(&output));
    let (status, target) = said.split_once(' ').expect("both");
    (status.to_owned(), target.to_owned())
}

#[test]
fn port_80_sends_whoever_is_no_authority_to_https() {
    let mut edge = Edge::new();
    let http = edge.listen_by_tcp();
    edge.start();
    let port = edge.port;
    let to = |host: &str, path: &str| curl(http, path, &["--header", &format!("Host: {host}")]);
    let there = |rest: &str| ("308".to_owned(), format!("https://{rest}"));
    assert_eq!(to("Landfast.test", "/a?b=c"), there(&format!("landfast.test:{port}/a?b=c")));
    assert_eq!(to("landfast.test:80", "//b/c"), there(&format!("landfast.test:{port}//b/c")));
    let posted = curl(http, "/form", &["--data", "a=b", "--header", "Host: landfast.test"]);
    assert_eq!(posted, there(&format!("landfast.test:{port}/form")));
    assert_eq!(to("landfast.test", CHALLENGE), ("404".to_owned(), String::new()));
    for host in ["", "a@landfast.test", "landfast.test/..", "a b", "[::1"] {
        assert_eq!(to(host, "/"), ("400".to_owned(), String::new()), "{host}");
    }
    let refused =
        |reason| format!(r#"landfast_tcp_refused_total{{port="http",reason="{reason}"}}"#);
    let count = |name: &str| edge.sample(name);
    assert_eq!(count(&refused("host")).as_deref(), Some("5"));
    assert_eq!(count("landfast_redirects_total").as_deref(), Some("3"));
    let unknown = r#"landfast_challenges_total{kind="http-01",result="unknown"}"#;
    assert_eq!(count(unknown).as_deref(), Some("1"));
    assert_eq!(count(r#"landfast_certificates{state="good"}"#).as_deref(), Some("1"));
}

/// Without a default certificate nobody is served whose name we do not have.
#[test]
fn port_80_sends_nobody_to_a_name_that_is_not_served() {
    let mut edge = Edge::new();
    let http = edge.listen_by_tcp();
    edge.change_config("tls = {", r#"tls = { unknown_names = "refuse","#);
    edge.start();
    let (status, target) = curl(http, "/", &["--header", "Host: other.test"]);
    assert_eq!((status.as_str(), target.as_str()), ("421", ""));
    let (status, _) = curl(http, "/", &["--header", "Host: landfast.test"]);
    assert_eq!(status, "308");
}

/// More than there is room for, and none of them says a word to its end.
#[test]
fn strangers_that_stay_keep_neither_authorities_nor_operators_out() {
    let mut edge = Edge::new();
    let http = edge.listen_by_tcp();
    edge.start();
    assert_eq!(curl(http, "/", &["--header", "Host: landfast.test"]).0, "308");
    let memory = edge.memory();
    let most = edge_user::limits::MAX_HTTP_CONNECTIONS;
    let mut strangers: Vec<_> = (0..most + 8).map(|_| connect(http)).collect();
    for stranger in &mut strangers {
        // Those that had to go may have gone.
        let _ = stranger.write_all(b"GET / HTTP/1.1\r\nHost: landf");
    }
    assert_eq!(curl(http, "/", &["--header", "Host: landfast.test"]).0, "308");
    assert_eq!(curl(http, CHALLENGE, &[]).0, "404");
    assert!(matches!(edge.get("/healthz"), Some((200, _))));
    let crowded_out = r#"landfast_tcp_refused_total{port="http",reason="crowded_out"}"#;
    let count = edge.sample(crowded_out).expect("a sample").parse::<usize>().expect("a number");
    assert!(count >= 9, "{count}");
    // Each may hold a head, and half of it in the buffer that it grew out of.
    memory.is_within(most * edge_user::limits::HTTP_HEAD_BYTES * 3 / 2, "strangers");
    // The others are cut off when their time is over.
    let slow = r#"landfast_tcp_refused_total{port="http",reason="slow"}"#;
    let cut_off = || edge.sample(slow).is_some_and(|count| count != "0");
    eventually("the slow are cut off", cut_off, || edge.log());
    let mut rest = Vec::new();
    let last = strangers.last_mut().expect("there are many");
    let _ = last.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains(" 308 "), "half a request is none");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let mut edge = Edge::new();
    let http = edge.listen_by_tcp();
    for port in [http, edge.port] {
        let _taken = TcpListener::bind(("::", port)).expect("free a moment ago");
        edge.start_with(&[]);
        assert_eq!(edge.ended().code(), Some(1));
        let said = format!("TCP port {port} cannot be bound: Address already in use");
        assert!(edge.log().contains(&said), "{}", edge.log());
    }
}
