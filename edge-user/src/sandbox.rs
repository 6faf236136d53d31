//! What a process gives up once everything is attached and bound: whoever takes it over shall not
//! have the host.
//!
//! Capabilities and Landlock's rules belong to a thread and are handed on to those it starts. So
//! [`enter`] is called on the main thread, before workers and relay run; they then call
//! [`keep_no_capability`], because they need none.
//!
//! What of the network they still reach is said in `reach`.

mod reach;

use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use crate::config::distributions::Distribution;
use crate::config::origins::Origin;
use crate::config::{AccessLogConfig, Config};

pub use reach::{OutOfReach, check as check_reach};

/// The newest rules of Landlock that are asked for (Linux 6.10). An older kernel enforces those
/// that it has.
const NEWEST: ABI = ABI::V5;

/// How much of the Landlock rules the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// All of them.
    Full,
    /// The kernel is older than some of them.
    Partial,
    /// None: the kernel has no Landlock, or it is switched off.
    None,
}

impl Landlock {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// What the process does in the kernel after its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duties {
    /// It keeps next hops, confirms neighbours, and attaches XDP again.
    Xdp,
    /// It writes and reads maps.
    Maps,
    /// Nothing.
    None,
}

impl Duties {
    /// The capabilities that the control thread keeps. `CAP_BPF` is for maps, which kernels before
    /// 5.19 do not let others write where unprivileged BPF is off. `CAP_NET_ADMIN` is for XDP links
    /// and for neighbours.
    fn capabilities(self) -> CapsHashSet {
        match self {
            Self::Xdp => [Capability::CAP_BPF, Capability::CAP_NET_ADMIN].into(),
            Self::Maps => [Capability::CAP_BPF].into(),
            Self::None => CapsHashSet::new(),
        }
    }
}

/// Something could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Capabilities.
    #[error("capabilities cannot be dropped: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// `PR_SET_NO_NEW_PRIVS`.
    #[error("no_new_privs cannot be set: {0}")]
    NoNewPrivileges(#[source] io::Error),
}

/// Confines the calling thread, and all that it starts from now on.
///
/// # Errors
/// Where capabilities stay. That the kernel has no Landlock is none: it is said in the log.
pub fn enter(config: &Config, duties: Duties) -> Result<Landlock, SandboxError> {
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| SandboxError::NoNewPrivileges(error.into()))?;
    let landlock = restrict(config).unwrap_or_else(|error| {
        tracing::warn!(%error, "the kernel refuses Landlock's rules");
        Landlock::None
    });
    keep(&duties.capabilities())?;
    match landlock {
        Landlock::None => tracing::info!("no Landlock in this kernel: files are not confined"),
        Landlock::Full | Landlock::Partial => {
            tracing::info!(landlock = landlock.name(), ?duties, "confined");
        }
    }
    Ok(landlock)
}

/// Drops what the calling thread has of capabilities. What fails is logged: a thread that has more
/// than it needs still does its work.
pub fn keep_no_capability() {
    if let Err(error) = keep(&CapsHashSet::new()) {
        tracing::warn!(%error, "a thread keeps capabilities that it does not need");
    }
}

/// Drops every capability but `kept` from all sets of the calling thread.
fn keep(kept: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    // The bounding set first, for which one of those to be dropped is needed. Without it the set
    // stays as the service manager made it, which no_new_privs makes harmless.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::all().difference(kept) {
            // The kernel may be older than the capability.
            if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
                caps::drop(None, CapSet::Bounding, *capability)?;
            }
        }
    }
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient)?;
    }
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.intersection(kept).copied().collect();
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)
}

fn restrict(config: &Config) -> Result<Landlock, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        // The process does not listen anew, and connects by TCP to its controller and to its origins
        // only. Landlock knows ports, not addresses.
        .handle_access(AccessNet::from_all(NEWEST))?
        .create()?;
    for port in reach::ports(config) {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    let status = rules
        .allow(readable(config), AccessFs::ReadFile | AccessFs::ReadDir)?
        .allow(writable(config), writing())?
        .allow(access_log(config), AccessFs::WriteFile | AccessFs::MakeReg)?
        // A clean stop removes the pin directory, where it is empty.
        .allow(parent(&config.steering.pin_directory), AccessFs::RemoveDir.into())?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

/// Where the access log is written: the directory of its file, because another one takes its place
/// when that is moved away, and of a link that to which it leads. What is no file, as a pipe, stays
/// the same.
fn access_log(config: &Config) -> Vec<PathBuf> {
    let Some(AccessLogConfig { path, .. }) = &config.access_log else { return Vec::new() };
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return vec![path.clone()];
    }
    let real = path.canonicalize().ok();
    parent(path).into_iter().chain(real.and_then(|real| parent(&real))).collect()
}

/// Making, changing and removing files: no devices, sockets or links, and nothing to execute.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
}

trait Allow: Sized {
    /// Allows what is below `paths`. What is not there cannot be used anyway.
    fn allow(
        self,
        paths: impl IntoIterator<Item = PathBuf>,
        access: BitFlags<AccessFs>,
    ) -> Result<Self, RulesetError>;
}

impl Allow for RulesetCreated {
    fn allow(
        mut self,
        paths: impl IntoIterator<Item = PathBuf>,
        access: BitFlags<AccessFs>,
    ) -> Result<Self, RulesetError> {
        for path in paths {
            let Ok(opened) = PathFd::new(&path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
            self = self.add_rule(PathBeneath::new(opened, access))?;
        }
        Ok(self)
    }
}

/// The directories of the files that are read again while the process runs: not the files, because
/// whoever renews one mostly puts a new one in its place. And what a backtrace and aya look up.
fn readable(config: &Config) -> Vec<PathBuf> {
    let certificates = config.tls.files().flat_map(|files| [&files.certificate, &files.key]);
    let mut paths: Vec<_> = [&config.file]
        .into_iter()
        .chain(&config.fleet_file)
        .chain(certificates)
        .chain(&config.admission.blocklist)
        .map(PathBuf::as_path)
        .chain(config.origins.iter().filter_map(Origin::ca))
        .flat_map(|file| {
            // A link to a file elsewhere, as certificate renewal makes them, may lead there.
            parent(file).into_iter().chain(file.canonicalize().ok().and_then(|real| parent(&real)))
        })
        .collect();
    // The files that are served, and nothing beside their directories.
    let roots = config.distributions.iter().flat_map(Distribution::roots);
    paths.extend(roots.map(Path::to_owned));
    paths.extend(reach::resolver(config));
    paths.extend(reach::authorities(config));
    paths.extend(std::env::current_exe());
    let looked_up = ["/proc/self", "/proc/version_signature", "/sys/devices/system/cpu"];
    paths.extend(looked_up.map(PathBuf::from));
    paths
}

/// Where the process makes and removes files: the admin socket at its end, pins whenever XDP is
/// attached, and in the state directory its identity and the last good bundle.
fn writable(config: &Config) -> Vec<PathBuf> {
    let mut paths = vec![config.state_directory.clone(), config.steering.pin_directory.clone()];
    paths.extend(parent(&config.admin.socket));
    paths
}

fn parent(path: &Path) -> Option<PathBuf> {
    match path.parent()? {
        // The file of a bare name is where we are.
        here if here.as_os_str().is_empty() => Some(".".into()),
        parent => Some(parent.to_owned()),
    }
}

#[cfg(test)]
mod tests;
