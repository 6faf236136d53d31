//! What outlives a process: the generation counter, and the lock that there is one process.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The state directory, ours alone until this is dropped.
#[derive(Debug)]
pub(super) struct State {
    /// Of this process: another one than that of the process before, however that ended.
    pub(super) generation: u8,
    _lock: File,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process of this node runs. Both would take packets from one port.
    #[error("another landfast-edge uses {0}: stop it, or give this one its own state_directory")]
    InUse(PathBuf),
    /// The file system refuses.
    #[error("{0} cannot be used: {1}; the directory must be writable (systemd: StateDirectory=)")]
    Io(PathBuf, #[source] io::Error),
}

impl State {
    /// Locks the directory, which is made where it is not there, and takes the next generation,
    /// which is on disk before any connection ID says it.
    pub(super) fn open(directory: &Path) -> Result<Self, StateError> {
        let failed = |error| StateError::Io(directory.to_owned(), error);
        let lock = lock(directory)?;
        let path = directory.join("generation");
        let generation = next(&path).map_err(failed)?;
        write(&path, generation).map_err(failed)?;
        Ok(Self { generation, _lock: lock })
    }
}

/// Locks the directory, which is made where it is not there, until the file is dropped.
///
/// # Errors
/// Where another process holds it, or the file system refuses.
pub fn lock(directory: &Path) -> Result<File, StateError> {
    let failed = |error| StateError::Io(directory.to_owned(), error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    let lock = File::create(directory.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// One more than the last, around at 256: no connection lives through that many starts. A random
/// one where the last is not known, so that it most likely differs from it.
fn next(path: &Path) -> io::Result<u8> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return random(),
        other => other?,
    };
    match text.trim().parse::<u8>() {
        Ok(last) => Ok(last.wrapping_add(1)),
        Err(_) => {
            tracing::warn!(path = %path.display(), "not a generation: a random one is taken");
            random()
        }
    }
}

fn random() -> io::Result<u8> {
    let mut byte = [0];
    aws_lc_rs::rand::fill(&mut byte).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(byte[0])
}

/// Whole or not at all, even where the power fails.
fn write(path: &Path, generation: u8) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{generation}")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A state directory that is not there yet, and the one that it goes with.
    fn directory() -> (PathBuf, TempDir) {
        let own = tempfile::tempdir().expect("made");
        (own.path().join("state"), own)
    }

    #[test]
    fn each_start_has_another_generation() {
        let (state, _own) = directory();
        let generation = || State::open(&state).expect("usable").generation;
        let first = generation();
        assert_eq!(generation(), first.wrapping_add(1));
        std::fs::write(state.join("generation"), "255\n").expect("written");
        assert_eq!(generation(), 0);
        std::fs::write(state.join("generation"), "").expect("written");
        let random = generation(); // an empty file stops no start
        assert_eq!(generation(), random.wrapping_add(1));
    }

    #[test]
    fn a_second_process_of_a_node_is_refused_while_the_first_one_runs() {
        let (state, _own) = directory();
        let first = State::open(&state).expect("free");
        let error = State::open(&state).expect_err("in use").to_string();
        assert!(error.starts_with("another landfast-edge uses /"), "{error}");
        drop(first);
        State::open(&state).expect("free again");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error = State::open("/proc/landfast".as_ref()).expect_err("not writable").to_string();
        assert!(error.starts_with("/proc/landfast cannot be used: "), "{error}");
    }
}
