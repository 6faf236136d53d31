//! Origins, and proxies that ask them.

use std::net::IpAddr;

use http::StatusCode;

use super::*;
use crate::config::distributions::{Answer, Append, Forwarded, Proxy};
use crate::config::origins::{Health, HostSent, OriginTls, Protocol, Server, ServerHost, Timeouts};

const SITE: &str = r#"
[[origins]]
name = "app"
servers = ["https://App.internal.example.", "https://192.0.2.7:8443", "https://[2001:db8::7]:8443"]
protocol = "h2"
host = "server"
server_name = "app.example"
ca = "/etc/landfast/ca.pem"
verify = true
connect_timeout_seconds = 1
response_timeout_seconds = 120
idle_timeout_seconds = 30
total_timeout_seconds = 600
max_connections = 64
keep_alive_seconds = 20
health = { path = "/healthz?deep=1", interval_seconds = 10, timeout_seconds = 3, status = 204, rise = 1, fall = 5 }
max_failures = 0
eject_seconds = 60
[[origins]]
name = "old"
servers = ["http://localhost"]
[[distributions]]
names = ["www.example.com"]
request_headers = { remove = ["x-debug"] }
[[distributions.behaviours]]
path = "/"
proxy = { origin = "app", append = "rest", forwarded = "append" }
request_headers = { set = { authorization = "Basic YTpi" }, add = { x-edge = "1" } }
[[distributions.behaviours]]
path = "/old"
proxy = { origin = "old" }
[[distributions.behaviours]]
path = "/up"
respond = { body = "up" }
"#;

fn site() -> String {
    format!("{GOOD}{SITE}")
}

#[test]
fn origins_have_servers_and_all_that_says_how_they_are_asked() {
    let config = parse(&site()).map_err(|error| render(&error)).expect("good");
    let [app, _] = &config.origins[..] else { panic!("two") };
    let address = |text: &str, port| {
        let address: IpAddr = text.parse().expect("an address");
        Server { host: ServerHost::Address(address), port }
    };
    let name = Server { host: ServerHost::Name("app.internal.example".into()), port: 443 };
    assert_eq!(app.servers, [name, address("192.0.2.7", 8443), address("2001:db8::7", 8443)]);
    let shown: Vec<_> = app.servers.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["app.internal.example:443", "192.0.2.7:8443", "[2001:db8::7]:8443"]);
    assert_eq!((&*app.name, app.protocol, app.host), ("app", Protocol::Http2, HostSent::Server));
    let ca = Some("/etc/landfast/ca.pem".into());
    let tls = OriginTls { server_name: Some("app.example".into()), ca, verify: true };
    assert_eq!(app.tls, Some(tls));
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        response: Duration::from_secs(120),
        idle: Duration::from_secs(30),
        total: Some(Duration::from_secs(600)),
    };
    assert_eq!(app.timeouts, timeouts);
    assert_eq!((app.max_connections, app.keep_alive), (64, Duration::from_secs(20)));
    assert_eq!((app.max_failures, app.eject), (0, Duration::from_secs(60)));
    let health = Health {
        path: "/healthz?deep=1".into(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        status: Some(StatusCode::NO_CONTENT),
        rise: 1,
        fall: 5,
    };
    assert_eq!(app.health, Some(health));
}

#[test]
fn an_origin_needs_a_name_and_a_server_only() {
    let config = parse(&site()).map_err(|error| render(&error)).expect("good");
    let old = &config.origins[1];
    let server = Server { host: ServerHost::Name("localhost".into()), port: 80 };
    assert_eq!((&old.servers[..], &old.tls, old.scheme()), (&[server][..], &None, "http"));
    assert_eq!((old.protocol, old.host), (Protocol::Auto, HostSent::Kept));
    let minute = Duration::from_secs(60);
    let timeouts =
        Timeouts { connect: Duration::from_secs(5), response: minute, idle: minute, total: None };
    assert_eq!((old.timeouts, old.keep_alive, &old.health), (timeouts, minute, &None));
    assert_eq!((old.max_connections, old.max_failures), (1024, 3));
    assert_eq!(old.eject, Duration::from_secs(10));
    assert!(parse(GOOD).expect("good").origins.is_empty());
}

#[test]
fn a_proxy_names_its_origin_and_what_is_sent_there() {
    let config = parse(&site()).map_err(|error| render(&error)).expect("good");
    let distribution = &config.distributions[0];
    assert_eq!(distribution.origins().collect::<Vec<_>>(), ["app", "old"]);
    assert_eq!(distribution.request_headers.remove[0], "x-debug");
    let app = &distribution.behaviours[0];
    let (append, forwarded) = (Append::Rest, Forwarded::Append);
    assert_eq!(app.answer, Answer::Proxy(Proxy { origin: "app".into(), append, forwarded }));
    assert_eq!(app.request_headers.set[0].0, "authorization");
    assert_eq!(app.request_headers.add[0].1, "1");
    let (append, forwarded) = (Append::Path, Forwarded::Replace);
    let old = Answer::Proxy(Proxy { origin: "old".into(), append, forwarded });
    assert_eq!(distribution.behaviours[1].answer, old);
}

