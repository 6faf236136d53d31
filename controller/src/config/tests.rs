//! A table of mistakes, and what each looks like.

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

const GOOD: &str = r#"
names = ["controller.example.com", "2001:db8::53"]
[issuers.public]
directory = "https://acme.example/directory"
contact = ["mailto:tls@example.com"]
stateless = true
[issuers.wildcards]
directory = "https://acme.example/directory"
challenge = "dns-01"
dns_hook = "/etc/landfast/dns-hook"
eab_key_id = "kid-1"
eab_key_file = "/etc/landfast/eab.key"
[nodes]
lease_milliseconds = 10000
keepalive_milliseconds = 3000
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
    for (from, to, reason, help) in cases {
        let error = parse(&with(from, to)).expect_err(to);
        let report = render(&error);
        assert_eq!(error.problems().len(), 1, "{from} -> {to}:\n{report}");
        assert!(error.problems()[0].reason().contains(reason), "{reason}:\n{report}");
        assert!(report.contains("controller.toml:") && report.contains(help), "{help}:\n{report}");
    }
}

#[test]
fn every_mistake_is_found_in_one_pass() {
    let text = with("\"dns-01\"", "\"dns\"").replace("\"debug\"", "\"loud\"");
    let text = text.replace("2001:db8::53", "-");
    let error = parse(&text).expect_err("three mistakes");
    assert_eq!(error.problems().len(), 3, "{}", render(&error));
}
