//! The figures of `cargo xtask stickiness`: usage `stickiness CONNECTIONS SCENARIO...`.
//!
//! Prints one line of JSON; words go to standard error. Fails where steering lost anything.

use anyhow::{Context as _, Result, bail, ensure};
use tests::stickiness::{Outcome, Scenario, run};

#[derive(serde::Serialize)]
struct Report {
    scenarios: Vec<Outcome>,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let connections = arguments.next().context("how many connections?")?.parse()?;
    let scenarios = arguments.map(|name| named(&name)).collect::<Result<Vec<_>>>()?;
    ensure!(!scenarios.is_empty(), "which scenarios?");
    let mut report = Report { scenarios: Vec::new() };
    eprintln!("{HEADING}");
    for scenario in scenarios {
        for steering in [true, false] {
            let outcome = run(scenario, steering, connections)
                .with_context(|| format!("{}, steering {steering}", scenario.name()))?;
            eprintln!("{}", line(&outcome));
            if let Some(noticed) = &outcome.flood {
                eprintln!("{noticed}");
            }
            report.scenarios.push(outcome);
        }
    }
    println!("{}", serde_json::to_string(&report)?);
    let lost = report.scenarios.iter().filter(|outcome| outcome.steering && !outcome.held());
    let lost: Vec<_> = lost.map(|outcome| outcome.name).collect();
    ensure!(lost.is_empty(), "with steering, connections or requests were lost: {lost:?}");
    Ok(())
}

fn named(name: &str) -> Result<Scenario> {
    match Scenario::ALL.into_iter().find(|scenario| scenario.name() == name) {
        Some(scenario) => Ok(scenario),
        None => bail!("no scenario {name}: {:?}", Scenario::ALL.map(Scenario::name)),
    }
}

const HEADING: &str = "scenario         steering  connections  survived  requests  failed  \
                       forwarded  added p50";

fn line(outcome: &Outcome) -> String {
    format!(
        "{:<16} {:<8} {:>12} {:>9} {:>9} {:>7} {:>8.1} % {:>7} us",
        outcome.name,
        if outcome.steering { "on" } else { "off" },
        outcome.connections,
        outcome.survived,
        outcome.requests,
        outcome.requests_failed,
        outcome.forwarded_percent,
        outcome.added_p50_us,
    )
}
