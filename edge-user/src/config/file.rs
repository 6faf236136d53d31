//! The file as it is written: names, and where each value stands. Nothing is checked here but
//! the kind of each value and that no setting is unknown.

use ::distributions::file::{Distribution, Origin};
use serde::Deserialize;
use settings::{LogTable, Number, Text};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) node: Option<Number>,
    pub(super) fleet_file: Option<Text>,
    pub(super) state_directory: Option<Text>,
    pub(super) drain_seconds: Option<Number>,
    pub(super) listen: Listen,
    pub(super) controller: Option<Spanned<Controller>>,
    pub(super) tls: Option<Spanned<Tls>>,
    #[serde(default)]
    pub(super) steering: Steering,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) log: LogTable,
    pub(super) access_log: Option<AccessLog>,
    #[serde(default)]
    pub(super) quic: Quic,
    #[serde(default)]
    pub(super) admission: Admission,
    pub(super) nodes: Option<Spanned<Vec<Node>>>,
    pub(super) distributions: Option<Spanned<Vec<Distribution>>>,
    pub(super) origins: Option<Spanned<Vec<Origin>>>,
    #[serde(default)]
    pub(super) coalescing: Coalescing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Controller {
    pub(super) addresses: Spanned<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) anycast: Spanned<Vec<Text>>,
    pub(super) port: Option<Number>,
    pub(super) tcp: Option<bool>,
    pub(super) http_port: Option<Number>,
    pub(super) interfaces: Option<Spanned<Vec<Text>>>,
    pub(super) workers: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) certificates: Option<Spanned<Vec<TlsFiles>>>,
    pub(super) unknown_names: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsFiles {
    pub(super) certificate: Text,
    pub(super) key: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Steering {
    pub(super) mode: Option<Text>,
    pub(super) pin_directory: Option<Text>,
    pub(super) encapsulation_port: Option<Number>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) listen: Option<Text>,
    pub(super) socket: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessLog {
    pub(super) path: Text,
    pub(super) format: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Quic {
    pub(super) max_connections: Option<Number>,
    pub(super) retry_threshold: Option<Number>,
    pub(super) idle_timeout_seconds: Option<Number>,
    pub(super) connection_id_lifetime_seconds: Option<Number>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Admission {
    /// A switch, or the ports.
    pub(super) amplifier_ports: Option<Spanned<toml::Value>>,
    pub(super) small_initials: Option<bool>,
    pub(super) initials_per_second: Option<Number>,
    pub(super) initials_burst: Option<Number>,
    pub(super) forwards_per_second: Option<Number>,
    pub(super) blocklist: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) id: Number,
    pub(super) name: Text,
    pub(super) site: Text,
    pub(super) ipv4: Option<Text>,
    pub(super) ipv6: Option<Text>,
    pub(super) liveness: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Coalescing {
    pub(super) announce: Option<bool>,
    pub(super) add: Option<Spanned<Vec<Text>>>,
    pub(super) exclude: Option<Spanned<Vec<Text>>>,
}