#[test]
fn an_origin_that_nobody_asks_or_that_proves_nothing_is_warned_of() {
    let shown = |text: &str| -> Vec<String> {
        let config = parse(text).map_err(|error| render(&error)).expect("good");
        config.served().warnings().collect()
    };
    assert!(shown(&site()).is_empty());
    let unused = site().replace("proxy = { origin = \"old\" }", "respond = { status = 410 }");
    assert_eq!(shown(&unused), ["origin old: no behaviour has a proxy to it"]);
    let unverified =
        site().replace("ca = \"/etc/landfast/ca.pem\"\nverify = true", "verify = false");
    let [warning] = &shown(&unverified)[..] else { panic!("one") };
    assert!(warning.starts_with("origin app: `verify` is false"), "{warning}");
}

/// What is replaced in the good file, by what, and what the report must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("origin = \"old\"", "origin = \"odl\"", &["there is no origin `odl`", "did you mean `old`?"]),
    ("origin = \"old\"", "origin = \"other\"", &["there is no origin `other`", "one of: app, old"]),
    (
        "[[distributions]]",
        "[[origins]]\nname = \"old\"\nservers = [\"http://a\"]\n[[distributions]]",
        &["two origins have the name old", "first here", "again here"],
    ),
    (
        "[[distributions]]",
        "[[origins]]\nname = \"Old\"\nservers = [\"http://a\"]\n[[distributions]]",
        &["`Old` is not the name of an origin", "a label in"],
    ),
    (
        "[[distributions]]",
        "[[origins]]\nname = \"\"\nservers = [\"http://a\"]\n[[distributions]]",
        &["`` is not the name of an origin"],
    ),
    ("[\"http://localhost\"]", "[]", &["an origin without servers answers nobody"]),
    (
        "[\"http://localhost\"]",
        "[\"http://a.example\", \"https://b.example\"]",
        &["not all of one scheme", "http", "https"],
    ),
    (
        "[\"http://localhost\"]",
        "[\"http://a.example:80\", \"HTTP://A.example.\"]",
        &["the server a.example:80 is there twice"],
    ),
    ("http://localhost", "localhost:8080", &["the server `localhost:8080` has no scheme", "as in"]),
    ("http://localhost", "ftp://localhost", &["is neither http nor https"]),
    ("http://localhost", "h2c://localhost", &["protocol = \"h2\""]),
    ("http://localhost", "http://localhost/", &["is more than scheme, host and port", "append"]),
    ("http://localhost", "http://localhost/api", &["is more than scheme, host and port"]),
    ("http://localhost", "http://localhost?a", &["is more than scheme, host and port"]),
    ("http://localhost", "http://localhost#a", &["is more than scheme, host and port"]),
    ("http://localhost", "http://a:b@localhost", &["has a user", "authorization"]),
    ("http://localhost", "http://", &["has no host that is one"]),
    ("http://localhost", "http://2001:db8::1", &["has no host that is one"]),
    ("http://localhost", "http://[2001:db8::1", &["has no host that is one"]),
    ("http://localhost", "http://[2001:db8::1]8080", &["has no host that is one"]),
    ("http://localhost", "http://1.2.3", &["has no host that is one"]),
    ("http://localhost", "http://a b", &["has no host that is one"]),
    ("http://localhost", "http://caf\u{e9}.example", &["has no host that is one"]),
    ("http://localhost", "http://localhost:0", &["has a port that is none", "1 to 65535"]),
    ("http://localhost", "http://localhost:65536", &["has a port that is none"]),
    ("http://localhost", "http://localhost:", &["has a port that is none"]),
    ("http://localhost", "http://localhost:+80", &["has a port that is none"]),
    ("http://localhost", "http://0.0.0.0", &["no connection can be made to"]),
    ("http://localhost", "http://[fe80::1]:80", &["no connection can be made to"]),
    ("http://localhost", "http://[::ffff:192.0.2.1]", &["no connection can be made to"]),
    (
        "servers = [\"http://localhost\"]",
        "servers = [\"http://localhost\"]\nserver_name = \"a.example\"",
        &["`server_name` is of TLS, and the servers have none", "https://"],
    ),
    (
        "servers = [\"http://localhost\"]",
        "servers = [\"http://localhost\"]\nca = \"/ca.pem\"",
        &["`ca` is of TLS"],
    ),
    (
        "servers = [\"http://localhost\"]",
        "servers = [\"http://localhost\"]\nverify = false",
        &["`verify` is of TLS"],
    ),
    ("verify = true", "verify = false", &["`ca` says who is believed", "nobody asked"]),
    ("\"app.example\"", "\"app.example:443\"", &["is not the name of a server"]),
    ("\"app.example\"", "\"192.0.2.7\"", &["is not the name of a server", "a DNS name"]),
    ("\"/etc/landfast/ca.pem\"", "\"ca.pem\"", &["`ca` is not an absolute path"]),
    ("protocol = \"h2\"", "protocol = \"h3\"", &["`protocol` cannot be `h3`", "`h2`"]),
    ("host = \"server\"", "host = \"app\"", &["`host` cannot be `app`", "keep, server"]),
    (
        "connect_timeout_seconds = 1",
        "connect_timeout_seconds = 61",
        &["`connect_timeout_seconds` is 61: it must be 1 to 60"],
    ),
    ("response_timeout_seconds = 120", "response_timeout_seconds = 0", &["must be 1 to 3600"]),
    ("idle_timeout_seconds = 30", "idle_timeout_seconds = 3601", &["must be 1 to 3600"]),
    ("total_timeout_seconds = 600", "total_timeout_seconds = 86401", &["must be 0 to 86400"]),
    ("max_connections = 64", "max_connections = 0", &["must be 1 to 65535"]),
    ("keep_alive_seconds = 20", "keep_alive_seconds = 0", &["must be 1 to 3600"]),
    ("max_failures = 0", "max_failures = -1", &["must be 0 to 1000"]),
    ("eject_seconds = 60", "eject_seconds = 0", &["must be 1 to 3600"]),
    ("/healthz?deep=1", "healthz", &["`healthz` is not what a server can be asked for"]),
    ("/healthz?deep=1", "/a b", &["is not what a server can be asked for"]),
    ("/healthz?deep=1", "/a#b", &["is not what a server can be asked for"]),
    ("/healthz?deep=1", "/a\\r\\nx: y", &["is not what a server can be asked for"]),
    ("interval_seconds = 10", "interval_seconds = 0", &["must be 1 to 3600"]),
    (
        "timeout_seconds = 3,",
        "timeout_seconds = 11,",
        &["`timeout_seconds` is 11: it must be 1 to 10"],
    ),
    ("status = 204,", "status = 101,", &["`status` is 101: it must be 200 to 599"]),
    ("rise = 1", "rise = 0", &["`rise` is 0: it must be 1 to 100"]),
    ("fall = 5", "fall = 101", &["`fall` is 101: it must be 1 to 100"]),
    ("append = \"rest\"", "append = \"nothing\"", &["`append` cannot be `nothing`", "path, rest"]),
    ("forwarded = \"append\"", "forwarded = \"keep\"", &["`forwarded` cannot be `keep`"]),
    (
        "respond = { body = \"up\" }",
        "respond = { body = \"up\" }\nproxy = { origin = \"app\" }",
        &["more than one thing answers at `/up`", "proxy"],
    ),
    (
        "respond = { body = \"up\" }",
        "respond = { body = \"up\" }\nrequest_headers = { set = { a = \"b\" } }",
        &["`request_headers` is what an origin is sent", "`response_headers`"],
    ),
    ("authorization =", "Host =", &["host is not for rules", "`host` of the origin"]),
    ("authorization =", "expect =", &["expect is not for rules"]),
    ("\"x-debug\"", "\"Via\"", &["via is not for rules", "RFC 9110 section 7.6.3"]),
    ("\"x-debug\"", "\"te\"", &["te says how a message is framed"]),
    ("x-edge =", "content-length =", &["content-length says how a message is framed"]),
    ("max_failures", "max_failure", &["there is no setting `max_failure`", "`max_failures`?"]),
];

