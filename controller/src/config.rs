//! The configuration file: TOML in, a checked [`Config`] out. After [`load`] nothing is unchecked.
//!
//! What the file says is in `file`, what is wrong with it in `check`, how that looks in
//! [`settings::problem`].

mod check;
mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::acme::Times;
use crate::acme::probe::Ports;
use crate::certificate::import::Files;
use crate::certificate::names::Policy;
use crate::records::KeyType;
use crate::renew::Limits;
pub use settings::{ConfigError, Log, LogFormat, Problem};

/// All that a controller needs to know, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Where nodes connect to.
    pub listen: SocketAddr,
    /// By what nodes reach us: DNS names and addresses, those of our certificate. At least one.
    pub names: Vec<String>,
    /// Records and their key.
    pub store: StoreFiles,
    /// How nodes are counted as live.
    pub nodes: NodeTimes,
    /// Prometheus metrics and health; none where there is no such table.
    pub metrics: Option<SocketAddr>,
    /// Unix socket of the commands, mode 0600.
    pub socket: PathBuf,
    /// Who issues certificates, by name. `internal` is always possible and not among them.
    pub issuers: BTreeMap<String, Issuer>,
    /// What may be issued, within what time, and what is one's own.
    pub certificates: Certificates,
    /// Where nodes are asked what an authority will ask them.
    pub probe_ports: Ports,
    /// When the fleet's secrets change.
    pub rotation: Rotation,
    /// What is logged, and how.
    pub log: Log,
}

/// Where the records are, and the key that seals them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFiles {
    /// The store's file.
    pub path: PathBuf,
    /// The sealing key's, mode 0600: kept apart from the store and from its backups.
    pub key_file: PathBuf,
}

/// How nodes are counted as live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeTimes {
    /// Without a report for this long a node is not live.
    pub lease: Duration,
    /// Nodes report at least this often; less than half of `lease`.
    pub keepalive: Duration,
}

/// Certificates, whoever issues them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// What names may be issued.
    pub policy: Policy,
    /// Where the certificate of the internal issuer is written, for clients to trust.
    pub internal_file: PathBuf,
    /// Certificates of one's own, read again when their files change.
    pub imported: Vec<Files>,
    /// How long everything may take.
    pub times: Times,
}

/// An authority that speaks ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// URL of its directory; https.
    pub directory: String,
    /// `mailto:` addresses of the account. May be empty.
    pub contact: Vec<String>,
    /// PEM file of what signs its own certificate, where that is not publicly trusted.
    pub root: Option<PathBuf>,
    /// The account at the authority that ours is bound to (RFC 8555 section 7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// How we show that a name is ours.
    pub challenge: ChallengeKind,
    /// The command that sets and removes records of DNS-01; there where `challenge` is that.
    pub dns_hook: Option<PathBuf>,
    /// Nodes answer HTTP-01 for any token, from the account's thumbprint.
    pub stateless: bool,
    /// The kind of a certificate's key, where its request names none.
    pub key_type: KeyType,
    /// What the authority allows, or less.
    pub limits: Limits,
}

/// An account that somebody else keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its key's ID, as the authority gave it.
    pub key_id: String,
    /// A file with the key in base64url, as the authority gave it.
    pub key_file: PathBuf,
}

/// How the authority sees that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    /// RFC 8555 section 8.3.
    Http01,
    /// RFC 8737.
    TlsAlpn01,
    /// RFC 8555 section 8.4: the only one for wildcards.
    Dns01,
}

impl ChallengeKind {
    /// As RFC 8555 section 9.7.8 and RFC 8737 name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When the fleet's secrets change. A time of zero: by command only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// From one ticket key to the next.
    pub tickets: Duration,
    /// From one token key to the next.
    pub tokens: Duration,
    /// From one config of connection IDs to the next.
    pub connection_ids: Duration,
    /// From one encapsulation key to the next.
    pub encapsulation: Duration,
    /// The longest `quic.connection_id_lifetime_seconds` of any node: an old config is kept for
    /// twice as long.
    pub connection_id_lifetime: Duration,
}

/// Reads and checks the file at `path`.
///
/// # Errors
/// Every mistake that was found, each with its place and what to do.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::File::open(path).and_then(settings::read_bounded).map_err(|error| {
        let problem = Problem::new(format!("the configuration cannot be read: {error}")).help(
            "give its path with --config; docs/examples/controller.toml is one to start from",
        );
        ConfigError::new(path, "", vec![problem])
    })?;
    parse(path, &text)
}

/// Checks `text` as if it were read from `path`.
///
/// # Errors
/// Every mistake that was found, each with its place and what to do.
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let file = toml::from_str(text);
    let file = file.map_err(|error| settings::problem::of_toml(&error, "docs/controller.md"));
    let checked = file
        .map_err(|problem| vec![problem])
        .and_then(|file| check::check(&file))
        .map(|config| Config { file: path.to_owned(), ..config });
    checked.map_err(|problems| ConfigError::new(path, text, problems))
}

#[cfg(test)]
mod tests;
