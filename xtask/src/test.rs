//! `cargo xtask test`: the rings of tests, each against more of the real thing.
//!
//! Tests that need one crate only stand in that crate. The others are the package `tests`, whose
//! binary `cases` has a module a ring; a ring runs what the other rings don't name, so that a new
//! module is run by too many rings rather than by none.

mod cargo_test;
mod kernels;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{coalescing, process, setup};
use cargo_test::Counts;

/// The programs that tests start, and the variables that name them.
type Programs = [(&'static str, PathBuf)];

/// The rings of tests.
///
/// With `--all` the kernel ring runs under Debian's kernels, too. Installs what they need and says
/// so first. The last two rings need root: without it they are named as skipped and the exit status
/// is not 0, unless `--rootless` asks for just that.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only what needs no root, and count that as success.
    #[arg(long)]
    rootless: bool,
    /// More cases of every property, the long matrices, and the kernel ring under Debian's kernels.
    #[arg(long)]
    all: bool,
    /// Only the kernel ring under Debian's kernels, each booted in a virtual machine.
    #[arg(long, conflicts_with_all = ["rootless", "all"])]
    kernels: bool,
    /// Only tests whose path contains this, as `cargo test` has it.
    filter: Option<String>,
}

/// A ring of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    /// Of one crate, or on a seeded network that is not there: no root, no clock.
    PureAndSimulated,
    /// The eBPF programs under `BPF_PROG_TEST_RUN`.
    Kernel,
    /// Clients, a router and nodes in network namespaces.
    Namespaces,
    /// The kernel ring, and devices that this host's kernel may lack, under kernels of Debian's in
    /// virtual machines: long, and so on demand.
    DebianKernels,
}

/// Modules of the binary `cases`, each the beginning of its tests' paths, with their ring.
const MODULES: [(&str, Ring); 6] = [
    ("sim::", Ring::PureAndSimulated),
    ("process::", Ring::PureAndSimulated),
    ("controller::", Ring::PureAndSimulated),
    ("kernel::", Ring::Kernel),
    ("netns::", Ring::Namespaces),
    ("devices::", Ring::DebianKernels),
];

/// What became of a ring, or of a part of it.
struct Outcome {
    ring: Ring,
    name: String,
    counts: Counts,
    took: Duration,
}

/// # Errors
/// Where a test fails, a ring cannot run, or is skipped without `--rootless`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut rings = wanted(options);
    rings.retain(|ring| process::is_root() || !ring.needs_root());
    setup::satisfy(needs(&rings))?;
    // Before the tests, because some start them.
    let programs = [
        ("LANDFAST_EDGE", process::build("edge-user", "landfast-edge", false)?),
        ("LANDFAST_CONTROLLER", process::build("controller", "landfast-controller", false)?),
    ];

    let mut outcomes = Vec::new();
    for ring in rings {
        eprintln!("\n== {}", ring.name());
        outcomes.extend(outcomes_of(ring, options, &programs)?);
    }
    conclude(&outcomes, options)
}

/// The rings that are asked for.
fn wanted(options: &Options) -> Vec<Ring> {
    let asked_for = |ring: &Ring| match ring {
        Ring::PureAndSimulated => !options.kernels,
        Ring::Kernel | Ring::Namespaces => !options.kernels && !options.rootless,
        Ring::DebianKernels => options.kernels || options.all,
    };
    Ring::ALL.into_iter().filter(asked_for).collect()
}

fn needs(rings: &[Ring]) -> setup::Needs {
    let namespaces = rings.contains(&Ring::Namespaces);
    let debian_kernels = rings.contains(&Ring::DebianKernels);
    let processes = rings.contains(&Ring::PureAndSimulated);
    let mut packages = Vec::new();
    if namespaces || processes {
        packages.extend([setup::PEBBLE, setup::GTLSCLIENT]);
    }
    if processes {
        packages.extend([setup::CURL, setup::NGHTTP2, setup::WRK]);
    }
    if namespaces || debian_kernels {
        packages.extend([setup::IPROUTE, setup::ETHTOOL]);
    }
    if namespaces {
        packages.push(setup::BIRD);
        packages.extend(coalescing::BROWSERS);
    }
    if debian_kernels {
        packages.extend(kernels::PACKAGES);
    }
    setup::Needs {
        packages,
        unpacked: match (processes, namespaces) {
            (true, _) => vec![setup::PROMTOOL, setup::NGINX, setup::CADDY_ALONE],
            (false, true) => vec![setup::NGINX],
            (false, false) => Vec::new(),
        },
        clients: namespaces || processes,
        bpf_file_system: rings.contains(&Ring::Kernel),
    }
}

