//! A kernel from Debian's archive, unpacked below `target/`: nothing is installed on this host.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::folder;
use crate::{debian, process};

/// A kernel of Debian's.
pub(super) struct Kernel {
    /// As `uname -r` has it.
    pub(super) release: String,
    /// Its package unpacked, with the modules' dependencies.
    tree: PathBuf,
}

impl Kernel {
    /// The compressed kernel itself.
    pub(super) fn image(&self) -> PathBuf {
        self.tree.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The root that its modules are below.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }
}

/// The kernel that the package `newest` stands for; its release begins with `series`. Downloaded
/// where this version of it is not there yet.
///
/// # Errors
/// Where apt does not know it or cannot download it.
pub(super) fn fetch(newest: &str, series: &str) -> Result<Kernel> {
    let package = match stands_for(newest)? {
        Some(package) => package,
        None => {
            debian::update(newest)?;
            stands_for(newest)?.with_context(|| format!("apt does not know {newest}"))?
        }
    };
    let release = package.trim_start_matches("linux-image-").to_owned();
    let is_of_series = release.starts_with(series);
    ensure!(is_of_series, "{newest} is {release} here: Debian 12's archive has {series}x");
    let tree = folder()?.join(format!("{package}_{}", version(&package)?));
    let kernel = Kernel { release, tree };
    if !kernel.tree.exists() {
        eprintln!("to download: Debian's {package}, to boot it in a virtual machine");
        unpack(&package, &kernel)?;
    }
    Ok(kernel)
}

/// The one package that a package without content depends on.
fn stands_for(newest: &str) -> Result<Option<String>> {
    // Without a package of this name, or lists of packages, there is an error and no output.
    let output = process::command("apt-cache").args(["depends", newest]).output()?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let depends = output.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(depends.map(str::to_owned))
}

/// The version that would be downloaded.
fn version(package: &str) -> Result<String> {
    let show = ["show", "--no-all-versions", package];
    let output = process::output(process::command("apt-cache").args(show))?;
    let version = output.lines().find_map(|line| line.strip_prefix("Version: "));
    version.map(str::to_owned).with_context(|| format!("{package} has no version"))
}

/// Downloads and unpacks.
fn unpack(package: &str, kernel: &Kernel) -> Result<()> {
    debian::unpack(package, &kernel.tree, |partial| {
        // Debian's packages do this when they are installed.
        let depmod = process::find("depmod").context("depmod is missing")?;
        process::complete(process::command(depmod).arg("-b").arg(partial).arg(&kernel.release))
    })
}
