//! A table of mistakes, and what each looks like.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

const GOOD: &str = r#"
names = ["controller.example.com", "2001:db8::53"]
[issuers.public]
directory = "https://acme.example/directory"
contact = ["mailto:tls@example.com"]
stateless = true
key_type = "p384"
concurrent_orders = 3
orders_per_hour = 40
[issuers.wildcards]
directory = "https://acme.example/directory"
challenge = "dns-01"
dns_hook = "/etc/landfast/dns-hook"
eab_key_id = "kid-1"
eab_key_file = "/etc/landfast/eab.key"
[nodes]
lease_milliseconds = 10000
keepalive_milliseconds = 3000
http_port = 8080
tls_port = 8443
[certificates]
allow = ["Example.com"]
deny = ["vault.example.com"]
addresses = true
reserved = false
internal_file = "/etc/landfast/internal.pem"
barrier_seconds = 20
drain_seconds = 0
request_seconds = 10
settle_seconds = 60
import_look_seconds = 5
[imports."shop.example.com"]
certificate = "/etc/landfast/shop.pem"
key = "/etc/landfast/shop.key"
[log]
level = "debug"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    super::parse("controller.toml".as_ref(), text)
}

/// The good file with `from` replaced by `to`, which must be there.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the file");
    GOOD.replacen(from, to, 1)
}

fn render(error: &ConfigError) -> String {
    error.render_by(&GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()))
}

#[test]
fn a_good_file_gives_every_setting_or_its_default() {
    let config = parse(GOOD).map_err(|error| render(&error)).expect("good");
    assert_eq!(config.names, ["controller.example.com", "2001:db8::53"]);
    assert_eq!(config.listen, "0.0.0.0:4840".parse().expect("address"));
    assert_eq!(config.store.key_file, PathBuf::from("/etc/landfast/controller.key"));
    assert_eq!(config.nodes.lease, Duration::from_secs(10));
    assert_eq!(config.metrics, None);
    assert_eq!(config.rotation.tickets, Duration::from_secs(12 * 3600));
    let public = &config.issuers["public"];
    assert!(public.stateless && public.challenge == ChallengeKind::Http01);
    let wildcards = &config.issuers["wildcards"];
    assert_eq!(wildcards.challenge, ChallengeKind::Dns01);
    assert_eq!(wildcards.external_account.as_ref().expect("bound").key_id, "kid-1");
    assert_eq!(config.log.level, tracing::Level::DEBUG);
}

#[test]
fn the_file_says_all_that_orders_are_told() {
    let config = parse(GOOD).map_err(|error| render(&error)).expect("good");
    let public = &config.issuers["public"];
    assert_eq!(public.limits, Limits { concurrent: 3, an_hour: 40 });
    assert_eq!(public.key_type, KeyType::P384);
    assert_eq!(config.issuers["wildcards"].limits, crate::acme::DEFAULT_LIMITS);
    assert_eq!(config.probe_ports, Ports { http: 8080, tls: 8443 });
    let seconds = Duration::from_secs;
    let Certificates { policy, internal_file, imported, times } = config.certificates;
    let wanted = Policy {
        allow: vec!["example.com".into()],
        deny: vec!["vault.example.com".into()],
        addresses: true,
        reserved: false,
    };
    assert_eq!(policy, wanted);
    assert_eq!(internal_file, PathBuf::from("/etc/landfast/internal.pem"));
    assert_eq!(imported[0].id, "shop.example.com");
    assert_eq!(imported[0].key, PathBuf::from("/etc/landfast/shop.key"));
    let wanted = Times {
        request: seconds(10),
        settle: seconds(60),
        barrier: seconds(20),
        drain_settles: Duration::ZERO,
        look_at_files: seconds(5),
    };
    assert_eq!(times, wanted);

    let plain =
        parse("names = [\"a.example\"]\n[store]\npath = \"/srv/store.redb\"").expect("good");
    assert_eq!(plain.probe_ports, Ports { http: 80, tls: 443 });
    assert_eq!(plain.certificates.times, Times::default());
    assert_eq!(plain.certificates.internal_file, PathBuf::from("/srv/internal.pem"));
    assert!(plain.certificates.policy.allow.is_empty() && plain.certificates.policy.reserved);
}

