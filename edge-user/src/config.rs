//! The configuration file: TOML in, a checked [`Config`] out. After [`load`] nothing is unchecked.
//!
//! Every mistake is found in one pass and shown with file, line, a caret under the value, the
//! reason, and what to do. What the file says is in `file`, what is wrong with it in `check`,
//! how that looks in [`settings::problem`].

mod check;
pub mod coalescing;
mod file;
mod joined;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::identity::ControllerAddress;
pub use crate::nodes::Liveness;
pub use ::distributions;
pub use ::distributions::origins;
use ::distributions::{Distribution, Served};
use coalescing::Coalescing;
pub use joined::JoinError;
use origins::Origin;
use settings::read_bounded;
pub use settings::{ConfigError, Log, LogFormat, Problem};

use crate::limits;

/// All that an edge process needs to know, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Our own ID, 0 to 4095. One of `nodes` has it. With a controller 0 until [`Config::joined`].
    pub node: u16,
    /// Our site: that of our entry in `nodes`.
    pub site: String,
    /// The fleet, ourselves included, in the order of the file. IDs, names and addresses differ.
    /// With a controller empty until [`Config::joined`].
    pub nodes: Vec<NodeConfig>,
    /// Who says what the fleet is, instead of the file.
    pub controller: Option<ControllerConfig>,
    /// Where clients arrive.
    pub listen: Listen,
    /// How packets find their owner.
    pub steering: SteeringConfig,
    /// Certificates from files, and who gets which.
    pub tls: TlsConfig,
    /// The secrets of the fleet, the same on every node. Just where there is no controller.
    pub fleet_file: Option<PathBuf>,
    /// What outlives the process: the generation counter, and what the controller gave.
    pub state_directory: PathBuf,
    /// Metrics, health, and the admin socket.
    pub admin: Admin,
    /// How long a graceful stop waits for requests in progress.
    pub drain: Duration,
    /// What is logged, and how.
    pub log: Log,
    /// Bounds of the engine.
    pub quic: QuicConfig,
    /// Early drops and budgets.
    pub admission: AdmissionConfig,
    /// What is answered under which names; where there are none, whoever asks is told who answers.
    pub distributions: Vec<Distribution>,
    /// Where each request has a line, where that is wished.
    pub access_log: Option<AccessLogConfig>,
    /// What their proxies ask. No two have one name.
    pub origins: Vec<Origin>,
    /// Of which names clients are told that their connections are good for them.
    pub coalescing: Coalescing,
}

/// Where each request has a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// The file, by an absolute path.
    pub path: PathBuf,
    /// JSON, or text in the combined log format of Apache and nginx.
    pub format: LogFormat,
}

/// The controller that this node follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// Where it listens, 1 to [`limits::MAX_CONTROLLER_ADDRESSES`], tried in this order.
    pub addresses: Vec<ControllerAddress>,
}

/// A node of the fleet. At least one of the addresses is there, and neither is anycast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// 0 to 4095.
    pub id: u16,
    /// What people call it.
    pub name: String,
    /// The router or place it stands behind.
    pub site: String,
    /// Where other nodes send encapsulated IPv4 packets.
    pub ipv4: Option<Ipv4Addr>,
    /// Where other nodes send encapsulated IPv6 packets.
    pub ipv6: Option<Ipv6Addr>,
    /// How it fares at the start; the admin socket changes it later. We ourselves are live.
    pub liveness: Liveness,
}

/// Where clients arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The addresses that every node announces: at least one, unicast.
    pub anycast: Vec<IpAddr>,
    /// UDP port of QUIC, not 0. With `tcp` the TCP port of TLS, too.
    pub port: u16,
    /// Whether HTTP/2, HTTP/1.1 and answers to authorities (TLS-ALPN-01, RFC 8737) are served by TLS
    /// over TCP on `port`.
    pub tcp: bool,
    /// TCP port of HTTP in clear, for HTTP-01 (RFC 8555 section 8.3) and the way to https; not 0,
    /// nor `port` where `tcp` is set.
    pub http_port: Option<u16>,
    /// Interfaces that packets of clients and nodes come in by, at most
    /// [`limits::MAX_INTERFACES`]. Empty only where no XDP program is attached.
    pub interfaces: Vec<String>,
    /// Threads, each with its socket and engine: at least 1. 0 in the file means one a core.
    pub workers: u8,
}

/// How packets find their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringConfig {
    /// By which means.
    pub mode: SteeringMode,
    /// Where the XDP link and the maps are pinned, on a BPF file system.
    pub pin_directory: PathBuf,
    /// UDP port of the encapsulation, on every node the same; neither 0 nor `listen.port`.
    pub encapsulation_port: u16,
}

/// By which means packets find their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SteeringMode {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's generic path, for drivers without support: slower.
    Generic,
    /// No XDP: the edge process encapsulates and unwraps itself.
    UserSpace,
    /// None: the kernel's hash of the 4-tuple, nothing is forwarded. For comparison.
    Off,
}

impl SteeringMode {
    /// Whether packets go through `steer_node`.
    #[must_use]
    pub const fn has_xdp(self) -> bool {
        matches!(self, Self::Native | Self::Generic)
    }
}

/// Certificates from files, and who gets which. Of a controller come others beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// What clients get that ask for a name nobody knows, and for its own names.
    pub default: Option<TlsFiles>,
    /// Others, for their names. At most [`limits::MAX_CERTIFICATE_FILES`].
    pub more: Vec<TlsFiles>,
    /// What becomes of clients that ask for a name nobody knows.
    pub unknown_names: UnknownNames,
}

