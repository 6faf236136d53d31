//! What the metrics say of answers and of origins.

use http::Request;
use tests::credentials::SERVER_NAME;
use tests::origin::Origin;

use super::Edge;

impl Edge {
    /// Each of these lines is in the metrics.
    fn shows(&self, lines: &[String]) {
        let (_, metrics) = self.get("/metrics").expect("answered");
        for line in lines {
            assert!(metrics.lines().any(|has| has == line), "no {line} in {metrics}");
        }
    }
}

#[tokio::test]
async fn answers_are_counted_by_distribution_version_and_status_and_origins_by_what_they_did() {
    let origin = Origin::answering(200, "from the origin").expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.connect().await;
    for host in [SERVER_NAME, "b.test"] {
        let request = Request::get(format!("https://{host}/")).body(()).expect("good");
        client.ask(request).await.expect("an answer");
    }
    edge.curl(&["--http2"], "/");
    edge.curl(&["--http1.1"], "/");
    // A rule is broken before anybody asks whose it is.
    edge.curl(&["--http1.1", "--header", "expect: much"], "/");
    let requests = |distribution: &str, status: &str, version: &str, count: u64| {
        let labels =
            format!(r#"distribution="{distribution}",status="{status}",version="{version}""#);
        format!("landfast_distribution_requests_total{{{labels}}} {count}")
    };
    let server = format!(r#"origin="app",server="{}""#, origin.address());
    edge.shows(&[
        requests(SERVER_NAME, "2xx", "h3", 1),
        requests(SERVER_NAME, "2xx", "h2", 1),
        requests(SERVER_NAME, "2xx", "http/1.1", 1),
        requests("-", "4xx", "h3", 1),
        requests("-", "4xx", "http/1.1", 1),
        format!(r#"landfast_distribution_answer_seconds_count{{distribution="{SERVER_NAME}"}} 3"#),
        r#"landfast_origin_responses_total{origin="app",status="2xx"} 3"#.into(),
        r#"landfast_origin_response_seconds_count{origin="app"} 3"#.into(),
        r#"landfast_origin_failures_total{origin="app",reason="connect"} 0"#.into(),
        format!("landfast_origin_server_up{{{server}}} 1"),
        format!("landfast_origin_server_ejected{{{server}}} 0"),
        format!("landfast_origin_requests{{{server}}} 0"),
    ]);
}

/// The answer of one waits at the origin until somebody has looked at the metrics.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_with_an_origin_is_shown_and_a_connection_that_waits_after_it() {
    let (look, looked) = std::sync::mpsc::channel();
    let looked = std::sync::Mutex::new(looked);
    let origin = Origin::start(move |visit, _| {
        visit.head()?;
        let _ = looked.lock().expect("one request").recv();
        visit.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")?;
        visit.head().map(drop)
    });
    let origin = origin.expect("a port");
    let edge = Edge::in_front_of(&origin, "");
    let client = edge.connect().await;
    let request = Request::get(format!("https://{SERVER_NAME}/")).body(()).expect("good");
    let asked = tokio::spawn(async move { client.ask(request).await.map(|answer| answer.body) });
    let of = |metric: &str, value: u64| {
        format!(r#"{metric}{{origin="app",server="{}"}} {value}"#, origin.address())
    };
    let shows = |line: String| {
        let has = || edge.get("/metrics").is_some_and(|(_, text)| text.lines().any(|l| l == line));
        super::eventually(&line, has, || edge.get("/metrics").unwrap_or_default().1);
    };
    tokio::task::block_in_place(|| {
        shows(of("landfast_origin_requests", 1));
        shows(of("landfast_origin_idle_connections", 0));
    });
    look.send(()).expect("it waits");
    assert_eq!(asked.await.expect("no panic").expect("an answer"), "ok");
    tokio::task::block_in_place(|| {
        shows(of("landfast_origin_requests", 0));
        shows(of("landfast_origin_idle_connections", 1));
    });
}
