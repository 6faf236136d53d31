//! `cargo xtask stickiness`: how many connections survive what anycast and clients do.
//!
//! The measuring is the binary `stickiness` of the package `tests`; this installs and builds what
//! it takes, and starts it.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use clap::builder::RangedU64ValueParser;

use crate::{process, setup};

/// The scenarios, in the order of the report.
const SCENARIOS: [&str; 7] = [
    "port_rebinding",
    "address_change",
    "node_added",
    "route_withdrawn",
    "site_flip",
    "uneven_workers",
    "flood_beside",
];

/// Keep hundreds of connections busy while routes and clients change, with steering and without.
///
/// Four nodes at two sites behind a router with ECMP, in network namespaces; clients are quinn and
/// aioquic. It fails where steering lost a connection or a request. It needs root, and about
/// seven minutes for all scenarios.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print one line of JSON. The table goes to standard error either way.
    #[arg(long)]
    json: bool,
    /// Only this scenario.
    #[arg(long, value_parser = SCENARIOS)]
    scenario: Option<String>,
    /// How many connections.
    #[arg(long, default_value_t = 500, value_parser = RangedU64ValueParser::<u64>::new().range(3..=5000))]
    connections: u64,
    /// Build for speed first: takes longer, and is what to compare times with.
    #[arg(long)]
    release: bool,
}

/// # Errors
/// Where something is missing that cannot be installed, a fleet does not start, or steering lost
/// a connection or a request.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(process::is_root(), "network namespaces and XDP take root");
    setup::satisfy(setup::Needs {
        packages: vec![setup::IPROUTE, setup::ETHTOOL],
        clients: true,
        bpf_file_system: true,
        ..setup::Needs::default()
    })?;
    let edge = process::build("edge-user", "landfast-edge", options.release)?;
    let mut measure = process::command(process::build("tests", "stickiness", options.release)?);
    measure.env("LANDFAST_EDGE", edge).env("LANDFAST_PYTHON", setup::python());
    measure.arg(options.connections.to_string());
    match &options.scenario {
        Some(scenario) => measure.arg(scenario),
        None => measure.args(SCENARIOS),
    };
    if !options.json {
        measure.stdout(Stdio::null());
    }
    let status = measure.status().context("cannot start the measuring")?;
    ensure!(status.success(), "not everything held, see above");
    Ok(())
}