impl TlsConfig {
    /// All files, that of the default first.
    pub fn files(&self) -> impl Iterator<Item = &TlsFiles> {
        self.default.iter().chain(&self.more)
    }
}

/// What becomes of clients that ask for a name that no certificate has, or for none (RFC 6066
/// section 3 allows both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNames {
    /// They get the default certificate, where there is one.
    Default,
    /// Their handshake is refused.
    Refuse,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Metrics, health, and the admin socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// TCP address of `/metrics`, `/healthz` and `/readyz`; its port is not 0.
    pub listen: SocketAddr,
    /// Unix socket of the admin commands, mode 0600.
    pub socket: PathBuf,
}

/// Bounds of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicConfig {
    /// Connections in the whole process; each worker has its even share.
    pub max_connections: u32,
    /// Handshakes in progress in the whole process above which new clients get a Retry
    /// (RFC 9000 section 8.1.2). 0: always.
    pub retry_threshold: u32,
    /// A connection without packets ends after this (RFC 9000 section 10.1).
    pub idle_timeout: Duration,
    /// How long a connection ID is used before the client is asked to take another one (RFC 9000
    /// section 5.1.2), which is made under the config that mints by then.
    pub connection_id_lifetime: Duration,
}

/// What is dropped before anything is decoded, and budgets. The default is that of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// UDP ports whose packets are dropped, because only amplifiers send from them (RFC 9308
    /// section 8.1). Empty where that is switched off.
    pub amplifier_ports: BTreeSet<u16>,
    /// Initials in datagrams under 1,200 bytes are dropped (RFC 9000 section 14.1).
    pub small_initials: bool,
    /// Initials a second of one /24 or /56, enforced while handshakes in progress are above
    /// [`QuicConfig::retry_threshold`]. 0: no limit.
    pub initials_per_second: u64,
    /// How many of them at once: at least a hundredth of `initials_per_second`.
    pub initials_burst: u64,
    /// Packets a second that are forwarded to one node. 0: no limit.
    pub forwards_per_second: u64,
    /// A text file of networks whose packets are dropped.
    pub blocklist: Option<PathBuf>,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            amplifier_ports: limits::AMPLIFIER_PORTS.into(),
            small_initials: true,
            initials_per_second: limits::DEFAULT_INITIALS_PER_SECOND,
            initials_burst: limits::DEFAULT_INITIALS_BURST,
            forwards_per_second: limits::DEFAULT_FORWARDS_PER_SECOND,
            blocklist: None,
        }
    }
}

/// What the check compares the file with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The network interfaces there are, sorted. `None`: they are not checked.
    pub interfaces: Option<Vec<String>>,
    /// Cores that this process may use: the workers where the file asks for one a core.
    pub cores: u8,
    /// `state_directory` where the file names none.
    pub state_directory: PathBuf,
}

/// Where the service manager names none.
const STATE_DIRECTORY: &str = "/var/lib/landfast";

impl Host {
    /// This host, as seen in the network namespace of this process.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn read() -> std::io::Result<Self> {
        let list = nix::net::if_::if_nameindex()?;
        let name =
            |interface: &nix::net::if_::Interface| interface.name().to_string_lossy().into_owned();
        let mut interfaces: Vec<_> = list.iter().map(name).collect();
        interfaces.sort();
        Ok(Self { interfaces: Some(interfaces), ..Self::elsewhere() })
    }

    /// No host in particular: interfaces are not checked. For a file that is to run elsewhere.
    #[must_use]
    pub fn elsewhere() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // systemd's StateDirectory= (systemd.exec(5)).
        let state_directory = std::env::var_os("STATE_DIRECTORY");
        Self {
            interfaces: None,
            cores: u8::try_from(cores).unwrap_or(limits::MAX_WORKERS),
            state_directory: state_directory.map_or_else(|| STATE_DIRECTORY.into(), Into::into),
        }
    }
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// Every mistake that was found, each with its place and what to do.
pub fn load(path: &Path, host: &Host) -> Result<Config, ConfigError> {
    let text = std::fs::File::open(path).and_then(read_bounded).map_err(|error| {
        let problem = Problem::new(format!("the configuration cannot be read: {error}"))
            .help("give its path with --config; docs/examples/edge.toml is one to start from");
        ConfigError::new(path, "", vec![problem])
    })?;
    parse(path, &text, host)
}

/// Checks `text` as if it were read from `path`.
///
/// # Errors
/// Every mistake that was found, each with its place and what to do.
pub fn parse(path: &Path, text: &str, host: &Host) -> Result<Config, ConfigError> {
    let file = toml::from_str(text)
        .map_err(|error| settings::problem::of_toml(&error, "docs/configuration.md"));
    let checked = file
        .map_err(|problem| vec![problem])
        .and_then(|file| check::check(&file, host))
        .map(|config| Config { file: path.to_owned(), ..config });
    checked.map_err(|problems| ConfigError::new(path, text, problems))
}

impl Config {
    /// What the file says is answered under which names.
    #[must_use]
    pub fn served(&self) -> Served {
        Served { distributions: self.distributions.clone(), origins: self.origins.clone() }
    }

    /// Our own entry in `nodes`. Not to be asked for before [`Config::joined`] where there is a
    /// controller.
    #[must_use]
    pub fn our_node(&self) -> &NodeConfig {
        let ours = self.nodes.iter().find(|node| node.id == self.node);
        ours.expect("neither a file nor a controller is taken whose list lacks this node")
    }
}

#[cfg(test)]
mod tests;
