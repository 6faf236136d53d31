//! `cargo xtask load`: the XDP program on an interface, its counters live. The work is done by the
//! example `load` of `edge-user`, so that xtask itself stays quick to build.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::process;

/// Attach the XDP program to an interface and show its counters; see `load --help`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Given to the program as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the program and becomes it, so that Ctrl-C and other signals reach it alone.
///
/// # Errors
/// Where cargo cannot be started.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["run", "--quiet", "--package", "edge-user", "--example", "load", "--"]);
    cargo.args(&options.arguments);
    Err(cargo.exec()).with_context(|| format!("cannot start {}", process::shown(&cargo)))
}