/// Runs every test of a ring, also after one that failed.
fn outcomes_of(ring: Ring, options: &Options, programs: &Programs) -> Result<Vec<Outcome>> {
    if ring == Ring::DebianKernels {
        return kernels::run(options);
    }
    let start = Instant::now();
    let mut counts = Counts::default();
    if ring == Ring::PureAndSimulated {
        counts += cargo_test::run(&["--lib", "--bins"], &[], options, programs)?;
        counts += cargo_test::run(&["--test", "fuzz_*"], &[], options, programs)?;
        counts += cargo_test::run(&["--doc"], &[], options, programs)?;
    }
    counts += cargo_test::run(&["--test", "cases"], &ring.selection(), options, programs)?;
    Ok(vec![Outcome { ring, name: ring.name().to_owned(), counts, took: start.elapsed() }])
}

fn conclude(outcomes: &[Outcome], options: &Options) -> Result<()> {
    eprintln!();
    for Outcome { name, counts, took, .. } in outcomes {
        eprintln!("{name}: {counts}, {} s", took.as_secs());
    }
    let wanted = wanted(options);
    let not_run = |ring: &&Ring| outcomes.iter().all(|outcome| outcome.ring != **ring);
    for ring in Ring::ALL.iter().filter(not_run) {
        let why = match ring {
            Ring::DebianKernels if !wanted.contains(ring) => "runs with --all or --kernels",
            _ if options.kernels => "not asked for",
            _ => "skipped, needs root",
        };
        eprintln!("{}: not run: {why}", ring.name());
    }
    let failed = outcomes.iter().any(|outcome| outcome.counts.failed());
    ensure!(!failed, "a ring has failures");
    // Nothing that was run is nothing that was shown.
    let empty = |outcome: &Outcome| outcome.counts.none();
    match &options.filter {
        Some(filter) => ensure!(!outcomes.iter().all(empty), "no test's path contains {filter}"),
        None => ensure!(!outcomes.iter().any(empty), "a ring has no tests"),
    }
    let accepted = !wanted.iter().any(|ring| not_run(&ring));
    ensure!(accepted, "rings were skipped; --rootless accepts that");
    Ok(())
}

impl Ring {
    const ALL: [Self; 4] =
        [Self::PureAndSimulated, Self::Kernel, Self::Namespaces, Self::DebianKernels];

    const fn name(self) -> &'static str {
        match self {
            Self::PureAndSimulated => "pure and simulated",
            Self::Kernel => "kernel",
            Self::Namespaces => "network namespaces",
            Self::DebianKernels => "kernel, VLAN devices and bonds, under Debian's kernels",
        }
    }

    const fn needs_root(self) -> bool {
        matches!(self, Self::Kernel | Self::Namespaces)
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

    fn options(rootless: bool, filter: Option<&str>) -> Options {
        Options { rootless, all: false, kernels: false, filter: filter.map(str::to_owned) }
    }

    fn outcome(ring: Ring, result: &str) -> Outcome {
        let counts = Counts::of_line(&format!("test result: {result}; 0 ignored;"));
        Outcome { ring, name: ring.name().to_owned(), counts, took: Duration::ZERO }
    }

    fn passed(rings: &[Ring]) -> Vec<Outcome> {
        rings.iter().map(|ring| outcome(*ring, "ok. 3 passed; 0 failed")).collect()
    }

    #[test]
    fn each_option_asks_for_its_rings() {
        let [pure, kernel, namespaces, debian] = Ring::ALL;
        assert_eq!(wanted(&options(false, None)), [pure, kernel, namespaces]);
        assert_eq!(wanted(&options(true, None)), [pure]);
        assert_eq!(wanted(&Options { all: true, ..options(false, None) }), Ring::ALL);
        assert_eq!(wanted(&Options { all: true, ..options(true, None) }), [pure, debian]);
        assert_eq!(wanted(&Options { kernels: true, ..options(false, None) }), [debian]);
    }

    #[test]
    fn a_skipped_ring_is_an_error_unless_it_was_asked_for() {
        let first = passed(&[Ring::PureAndSimulated]);
        assert!(conclude(&first, &options(false, None)).is_err());
        assert!(conclude(&first, &options(true, None)).is_ok());
    }

    #[test]
    fn debians_kernels_are_an_error_where_they_are_asked_for_and_missing() {
        let [first, second, third, debian] = Ring::ALL;
        let without = passed(&[first, second, third]);
        assert!(conclude(&without, &options(false, None)).is_ok());
        assert!(conclude(&without, &Options { all: true, ..options(false, None) }).is_err());
        let only = Options { kernels: true, ..options(false, None) };
        assert!(conclude(&without, &only).is_err());
        assert!(conclude(&passed(&[debian]), &only).is_ok());
    }

    #[test]
    fn a_failure_in_any_ring_is_an_error() {
        for failing in Ring::ALL {
            let all = Ring::ALL.map(|ring| match ring == failing {
                true => outcome(ring, "FAILED. 1 passed; 1 failed"),
                false => outcome(ring, "ok. 3 passed; 0 failed"),
            });
            assert!(conclude(&all, &options(false, None)).is_err());
        }
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
