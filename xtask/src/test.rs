//! `cargo xtask test`: the three rings of tests, each against more of the real thing.
//!
//! Tests that need one crate only stand in that crate. The others are the package `tests`, whose
//! binary `cases` has a module a ring; a ring runs what the other rings don't name, so that a new
//! module is run by too many rings rather than by none.

mod cargo_test;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{process, setup};
use cargo_test::Counts;

/// The three rings of tests: pure and simulated, in the kernel, in network namespaces.
///
/// Installs what they need and says so first. The last two rings need root: without it they are
/// named as skipped and the exit status is not 0, unless `--rootless` asks for just that.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only what needs no root, and count that as success.
    #[arg(long)]
    rootless: bool,
    /// More cases of every property, and the long matrices.
    #[arg(long)]
    all: bool,
    /// Only tests whose path contains this, as `cargo test` has it.
    filter: Option<String>,
}

/// A ring of tests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ring {
    /// Of one crate, or on a seeded network that is not there: no root, no clock.
    PureAndSimulated,
    /// The eBPF programs under `BPF_PROG_TEST_RUN`.
    Kernel,
    /// Clients, a router and nodes in network namespaces.
    Namespaces,
}

/// Modules of the binary `cases`, each the beginning of its tests' paths, with their ring.
const MODULES: [(&str, Ring); 4] = [
    ("sim::", Ring::PureAndSimulated),
    ("process::", Ring::PureAndSimulated),
    ("kernel::", Ring::Kernel),
    ("netns::", Ring::Namespaces),
];

/// What became of a ring.
struct Outcome {
    ring: Ring,
    counts: Counts,
    took: Duration,
}

/// # Errors
/// Where a test fails, a ring cannot run, or is skipped without `--rootless`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let rings = rings(options.rootless, process::is_root());
    setup::satisfy(needs(&rings))?;
    // Before the tests, because those of the last ring start it.
    let edge = process::build("edge-user", "landfast-edge", false)?;

    let outcomes: Vec<_> = rings
        .iter()
        .map(|&ring| {
            let start = Instant::now();
            let counts = ring_counts(ring, options, &edge)?;
            Ok(Outcome { ring, counts, took: start.elapsed() })
        })
        .collect::<Result<_>>()?;
    conclude(&outcomes, options)
}

fn rings(rootless: bool, root: bool) -> Vec<Ring> {
    let mut rings = vec![Ring::PureAndSimulated];
    if root && !rootless {
        rings.extend([Ring::Kernel, Ring::Namespaces]);
    }
    rings
}

fn needs(rings: &[Ring]) -> setup::Needs {
    let namespaces = rings.contains(&Ring::Namespaces);
    setup::Needs {
        packages: match namespaces {
            true => vec![setup::IPROUTE, setup::ETHTOOL, setup::GTLSCLIENT, setup::BIRD],
            false => Vec::new(),
        },
        clients: namespaces,
        bpf_file_system: rings.contains(&Ring::Kernel),
    }
}

/// Runs every test of a ring, also after one that failed.
fn ring_counts(ring: Ring, options: &Options, edge: &Path) -> Result<Counts> {
    eprintln!("\n== {}", ring.name());
    let mut counts = Counts::default();
    if ring == Ring::PureAndSimulated {
        counts += cargo_test::run(&["--lib", "--bins"], &[], options, edge)?;
        counts += cargo_test::run(&["--test", "fuzz_*"], &[], options, edge)?;
        counts += cargo_test::run(&["--doc"], &[], options, edge)?;
    }
    counts += cargo_test::run(&["--test", "cases"], &ring.selection(), options, edge)?;
    Ok(counts)
}

