//! `check-config`: what `serve` would say at its start, without starting.

use std::path::Path;

use edge_user::admin::control::mode_name;
use edge_user::config::origins::Origin;
use edge_user::config::{self, Config, ControllerConfig, Host};
use edge_user::preflight::{self, Finding, Severity};
use edge_user::serve::Inputs;
use serde::Serialize;

use super::{Ended, FAILED, Outcome, WRONG, say};

/// What was found.
#[derive(Default, Serialize)]
struct Report {
    /// `serve` would start, as far as can be told.
    good: bool,
    /// The configuration in a sentence, where it is good.
    summary: Option<String>,
    /// Mistakes in the configuration and in the files it names.
    problems: Vec<String>,
    /// What is good for now, but not for long.
    warnings: Vec<String>,
    /// What this host lacks.
    findings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    severity: &'static str,
    what: String,
    change: String,
}

/// Checks the file at `path`, and unless `no_host` the files it names and this host.
pub(super) fn check(path: &Path, no_host: bool, json: bool) -> Outcome {
    let mut report = Report::default();
    let code = look(path, no_host, json, &mut report);
    report.good = code.is_none();
    if json {
        say(&serde_json::to_string(&report).expect("words and names"))?;
    } else if let Some(summary) = report.summary.as_ref().filter(|_| report.good) {
        say(summary)?;
    }
    code.map_or(Ok(()), |code| Err(Ended(code)))
}

/// Fills in the report, and says the same on standard error unless that is for a machine. The exit
/// code, where it is not 0.
fn look(path: &Path, no_host: bool, json: bool, report: &mut Report) -> Option<u8> {
    let tell = |line: String| {
        if !json {
            eprintln!("landfast-edge: {line}");
        }
    };
    let host = match if no_host { Ok(Host::elsewhere()) } else { Host::read() } {
        Ok(host) => host,
        Err(error) => {
            tell(error.to_string());
            report.problems.push(error.to_string());
            return Some(FAILED);
        }
    };
    let config = match config::load(path, &host) {
        Ok(config) => config,
        Err(error) => {
            if !json {
                eprint!("{}", error.render());
            }
            report.problems.extend(error.problems().iter().map(ToString::to_string));
            return Some(WRONG);
        }
    };
    let summary = summary(path, &config);
    let findings = if no_host { Vec::new() } else { findings(&config, &tell) };
    if !no_host {
        match Inputs::check(config) {
            Ok(warnings) => report.warnings = warnings,
            Err(error) => {
                tell(error.to_string());
                report.problems.push(error.to_string());
                return Some(WRONG);
            }
        }
    }
    report.warnings.iter().for_each(|warning| tell(format!("warning: {warning}")));
    report.summary = Some(summary);
    let fit = findings.iter().all(|finding| finding.severity == Severity::Warning);
    for finding in findings {
        let severity = match finding.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        tell(format!("{severity}: {finding}"));
        let Finding { what, change, .. } = finding;
        report.findings.push(Found { severity, what, change });
    }
    if fit {
        return None;
    }
    tell("the files are good, but this host is not fit for steering: see above".into());
    Some(FAILED)
}

/// What `serve` would find of the host at its start.
fn findings(config: &Config, tell: &impl Fn(String)) -> Vec<Finding> {
    match preflight::read(config) {
        Ok(facts) => preflight::examine(config, &facts),
        Err(error) => {
            tell(format!("warning: the host cannot be checked: {error}"));
            Vec::new()
        }
    }
}

fn summary(path: &Path, config: &Config) -> String {
    let fleet = match &config.controller {
        None => {
            let (node, name) = (config.node, &config.our_node().name);
            format!("node {node} ({name}) of {}", config.nodes.len())
        }
        Some(ControllerConfig { addresses }) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("a node of the controller at {}", addresses.join(", "))
        }
    };
    let origins = match &config.origins[..] {
        [] => String::new(),
        origins => format!(", {}", origins.iter().map(origin).collect::<Vec<_>>().join(", ")),
    };
    format!(
        "{} is good: {fleet}, {} anycast addresses on UDP port {}, steering {}{origins}",
        path.display(),
        config.listen.anycast.len(),
        config.listen.port,
        mode_name(config.steering.mode),
    )
}

/// Its name, and who answers for it.
fn origin(origin: &Origin) -> String {
    let servers: Vec<_> = origin.servers.iter().map(ToString::to_string).collect();
    format!("origin {} ({} {})", origin.name, origin.scheme(), servers.join(" "))
}
