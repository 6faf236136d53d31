//! `cargo xtask bench controller`: how fast a controller reaches many nodes, and what it holds in
//! memory.
//!
//! The measuring is the binary `bench_controller` of the package `tests`; this builds and starts
//! it, and what it measures.

use anyhow::{Context as _, Result, ensure};

use super::Figure;
use crate::{process, setup};

/// Measures the figures whose names contain one of `only`, or all of them.
///
/// # Errors
/// Where something does not build, or does not do what is measured.
pub(super) fn run(only: &[String]) -> Result<Vec<Figure>> {
    // Three real nodes are in namespaces, with an authority beside them.
    let of_three = |name: &&str| only.is_empty() || only.iter().any(|part| name.contains(&**part));
    if ["served_by_3", "order_to_served"].iter().any(of_three) {
        ensure!(
            process::is_root(),
            "network namespaces and XDP take root; \
             `--only acknowledged_by_1000 --only memory` measures what needs none"
        );
        setup::satisfy(setup::Needs {
            packages: vec![setup::IPROUTE, setup::ETHTOOL, setup::PEBBLE],
            bpf_file_system: true,
            ..setup::Needs::default()
        })?;
    }
    let edge = process::build("edge-user", "landfast-edge", true)?;
    let controller = process::build("controller", "landfast-controller", true)?;
    let mut measure = process::command(process::build("tests", "bench_controller", true)?);
    measure.args(only).env("LANDFAST_EDGE", edge).env("LANDFAST_CONTROLLER", controller);
    let line = process::output(&mut measure)?;
    serde_json::from_str(&line).context("what bench_controller printed")
}
