//! What a process gives up once everything is attached and bound: whoever takes it over shall not
//! have the host.
//!
//! Capabilities and Landlock's rules belong to a thread and are handed on to those it starts. So
//! [`enter`] is called on the main thread, before workers and relay run; they then call
//! [`keep_no_capability`], because they need none.

use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

use crate::config::distributions::Distribution;
use crate::config::{Config, ControllerConfig};
use crate::identity::ControllerAddress;

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
        // The process does not listen anew, and connects by TCP to its controller only. Landlock
        // knows ports, not addresses.
        .handle_access(AccessNet::from_all(NEWEST))?
        .create()?;
    for address in controllers(config) {
        rules = rules.add_rule(NetPort::new(address.port(), AccessNet::ConnectTcp))?;
    }
    for server in config.origins.iter().flat_map(|origin| &origin.servers) {
        rules = rules.add_rule(NetPort::new(server.port, AccessNet::ConnectTcp))?;
    }
    let status = rules
        .allow(readable(config), AccessFs::ReadFile | AccessFs::ReadDir)?
        .allow(writable(config), writing())?
        // A clean stop removes the pin directory, where it is empty.
        .allow(parent(&config.steering.pin_directory), AccessFs::RemoveDir.into())?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
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
            let access = if path.is_file() { access & AccessFs::from_file(NEWEST) } else { access };
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
        .flat_map(|file| {
            // A link to a file elsewhere, as certificate renewal makes them, may lead there.
            parent(file).into_iter().chain(file.canonicalize().ok().and_then(|real| parent(&real)))
        })
        .collect();
    // The files that are served, and nothing beside their directories.
    let roots = config.distributions.iter().flat_map(Distribution::roots);
    paths.extend(roots.map(Path::to_owned));
    paths.extend(resolver(config));
    paths.extend(std::env::current_exe());
    let looked_up = ["/proc/self", "/proc/version_signature", "/sys/devices/system/cpu"];
    paths.extend(looked_up.map(PathBuf::from));
    paths
}

fn controllers(config: &Config) -> &[ControllerAddress] {
    config.controller.as_ref().map_or(&[], |ControllerConfig { addresses }| addresses)
}

