//! A kernel from Debian's archive, unpacked below `target/`: nothing is installed on this host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::folder;
use crate::process;

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
            update(newest)?;
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

fn update(wanted: &str) -> Result<()> {
    ensure!(process::is_root(), "apt does not know {wanted}; as root: apt-get update");
    process::complete(process::command("apt-get").args(["update", "-qq"]))
}

/// Downloads and unpacks; under its name there is only what is whole.
fn unpack(package: &str, kernel: &Kernel) -> Result<()> {
    let partial = folder()?.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir(&partial)?;
    let download = || {
        let mut apt = process::command("apt-get");
        apt.args(["download", "-qq", package]).current_dir(&partial);
        process::complete(&mut apt)
    };
    if download().is_err() {
        // What the lists name may have been replaced in the archive since.
        update(package)?;
        download()?;
    }
    let archive = archive(&partial)?;
    process::complete(process::command("dpkg-deb").arg("-x").arg(&archive).arg(&partial))?;
    fs::remove_file(archive)?;
    // Debian's packages do this when they are installed.
    let depmod = process::find("depmod").context("depmod is missing")?;
    process::complete(process::command(depmod).arg("-b").arg(&partial).arg(&kernel.release))?;
    fs::rename(&partial, &kernel.tree).context("cannot name the unpacked kernel")
}

fn archive(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Ok(path);
        }
    }
    bail!("apt-get downloaded no package into {}", folder.display())
}
