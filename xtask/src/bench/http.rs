//! `cargo xtask bench http`: what a site costs: each version of HTTP, files, and the way through to
//! an origin, against servers that are known, or against bounds.
//!
//! Rounds, cores and processor time are as in [`super::h3`], whose load and servers HTTP/3 has here,
//! too. HTTP/2 is asked by h2load. The origin runs on the client's core: what it costs is not the
//! server's.
//!
//! | module | job |
//! |---|---|
//! | [`site`] | the edge, nginx, Caddy and the origin, with the same files and the same limits |
//! | [`h2load`] | the load of HTTP/2, and what it says |
//! | [`latency`] | what a proxy adds to the time that an answer takes |

mod h2load;
mod latency;
mod site;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit};

use super::client::{Client, Load};
use super::rounds::{Effort, bounded, bytes_per_idle, compare, cpu_per_answer, in_turn};
use super::server::Server;
use super::{Figure, Goal, h3};
use crate::{process, setup};
use h2load::Asked;
use h3::servers::Kind as Direct;
use site::{Kind, Site};

/// Connections whose memory is looked at.
const IDLE_CONNECTIONS: usize = 10_000;
/// Open files of the edge that are no connections, with room to spare: beyond half of the others it
/// takes no connection by TCP, the other half is for answers from files.
const OTHER_FILES: u64 = 1_000;
/// What an idle connection of HTTP/3 may have.
const IDLE_H3_BYTES: f64 = (32 << 10) as f64;
/// What an idle connection of HTTP/2 may have.
const IDLE_H2_BYTES: f64 = (25 << 10) as f64;
/// Bytes of an answer.
const ANSWER_BYTES: u64 = 1 << 10;
/// Requests of a round by HTTP/2: enough that ten handshakes are a hundredth of it.
const REQUESTS: usize = 50_000;

/// How HTTP/2 is asked.
const H2: Asked = Asked { connections: 10, streams: 10, requests: REQUESTS };
/// How a proxy is asked by HTTP/3.
const H3: Load = Load { connections: 8, streams: 16, body_bytes: ANSWER_BYTES, renew: false };

/// A figure, and how it is measured.
type Measure = (&'static str, fn(&Bench, &str) -> Result<Vec<Figure>>);

const MEASURES: [Measure; 8] = [
    ("h3_1k", h3_1k),
    ("h2_1k", h2_1k),
    ("proxy_h3_h1", proxy_h3_h1),
    ("proxy_h2_h1", proxy_h2_h1),
    ("bulk_proxy", bulk_proxy),
    ("proxy_p99_added", proxy_p99_added),
    ("idle_h3", idle_h3),
    ("idle_h2", idle_h2),
];

/// What is measured, and how thoroughly.
struct Bench {
    direct: h3::Bench,
    site: Site,
    effort: Effort,
}

/// Measures the figures whose names contain one of `only`, or all of them.
///
/// # Errors
/// Where something cannot be installed, does not build, or does not answer.
pub(super) fn run(only: &[String], effort: Effort) -> Result<Vec<Figure>> {
    setup::satisfy(setup::Needs {
        packages: vec![setup::CADDY, setup::NGHTTP2],
        unpacked: vec![setup::NGINX],
        ..setup::Needs::default()
    })?;
    let direct = h3::Bench::prepare(effort)?;
    let site = Site::prepare(&direct.site.folder, process::build("tests", "h2_idle", true)?)?;
    let bench = Bench { direct, site, effort };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only));
    let mut figures = Vec::new();
    for (name, measure) in MEASURES.iter().filter(|(name, _)| wanted(name)) {
        eprintln!("{name}");
        let measured = measure(&bench, name).context(*name)?;
        for Figure { value, unit, against, ratio, .. } in &measured {
            eprintln!("  {value} {unit}, {ratio} against {against}");
        }
        figures.extend(measured);
    }
    ensure!(!figures.is_empty(), "no figure is named like that");
    Ok(figures)
}

/// As `cpu_per_request_1k` of [`h3`].
fn h3_1k(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let kinds = [Direct::Edge, Direct::Quinn];
    let servers = bench.direct.site.start_all(&kinds)?;
    let rounds = bench.direct.cpu(&h3::REQUEST_1K, &servers)?;
    let figures = compare(name, "us", &rounds, &[Direct::Quinn.name()]);
    Ok(with_goal(figures, Goal::AtMost(0.65)))
}

/// The same file by HTTP/2.
fn h2_1k(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let kinds = [Kind::Edge, Kind::Nginx];
    let servers = bench.site.start_all(&kinds, None)?;
    let rounds = bench.h2_cpu(&servers)?;
    Ok(compare(name, "us", &rounds, &[Kind::Nginx.name()]))
}

