//! Files of the state directory that are their owner's alone, because keys are in them: one that is
//! open to others is not believed, and one that is written is there whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a file is not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The file system.
    Io(io::Error),
    /// Somebody else could have read or changed it.
    Open,
    /// It is longer than asked for.
    Long,
}

/// What is in the file at `path`: at most `most` bytes. Nothing, where there is none.
///
/// # Errors
/// Where there is one that is not read.
pub(crate) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Unread> {
    // Without blocking: it may be a pipe that nobody writes to.
    let file = match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Unread::Io)?,
    };
    let metadata = file.metadata().map_err(Unread::Io)?;
    let ours = [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
    if !metadata.is_file() || !ours || metadata.mode() & 0o077 != 0 {
        return Err(Unread::Open);
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() as u64 > most { Err(Unread::Long) } else { Ok(Some(bytes)) }
}

/// A file that is not there yet: what is written to it takes its place at one stroke, in
/// [`Fresh::keep`].
#[derive(Debug)]
pub(crate) struct Fresh {
    path: PathBuf,
    file: File,
}

impl Fresh {
    /// Beside `path`, with mode 0600, under its name with `.new`.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub(crate) fn beside(path: PathBuf) -> io::Result<Self> {
        // One that a crash left; or that somebody put there, with a link to a file of theirs.
        match std::fs::remove_file(temporary(&path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Follows no link (open(2), O_EXCL).
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(temporary(&path))?;
        Ok(Self { path, file })
    }

    /// Keeps `parts` one after the other, even where the power fails from then on. Waits for the
    /// disk.
    ///
    /// # Errors
    /// Where the file system refuses. What was there still is.
    pub(crate) fn keep(mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.file.write_all(part)?;
        }
        self.file.sync_all()?;
        std::fs::rename(temporary(&self.path), &self.path)?;
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Gives it up: nothing is kept.
    pub(crate) fn give_up(self) {
        // Nothing is in it, and the next one takes its place.
        let _ = std::fs::remove_file(temporary(&self.path));
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_written_through_no_link_and_is_its_owners_alone_whatever_was_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, other) = (directory.path().join("identity"), directory.path().join("other"));
        let new = directory.path().join("identity.new");
        std::fs::write(&other, "of somebody else").expect("written");
        std::os::unix::fs::symlink(&other, &new).expect("linked");
        Fresh::beside(path.clone()).expect("made").keep(&[b"a ", b"key"]).expect("kept");
        assert_eq!(std::fs::read_to_string(&other).expect("there"), "of somebody else");
        assert_eq!(read(&path, 100).expect("its owner's alone"), Some(b"a key".to_vec()));

        std::fs::write(&new, "what a crash left").expect("written");
        std::fs::set_permissions(&new, Permissions::from_mode(0o666)).expect("set");
        Fresh::beside(path.clone()).expect("made").keep(&[b"another"]).expect("kept");
        assert_eq!(read(&path, 100).expect("its owner's alone"), Some(b"another".to_vec()));
    }
}
