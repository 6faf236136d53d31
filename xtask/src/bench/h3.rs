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

pub(super) mod servers;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::Figure;
use super::client::{Client, Load};
use super::rounds::{Effort, bytes_per_idle, compare, cpu_per_answer, in_turn};
use super::server::Server;
use crate::{process, setup};
use servers::{Kind, Site};

/// The body of `bulk`.
pub(super) const BULK_BYTES: u64 = 16 << 20;
/// Connections that the memory is divided by.
const IDLE_CONNECTIONS: usize = 800;

/// A load, and the figure that it gives.
pub(super) struct Busy {
    name: &'static str,
    unit: &'static str,
    pub(super) load: Load,
    /// Nanoseconds of an answer to `unit`.
    scale: f64,
}

const SMALL: Load = Load { connections: 8, streams: 16, body_bytes: 128, renew: false };

const fn request(name: &'static str, load: Load) -> Busy {
    Busy { name, unit: "us", load, scale: 1e-3 }
}

/// An answer of 1 KiB.
pub(super) const REQUEST_1K: Busy =
    request("cpu_per_request_1k", Load { body_bytes: 1 << 10, ..SMALL });

/// One answer after another that is long.
pub(super) const BULK: Busy = Busy {
    name: "bulk",
    unit: "ms/GiB",
    load: Load { connections: 1, streams: 1, body_bytes: BULK_BYTES, renew: false },
    scale: 1e-6 * ((1 << 30) / BULK_BYTES) as f64,
};

const ALL: [Busy; 6] = [
    request("cpu_per_request_128", SMALL),
    REQUEST_1K,
    request("cpu_per_request_10k", Load { body_bytes: 10 << 10, ..SMALL }),
    request("cpu_per_request_100x1", Load { connections: 100, streams: 1, ..SMALL }),
    request("handshake", Load { renew: true, ..SMALL }),
    BULK,
];

/// Measures the figures whose names contain one of `only`, or all of them.
///
/// # Errors
/// Where something cannot be installed, does not build, or does not answer.
pub(super) fn run(only: &[String], effort: Effort) -> Result<Vec<Figure>> {
    setup::satisfy(setup::Needs { packages: vec![setup::CADDY], ..setup::Needs::default() })?;
    let bench = Bench::prepare(effort)?;
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));
    let others = [Kind::Quinn, Kind::Caddy].map(Kind::name);

    let mut figures = Vec::new();
    let servers = bench.site.start_all(&Kind::ALL)?;
    for busy in ALL.iter().filter(|busy| wanted(busy.name)) {
        let rounds = bench.cpu(busy, &servers)?;
        figures.extend(compare(busy.name, busy.unit, &rounds, &others));
    }
    drop(servers);
    if wanted(IDLE) {
        let rounds = bench.idle(&Kind::ALL, IDLE_CONNECTIONS)?;
        figures.extend(compare(IDLE, "bytes", &rounds, &others));
    }
    ensure!(!figures.is_empty(), "no figure is named like that");
    Ok(figures)
}

const IDLE: &str = "idle_connection";

/// Programs that are built, and files.
pub(super) struct Bench {
    pub(super) site: Site,
    /// The load.
    client: PathBuf,
    effort: Effort,
}

impl Bench {
    /// Builds what is measured, and the load.
    ///
    /// # Errors
    /// Where something does not build.
    pub(super) fn prepare(effort: Effort) -> Result<Self> {
        let site = Site::prepare(
            process::build("edge-user", "landfast-edge", true)?,
            process::build("tests", "h3_responder", true)?,
            ALL.iter().map(|busy| busy.load.body_bytes),
        )?;
        Ok(Self { site, client: process::build("tests", "h3_load", true)?, effort })
    }

    /// Processor time of each of these servers for an answer, round by round.
    ///
    /// # Errors
    /// Where one does not answer.
    pub(super) fn cpu(&self, busy: &Busy, servers: &[Server]) -> Result<Vec<Vec<f64>>> {
        let Effort { rounds, .. } = self.effort;
        eprintln!("{}: {rounds} rounds", busy.name);
        let measure = |one: usize| Ok(self.cpu_of(busy.load, &servers[one])? * busy.scale);
        in_turn(rounds, servers.len(), measure).context(busy.name)
    }

    /// Nanoseconds of a server's processor time for an answer to this load.
    ///
    /// # Errors
    /// Where there is no answer.
    pub(super) fn cpu_of(&self, load: Load, server: &Server) -> Result<f64> {
        let mut client = self.connect(server, load)?;
        let spent = cpu_per_answer(server, || client.run(self.effort.busy))?;
        client.close()?;
        Ok(spent)
    }

    /// Memory of so many idle connections of each, round by round, each time of a new process.
    ///
    /// # Errors
    /// Where one is not made.
    pub(super) fn idle(&self, kinds: &[Kind], connections: usize) -> Result<Vec<Vec<f64>>> {
        let (rounds, count) = (self.effort.idle_rounds, connections / self.effort.divisor);
        eprintln!("{IDLE}: {rounds} rounds with {count} connections");
        let measure = |one: usize| {
            let server = self.site.start(kinds[one])?;
            let load = |connections| Load { connections, streams: 1, ..SMALL };
            bytes_per_idle(&server, count, |count| self.connect(&server, load(count)))
                .with_context(|| kinds[one].name())
        };
        in_turn(rounds, kinds.len(), measure).context(IDLE)
    }

    fn connect(&self, server: &Server, load: Load) -> Result<Client> {
        Client::connect(&self.client, server.address, &self.site.certificate, load)
    }
}
