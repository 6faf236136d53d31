//! Requests, and what the distributions of a file answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header;
use http_body_util::BodyExt as _;
use tokio::sync::watch;

use super::in_force::{AnsweredReport, InForce};
use super::*;
use crate::config::{self, Host};
use crate::http::Version;

const SITES: &str = r#"
[controller]
addresses = ["192.0.2.7:4840"]
[listen]
anycast = ["192.0.2.1"]
[steering]
mode = "off"
[[distributions]]
names = ["a.example", "*.a.example"]
request_id = "x-request-id"
response_headers = { set = { x-site = "a" }, remove = ["cache-control"] }
[[distributions.behaviours]]
path = "/"
respond = { body = "a\n", content_type = "text/html" }
response_headers = { set = { x-site = "root" }, add = { link = "<b>", x-site = "second" } }
[[distributions.behaviours]]
path = "/old"
redirect = { to = "https://new.example/base/", append = "rest" }
[[distributions.behaviours]]
path = "/all"
redirect = { to = "https://new.example", append = "path", status = 301 }
[[distributions.behaviours]]
path = "/up"
redirect = { to = "/", append = "rest", status = 307 }
[[distributions.behaviours]]
path = "/fixed"
redirect = { to = "https://new.example/?x#y", status = 303 }
[[distributions.behaviours]]
path = "/none"
respond = { status = 204 }
[[distributions.behaviours]]
path = "/gone"
respond = { status = 410 }
[[distributions]]
names = ["b.example"]
server_timing = true
response_headers = { set = { cache-control = "public, max-age=9" } }
behaviours = [
    { path = "/only", respond = { body = "b\n" } },
    { path = "/gone", respond = { status = 410 } },
]
"#;

fn distributions(text: &str) -> Arc<Distributions> {
    let config = config::parse("edge.toml".as_ref(), text, &Host::elsewhere());
    let config = config.unwrap_or_else(|error| panic!("{}", error.render()));
    Arc::new(
        Distributions::open(&config.distributions, &config.origins).expect("they have no files"),
    )
}

fn in_force() -> (watch::Sender<Arc<Distributions>>, InForce) {
    let (changes, receiver) = watch::channel(distributions(SITES));
    (changes, InForce::new(receiver, 1))
}

fn ask(in_force: &InForce, method: &Method, url: &str) -> (Response<()>, String) {
    let (host, target) = url.split_once('/').expect("host/target");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let request = Request {
        method,
        authority: Some(host),
        path: &format!("/{path}"),
        query,
        headers: &HeaderMap::new(),
        version: Version::Http3,
        client: "203.0.113.9:4711".parse().expect("an address"),
        upgrade: None,
    };
    let (held, open) = (in_force.load(), OpenFiles::at_most(9));
    let (mut content, interim) = Default::default();
    let answered =
        answer(&held, &open, &request, &mut content, &interim, &Default::default()).now_or_never();
    let (head, body) = answered.expect("no file is read");
    let body = body.collect().now_or_never().expect("no file is read").expect("readable");
    (head, String::from_utf8(body.to_bytes().to_vec()).expect("text"))
}

fn get(in_force: &InForce, url: &str) -> (Response<()>, String) {
    ask(in_force, &Method::GET, url)
}

#[test]
fn a_response_is_what_the_file_says_and_head_has_its_fields() {
    let (_changes, in_force) = in_force();
    let (head, body) = get(&in_force, "a.example/x");
    assert_eq!((head.status(), body.as_str()), (StatusCode::OK, "a\n"));
    assert_eq!(head.headers()[header::CONTENT_TYPE], "text/html");
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "2");
    let (head, body) = ask(&in_force, &Method::HEAD, "a.example/x");
    assert_eq!(
        (&head.headers()[header::CONTENT_LENGTH], body.as_str()),
        (&"2".parse().expect("a value"), "")
    );
    let (head, body) = ask(&in_force, &Method::POST, "www.a.example/gone");
    assert_eq!((head.status(), body.as_str()), (StatusCode::GONE, ""));
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "0");
    let (head, _) = get(&in_force, "a.example/none");
    assert_eq!(head.status(), StatusCode::NO_CONTENT);
    assert!(!head.headers().contains_key(header::CONTENT_LENGTH), "RFC 9110 section 8.6");
}

