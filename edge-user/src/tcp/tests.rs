//! HTTP in clear over loopback, as strangers and authorities meet them.

use std::net::Ipv4Addr;
use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::UnknownNames;
use crate::tls::{Candidate, Source};

const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const THUMBPRINT: &str = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
/// Longer than any answer of ours.
const LONG: usize = 1 << 16;

struct Server {
    address: SocketAddr,
    answers: Answers,
}

impl Server {
    /// Port 0, in this runtime; it leads to https on `https_port`.
    fn start(https_port: u16, unknown_names: UnknownNames) -> Self {
        let listener = dual_stack(0, false).and_then(listening).expect("a free port");
        let bound = listener.local_addr().expect("bound");
        let port = ClearPort { listener, https_port };
        let address = (Ipv4Addr::LOCALHOST, bound.port()).into();
        let answers = Answers {
            challenges: Arc::new(Challenges::new()),
            certificates: Arc::new(Live::new(unknown_names)),
            tally: Arc::default(),
        };
        tokio::spawn(port.run(answers.clone()));
        let certified = rcgen::generate_simple_self_signed(["a.example".into()]).expect("signed");
        let key = certified.signing_key.serialize_der();
        let candidate = Candidate::new("a", vec![certified.cert.der().to_vec()], key);
        let refused = answers.certificates.put(Source::Files, vec![candidate], SystemTime::now());
        assert!(refused.is_empty());
        answers.certificates.set_default(Some((Source::Files, "a")));
        Self { address, answers }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("somebody listens")
    }

    /// All that is answered to these bytes.
    async fn say(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.take(LONG as u64).read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    async fn get(&self, host: &str, target: &str) -> String {
        self.say(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.answers.tally.refused(refusal)
    }
}

fn location(answer: &str) -> Option<&str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines().find_map(|line| line.strip_prefix("location: "))
}

/// RFC 8555 section 8.3, whatever the name and the port in `Host`.
#[tokio::test]
async fn an_authority_gets_the_answer_to_a_token_that_is_set() {
    let server = Server::start(443, UnknownNames::Refuse);
    let target = format!("/.well-known/acme-challenge/{TOKEN}");
    let answer = server.get("new.example", &target).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let expected = format!("{TOKEN}.{THUMBPRINT}");
    server.answers.challenges.set_http01(TOKEN, &expected).expect("good");
    let answer = server.get("new.example:5002", &target).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: application/octet-stream\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    let post = server.say(&format!("POST {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
    assert!(post.starts_with("HTTP/1.1 404 "), "{post}");
    let asked = server.answers.challenges.asked();
    assert_eq!((asked.http01_answered, asked.http01_unknown), (1, 1));
}

/// Host and target stay what they are, also where the target looks like another host.
#[tokio::test]
async fn everybody_else_is_sent_to_https() {
    let server = Server::start(443, UnknownNames::Refuse);
    for (target, there) in [
        ("/", "https://a.example/"),
        ("/a/b?c=d&e", "https://a.example/a/b?c=d&e"),
        ("//b.example/c", "https://a.example//b.example/c"),
        ("/@b.example", "https://a.example/@b.example"),
        ("http://A.example:80/c", "https://a.example/c"),
        ("/.well-known/acme-challenge", "https://a.example/.well-known/acme-challenge"),
    ] {
        let answer = server.get("A.Example.:80", target).await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{target}: {answer}");
        assert_eq!(location(&answer), Some(there), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    let post = "POST /form HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(location(&server.say(post).await), Some("https://a.example/form"));
    assert_eq!(server.answers.tally.redirects(), 7);
}

#[tokio::test]
async fn the_port_is_said_where_it_is_another() {
    let server = Server::start(8443, UnknownNames::Default);
    let answer = server.get("b.example", "/").await;
    assert_eq!(location(&answer), Some("https://b.example:8443/"), "served by default");
    let answer = server.get("[2001:db8::1]:80", "/").await;
    assert_eq!(location(&answer), Some("https://[2001:db8::1]:8443/"));
}

/// RFC 9112 section 3.2: 400 where there is no host, or more than one.
#[tokio::test]
async fn a_request_for_nobody_is_refused() {
    let server = Server::start(443, UnknownNames::Default);
    let challenge = format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\n\r\n");
    let requests = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example@b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n",
        "GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        &challenge,
    ];
    for request in requests {
        let answer = server.say(request).await;
        assert!(answer.starts_with("HTTP/1.") && answer.contains(" 400 "), "{request}: {answer}");
        assert_eq!(location(&answer), None, "{request}");
    }
    assert_eq!(server.refused(Refusal::HttpHost), requests.len() as u64);
}

#[tokio::test]
async fn nobody_is_sent_to_a_name_that_we_do_not_serve() {
    let server = Server::start(443, UnknownNames::Refuse);
    for host in ["b.example", "192.0.2.1", "[2001:db8::1]"] {
        let answer = server.get(host, "/").await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        assert_eq!(location(&answer), None);
    }
    assert_eq!(server.refused(Refusal::HttpName), 3);
    assert_eq!(server.answers.tally.redirects(), 0);
}

/// RFC 9112 sections 2.2, 3.2 and 6.3: what hyper cuts off, makes one of two, or does not show.
#[tokio::test]
async fn a_request_that_two_could_read_differently_is_sent_nowhere() {
    let server = Server::start(443, UnknownNames::Default);
    let requests = [
        "GET /#b HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http://a.example/b#c HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\nHost: a.example\n\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for request in requests {
        let answer = server.say(request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{request}: {answer}");
        assert_eq!(location(&answer), None, "{request}");
    }
    assert_eq!(server.refused(Refusal::HttpMalformed), requests.len() as u64);
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    let server = Server::start(443, UnknownNames::Default);
    let host = "Host: a.example\r\n";
    let long =
        format!("GET / HTTP/1.1\r\n{host}x: {}\r\n\r\n", "a".repeat(limits::HTTP_HEAD_BYTES));
    let many = format!("GET / HTTP/1.1\r\n{host}{}\r\n", "x: y\r\n".repeat(limits::HTTP_HEADERS));
    for request in [&long, &many, "\x16\x03\x01\x02\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(request.as_bytes()).await;
        // The end may be a reset, where we have not read all of it.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 308"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.refused(Refusal::HttpMalformed), 4);
}

/// The clock stands still until everybody waits for it.
#[tokio::test(start_paused = true)]
async fn who_does_not_finish_is_cut_off() {
    let server = Server::start(443, UnknownNames::Default);
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.exam").await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 308"));
    assert_eq!(server.refused(Refusal::HttpSlow), 1);
}

/// Who fills a port with connections that say nothing keeps nobody out.
#[tokio::test]
async fn the_oldest_makes_way_where_there_is_no_room() {
    let server = Server::start(443, UnknownNames::Default);
    let mut idle = Vec::new();
    for _ in 0..limits::MAX_HTTP_CONNECTIONS {
        idle.push(server.connect().await);
    }
    let answer = server.get("a.example", "/").await;
    assert_eq!(location(&answer), Some("https://a.example/"));
    assert_eq!(server.refused(Refusal::HttpCrowdedOut), 1);
    let mut byte = [0];
    assert_eq!(idle[0].read(&mut byte).await.expect("an end, not a reset"), 0);
    let last = idle.last_mut().expect("there are many");
    last.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.expect("still open");
    assert_eq!(last.read(&mut byte).await.expect("an answer"), 1);
}
