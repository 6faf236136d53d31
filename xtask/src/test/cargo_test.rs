//! One `cargo test`: its output shown as it comes, its results counted.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::{Options, Programs};
use crate::{process, setup};

/// What `--all` says to the tests: that it is there, how many cases of a property (proptest's own
/// default is 256), and how many milliseconds for each fuzz target (bolero's own is one second).
const UNDER_ALL: [(&str, &str); 3] = [
    ("LANDFAST_TEST_ALL", "1"),
    ("PROPTEST_CASES", "8192"),
    ("BOLERO_RANDOM_TEST_TIME_MS", "60000"),
];

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    passed: u64,
    failed: u64,
    /// Runs of cargo that failed without a failed test: it did not build, or a test aborted.
    broken: u64,
}

impl Counts {
    pub(super) const fn new(passed: u64, failed: u64, broken: u64) -> Self {
        Self { passed, failed, broken }
    }

    /// Whether anything is not as it should be.
    pub(super) const fn failed(self) -> bool {
        self.failed + self.broken > 0
    }

    /// Whether no test was run.
    pub(super) const fn none(self) -> bool {
        self.passed + self.failed + self.broken == 0
    }

    /// What a line of the output adds: only libtest's last line of a binary adds something.
    pub(super) fn of_line(line: &str) -> Self {
        let mut counts = Self::default();
        let Some(result) = line.strip_prefix("test result: ") else {
            return counts;
        };
        for part in result.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => counts.passed = number.parse().unwrap_or(0),
                Some((number, "failed")) => counts.failed = number.parse().unwrap_or(0),
                _ => {}
            }
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.broken += other.broken;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.broken {
            0 => Ok(()),
            broken => write!(f, ", {broken} times no result"),
        }
    }
}

/// Runs the tests that `targets` (of cargo) and `selection` (of the test binary) choose.
///
/// Always of the whole workspace: cargo would build the dependencies anew for a part of it, which
/// asks for fewer of their features.
///
/// # Errors
/// Where cargo does not start. A test that fails is counted, not an error.
pub(super) fn run(
    targets: &[&str],
    selection: &[&str],
    options: &Options,
    programs: &Programs,
) -> Result<Counts> {
    let mut cargo = process::cargo();
    cargo
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(targets)
        .arg("--")
        .args(&options.filter);
    cargo.args(selection).envs(programs.iter().cloned());
    cargo.env("LANDFAST_PYTHON", setup::python());
    cargo.envs(setup::PROMTOOL.find().map(|promtool| ("LANDFAST_PROMTOOL", promtool)));
    cargo.envs(setup::NGINX.find().map(|nginx| ("LANDFAST_NGINX", nginx)));
    cargo.envs(setup::CADDY_ALONE.find().map(|caddy| ("LANDFAST_CADDY", caddy)));
    if options.all {
        cargo.envs(UNDER_ALL);
    }
    eprintln!("{}", process::shown(&cargo));

    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        // A test may print what is not UTF-8; it is shown all the same.
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        counts += Counts::of_line(&line);
    }
    if !child.wait()?.success() && counts.failed == 0 {
        counts.broken = 1;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_binary_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered";
        let counts = Counts::of_line(line);
        assert_eq!(counts, Counts { passed: 12, failed: 3, broken: 0 });
        assert!(counts.failed());
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in ["test result_of_a_thing ... ok", "running 3 tests", "1 passed; 2 failed"] {
            assert_eq!(Counts::of_line(line), Counts::default());
        }
    }

    #[test]
    fn cargo_that_fails_without_a_failed_test_is_a_failure() {
        let counts = Counts { passed: 5, failed: 0, broken: 1 };
        assert!(counts.failed());
        assert_eq!(counts.to_string(), "5 passed, 0 failed, 1 times no result");
    }
}
