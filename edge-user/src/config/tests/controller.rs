//! A file that names a controller, and what the controller adds to it.

use super::*;

const GOOD: &str = r#"
[controller]
addresses = ["controller.example.com:4840", "192.0.2.7:4840"]
[listen]
anycast = ["192.0.2.1", "2001:db8::1"]
interfaces = ["eth0"]
"#;

fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the file");
    GOOD.replacen(from, to, 1)
}

fn good(text: &str) -> Config {
    parse(text).map_err(|error| render(&error)).expect("good")
}

fn node(id: u16, ipv4: &str) -> NodeConfig {
    NodeConfig {
        id,
        name: format!("n{id}"),
        site: format!("s{id}"),
        ipv4: Some(ipv4.parse().expect("an address")),
        ipv6: None,
        liveness: Liveness::Unknown,
    }
}

#[test]
fn with_a_controller_the_file_says_nothing_of_the_fleet_and_authorities_may_knock() {
    let config = good(GOOD);
    let controller = config.controller.expect("named");
    let addresses: Vec<_> = controller.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["controller.example.com:4840", "192.0.2.7:4840"]);
    assert_eq!((config.fleet_file, config.nodes), (None, Vec::new()));
    assert_eq!((config.listen.tcp, config.listen.http_port), (true, Some(80)));
    assert_eq!((config.tls.default, config.tls.more), (None, Vec::new()));
    assert_eq!(config.tls.unknown_names, UnknownNames::Refuse);
    // All of it can be said otherwise.
    let config = good(&with("[listen]", "[listen]\ntcp = false\nhttp_port = 0"));
    assert_eq!((config.listen.tcp, config.listen.http_port), (false, None));
    let files = "[tls]\ncertificate = \"/c.pem\"\nkey = \"/k.pem\"\n[listen]";
    assert!(good(&with("[listen]", files)).tls.default.is_some(), "files may stand beside");
    good(&with("[listen]", "[tls]\nunknown_names = \"refuse\"\n[listen]"));
}

/// What is replaced in the good file, by what, and what the report must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "[controller]",
        "node = 1\n[controller]",
        &[
            "`node` stands beside a controller",
            "the controller says that",
            "remove it",
            "[edge.toml:2:8]",
        ],
    ),
    (
        "[controller]",
        "fleet_file = \"/f\"\n[controller]",
        &["`fleet_file` stands beside a controller", "[edge.toml:2:14]"],
    ),
    (
        "[controller]",
        "nodes = []\n[controller]",
        &["`nodes` stands beside a controller", "[edge.toml:2:9]"],
    ),
    (
        "[\"controller.example.com:4840\", \"192.0.2.7:4840\"]",
        "[]",
        &["`addresses` has 0 addresses", "1 to 8 are needed", "[edge.toml:3:13]"],
    ),
    (
        "[\"controller.example.com:4840\"",
        "[\"a:1\", \"a:2\", \"a:3\", \"a:4\", \"a:5\", \"a:6\", \"a:7\", \"a:8\"",
        &["`addresses` has 9 addresses"],
    ),
    (
        "192.0.2.7:4840",
        "192.0.2.7",
        &["`192.0.2.7` is no address of a controller: it has no port", "[edge.toml:3:45]"],
    ),
    (
        "192.0.2.7:4840",
        "https://controller.example:4840",
        &["neither an IP address nor a DNS name", "as in \"controller.example.com:4840\""],
    ),
    ("192.0.2.7:4840", "0.0.0.0:4840", &["it is unspecified"]),
    (
        "192.0.2.7:4840",
        "Controller.example.com:4840",
        &["is there twice", "first here", "again here"],
    ),
    ("addresses = ", "adresses = ", &["there is no setting `adresses`", "did you mean"]),
    (
        "[listen]",
        "[listen]\nport = 80",
        &["port 80 is both http_port and the port of TLS", "[edge.toml:5:8]"],
    ),
    (
        "[listen]",
        "[tls]\nunknown_names = \"default\"\n[listen]",
        &["there is no default certificate for unknown names"],
    ),
];

#[test]
fn every_mistake_is_refused_with_reason_and_place() {
    for (from, to, expected) in MISTAKES {
        let error = parse(&with(from, to)).expect_err(&format!("{to} was taken"));
        let report = render(&error);
        for words in *expected {
            assert!(report.contains(words), "{from} -> {to}: no `{words}` in\n{report}");
        }
        assert_eq!(error.problems().len(), 1, "{from} -> {to}:\n{report}");
    }
}

#[test]
fn without_a_controller_all_that_it_would_say_is_asked_for() {
    let without = GOOD.find("[listen]").expect("there");
    let error = parse(&GOOD[without..]).expect_err("nobody says it");
    let reasons: Vec<_> = error.problems().iter().map(Problem::reason).collect();
    let missing = ["node", "fleet_file", "nodes", "tls"];
    assert_eq!(reasons, missing.map(|name| format!("the setting `{name}` is missing")));
    assert!(render(&error).contains("which a controller says"), "{}", render(&error));
}

#[test]
fn a_node_joins_the_fleet_that_the_controller_tells_of() {
    let fleet = || vec![node(2, "198.51.100.2"), node(7, "198.51.100.7")];
    let config = good(GOOD).joined(7, fleet()).expect("it is there");
    assert_eq!((config.node, config.site.as_str()), (7, "s7"));
    assert_eq!(config.our_node().name, "n7");
    let liveness: Vec<_> = config.nodes.iter().map(|node| node.liveness).collect();
    assert_eq!(liveness, [Liveness::Unknown, Liveness::Live], "we ourselves are live");

    assert_eq!(good(GOOD).joined(3, fleet()), Err(JoinError::NotThere(3)));
    let twice = [fleet(), fleet()].concat();
    assert_eq!(good(GOOD).joined(7, twice), Err(JoinError::Twice(2)));
    let anycast = "192.0.2.1".parse().expect("an address");
    let ours = vec![node(2, "198.51.100.2"), node(7, "192.0.2.1")];
    assert_eq!(good(GOOD).joined(7, ours.clone()), Err(JoinError::Anycast(7, anycast)));
    // Another node's bad entry is no reason not to serve.
    let config = good(GOOD).joined(2, ours).expect("it is good");
    assert_eq!(config.fits(&config.nodes[1]), Err(JoinError::Anycast(7, anycast)));
}

#[test]
fn the_examples_are_good() {
    let fleet = include_str!("../../../../docs/examples/edge.toml");
    let controller = include_str!("../../../../docs/examples/edge-controller.toml");
    assert!(good(fleet).controller.is_none());
    assert!(good(controller).controller.is_some());
}