/// What the C library reads to look a name up, where a controller has one: the files, not all of
/// /etc. Of a link, as systemd-resolved and others make /etc/resolv.conf one, the directory that it
/// leads to, because they replace what is there.
fn resolver(config: &Config) -> Vec<PathBuf> {
    const FILES: [&str; 5] =
        ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];
    if controllers(config).iter().all(|address| address.name().is_none()) {
        return Vec::new();
    }
    let leads_to = |file: &Path| {
        let real = file.canonicalize().ok()?;
        parent(&real).filter(|directory| directory != "/etc")
    };
    FILES.iter().map(Path::new).map(|file| leads_to(file).unwrap_or(file.into())).collect()
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
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::TlsFiles;
    use crate::identity::file::Place;
    use crate::steering::tables::samples;
    use tempfile::TempDir;

    /// Runs `work` on a thread, which keeps to itself what it gives up.
    fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(work).join().expect("no panic")
    }

    fn directory() -> TempDir {
        let directory = tempfile::tempdir().expect("made");
        for below in ["etc", "state", "elsewhere", "run"] {
            fs::create_dir(directory.path().join(below)).expect("writable");
        }
        directory
    }

    #[test]
    fn files_are_read_and_written_only_where_the_configuration_says() {
        let own = directory();
        let directory = own.path();
        let mut config = samples::config(1);
        config.file = directory.join("etc/edge.toml");
        let fleet_file = directory.join("etc/fleet.toml");
        config.fleet_file = Some(fleet_file.clone());
        let certificate = directory.join("etc/certificate.pem");
        let key = directory.join("etc/key.pem");
        config.tls.default = Some(TlsFiles { certificate: certificate.clone(), key });
        config.state_directory = directory.join("state");
        config.admin.socket = directory.join("run/admin.sock");
        fs::write(&fleet_file, "secret").expect("written");
        // The certificate is a link, as renewal makes them.
        fs::write(directory.join("elsewhere/real.pem"), "real").expect("written");
        std::os::unix::fs::symlink("../elsewhere/real.pem", &certificate).expect("made");
        let root = directory.to_owned();
        on_a_thread(move || {
            let landlock = enter(&config, Duties::None).expect("less is always possible");
            if landlock == Landlock::None {
                eprintln!("this kernel has no Landlock: nothing to show");
                return;
            }
            assert_eq!(fs::read(&fleet_file).expect("readable"), b"secret");
            assert_eq!(fs::read(&certificate).expect("readable"), b"real");
            fs::write(root.join("etc/renewed.pem"), "").expect_err("not to be written");
            fs::write(root.join("state/generation"), "1").expect("writable");
            fs::remove_file(root.join("state/generation")).expect("removable");
            for path in [root.join("new"), root.join("elsewhere/real.pem"), "/etc/hosts.x".into()] {
                let error = fs::write(&path, "x").expect_err("nowhere else");
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", path.display());
            }
            let error = fs::read("/etc/passwd").expect_err("nothing to read there");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let error = std::process::Command::new("/bin/true").status().expect_err("no programs");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        });
    }

    /// A path that leads out of a root would still not be read: two locks on one door.
    #[test]
    fn files_to_be_served_are_read_and_nothing_beside_their_directory() {
        use crate::config::distributions::{Answer, Append, Behaviour, Files, PathPattern};
        let directory = directory();
        let path = |name: &str| directory.path().join(name);
        let root = path("elsewhere");
        fs::write(root.join("a.css"), "a").expect("written");
        fs::write(path("run/secret"), "s").expect("written");
        let files = Files {
            root: root.clone(),
            index: None,
            append: Append::Path,
            precompressed: Vec::new(),
        };
        let behaviour = Behaviour {
            path: PathPattern::Prefix("/".into()),
            answer: Answer::Files(files),
            request_headers: Default::default(),
            response_headers: Default::default(),
        };
        let mut config = samples::config(1);
        config.state_directory = path("state");
        config.distributions = vec![Distribution {
            names: Vec::new(),
            behaviours: vec![behaviour],
            request_headers: Default::default(),
            response_headers: Default::default(),
            request_id: None,
        }];
        let beside = path("run");
        on_a_thread(move || {
            if enter(&config, Duties::None).expect("less is always possible") == Landlock::None {
                eprintln!("this kernel has no Landlock: nothing to show");
                return;
            }
            assert_eq!(fs::read(root.join("a.css")).expect("readable"), b"a");
            fs::write(root.join("a.css"), "b").expect_err("not to be written");
            fs::read(beside.join("secret")).expect_err("nothing beside it");
            let other = [Distribution {
                behaviours: vec![Behaviour {
                    answer: Answer::Files(Files {
                        root: beside,
                        index: None,
                        append: Append::Path,
                        precompressed: Vec::new(),
                    }),
                    ..config.distributions[0].behaviours[0].clone()
                }],
                ..config.distributions[0].clone()
            }];
            let error = crate::proxy::Distributions::open(&other, &[])
                .expect_err("not since the start")
                .to_string();
            assert!(error.contains("restart it for another one"), "{error}");
        });
    }

    /// Confines a thread for a controller at these addresses, and has it `work`; not where the
    /// kernel has no Landlock for the network (Linux 6.7).
    fn confined(addresses: &[&str], work: impl FnOnce() + Send + 'static) {
        let directory = directory();
        let mut config = samples::config(1);
        config.state_directory = directory.path().join("state");
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        config.controller = Some(ControllerConfig { addresses });
        on_a_thread(move || match enter(&config, Duties::None).expect("less is possible") {
            Landlock::Full => {
                // What the controller gives is kept.
                Place::take(&config.state_directory, true).expect("writable").give_up();
                work();
            }
            Landlock::Partial | Landlock::None => eprintln!("no such rules in this kernel"),
        });
    }

    /// Who takes the process over reaches no other TCP service of the host or its neighbours.
    #[test]
    fn tcp_leads_to_the_controller_only() {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (controller, other) = (listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().expect("bound");
        let (to_controller, elsewhere) = (address(&controller), address(&other));
        let unreadable = || {
            let error = fs::read("/etc/nsswitch.conf").expect_err("no name, no look-up");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        };
        confined(&[&to_controller.to_string()], move || {
            TcpStream::connect(to_controller).expect("the controller");
            let error = TcpStream::connect(elsewhere).expect_err("somebody else");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let error = TcpListener::bind("127.0.0.1:0").expect_err("nor a new listener");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            unreadable();
        });
    }

    #[test]
    fn the_name_of_a_controller_is_looked_up_and_nothing_else_is_read() {
        let controller = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = controller.local_addr().expect("bound").port();
        confined(&[&format!("localhost:{port}")], move || {
            for path in ["/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"] {
                fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
            TcpStream::connect(("localhost", port)).expect("by its name");
            let error = fs::read("/etc/passwd").expect_err("nothing to read there");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn capabilities_go_and_do_not_come_back() {
        on_a_thread(|| {
            keep(&Duties::Xdp.capabilities()).expect("less is always possible");
            let held = |set| caps::read(None, set).expect("readable");
            let allowed = Duties::Xdp.capabilities();
            for set in [CapSet::Effective, CapSet::Permitted] {
                assert!(held(set).is_subset(&allowed), "{:?}", held(set));
            }
            keep_no_capability();
            for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient]
            {
                assert!(held(set).is_empty(), "{:?}", held(set));
            }
        });
    }
}
