//! The file as it is written: names, and where each value stands. Nothing is checked here but
//! the kind of each value and that no setting is unknown.

use std::collections::BTreeMap;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Distribution {
    pub(super) names: Spanned<Vec<Text>>,
    pub(super) behaviours: Option<Vec<Behaviour>>,
    pub(super) request_headers: Option<HeaderRules>,
    pub(super) response_headers: Option<HeaderRules>,
    pub(super) request_id: Option<Text>,
    pub(super) server_timing: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Coalescing {
    pub(super) announce: Option<bool>,
    pub(super) add: Option<Spanned<Vec<Text>>>,
    pub(super) exclude: Option<Spanned<Vec<Text>>>,
}

/// One of `redirect`, `respond`, `files` and `proxy` is there, which is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Behaviour {
    pub(super) path: Text,
    pub(super) exact: Option<bool>,
    pub(super) redirect: Option<Spanned<Redirect>>,
    pub(super) respond: Option<Spanned<Respond>>,
    pub(super) files: Option<Spanned<Files>>,
    pub(super) proxy: Option<Spanned<Proxy>>,
    pub(super) request_headers: Option<Spanned<HeaderRules>>,
    pub(super) response_headers: Option<HeaderRules>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Redirect {
    pub(super) to: Text,
    pub(super) status: Option<Number>,
    pub(super) append: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Respond {
    pub(super) status: Option<Number>,
    pub(super) body: Option<Text>,
    pub(super) content_type: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Files {
    pub(super) root: Text,
    pub(super) index: Option<Text>,
    pub(super) append: Option<Text>,
    #[serde(default)]
    pub(super) precompressed: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) origin: Text,
    pub(super) append: Option<Text>,
    pub(super) forwarded: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    pub(super) name: Text,
    pub(super) servers: Spanned<Vec<Text>>,
    pub(super) protocol: Option<Text>,
    pub(super) host: Option<Text>,
    pub(super) server_name: Option<Text>,
    pub(super) ca: Option<Text>,
    pub(super) verify: Option<Spanned<bool>>,
    pub(super) connect_timeout_seconds: Option<Number>,
    pub(super) response_timeout_seconds: Option<Number>,
    pub(super) idle_timeout_seconds: Option<Number>,
    pub(super) total_timeout_seconds: Option<Number>,
    pub(super) max_connections: Option<Number>,
    pub(super) keep_alive_seconds: Option<Number>,
    pub(super) health: Option<Health>,
    pub(super) max_failures: Option<Number>,
    pub(super) eject_seconds: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    pub(super) path: Text,
    pub(super) interval_seconds: Option<Number>,
    pub(super) timeout_seconds: Option<Number>,
    pub(super) status: Option<Number>,
    pub(super) rise: Option<Number>,
    pub(super) fall: Option<Number>,
}

/// Names and values.
pub(super) type Fields = BTreeMap<Text, Text>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderRules {
    #[serde(default)]
    pub(super) set: Fields,
    #[serde(default)]
    pub(super) add: Fields,
    #[serde(default)]
    pub(super) remove: Vec<Text>,
}
