//! The example of alerts for Prometheus: Prometheus takes it, and what it watches is there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tests::fleet::programs;

const ALERTS: &str = "docs/examples/alerts.yml";

fn read(path: &str) -> String {
    fs::read_to_string(programs::file(path)).expect("a file of the repository")
}

/// What a text has of `landfast_` names, without what a histogram adds to its own.
fn metrics(text: &str) -> BTreeSet<&str> {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let names = text.match_indices("landfast_").map(|(at, _)| {
        let rest = &text[at..];
        let name = &rest[..rest.find(|c| !of_name(c)).unwrap_or(rest.len())];
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
    });
    names.collect()
}

fn promtool(verb: &str, file: &str) {
    let mut promtool = Command::new(programs::promtool());
    let output = promtool.args([verb, "rules"]).arg(programs::file(file)).output();
    let output = output.expect("promtool runs: `cargo xtask test` unpacks it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
}

#[test]
fn prometheus_takes_the_rules() {
    promtool("check", ALERTS);
}

#[test]
fn an_edge_in_trouble_alarms_and_one_that_works_does_not() {
    promtool("test", "tests/rules/edge.yml");
}

#[test]
fn a_controller_in_trouble_alarms_and_one_that_works_does_not() {
    promtool("test", "tests/rules/controller.yml");
}

#[test]
fn every_alert_of_a_controller_is_tested() {
    let (alerts, tests) = (read(ALERTS), read("tests/rules/controller.yml"));
    let (_, alerts) = alerts.split_once("landfast-controller").expect("a group");
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untested: Vec<_> = names.filter(|name| !tests.contains(*name)).collect();
    assert_eq!(untested, Vec::<&str>::new());
}

#[test]
fn every_metric_that_an_alert_watches_is_explained() {
    let (alerts, page) = (read(ALERTS), read("docs/metrics.md"));
    let watched = metrics(&alerts);
    assert!(watched.contains("landfast_xdp_attached"), "{watched:?}");
    for metric in watched {
        assert!(page.contains(&format!("| `{metric}` |")), "docs/metrics.md has no {metric}");
    }
}

#[test]
fn every_reason_that_an_alert_watches_is_one() {
    let alerts = read(ALERTS);
    let quoted = alerts.split("reason=").skip(1);
    let reasons = quoted.flat_map(|rest| {
        let rest = rest.trim_start_matches('~').trim_start_matches('"');
        rest.split('"').next().expect("split gives one").split('|')
    });
    let known: BTreeSet<_> = edge_wire::Reason::ALL.iter().map(|reason| reason.name()).collect();
    for reason in reasons {
        assert!(known.contains(reason), "there is no reason {reason}");
    }
}
