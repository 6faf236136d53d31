//! What a proxy adds to the time that an answer takes: the slowest hundredth, at half of what the
//! edge can do, against the origin asked directly.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::h2load::{self, Asked};
use super::site::{Kind, Site};
use super::{ANSWER_BYTES, Figure};
use crate::bench::rounds::{Effort, compare, in_turn, median};
use crate::bench::server::Server;

/// Connections with one request in progress, at most: it is a rate that is held.
const ASKED: Asked = Asked { connections: 20, streams: 1, requests: 20_000 };
/// Rounds, and how long each asks.
const ROUNDS: usize = 5;
const MILLISECONDS: u128 = 1_500;

/// Microseconds that the edge adds, against nothing and against nginx, which is the second server.
///
/// # Errors
/// Where an answer is missing.
pub(super) fn added(
    name: &str,
    site: &Site,
    servers: &[Server],
    origin: &Server,
    effort: Effort,
) -> Result<Vec<Figure>> {
    let path = format!("/bytes/{ANSWER_BYTES}");
    let full = h2load::run(&ASKED.of(effort), servers[0].address, &path)?;
    let load = (full.per_second / 2.0, MILLISECONDS / effort.divisor as u128);
    let log = site.folder.join("latency.log");
    let commands: [&dyn Fn() -> Command; 3] = [
        &|| h2load::over_tls(&ASKED, servers[0].address, &path),
        &|| h2load::over_tls(&ASKED, servers[1].address, &path),
        &|| h2load::in_clear(&ASKED, origin.address, &path),
    ];
    let slowest = |one: usize| {
        h2load::at_rate(commands[one](), ASKED.connections, load, &log)?;
        read(&log)
    };
    let rounds = in_turn(effort.rounds.min(ROUNDS), commands.len(), slowest)?;
    let middle = |one: usize| median(rounds.iter().map(|round| round[one]));
    eprintln!(
        "  at {:.0} requests a second: edge {:.0} us, nginx {:.0} us, origin {:.0} us",
        load.0,
        middle(0),
        middle(1),
        middle(2)
    );
    let added: Vec<_> =
        rounds.iter().map(|round| vec![round[0] - round[2], round[1] - round[2]]).collect();
    Ok(compare(name, "us", &added, &[Kind::Nginx.name()]))
}

/// The 99th percentile of the times in a log of h2load's, which is not there afterwards.
fn read(log: &Path) -> Result<f64> {
    let text = fs::read_to_string(log)?;
    // h2load writes behind what is there.
    fs::remove_file(log)?;
    slowest(&text).context("h2load has logged no answer")
}

/// A line for each answer: start, status, microseconds.
fn slowest(log: &str) -> Option<f64> {
    let mut times: Vec<u64> =
        log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    times.sort_unstable();
    let index = times.len() * 99 / 100;
    times.get(index).map(|time| *time as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_hundredth_is_found_whatever_the_order() {
        let log: String =
            (0..1000).map(|i| format!("17000000\t200\t{}\n", (i * 7 + 3) % 1000)).collect();
        assert_eq!(slowest(&log), Some(990.0));
        assert_eq!(slowest(""), None);
    }
}
