//! `cargo xtask bench xdp`.
//!
//! The measuring is the binary `bench_xdp` of the package `tests`; this builds and starts it.

use anyhow::{Context as _, Result, ensure};

use super::Figure;
use crate::process;

/// Turns of each program, and packets in a turn: half a minute in all.
const ROUNDS: &str = "51";
const PACKETS: &str = "100000";

/// # Errors
/// Without root, and where a packet did not take the path that it was made for.
pub(super) fn run() -> Result<Vec<Figure>> {
    ensure!(process::is_root(), "loading programs into the kernel takes root");
    let measure = process::build("tests", "bench_xdp", true)?;
    let line = process::output(process::command(measure).args([ROUNDS, PACKETS]))?;
    serde_json::from_str(&line).context("what bench_xdp printed")
}