fn proxy_h3_h1(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let origin = bench.site.origin()?;
    let kinds = [Kind::Edge, Kind::Caddy];
    let servers = bench.site.start_all(&kinds, Some(origin.address))?;
    let cpu = |one: usize| Ok(bench.direct.cpu_of(H3, &servers[one])? * 1e-3);
    let rounds = in_turn(bench.effort.rounds, kinds.len(), cpu)?;
    let figures = compare(name, "us", &rounds, &[Kind::Caddy.name()]);
    Ok(with_goal(figures, Goal::AtMost(0.15)))
}

fn proxy_h2_h1(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let origin = bench.site.origin()?;
    let servers = bench.site.start_all(&[Kind::Edge, Kind::Nginx], Some(origin.address))?;
    let rounds = bench.h2_cpu(&servers)?;
    let figures = compare(name, "us", &rounds, &[Kind::Nginx.name()]);
    Ok(with_goal(figures, Goal::AtMost(1.0)))
}

/// Bytes for each second of processor time, from an origin and from the edge itself: the same bytes
/// over and over, and a file.
fn bulk_proxy(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let origin = bench.site.origin()?;
    let proxy = bench.site.start(Kind::Edge, Some(origin.address))?;
    let own = bench.direct.site.start(Direct::Edge)?;
    let file = bench.site.start(Kind::Edge, None)?;
    let servers = [proxy, own, file];
    let bytes_per_second = |one: usize| {
        let nanoseconds = bench.direct.cpu_of(h3::BULK.load, &servers[one])?;
        Ok(h3::BULK_BYTES as f64 / nanoseconds * 1e3)
    };
    let rounds = in_turn(bench.effort.rounds, servers.len(), bytes_per_second)?;
    let figures = compare(name, "MB/cpu-s", &rounds, &["bytes of its own", "a file of its own"]);
    Ok(with_goal(figures, Goal::AtLeast(0.7)))
}

/// The slowest hundredth of answers while the server does half of what it can.
fn proxy_p99_added(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let origin = bench.site.origin()?;
    let servers = bench.site.start_all(&[Kind::Edge, Kind::Nginx], Some(origin.address))?;
    latency::added(name, &bench.site, &servers, &origin, bench.effort)
}

/// As `idle_connection` of [`h3`].
fn idle_h3(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let rounds = bench.direct.idle(&[Direct::Edge], IDLE_CONNECTIONS)?;
    Ok(vec![bounded(name, "bytes", &rounds, IDLE_H3_BYTES, "at most 32 KiB")])
}

/// Connections that had an answer from a file.
fn idle_h2(bench: &Bench, name: &str) -> Result<Vec<Figure>> {
    let Effort { idle_rounds, divisor, .. } = bench.effort;
    let count = idle_connections()? / divisor;
    let kinds = [Kind::Edge, Kind::Nginx];
    let rounds = in_turn(idle_rounds, kinds.len(), |one| {
        let server = bench.site.start(kinds[one], None)?;
        let connect = |count| bench.idle_h2_client(&server, count);
        bytes_per_idle(&server, count, connect).with_context(|| kinds[one].name())
    })?;
    let mut figures = vec![bounded(name, "bytes", &rounds, IDLE_H2_BYTES, "at most 25 KiB")];
    figures.extend(compare(name, "bytes", &rounds, &[Kind::Nginx.name()]));
    Ok(figures)
}

/// As many as shall be, or as a server may have open.
fn idle_connections() -> Result<usize> {
    let (_, files) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let room = usize::try_from(files.saturating_sub(OTHER_FILES) / 2)?;
    if room < IDLE_CONNECTIONS {
        eprintln!("  {room} connections: a process may open {files} files");
    }
    Ok(IDLE_CONNECTIONS.min(room))
}

impl Bench {
    /// Microseconds of each server's processor time for a request by HTTP/2, round by round.
    fn h2_cpu(&self, servers: &[Server]) -> Result<Vec<Vec<f64>>> {
        let asked = H2.of(self.effort);
        let path = format!("/bytes/{ANSWER_BYTES}");
        let cpu = |one: usize| {
            let load = || Ok(h2load::run(&asked, servers[one].address, &path)?.answers);
            Ok(cpu_per_answer(&servers[one], load)? * 1e-3)
        };
        in_turn(self.effort.rounds, servers.len(), cpu)
    }

    fn idle_h2_client(&self, server: &Server, count: usize) -> Result<Client> {
        let mut command = process::command(&self.site.h2_idle);
        command.arg(server.address.to_string()).arg(&self.site.certificate);
        command.arg(count.to_string()).arg(format!("/bytes/{ANSWER_BYTES}"));
        Client::start(command)
    }
}

fn with_goal(figures: Vec<Figure>, goal: Goal) -> Vec<Figure> {
    figures.into_iter().map(|figure| figure.with_goal(goal)).collect()
}
