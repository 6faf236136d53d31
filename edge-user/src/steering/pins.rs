//! The pin directory: one file an interface, the link that keeps `steer_node` attached when the
//! process is gone.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::error::SteeringError;

const PREFIX: &str = "steer_node-";

/// Where the link of an interface is pinned. The BPF file system has no dots in names, interfaces
/// have no colons, so the one stands for the other.
pub(super) fn path(directory: &Path, interface: &str) -> PathBuf {
    directory.join(format!("{PREFIX}{}", interface.replace('.', ":")))
}

/// The interface of a pin, by its file name. `None`: the file is not one of ours.
fn interface(file_name: &str) -> Option<String> {
    file_name.strip_prefix(PREFIX).map(|name| name.replace(':', "."))
}

/// Makes the directory, for root alone.
///
/// # Errors
/// [`SteeringError::NoBpfFileSystem`] where it would not be on one; nothing is mounted here,
/// because a mount outlives us and concerns others.
pub(super) fn prepare(directory: &Path) -> Result<(), SteeringError> {
    let pin = |cause: io::Error| SteeringError::Pin { path: directory.into(), cause: cause.into() };
    let nearest = directory.ancestors().find(|ancestor| ancestor.exists());
    let on_bpf = statfs(nearest.unwrap_or(Path::new("/"))).map_err(|error| pin(error.into()))?;
    if on_bpf.filesystem_type() != BPF_FS_MAGIC {
        return Err(SteeringError::NoBpfFileSystem { directory: directory.into() });
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(pin)
}

/// Removes the directory where this was its last pin.
pub(super) fn leave(pin: &Path) {
    // It fails where other pins are left, and then shall.
    let _ = pin.parent().map(fs::remove_dir);
}

/// Pins of other interfaces than these: left by a process with another configuration.
///
/// # Errors
/// Where the directory exists and cannot be read.
pub(super) fn leftovers(
    directory: &Path,
    interfaces: &[String],
) -> Result<Vec<(String, PathBuf)>, SteeringError> {
    let pin = |cause: io::Error| SteeringError::Pin { path: directory.into(), cause: cause.into() };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(pin)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(pin)?;
        let interface = entry.file_name().to_str().and_then(interface);
        if let Some(interface) = interface.filter(|name| !interfaces.contains(name)) {
            found.push((interface, entry.path()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pins_name_is_one_that_the_file_system_allows() {
        let path = path(Path::new("/sys/fs/bpf/landfast"), "eth0.100");
        assert_eq!(path, Path::new("/sys/fs/bpf/landfast/steer_node-eth0:100"));
        assert_eq!(interface("steer_node-eth0:100").as_deref(), Some("eth0.100"));
        assert_eq!(interface("somebody_elses"), None);
    }

    #[test]
    fn another_file_system_is_refused_with_the_line_that_helps() {
        let directory = std::env::temp_dir().join("landfast/not/there");
        let error = prepare(&directory).expect_err("not a BPF file system");
        assert!(error.to_string().ends_with("mount -t bpf bpf /sys/fs/bpf"), "{error}");
        assert!(!directory.exists());
    }

    #[test]
    fn what_was_never_made_has_no_leftovers() {
        let none = leftovers(Path::new("/nonexistent/landfast"), &[]).expect("nothing there");
        assert!(none.is_empty());
    }
}
