//! The figures of `cargo xtask coalescing`: usage `coalescing [all]`.
//!
//! Prints one line of JSON; words go to standard error. Fails where a browser that goes by ORIGIN
//! frames made more connections than it needed, or fewer than it may.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use tests::coalescing::{Browser, HOSTS, Protocol, Run, Told, run};

#[derive(serde::Serialize)]
struct Report {
    runs: Vec<Run>,
}

/// Those that go by the frame.
const PAIRS: [(Browser, Protocol); 2] =
    [(Browser::Firefox, Protocol::H2), (Browser::Chromium, Protocol::H3)];
/// Those that do not.
const OTHERS: [(Browser, Protocol); 2] =
    [(Browser::Firefox, Protocol::H3), (Browser::Chromium, Protocol::H2)];

fn main() -> ExitCode {
    match count() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn count() -> Result<()> {
    eprintln!("a page and five more hosts, {} in all, each on an address of its own", HOSTS.len());
    eprintln!("{HEADING}");
    let mut report = Report { runs: Vec::new() };
    let all = std::env::args().nth(1).is_some_and(|word| word == "all");
    let others = if all { &OTHERS[..] } else { &[] };
    for (browser, protocol) in PAIRS.iter().chain(others).copied() {
        for told in [Told::All, Told::None, Told::Unrelated] {
            let run = run(browser, protocol, told)?;
            eprintln!("{}", line(&run)?);
            report.runs.push(run);
        }
    }
    println!("{}", serde_json::to_string(&report)?);
    let wrong: Vec<_> = report.runs.iter().filter(|run| !run.held()).collect();
    ensure!(wrong.is_empty(), "not as many connections as it should have been: {wrong:?}");
    Ok(())
}

const HEADING: &str = "browser   version            http  origin     connections  expected";

fn line(run: &Run) -> Result<String> {
    let Run { browser, browser_version, http_version, origin, connections } = run;
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let expected = match (run.is_expected_to_coalesce(), origin) {
        (false, _) => "unchanged",
        (true, Told::All) => "1",
        (true, _) => "6",
    };
    Ok(format!(
        "{:<9} {browser_version:<18} {:<5} {:<10} {connections:>11}  {expected}",
        word(serde_json::to_value(browser)?),
        word(serde_json::to_value(http_version)?),
        word(serde_json::to_value(origin)?),
    ))
}
