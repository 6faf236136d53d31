//! The kernel ring under kernels of Debian's, each booted in a machine of its own (qemu).
//!
//! | module | job |
//! |---|---|
//! | [`package`] | a kernel from Debian's archive, unpacked and not installed |
//! | [`image`] | the machine's file system: the test binary, what it needs, and an `init` |
//! | [`machine`] | the machine: switched on, read line by line, switched off in time |
//! | [`results`] | what its cases came to, by name |
//!
//! The test binary is this host's own, with the libraries it was linked to: only the kernel is
//! another. Debian's kernels also have what this host's may lack, VLAN devices and bonds: the module
//! `devices` of the cases runs here and in no other ring.

mod image;
mod machine;
mod package;
mod results;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::{Options, Outcome, Ring};
use crate::{process, setup};
use image::Image;
use results::Results;

/// A series of kernels, by the package that names the newest of it, and how its release begins.
const SERIES: [(&str, &str); 2] = [
    // Debian 12's own.
    ("linux-image-amd64", "6.1."),
    // Debian 13's, which Debian 12 offers too.
    ("linux-image-6.12-amd64", "6.12."),
];

/// Beginnings of the paths of the cases that run in the machine: of those in network namespaces the
/// ones that start nothing but `ip` and `ethtool`.
const CASES: [&str; 3] = ["kernel::", "devices::", "netns::steering_lifecycle::"];

/// Modules of the kernel that the cases use. Some are built in where others have them apart.
const MODULES: [&str; 3] = ["veth", "8021q", "bonding"];

/// Debian's packages that a machine is made with, beside iproute2.
pub(super) const PACKAGES: [setup::Package; 4] =
    [setup::QEMU, setup::BUSYBOX, setup::KMOD, setup::CPIO];

/// Runs the cases that `options` leaves under each kernel, also after one that failed.
///
/// # Errors
/// Where a kernel is not to be had, or a machine cannot be made. A case that fails is counted.
pub(super) fn run(options: &Options) -> Result<Vec<Outcome>> {
    ensure!(cfg!(target_arch = "x86_64"), "Debian's kernels are tested on x86-64 only so far");
    let binary = test_binary()?;
    let names = names(&binary, options.filter.as_deref())?;
    let mut outcomes = Vec::new();
    for (newest, release) in SERIES {
        let start = Instant::now();
        let kernel = package::fetch(newest, release)?;
        eprintln!("\n== {} cases under Linux {}", names.len(), kernel.release);
        let image = Image { kernel: &kernel, binary: &binary, modules: &MODULES, names: &names };
        let initramfs = image.pack()?;
        let mut results = Results::new(&names);
        if !names.is_empty() {
            machine::run(&kernel, &initramfs, &mut results)?;
        }
        outcomes.push(Outcome {
            ring: Ring::DebianKernels,
            name: format!("kernel, under Debian's Linux {}", kernel.release),
            counts: results.conclude(),
            took: start.elapsed(),
        });
    }
    Ok(outcomes)
}

/// The binary of the cases, built as the other rings build it.
fn test_binary() -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--workspace", "--test", "cases", "--no-run"]);
    cargo.arg("--message-format=json-render-diagnostics");
    for line in process::output(&mut cargo)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["target"]["name"] == "cases"
            && let Some(file) = message["executable"].as_str()
        {
            return Ok(file.into());
        }
    }
    bail!("cargo built the tests but named no executable cases")
}

/// The cases to run, asked of the binary itself: each must be seen to pass.
fn names(binary: &std::path::Path, filter: Option<&str>) -> Result<Vec<String>> {
    let list = process::output(process::command(binary).args(["--list", "--format", "terse"]))?;
    let cases: Vec<_> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    for beginning in CASES {
        let any = cases.iter().any(|case| case.starts_with(beginning));
        ensure!(any, "no case's path begins with {beginning}");
    }
    let chosen = |case: &&str| CASES.iter().any(|beginning| case.starts_with(beginning));
    let wanted = |case: &&str| filter.is_none_or(|filter| case.contains(filter));
    Ok(cases.into_iter().filter(chosen).filter(wanted).map(str::to_owned).collect())
}

/// Where kernels, file systems and what the machines said are kept.
fn folder() -> Result<PathBuf> {
    let folder = process::root().join("target/kernels");
    std::fs::create_dir_all(&folder).context("cannot make target/kernels")?;
    Ok(folder)
}