#[test]
fn a_redirect_takes_along_what_it_is_told_to() {
    let (_changes, in_force) = in_force();
    for (url, status, to) in [
        ("a.example/old", 302, "https://new.example/base"),
        ("a.example/old/", 302, "https://new.example/base/"),
        ("a.example/old/x/%79?q=1", 302, "https://new.example/base/x/y?q=1"),
        ("a.example/all/x?", 301, "https://new.example/all/x?"),
        ("a.example/z/../all/x%7cy?a|b", 301, "https://new.example/all/x%7Cy?a%7Cb"),
        ("a.example/up", 307, "/"),
        ("a.example/up/x", 307, "/x"),
        ("a.example/fixed/x?q=1", 303, "https://new.example/?x#y"),
    ] {
        let (head, body) = get(&in_force, url);
        assert_eq!((head.status().as_u16(), body.as_str()), (status, ""), "{url}");
        assert_eq!(head.headers()[header::LOCATION], to, "{url}");
    }
}

/// An attacker who sends a link to a good host must not lead who follows it to a bad one.
#[test]
fn no_request_makes_a_redirect_lead_to_another_host() {
    let (_changes, in_force) = in_force();
    for path in [
        "up//evil.example",
        "up/%2fevil.example",
        "up/%5Cevil.example",
        "up/\\evil.example",
        "up/./%2e//evil.example",
        "up/..//evil.example",
        "old/%0d%0aset-cookie:x",
        "all/%0d%0aset-cookie:x",
        "old%00",
    ] {
        let (head, _) = get(&in_force, &format!("a.example/{path}"));
        assert_eq!(head.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(!head.headers().contains_key(header::LOCATION), "{path}");
    }
    for (path, to) in [
        ("up/@evil.example", "/@evil.example"),
        ("up/.evil.example", "/.evil.example"),
        ("up/http:", "/http:"),
        ("old/@evil.example", "https://new.example/base/@evil.example"),
        ("up/x?\r\nset-cookie: y", "/x?%0D%0Aset-cookie:%20y"),
    ] {
        let (head, _) = get(&in_force, &format!("a.example/{path}"));
        assert_eq!(head.headers()[header::LOCATION], to, "{path}");
    }
}

#[test]
fn rules_of_the_distribution_come_before_those_of_the_behaviour() {
    let (_changes, in_force) = in_force();
    let values = |head: &Response<()>, name: &str| {
        let values = head.headers().get_all(name).iter();
        values.map(|value| value.to_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let (head, _) = get(&in_force, "a.example/x");
    assert_eq!(values(&head, "x-site"), ["root", "second"]);
    assert_eq!(values(&head, "link"), ["<b>"]);
    let (head, _) = get(&in_force, "a.example/gone");
    assert_eq!(values(&head, "x-site"), ["a"]);
    // What the edge answers of its own accord in the distribution's name, too.
    let (head, body) = get(&in_force, "a.example/x//y");
    assert_eq!(
        (head.status(), values(&head, "x-site")),
        (StatusCode::BAD_REQUEST, vec!["a".to_owned()])
    );
    assert_eq!(values(&head, "cache-control"), ["no-store"], "whatever the rules say");
    assert!(body.contains("the path is refused: it has an empty segment (//)"), "{body}");
}

/// Rules are written with good answers in mind: what is refused for a moment must not be kept for
/// longer by those who cache.
#[test]
fn what_the_edge_refuses_is_cached_by_nobody() {
    let (_changes, in_force) = in_force();
    let control = |url| get(&in_force, url).0.headers()[header::CACHE_CONTROL].clone();
    assert_eq!(control("b.example/only"), "public, max-age=9");
    assert_eq!(control("b.example/gone"), "public, max-age=9", "the operator's own word");
    for refused in ["b.example/not-there", "b.example/a%2fb"] {
        assert_eq!(control(refused), "no-store", "{refused}");
    }
}

#[test]
fn each_answer_has_an_id_of_its_own_where_one_is_asked_for() {
    let (_changes, in_force) = in_force();
    let id = |url: &str| get(&in_force, url).0.headers().get("x-request-id").cloned();
    let (first, second) = (id("a.example/").expect("there"), id("a.example/").expect("there"));
    assert_eq!(first.len(), 32);
    assert_ne!(first, second);
    assert_eq!(id("b.example/only"), None);
}

#[test]
fn who_is_not_served_is_told_so() {
    let (_changes, in_force) = in_force();
    let long = format!("a.example/{}", "x".repeat(limits::MAX_PATH_BYTES));
    let query = format!("a.example/?{}", "x".repeat(limits::MAX_QUERY_BYTES + 1));
    for (url, status, reason) in [
        ("c.example/", 421, "this host is not served here"),
        ("x.y.a.example/", 421, "this host is not served here"),
        ("192.0.2.1/", 421, "this host is not served here"),
        ("evil@a.example/", 400, "the host of the request is not one"),
        ("/", 400, "the host of the request is not one"),
        ("b.example/", 404, "nothing is served at this path"),
        ("b.example/onlyx", 404, "nothing is served at this path"),
        ("a.example/../x", 400, "leads above the root"),
        (&long, 414, "longer than 8192 bytes"),
        (&query, 414, "longer than 8192 bytes"),
    ] {
        let (head, body) = get(&in_force, url);
        assert_eq!(head.status().as_u16(), status, "{url}");
        assert!(body.starts_with(r#"{"error":""#) && body.contains(reason), "{url}: {body}");
    }
    for method in [Method::CONNECT, Method::TRACE] {
        let (head, _) = ask(&in_force, &method, "a.example/");
        assert_eq!(head.status(), StatusCode::NOT_IMPLEMENTED, "{method}");
    }
}

fn counted(in_force: &InForce) -> Vec<(String, [u64; 4])> {
    let row = |report: AnsweredReport| {
        let [http11, http2, by_class] = report.by_version;
        assert_eq!([http11, http2], [[0; 4]; 2], "nobody asked in these");
        let answers: u64 = by_class.iter().sum();
        assert_eq!(report.durations.buckets.iter().sum::<u64>(), answers);
        (report.distribution.to_string(), by_class)
    };
    in_force.report().into_iter().map(row).collect()
}

#[test]
fn answers_are_counted_and_go_on_under_what_follows() {
    let (changes, in_force) = in_force();
    for url in ["a.example/", "a.example/old", "a.example/gone", "b.example/only", "c.example/"] {
        let _ = get(&in_force, url);
    }
    let row = |name: &str, by_class| (name.to_owned(), by_class);
    let expected =
        [row("a.example", [1, 1, 1, 0]), row("b.example", [1, 0, 0, 0]), row("-", [0, 0, 1, 0])];
    assert_eq!(counted(&in_force), expected);

    // One that is under way ends by what it began with.
    let before = in_force.load();
    let next = SITES.replace("b.example", "c.example").replace("\"a\\n\"", "\"other\\n\"");
    let next = distributions(&next);
    let said = next.changes_since(before.distributions());
    let expected = ["a.example: changed", "c.example: added", "b.example: removed"];
    assert_eq!(said, expected.map(|change| format!("distribution {change}")));
    assert!(next.changes_since(&next).is_empty());
    changes.send_replace(next);
    before.count(Some(0), Version::Http3, StatusCode::OK, Duration::ZERO);
    assert_eq!(get(&in_force, "a.example/").1, "other\n");
    assert_eq!(get(&in_force, "b.example/only").0.status(), StatusCode::MISDIRECTED_REQUEST);
    let expected =
        [row("a.example", [3, 1, 1, 0]), row("c.example", [0, 0, 0, 0]), row("-", [0, 0, 2, 0])];
    assert_eq!(counted(&in_force), expected);
    changes.send_replace(Arc::default());
    assert!(in_force.load().is_empty() && counted(&in_force).is_empty());
}

/// RFC 9110 section 9.3.7.
#[test]
fn options_for_the_server_as_a_whole_are_answered_without_a_word() {
    let (_changes, in_force) = in_force();
    let held = in_force.load();
    let request = Request {
        method: &Method::OPTIONS,
        authority: Some("a.example"),
        path: "*",
        query: None,
        headers: &HeaderMap::new(),
        version: Version::Http2,
        client: "203.0.113.9:4711".parse().expect("an address"),
        upgrade: None,
    };
    let (mut content, interim) = Default::default();
    let open = OpenFiles::at_most(9);
    let answered =
        answer(&held, &open, &request, &mut content, &interim, &Default::default()).now_or_never();
    assert_eq!(answered.expect("at once").0.status(), StatusCode::NO_CONTENT);
}

#[test]
fn an_answer_says_how_long_it_took_where_that_is_wished() {
    let (_changes, in_force) = in_force();
    let (head, _) = get(&in_force, "b.example/only");
    let took = head.headers()["server-timing"].to_str().expect("text");
    let took = took.strip_prefix("edge;dur=").expect("ours").parse::<f64>().expect("a number");
    assert!(took >= 0.0);
    assert!(!get(&in_force, "a.example/").0.headers().contains_key("server-timing"));
}