fn conclude(outcomes: &[Outcome], options: &Options) -> Result<()> {
    eprintln!();
    for Outcome { ring, counts, took } in outcomes {
        eprintln!("{}: {counts}, {} s", ring.name(), took.as_secs());
    }
    let skipped = Ring::ALL.iter().filter(|ring| outcomes.iter().all(|o| o.ring != **ring));
    let skipped: Vec<_> = skipped.map(|ring| ring.name()).collect();
    for ring in &skipped {
        eprintln!("{ring}: skipped, needs root");
    }
    let failed = outcomes.iter().any(|outcome| outcome.counts.failed());
    ensure!(!failed, "a ring has failures");
    // Nothing that was run is nothing that was shown.
    let empty = |outcome: &Outcome| outcome.counts.none();
    match &options.filter {
        Some(filter) => ensure!(!outcomes.iter().all(empty), "no test's path contains {filter}"),
        None => ensure!(!outcomes.iter().any(empty), "a ring has no tests"),
    }
    let accepted = skipped.is_empty() || options.rootless;
    ensure!(accepted, "rings were skipped; --rootless accepts that");
    Ok(())
}

impl Ring {
    const ALL: [Self; 3] = [Self::PureAndSimulated, Self::Kernel, Self::Namespaces];

    const fn name(self) -> &'static str {
        match self {
            Self::PureAndSimulated => "pure and simulated",
            Self::Kernel => "kernel",
            Self::Namespaces => "network namespaces",
        }
    }

    /// The test binary's arguments that leave out the other rings' modules.
    fn selection(self) -> Vec<&'static str> {
        let others = MODULES.iter().filter(|(_, ring)| *ring != self);
        let mut selection: Vec<_> = others.flat_map(|(module, _)| ["--skip", module]).collect();
        if self == Self::Namespaces {
            // Each fleet takes both cores of a small machine; two at once would time each other.
            selection.push("--test-threads=1");
        }
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_only_the_first_ring_runs() {
        assert_eq!(rings(false, false).len(), 1);
        assert_eq!(rings(true, true).len(), 1);
        assert_eq!(rings(false, true).len(), Ring::ALL.len());
    }

    fn outcome(ring: Ring, result: &str) -> Outcome {
        let counts = Counts::of_line(&format!("test result: {result}; 0 ignored;"));
        Outcome { ring, counts, took: Duration::ZERO }
    }

    fn options(rootless: bool, filter: Option<&str>) -> Options {
        Options { rootless, all: false, filter: filter.map(str::to_owned) }
    }

    #[test]
    fn a_skipped_ring_is_an_error_unless_it_was_asked_for() {
        let first = [outcome(Ring::PureAndSimulated, "ok. 3 passed; 0 failed")];
        assert!(conclude(&first, &options(false, None)).is_err());
        assert!(conclude(&first, &options(true, None)).is_ok());
    }

    #[test]
    fn a_failure_in_any_ring_is_an_error() {
        let [first, second, third] = Ring::ALL;
        let all = [
            outcome(first, "ok. 3 passed; 0 failed"),
            outcome(second, "FAILED. 1 passed; 1 failed"),
            outcome(third, "ok. 3 passed; 0 failed"),
        ];
        assert!(conclude(&all, &options(false, None)).is_err());
    }

    #[test]
    fn a_ring_without_tests_is_an_error_but_a_filter_may_leave_one_empty() {
        let all = Ring::ALL.map(|ring| match ring {
            Ring::Kernel => outcome(ring, "ok. 0 passed; 0 failed"),
            _ => outcome(ring, "ok. 2 passed; 0 failed"),
        });
        assert!(conclude(&all, &options(false, None)).is_err());
        assert!(conclude(&all, &options(false, Some("cid"))).is_ok());
        let none = Ring::ALL.map(|ring| outcome(ring, "ok. 0 passed; 0 failed"));
        assert!(conclude(&none, &options(false, Some("cid"))).is_err());
    }

    #[test]
    fn a_module_is_left_out_by_every_ring_but_its_own() {
        for (module, ring) in MODULES {
            for other in Ring::ALL {
                assert_eq!(other.selection().contains(&module), other != ring);
            }
        }
    }
}
