//! `cargo xtask bench h3`: what HTTP/3 costs the server, against servers that are known.
//!
//! Each server runs on one core and its clients on another. In every round each server has its
//! turn, so that what else the machine does meets all of them; the figure is the median of the
//! rounds, the ratio the median of each round's ratio. What counts is the server's processor
//! time, not the requests a second: those say how fast the client is.
//!
//! | module | job |
//! |---|---|
//! | [`servers`] | the edge, and what it is measured against |
//! | [`client`] | the load, a program of the package `tests` |
//! | [`cost`] | processor time and memory of a process, and which core runs it |

mod client;
mod cost;
mod servers;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Figure;
use crate::{process, setup};
use client::Client;
use servers::{Kind, Server, Site};

/// Rounds of a figure: an odd number, for the median.
const ROUNDS: usize = 9;
/// Rounds of the memory of idle connections, which varies less.
const IDLE_ROUNDS: usize = 3;
/// How long a server is kept busy in a round.
const BUSY: Duration = Duration::from_millis(400);
/// How long a server has afterwards for what is left to do: acknowledgements, closed connections.
const SETTLE: Duration = Duration::from_millis(50);
/// The body of `bulk`.
const BULK_BYTES: u64 = 16 << 20;
/// Connections before memory is looked at first: what a server makes once is made by then.
const IDLE_BEFORE: usize = 100;
/// Connections that the memory is divided by.
const IDLE_CONNECTIONS: usize = 800;
/// How long connections have been idle when memory is looked at.
const IDLE_SETTLE: Duration = Duration::from_millis(500);

/// A load, and the figure that it gives.
struct Load {
    name: &'static str,
    unit: &'static str,
    connections: usize,
    streams: usize,
    body_bytes: u64,
    /// A new connection for each request.
    renew: bool,
    /// Nanoseconds of an answer to `unit`.
    scale: f64,
}

const REQUEST: Load = Load {
    name: "cpu_per_request_128",
    unit: "us",
    connections: 8,
    streams: 16,
    body_bytes: 128,
    renew: false,
    scale: 1e-3,
};

const LOADS: [Load; 6] = [
    REQUEST,
    Load { name: "cpu_per_request_1k", body_bytes: 1 << 10, ..REQUEST },
    Load { name: "cpu_per_request_10k", body_bytes: 10 << 10, ..REQUEST },
    Load { name: "cpu_per_request_100x1", connections: 100, streams: 1, ..REQUEST },
    Load { name: "handshake", renew: true, ..REQUEST },
    Load {
        name: "bulk",
        unit: "ms/GiB",
        connections: 1,
        streams: 1,
        body_bytes: BULK_BYTES,
        renew: false,
        scale: 1e-6 * ((1 << 30) / BULK_BYTES) as f64,
    },
];

/// Sizes of the bodies that are asked for.
fn bodies() -> impl Iterator<Item = u64> {
    LOADS.iter().map(|load| load.body_bytes)
}

/// Measures the figures whose names contain one of `only`, or all of them.
///
/// # Errors
/// Where something cannot be installed, does not build, or does not answer.
pub(super) fn run(only: &[String]) -> Result<Vec<Figure>> {
    setup::satisfy(setup::Needs { packages: vec![setup::CADDY], ..setup::Needs::default() })?;
    let site = Site::prepare(
        process::build("edge-user", "landfast-edge", true)?,
        process::build("tests", "h3_responder", true)?,
        bodies(),
    )?;
    let client = process::build("tests", "h3_load", true)?;
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));

    let mut figures = Vec::new();
    let servers = site.start_all()?;
    for load in LOADS.iter().filter(|load| wanted(load.name)) {
        eprintln!("{}: {ROUNDS} rounds", load.name);
        let rounds = (0..ROUNDS).map(|round| {
            in_turn(round, |kind| cpu_per_answer(&client, &servers[kind as usize], &site, load))
        });
        let rounds = rounds.collect::<Result<Vec<_>>>().context(load.name)?;
        figures.extend(compare(load.name, load.unit, &rounds));
    }
    drop(servers);
    if wanted(IDLE) {
        eprintln!("{IDLE}: {IDLE_ROUNDS} rounds");
        let rounds = (0..IDLE_ROUNDS)
            .map(|round| in_turn(round, |kind| bytes_per_idle_connection(&client, &site, kind)));
        let rounds = rounds.collect::<Result<Vec<_>>>().context(IDLE)?;
        figures.extend(compare(IDLE, "bytes", &rounds));
    }
    ensure!(!figures.is_empty(), "no figure is named like that");
    Ok(figures)
}

const IDLE: &str = "idle_connection";

/// A value of each kind; another one is the first in every round.
fn in_turn(round: usize, mut measure: impl FnMut(Kind) -> Result<f64>) -> Result<[f64; 3]> {
    let mut values = [0.0; 3];
    for step in 0..values.len() {
        let kind = Kind::ALL[(round + step) % values.len()];
        values[kind as usize] = measure(kind).with_context(|| kind.name())?;
    }
    Ok(values)
}

fn cpu_per_answer(client: &Path, server: &Server, site: &Site, load: &Load) -> Result<f64> {
    let mut client = Client::connect(client, server.address, &site.certificate, load)?;
    let before = server.cpu_time()?;
    let answers = client.run(BUSY)?;
    std::thread::sleep(SETTLE);
    let spent = server.cpu_time()? - before;
    client.close()?;
    ensure!(answers > 0, "no answer in {} ms", BUSY.as_millis());
    Ok(spent.as_nanos() as f64 / answers as f64 * load.scale)
}

fn bytes_per_idle_connection(client: &Path, site: &Site, kind: Kind) -> Result<f64> {
    let server = site.start(kind)?;
    let load = |connections| Load { connections, streams: 1, ..REQUEST };
    let connect = |count| Client::connect(client, server.address, &site.certificate, &load(count));
    let before_us = connect(IDLE_BEFORE)?;
    std::thread::sleep(IDLE_SETTLE);
    let before = server.memory_bytes()?;
    let measured = connect(IDLE_CONNECTIONS)?;
    std::thread::sleep(IDLE_SETTLE);
    let grown = server.memory_bytes()?.saturating_sub(before);
    before_us.close()?;
    measured.close()?;
    Ok(grown as f64 / IDLE_CONNECTIONS as f64)
}

/// The edge's figure against each of the others, of rounds with a value for each kind.
fn compare<'a>(
    name: &'a str,
    unit: &'a str,
    rounds: &'a [[f64; 3]],
) -> impl Iterator<Item = Figure> + 'a {
    let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Edge);
    others.map(move |other| {
        let ours = |round: &[f64; 3]| round[Kind::Edge as usize];
        Figure {
            name: name.to_owned(),
            value: median(rounds.iter().map(ours).collect()),
            unit: unit.to_owned(),
            against: other.name().to_owned(),
            ratio: median(rounds.iter().map(|round| ours(round) / round[other as usize]).collect()),
        }
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The machine slows down for all in the second round: the ratios don't change.
        let rounds = [[1.0, 2.0, 10.0], [100.0, 200.0, 1000.0], [2.0, 4.0, 20.0]];
        let figures: Vec<_> = compare("handshake", "us", &rounds).collect();
        let ratios: Vec<_> = figures.iter().map(|f| (f.against.as_str(), f.ratio)).collect();
        assert_eq!(ratios, [("quinn + h3-quinn", 0.5), ("caddy", 0.1)]);
        assert!(figures.iter().all(|figure| figure.value == 2.0));
    }
}