#[test]
fn the_example_is_good() {
    let text = include_str!("../../../docs/examples/controller.toml");
    let config = parse(text).map_err(|error| render(&error)).expect("good");
    assert!(config.metrics.is_some() && !config.issuers.is_empty());
    // What stands commented out is good too: it shows a setting and its default.
    let whole: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("#: ").unwrap_or(line)))
        .collect();
    parse(&whole).map_err(|error| render(&error)).expect("good with everything");
}

#[test]
fn each_mistake_is_shown_where_it_stands_with_the_cure() {
    let cases = [
        (
            "\"controller.example.com\"",
            "\"a b\"",
            "`a b` is neither a DNS name nor",
            "without a port",
        ),
        (
            "[\"controller.example.com\", \"2001:db8::53\"]",
            "[]",
            "`names` must hold 1 to",
            "by what nodes reach",
        ),
        (
            "https://acme.example/directory\"\ncontact",
            "http://acme.example/\"\ncontact",
            "no https URL",
            "`root` names",
        ),
        ("\"mailto:tls@example.com\"", "\"tls@example.com\"", "is no contact", "mailto:"),
        ("dns_hook = \"/etc/landfast/dns-hook\"\n", "", "needs a command", "dns_hook ="),
        ("\"dns-01\"", "\"dns-02\"", "cannot be `dns-02`", "did you mean `dns-01`"),
        ("eab_key_id = \"kid-1\"\n", "", "half of an external account", "give both"),
        (
            "[issuers.public]",
            "[issuers.internal]",
            "`internal` is not free",
            "there without a table",
        ),
        (
            "stateless = true",
            "stateless = true\nchallenge = \"tls-alpn-01\"",
            "of http-01 alone",
            "leave it out",
        ),
        (
            "lease_milliseconds = 10000",
            "lease_milliseconds = 6000",
            "one lost report",
            "more than twice",
        ),
        ("\"/etc/landfast/eab.key\"", "\"eab.key\"", "not an absolute path", "from / on"),
        ("[log]", "listn = 3\n[log]", "no setting `listn`", "one of"),
        ("names = ", "listen = \"here\"\nnames = ", "no address with a port", "0.0.0.0:4840"),
    ];
    are_shown(&cases);
}

#[test]
fn each_mistake_about_certificates_is_shown_where_it_stands_with_the_cure() {
    are_shown(&[
        (
            "challenge = \"dns-01\"",
            "stateless = true\n",
            "two issuers are `stateless`",
            "leave it out of the others",
        ),
        ("concurrent_orders = 3", "concurrent_orders = 0", "it must be 1 to 100", "out of range"),
        ("\"p384\"", "\"p348\"", "cannot be `p348`", "did you mean `p384`"),
        ("\"Example.com\"", "\"*.example.com\"", "no DNS name", "and all that is below it"),
        (
            "[\"vault.example.com\"]",
            "[\"example.com\"]",
            "`Example.com` is allowed in vain",
            "take one away",
        ),
        ("barrier_seconds = 20", "barrier_seconds = 0", "it must be 1 to 3600", "out of range"),
        ("tls_port = 8443", "tls_port = 70000", "it must be 1 to 65535", "out of range"),
        (
            "[imports.\"shop.example.com\"]",
            "[imports.\"a/b\"]",
            "be called `a/b`",
            "letters, digits",
        ),
        ("\"/etc/landfast/shop.key\"", "\"shop.key\"", "not an absolute path", "from / on"),
    ]);
}

/// One mistake each: what of the good file is replaced by what, and parts of reason and cure.
fn are_shown(cases: &[(&str, &str, &str, &str)]) {
    for (from, to, reason, help) in cases {
        let error = parse(&with(from, to)).expect_err(to);
        let report = render(&error);
        assert_eq!(error.problems().len(), 1, "{from} -> {to}:\n{report}");
        assert!(error.problems()[0].reason().contains(*reason), "{reason}:\n{report}");
        assert!(report.contains("controller.toml:") && report.contains(*help), "{help}:\n{report}");
    }
}

#[test]
fn every_mistake_is_found_in_one_pass() {
    let text = with("\"dns-01\"", "\"dns\"").replace("\"debug\"", "\"loud\"");
    let text = text.replace("2001:db8::53", "-");
    let error = parse(&text).expect_err("three mistakes");
    assert_eq!(error.problems().len(), 3, "{}", render(&error));
}
