//! `cargo xtask coalescing`: how many connections browsers need for several names, told of them by
//! ORIGIN frames or not.
//!
//! The counting is the binary `coalescing` of the package `tests`; this installs and builds what it
//! takes, and starts it.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::{process, setup};

/// Browsers, and where Firefox keeps whom it trusts.
pub(crate) const BROWSERS: [setup::Package; 3] =
    [setup::FIREFOX, setup::CHROMIUM, setup::NSS_TOOLS];

/// Show a page with images of five other hosts in Firefox and Chromium, and count their connections.
///
/// Every host has an address of its own, all of them on one edge with one certificate, in a network
/// namespace; the edge sends ORIGIN frames with all of their names, with another name alone, or none.
/// It fails where a browser that goes by the frame (Firefox over HTTP/2, Chromium over HTTP/3) does
/// not need one connection for all, or six where it was not told of them. It needs root, and some
/// seconds when all is built.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print one line of JSON. The table goes to standard error either way.
    #[arg(long)]
    json: bool,
    /// Over the other versions of HTTP, too, where they do not go by it.
    #[arg(long)]
    all: bool,
}

/// # Errors
/// Where something is missing that cannot be installed, a browser does not run, or makes more or
/// fewer connections than it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(process::is_root(), "network namespaces take root");
    let packages = [setup::IPROUTE].into_iter().chain(BROWSERS).collect();
    setup::satisfy(setup::Needs { packages, ..setup::Needs::default() })?;
    let edge = process::build("edge-user", "landfast-edge", false)?;
    let mut count = process::command(process::build("tests", "coalescing", false)?);
    count.env("LANDFAST_EDGE", edge);
    if options.all {
        count.arg("all");
    }
    if !options.json {
        count.stdout(Stdio::null());
    }
    let status = count.status().context("cannot start the counting")?;
    ensure!(status.success(), "browsers did not do as they should, see above");
    Ok(())
}
