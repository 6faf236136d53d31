//! Why steering cannot start, or go on, and what to change.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// What the libraries below said.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// Why steering cannot start, or go on. Each says what to change, where that is known.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// The process may not load BPF programs, or may not attach them.
    #[error("no privilege to {doing}: run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    NoPrivilege {
        /// What was tried.
        doing: &'static str,
    },
    /// Links can be pinned on a BPF file system only.
    #[error("{} is not on a BPF file system: mount -t bpf bpf /sys/fs/bpf", directory.display())]
    NoBpfFileSystem {
        /// The configured directory.
        directory: PathBuf,
    },
    /// The host has no such interface.
    #[error("no interface is named {interface}: `ip link` lists them")]
    UnknownInterface {
        /// As the configuration has it.
        interface: String,
    },
    /// The driver refused the program.
    #[error(
        "{interface} does not run XDP natively ({}): set steering.mode = \"generic\" or \
         \"user-space\"",
        chain(&**cause)
    )]
    NoNativeXdp {
        /// The interface.
        interface: String,
        /// What the driver said.
        cause: Cause,
    },
    /// Somebody else's program is on the interface, and there can be only one.
    #[error("another XDP program runs on {interface}: {program}. {}", program.cure())]
    ForeignProgram {
        /// The interface.
        interface: String,
        /// Which program.
        program: ForeignProgram,
    },
    /// The program could not be attached for another reason.
    #[error("cannot attach to {interface}: {}", chain(&**cause))]
    Attach {
        /// The interface, or `SO_REUSEPORT` for the workers' sockets.
        interface: String,
        /// What the kernel said.
        cause: Cause,
    },
    /// A file of the pin directory could not be made, read or removed.
    #[error("{}: {}", path.display(), chain(&**cause))]
    Pin {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: Cause,
    },
    /// The kernel refused the object, or a program in it.
    #[error("the kernel does not take {what}: {}", chain(&**cause))]
    Load {
        /// The object or the program.
        what: &'static str,
        /// What the kernel said, with the verifier's words.
        cause: Cause,
    },
    /// A map is missing or could not be read or written.
    #[error("map {map}: {}", chain(&**cause))]
    Map {
        /// Its name.
        map: &'static str,
        /// What the kernel said.
        cause: Cause,
    },
    /// No node with this ID.
    #[error(transparent)]
    UnknownNode(#[from] crate::nodes::UnknownNode),
    /// The devices of the host could not be listed.
    #[error("cannot list network devices: {0}")]
    Netlink(#[source] io::Error),
}

impl SteeringError {
    /// What else may be done where `self` keeps XDP from being attached, to be said behind it.
    #[must_use]
    pub const fn otherwise(&self) -> &'static str {
        match self {
            Self::NoPrivilege { .. } => ", or set steering.mode = \"user-space\"",
            _ => "",
        }
    }

    pub(super) fn load(what: &'static str, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        match os_error(&*cause) {
            Some(libc::EPERM) => Self::NoPrivilege { doing: "load BPF programs" },
            _ => Self::Load { what, cause },
        }
    }

    pub(super) fn map(map: &'static str, cause: impl Into<Cause>) -> Self {
        Self::Map { map, cause: cause.into() }
    }
}

/// The error number at the bottom of a chain of errors.
pub(super) fn os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if number.is_some() {
            return number;
        }
        next = error.source();
    }
    None
}

/// An error and what it came from, on one line. Some errors repeat theirs in their own words.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        next = error.source();
    }
    line
}

/// An XDP program that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignProgram {
    /// The kernel's ID of it, as `bpftool prog` lists it.
    pub id: u32,
    /// Its name, where the kernel tells us.
    pub name: Option<String>,
}

/// What our own XDP program is called.
const OURS: &str = edge_wire::maps::STEER_NODE;

impl ForeignProgram {
    /// What to do about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self.name.as_deref() {
            Some(OURS) => {
                "It is an edge's, whose pin is not in steering.pin_directory: set that back where \
                 it was changed, or remove the pin (find /sys/fs/bpf -name 'steer_node-*')"
            }
            _ => "Stop what attached it, or set steering.mode = \"user-space\"",
        }
    }
}

impl fmt::Display for ForeignProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (ID {})", self.id),
            None => write!(f, "ID {}", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_privilege_is_found_at_the_bottom_of_the_chain() {
        let io = |code| SteeringError::Netlink(io::Error::from_raw_os_error(code));
        let error = SteeringError::load("the object", io(libc::EPERM));
        assert!(matches!(error, SteeringError::NoPrivilege { .. }));
        let error = SteeringError::load("the object", io(libc::EINVAL));
        assert!(matches!(error, SteeringError::Load { .. }));
    }

    #[test]
    fn what_the_kernel_said_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("bpf_link_create failed")]
        struct Outer(#[source] io::Error);
        let cause = Outer(io::Error::from_raw_os_error(libc::EOPNOTSUPP)).into();
        let error = SteeringError::NoNativeXdp { interface: "lo".into(), cause };
        assert_eq!(
            error.to_string(),
            "lo does not run XDP natively (bpf_link_create failed: Operation not supported \
             (os error 95)): set steering.mode = \"generic\" or \"user-space\""
        );
        let repeated = SteeringError::map("NODES", SteeringError::map("NODES", "missing"));
        assert_eq!(repeated.to_string(), "map NODES: map NODES: missing");
    }

    #[test]
    fn a_foreign_program_is_named() {
        let program = ForeignProgram { id: 42, name: Some("xdp_dispatcher".into()) };
        let error = SteeringError::ForeignProgram { interface: "eth0".into(), program };
        assert_eq!(
            error.to_string(),
            "another XDP program runs on eth0: xdp_dispatcher (ID 42). Stop what attached it, or \
             set steering.mode = \"user-space\""
        );
        let ours = ForeignProgram { id: 42, name: Some("steer_node".into()) };
        assert!(ours.cure().contains("pin_directory"), "moved, most likely");
    }
}
