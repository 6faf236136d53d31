//! A directory below which files are served, and nothing else is found.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, TMPFS_MAGIC, XFS_SUPER_MAGIC, fstatfs,
};

use crate::limits;

/// A directory that was opened. What is renamed to its place later is another one.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// Device and number: which directory it is.
    identity: (u64, u64),
    /// Whether its file system says what is in memory without asking anybody else for it.
    is_quick: bool,
}

/// File systems of this host that open a file whose name they know without waiting for a disk. One
/// over a network asks its server; what lies over others is as slow as they are.
const QUICK: [FsType; 4] = [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC];

/// Whether a look-up may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It takes what is in memory. To be tried on a worker's own thread.
    AtOnce,
    /// It takes as long as it takes.
    Waiting,
}

/// A directory of files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the files of {0} cannot be served: {1}{hint}", hint = hint(.1))]
pub struct RootError(PathBuf, #[source] io::Error);

/// A process that serves reads below the directories of its start alone.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; a running process reads the directories of its start alone: restart it for another one"
        }
        _ => "",
    }
}

/// What there is under a name.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, open.
    File(File, Metadata),
    /// A directory.
    Directory,
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is not there, leads out of the directory, or is neither a file nor a directory.
    NotThere,
    /// The process may not read it.
    Forbidden,
    /// Not now: too many files are open, or directories are being renamed.
    Busy,
    /// The file system.
    Failed,
    /// With [`Pace::AtOnce`]: whether it is there takes longer to say.
    Later,
}

impl Root {
    /// Opens it.
    ///
    /// # Errors
    /// Where it is not a directory, or the process may not look into it.
    pub(crate) fn open(path: &Path) -> Result<Self, RootError> {
        let failed = |error: io::Error| RootError(path.to_owned(), error);
        // That it may be read is asked now, because O_PATH does not ask.
        std::fs::read_dir(path).map_err(failed)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let status = fstat(&directory).map_err(|error| failed(error.into()))?;
        let system = fstatfs(&directory).map_err(|error| failed(error.into()))?;
        let is_quick = QUICK.contains(&system.filesystem_type());
        Ok(Self { directory, identity: (status.st_dev, status.st_ino), is_quick })
    }

    /// As on a file system that always waits.
    #[cfg(test)]
    pub(super) fn slow(self) -> Self {
        Self { is_quick: false, ..self }
    }

    /// Whether it is the same directory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// What stands under `name`, a path without `/` in front. Links are followed as long as they
    /// stay below (`RESOLVE_BENEATH`), whoever changes what meanwhile. What is no file is not read:
    /// opening a pipe does not wait (`O_NONBLOCK`), and it is closed again.
    pub(super) fn find(&self, name: &str, pace: Pace) -> Result<Found, Missing> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let how = OpenHow::new().flags(flags);
        let below = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let name = if name.is_empty() { "." } else { name };
        let opened = match pace {
            Pace::AtOnce if !self.is_quick => return Err(Missing::Later),
            // Another file system may be mounted below.
            Pace::AtOnce => {
                let cached = below | RESOLVE_CACHED | ResolveFlag::RESOLVE_NO_XDEV;
                openat2(&self.directory, name, how.resolve(cached)).map_err(missing_at_once)?
            }
            Pace::Waiting => {
                let mut tries = limits::LOOKUP_TRIES;
                loop {
                    match openat2(&self.directory, name, how.resolve(below)) {
                        Err(Errno::EAGAIN) if tries > 1 => tries -= 1,
                        other => break other.map_err(missing)?,
                    }
                }
            }
        };
        let file = File::from(opened);
        let metadata = file.metadata().map_err(|_| Missing::Failed)?;
        match metadata.file_type() {
            kind if kind.is_file() => Ok(Found::File(file, metadata)),
            kind if kind.is_dir() => Ok(Found::Directory),
            _ => Err(Missing::NotThere),
        }
    }
}

/// Of Linux 5.12: only by what the kernel has in memory of the directories (openat2(2)). nix has no
/// name for it.
const RESOLVE_CACHED: ResolveFlag = ResolveFlag::from_bits_retain(nix::libc::RESOLVE_CACHED);

/// What is known for sure without waiting. An older kernel says EINVAL to `RESOLVE_CACHED`, and the
/// edge of a file system looks like a way out.
fn missing_at_once(error: Errno) -> Missing {
    match error {
        Errno::EAGAIN | Errno::EINVAL | Errno::EXDEV => Missing::Later,
        error => missing(error),
    }
}