#[test]
fn every_mistake_of_origins_is_refused_with_reason_and_place() {
    for (from, to, expected) in MISTAKES {
        let good = site();
        assert!(good.contains(from), "{from} is not in the file");
        let error = parse(&good.replacen(from, to, 1)).expect_err(&format!("{to} was taken"));
        let report = render(&error);
        for words in *expected {
            assert!(report.contains(words), "{from} -> {to}: no `{words}` in\n{report}");
        }
        assert!(report.contains("╭─[edge.toml:"), "{from} -> {to}: no place in\n{report}");
        assert_eq!(error.problems().len(), 1, "{from} -> {to}:\n{report}");
    }
}

#[test]
fn a_proxy_without_any_origin_is_told_what_to_write() {
    let site = "[[distributions]]\nnames = [\"a.example\"]\nbehaviours = [{ path = \"/\", proxy = { origin = \"app\" } }]";
    let report = render(&parse(&format!("{GOOD}{site}")).expect_err("no origin"));
    assert!(report.contains("there is no origin `app`"), "{report}");
    assert!(report.contains("write an [[origins]] table"), "{report}");
}

#[test]
fn more_origins_and_servers_than_the_bounds_are_a_mistake() {
    let refused = |text: &str, words: &str| {
        let report = render(&parse(&format!("{GOOD}{text}")).expect_err(words));
        assert!(report.contains(words), "no `{words}` in\n{report}");
    };
    let servers: String = (0..=32).map(|it| format!("\"http://a{it}.example\",")).collect();
    let origin = |name: usize, servers: &str| {
        format!("[[origins]]\nname = \"a{name}\"\nservers = [{servers}]\n")
    };
    refused(&origin(0, &servers), "33 servers of an origin: at most 32");
    let origins: String = (0..=1000).map(|name| origin(name, "\"http://a\"")).collect();
    refused(&origins, "1001 origins: at most 1000");
    let long = format!("\"http://{}\"", "a.".repeat(256));
    refused(&origin(0, &long), "is longer than 512 bytes");
}
