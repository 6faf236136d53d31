//! `cargo xtask demo`: a fleet with a controller, from nothing, told in plain words.
//!
//! The playing is the binary `demo` of the package `tests`; this installs and builds what it takes,
//! and starts it.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::{Awaited, Signals};
use crate::{process, setup};

/// A fleet of three nodes at two sites, from nothing, told in plain words.
///
/// Nodes, router, client, controller and a certificate authority (pebble) in network namespaces:
/// nodes join, a certificate is issued by the anycast address, clients speak HTTP/3 to every node
/// while the routes change. All is removed at the end, also after Ctrl-C. It needs root.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print one line of JSON. The words go to standard error either way.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// Without root; where something cannot be installed, or does not go as it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(
        process::is_root(),
        "the demo makes network namespaces and attaches XDP programs, which takes root; \
         `cargo xtask run` shows an edge without"
    );
    setup::satisfy(setup::Needs {
        packages: vec![setup::IPROUTE, setup::ETHTOOL, setup::PEBBLE],
        bpf_file_system: true,
        ..setup::Needs::default()
    })?;
    let edge = process::build("edge-user", "landfast-edge", false)?;
    let controller = process::build("controller", "landfast-controller", false)?;
    let mut play = process::command(process::build("tests", "demo", false)?);
    play.env("LANDFAST_EDGE", edge).env("LANDFAST_CONTROLLER", controller);
    if !options.json {
        play.stdout(Stdio::null());
    }
    // Ctrl-C comes to both of us: it cleans up, and we wait until it has.
    let mut signals = Signals::catch()?;
    let mut play = play.spawn().context("cannot start the demo")?;
    let status = loop {
        match signals.wait() {
            Awaited::Stop => kill(Pid::from_raw(play.id().try_into()?), Signal::SIGTERM)?,
            Awaited::Child => {
                if let Some(status) = play.try_wait()? {
                    break status;
                }
            }
        }
    };
    ensure!(status.success(), "the demo ended with {status}, see above");
    Ok(())
}
