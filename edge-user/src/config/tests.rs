//! A table of mistakes, and what each looks like.

mod coalescing;
mod controller;
mod distributions;
mod origins;

use super::*;
use miette::{GraphicalReportHandler, GraphicalTheme};

const GOOD: &str = r#"
node = 1
fleet_file = "/etc/landfast/fleet.toml"
[listen]
anycast = ["192.0.2.1", "2001:db8::1"]
interfaces = ["eth0"]
[tls]
certificate = "/etc/landfast/cert.pem"
key = "/etc/landfast/key.pem"
[[nodes]]
id = 1
name = "ams1"
site = "ams"
ipv4 = "198.51.100.1"
ipv6 = "2001:db8:1::1"
[[nodes]]
id = 2
name = "fra1"
site = "fra"
ipv4 = "198.51.100.2"
liveness = "dead"
"#;

fn host() -> Host {
    Host {
        interfaces: Some(vec!["eth0".into(), "eth1".into(), "lo".into()]),
        cores: 2,
        state_directory: "/var/lib/landfast".into(),
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    super::parse("edge.toml".as_ref(), text, &host())
}

/// The good file with `from` replaced by `to`, which must be there.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the file");
    GOOD.replacen(from, to, 1)
}

fn render(error: &ConfigError) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
    error.render_by(&handler)
}

#[test]
fn a_good_file_gives_every_setting_or_its_default() {
    let config = parse(GOOD).map_err(|error| render(&error)).expect("good");
    assert_eq!((config.node, config.site.as_str(), config.our_node().id), (1, "ams", 1));
    assert_eq!((config.listen.port, config.listen.workers), (443, 2));
    assert_eq!(config.steering.mode, SteeringMode::Native);
    assert_eq!(config.steering.encapsulation_port, 7842);
    assert_eq!(config.steering.pin_directory, PathBuf::from("/sys/fs/bpf/landfast"));
    assert_eq!(config.admin.listen, "127.0.0.1:9443".parse().expect("address"));
    assert_eq!(config.state_directory, PathBuf::from("/var/lib/landfast"));
    assert_eq!(config.drain, Duration::from_secs(30));
    assert_eq!(config.quic.retry_threshold, 1000);
    assert_eq!(config.admission, AdmissionConfig::default());
    let liveness: Vec<_> = config.nodes.iter().map(|node| node.liveness).collect();
    assert_eq!(liveness, [Liveness::Live, Liveness::Dead]);
}

#[test]
fn requests_are_noted_where_the_file_says_where_and_as_json_unless_it_says_otherwise() {
    let table = |rest: &str| with("[tls]", &format!("[access_log]\npath = \"/l/a\"\n{rest}[tls]"));
    let of = |text: &str| parse(text).expect("good").access_log;
    let noted = |format| Some(AccessLogConfig { path: "/l/a".into(), format });
    assert_eq!(of(GOOD), None);
    assert_eq!(of(&table("")), noted(LogFormat::Json));
    assert_eq!(of(&table("format = \"text\"\n")), noted(LogFormat::Text));
}