fn missing(error: Errno) -> Missing {
    match error {
        Errno::ENOENT
        | Errno::ENOTDIR
        | Errno::ENAMETOOLONG
        | Errno::ELOOP
        | Errno::EXDEV // it would lead out
        | Errno::ENXIO // a socket
        | Errno::EINVAL => Missing::NotThere,
        Errno::EACCES | Errno::EPERM => Missing::Forbidden,
        Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => Missing::Busy,
        _ => Missing::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn found(root: &Root, name: &str) -> Result<&'static str, Missing> {
        let find = |pace| {
            root.find(name, pace).map(|found| match found {
                Found::File(..) => "file",
                Found::Directory => "directory",
            })
        };
        let found = find(Pace::Waiting);
        // Whoever does not wait says the same, or that he would have to.
        let at_once = find(Pace::AtOnce);
        assert!(at_once == found || at_once == Err(Missing::Later), "{name}: {at_once:?}");
        found
    }

    /// On file systems of this host: elsewhere everything is later.
    #[test]
    fn what_is_in_memory_is_found_without_waiting() {
        let directory = tempfile::tempdir().expect("writable");
        fs::create_dir(directory.path().join("a")).expect("writable");
        fs::write(directory.path().join("a/b"), "b").expect("written");
        let root = Root::open(directory.path()).expect("there");
        let _ = root.find("a/b", Pace::Waiting).expect("there");
        let _ = root.find("a/c", Pace::Waiting).expect_err("not there");
        let at_once = |name| root.find(name, Pace::AtOnce).map(|_| ());
        let later = Err(Missing::Later);
        let expected = |known| if root.is_quick { known } else { later };
        assert_eq!(at_once("a/b"), expected(Ok(())));
        assert_eq!(at_once("a/c"), expected(Err(Missing::NotThere)));
    }

    /// Whatever is asked for: nothing outside is opened, and nothing that is no file.
    #[test]
    fn nothing_outside_is_found() {
        let directory = tempfile::tempdir().expect("writable");
        let (inside, outside) = (directory.path().join("inside"), directory.path().join("outside"));
        fs::create_dir_all(inside.join("a")).expect("writable");
        fs::create_dir_all(&outside).expect("writable");
        fs::write(inside.join("a/b"), "b").expect("written");
        fs::write(outside.join("secret"), "s").expect("written");
        symlink("a/b", inside.join("link")).expect("made");
        symlink("../a/../a/b", inside.join("a/link")).expect("made");
        symlink("../outside/secret", inside.join("out")).expect("made");
        symlink("../outside", inside.join("away")).expect("made");
        symlink(outside.join("secret"), inside.join("absolute")).expect("made");
        symlink("/proc/self/root/etc/passwd", inside.join("magic")).expect("made");
        symlink("loop", inside.join("loop")).expect("made");
        nix::unistd::mkfifo(&inside.join("pipe"), Mode::S_IRWXU).expect("made");
        let _socket = UnixListener::bind(inside.join("socket")).expect("bound");

        let root = Root::open(&inside).expect("there");
        for (name, expected) in [
            ("a/b", Ok("file")),
            ("link", Ok("file")),
            ("a/link", Ok("file")),
            ("", Ok("directory")),
            ("a", Ok("directory")),
            ("a/", Ok("directory")),
            ("a/b/", Err(Missing::NotThere)),
            ("c", Err(Missing::NotThere)),
            ("../outside/secret", Err(Missing::NotThere)),
            ("a/../../outside/secret", Err(Missing::NotThere)),
            ("/etc/passwd", Err(Missing::NotThere)),
            ("out", Err(Missing::NotThere)),
            ("away/secret", Err(Missing::NotThere)),
            ("absolute", Err(Missing::NotThere)),
            ("magic", Err(Missing::NotThere)),
            ("loop", Err(Missing::NotThere)),
            ("pipe", Err(Missing::NotThere)),
            ("socket", Err(Missing::NotThere)),
        ] {
            assert_eq!(found(&root, name), expected, "{name}");
        }
        let long = "x".repeat(5000);
        assert_eq!(found(&root, &long), Err(Missing::NotThere));
        let error = Root::open(&inside.join("a/b")).expect_err("a file").to_string();
        assert!(
            error.starts_with("the files of /") && error.contains("Not a directory"),
            "{error}"
        );
    }
}
