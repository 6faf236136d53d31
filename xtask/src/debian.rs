//! Packages from Debian's archive, unpacked below `target/`: nothing is installed on this host, no
//! service starts, and it takes no root where apt has its lists.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Downloads `package` and unpacks it as `tree`, which is not there yet. `finish` gets it before it
/// has that name: under it there is only what is whole.
///
/// # Errors
/// Where apt cannot download it, or `finish` fails.
pub(crate) fn unpack(
    package: &str,
    tree: &Path,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = tree.parent().context("a tree is in a folder")?;
    let partial = folder.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let download = || {
        let mut apt = process::command("apt-get");
        apt.args(["download", "-qq", package]).current_dir(&partial);
        process::complete(&mut apt)
    };
    if download().is_err() {
        // There are no lists yet, or what they name has been replaced in the archive since.
        update(package)?;
        download()?;
    }
    let archive = archive(&partial)?;
    process::complete(process::command("dpkg-deb").arg("-x").arg(&archive).arg(&partial))?;
    fs::remove_file(archive)?;
    finish(&partial)?;
    fs::rename(&partial, tree).with_context(|| format!("cannot name {}", tree.display()))
}

/// Fetches apt's lists anew.
///
/// # Errors
/// Without root: with the command to type.
pub(crate) fn update(wanted: &str) -> Result<()> {
    ensure!(process::is_root(), "apt does not know {wanted}; as root: apt-get update");
    process::complete(process::command("apt-get").args(["update", "-qq"]))
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
