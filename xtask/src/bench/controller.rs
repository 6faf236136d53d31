//! `cargo xtask bench controller`: how fast a controller reaches many nodes, and what it holds in
//! memory.
//!
//! The measuring is the binary `bench_controller` of the package `tests`; this builds and starts
//! it, and what it measures.

use anyhow::{Context as _, Result};

use super::Figure;
use crate::process;

/// Measures the figures whose names contain one of `only`, or all of them.
///
/// # Errors
/// Where something does not build, or does not do what is measured.
pub(super) fn run(only: &[String]) -> Result<Vec<Figure>> {
    let controller = process::build("controller", "landfast-controller", true)?;
    let mut measure = process::command(process::build("tests", "bench_controller", true)?);
    measure.args(only).env("LANDFAST_CONTROLLER", controller);
    let line = process::output(&mut measure)?;
    serde_json::from_str(&line).context("what bench_controller printed")
}