/// What is replaced in the good file, by what, and what the report must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("[tls]", "[access_log]\npath = \"a.log\"\n[tls]", &["`path` is not an absolute path"]),
    (
        "[tls]",
        "[access_log]\npath = \"/a\"\nformat = \"clf\"\n[tls]",
        &["`format` cannot be `clf`"],
    ),
    ("node = 1", "node = 4096", &["`node` is 4096: it must be 0 to 4095", "[edge.toml:2:8]"]),
    ("node = 1", "node = -1", &["`node` is -1: it must be 0 to 4095"]),
    ("node = 1", "node = \"ams1\"", &["invalid type: string", "expected i64", "[edge.toml:2:8]"]),
    ("node = 1", "node = 3", &["no node in `nodes` has our ID, 3", "[edge.toml:2:8]"]),
    ("node = 1\n", "", &["the setting `node` is missing"]),
    ("node = 1", "node = ", &["[edge.toml:2:8]"]),
    ("id = 2", "id = 4096", &["`id` is 4096: it must be 0 to 4095", "[edge.toml:17:6]"]),
    (
        "id = 2",
        "id = 1",
        &["two nodes have the ID 1", "first here", "again here", "[edge.toml:17:6]"],
    ),
    ("\"fra1\"", "\"ams1\"", &["two nodes are named ams1"]),
    ("\"fra1\"", "\"\"", &["`name` must be 1 to 64 bytes"]),
    ("198.51.100.2", "198.51.100.1", &["two nodes have the address 198.51.100.1"]),
    (
        "198.51.100.2",
        "192.0.2.1",
        &["192.0.2.1 is an anycast address and a node's own", "anycast here"],
    ),
    ("2001:db8:1::1", "2001:0db8::1", &["2001:db8::1 is an anycast address and a node's own"]),
    (
        "198.51.100.2",
        "198.51.100.2/24",
        &["`198.51.100.2/24` is not an IPv4 address", "prefix length"],
    ),
    ("198.51.100.2", "127.0.0.2", &["127.0.0.2 is a loopback address, in a fleet of several"]),
    ("ipv4 = \"198.51.100.2\"\n", "", &["the node fra1 has no address", "neither ipv4 nor ipv6"]),
    (
        "ipv4 = \"198.51.100.1\"\n",
        "",
        &["no packet can cross between fra1 and this node", "has no address of the same family"],
    ),
    ("node = 1", "node = 2", &["this node is dead by its own list of nodes", "[edge.toml:21:12]"]),
    ("\"192.0.2.1\", \"2001:db8::1\"", "", &["`anycast` has 0 addresses"]),
    ("\"2001:db8::1\"]", "\"192.0.2.1\"]", &["the anycast address 192.0.2.1 is there twice"]),
    ("192.0.2.1", "0.0.0.0", &["0.0.0.0 is unspecified"]),
    ("192.0.2.1", "224.0.0.1", &["224.0.0.1 is multicast"]),
    ("192.0.2.1", "127.0.0.1", &["127.0.0.1 is a loopback address, in a fleet of several"]),
    ("2001:db8::1", "fe80::1", &["fe80::1 is link-local"]),
    ("2001:db8::1", "::ffff:192.0.2.7", &["is an IPv4 address in IPv6 form"]),
    ("192.0.2.1", "edge.example", &["`edge.example` is not an IP address"]),
    ("\"eth0\"", "\"eth7\"", &["there is no interface eth7 on this host", "did you mean `eth0`?"]),
    ("\"eth0\"", "\"eth0\", \"eth0\"", &["the interface eth0 is named twice"]),
    ("\"eth0\"", "\"a\", \"b\", \"c\", \"d\", \"e\"", &["5 interfaces: at most 4"]),
    ("\"eth0\"", "\"interface-of-16b\"", &["an interface has a name of 1 to 15 bytes"]),
    ("interfaces = [\"eth0\"]\n", "", &["steering with XDP needs an interface", "user-space"]),
    ("[tls]", "port = 0\n[tls]", &["`port` is 0: it must be 1 to 65535"]),
    ("[tls]", "port = 7842\n[tls]", &["port 7842 is both encapsulation_port and the port of QUIC"]),
    ("[tls]", "workers = 256\n[tls]", &["`workers` is 256: it must be 0 to 255"]),
    ("[tls]", "prot = 443\n[tls]", &["there is no setting `prot` here", "did you mean `port`?"]),
    ("[tls]", "quic = 1\n[tls]", &["there is no setting `quic` here", "one of: anycast, port"]),
    (
        "[tls]",
        "[steering]\nmode = \"xdp\"\n[tls]",
        &["`mode` cannot be `xdp`", "one of: native, generic"],
    ),
    ("[tls]", "[steering]\nmode = \"natve\"\n[tls]", &["did you mean `native`?"]),
    ("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]", &["port 0 is no port to listen on"]),
    ("[tls]", "[admin]\nlisten = \"9443\"\n[tls]", &["`9443` is not an address with a port"]),
    ("[tls]", "[log]\nlevel = \"notice\"\n[tls]", &["`level` cannot be `notice`"]),
    (
        "[tls]",
        "[admission]\namplifier_ports = \"yes\"\n[tls]",
        &["neither a switch nor a list of ports", "true for the usual ones", "[edge.toml:8:19]"],
    ),
    ("[tls]", "[admission]\namplifier_ports = [70000]\n[tls]", &["nor a list of ports"]),
    (
        "[tls]",
        "[admission]\ninitials_per_second = 100000\ninitials_burst = 500\n[tls]",
        &["`initials_burst` is 500: it must be 1000 to 1000000000"],
    ),
    ("[tls]", "[admission]\nforwards_per_second = -1\n[tls]", &["`forwards_per_second` is -1"]),
    ("[tls]", "[admission]\nblocklist = \"list\"\n[tls]", &["`blocklist` is not an absolute path"]),
    (
        "[tls]",
        "[quic]\nidle_timeout_seconds = 0\n[tls]",
        &["`idle_timeout_seconds` is 0: it must be 1 to 600"],
    ),
    (
        "[tls]",
        "[quic]\nconnection_id_lifetime_seconds = 86401\n[tls]",
        &["`connection_id_lifetime_seconds` is 86401: it must be 1 to 86400"],
    ),
    ("[tls]", "[quic]\nmax_connections = 0\n[tls]", &["`max_connections` is 0"]),
    ("[listen]", "drain_seconds = 3601\n[listen]", &["`drain_seconds` is 3601"]),
    ("\"/etc/landfast/key.pem\"", "\"key.pem\"", &["`key` is not an absolute path"]),
    (
        "liveness = \"dead\"",
        "liveness = \"alive\"",
        &["`liveness` cannot be `alive`", "did you mean `live`?"],
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
fn a_report_shows_both_places_and_what_to_do() {
    let error = parse(&with("id = 2", "id = 1")).expect_err("two nodes with one ID");
    let expected = "  × two nodes have the ID 1
    ╭─[edge.toml:17:6]
 10 │ [[nodes]]
 11 │ id = 1
    ·      ┬
    ·      ╰── first here
 12 │ name = \"ams1\"
 13 │ site = \"ams\"
 14 │ ipv4 = \"198.51.100.1\"
 15 │ ipv6 = \"2001:db8:1::1\"
 16 │ [[nodes]]
 17 │ id = 1
    ·      ┬
    ·      ╰── again here
 18 │ name = \"fra1\"
    ╰────
  help: give each node an ID of its own, and never one that another had lately
";
    assert_eq!(render(&error), expected, "{}", render(&error));
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let text =
        with("198.51.100.2", "192.0.2.1").replace("eth0", "eth9").replace("id = 1", "id = 9");
    let error = parse(&text).expect_err("three mistakes");
    let reasons: Vec<_> = error.problems().iter().map(Problem::reason).collect();
    assert_eq!(
        reasons,
        [
            "there is no interface eth9 on this host",
            "192.0.2.1 is an anycast address and a node's own",
            "no node in `nodes` has our ID, 1",
        ]
    );
}

#[test]
fn without_a_list_of_nodes_there_is_no_fleet() {
    let nodes = GOOD.find("[[nodes]]").expect("there");
    let error = parse(&GOOD[..nodes]).expect_err("no nodes");
    assert!(render(&error).contains("the setting `nodes` is missing"), "{}", render(&error));
    let error = parse(&format!("nodes = []\n{}", &GOOD[..nodes])).expect_err("no nodes");
    assert!(render(&error).contains("`nodes` is empty"), "{}", render(&error));
}

#[test]
fn interfaces_of_another_host_are_not_looked_for() {
    let text = with("eth0", "enp1s0f0");
    let config = super::parse("edge.toml".as_ref(), &text, &Host::elsewhere()).expect("good");
    assert_eq!(config.listen.interfaces, ["enp1s0f0"]);
}

#[test]
fn a_node_on_its_own_may_serve_on_loopback_without_xdp() {
    let text = r#"
        node = 0
        fleet_file = "/tmp/fleet.toml"
        listen = { anycast = ["127.0.0.1", "::1"], port = 4433, workers = 1 }
        tls = { certificate = "/tmp/cert.pem", key = "/tmp/key.pem" }
        steering = { mode = "user-space" }
        nodes = [{ id = 0, name = "here", site = "lab", ipv4 = "127.0.0.2" }]
    "#;
    let config = parse(text).map_err(|error| render(&error)).expect("good");
    assert!(config.listen.interfaces.is_empty());
    assert_eq!(config.listen.workers, 1);
}

#[test]
fn who_reads_the_file_lives() {
    let config = parse(&with("node = 1", "node = 2").replace("\"dead\"", "\"unknown\""));
    let config = config.map_err(|error| render(&error)).expect("good");
    assert_eq!(config.our_node().liveness, Liveness::Live, "though the file says unknown");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load("/nonexistent/edge.toml".as_ref(), &host()).expect_err("not there");
    let report = render(&error);
    assert!(report.starts_with("/nonexistent/edge.toml:\n"), "{report}");
    assert!(report.contains("cannot be read: No such file"), "{report}");
}

#[test]
fn this_host_has_interfaces_and_cores() {
    let host = Host::read().expect("the kernel tells");
    assert!(host.cores >= 1);
    assert!(host.interfaces.expect("read").contains(&"lo".to_owned()));
}

#[test]
fn amplifier_ports_are_switched_off_or_named_and_a_burst_follows_its_rate() {
    let admission = |text: &str| {
        let file = with("[tls]", &format!("[admission]\n{text}\n[tls]"));
        parse(&file).map_err(|error| render(&error)).expect("good").admission
    };
    assert!(admission("amplifier_ports = false").amplifier_ports.is_empty());
    assert_eq!(admission("amplifier_ports = true"), AdmissionConfig::default());
    let ports = admission("amplifier_ports = [19, 11211, 19]").amplifier_ports;
    assert_eq!(ports.into_iter().collect::<Vec<_>>(), [19, 11211]);
    let rate = admission("initials_per_second = 1000000");
    assert_eq!((rate.initials_per_second, rate.initials_burst), (1_000_000, 10_000));
    assert_eq!(admission("forwards_per_second = 0").forwards_per_second, 0);
}
