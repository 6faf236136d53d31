//! `cargo xtask ci`: what continuous integration runs, here.

use anyhow::Result;

use crate::process;

/// Everything that continuous integration checks: runs `.ci/run`, which is the list.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// # Errors
/// Where a check fails; the later ones are not run then.
pub(crate) fn run(_: &Options) -> Result<()> {
    process::complete(&mut process::command(".ci/run"))
}
