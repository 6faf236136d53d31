//! The file as it is written: names, and where each value stands. Nothing is checked here but
//! the kind of each value and that no setting is unknown.

use std::collections::BTreeMap;

use serde::Deserialize;
use settings::{LogTable, Number, Text};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<Text>,
    pub(super) names: Spanned<Vec<Text>>,
    #[serde(default)]
    pub(super) store: Store,
    #[serde(default)]
    pub(super) nodes: Nodes,
    pub(super) metrics: Option<Metrics>,
    #[serde(default)]
    pub(super) admin: Admin,
    #[serde(default)]
    pub(super) issuers: BTreeMap<Text, Issuer>,
    #[serde(default)]
    pub(super) certificates: Certificates,
    #[serde(default)]
    pub(super) imports: BTreeMap<Text, Import>,
    #[serde(default)]
    pub(super) rotation: Rotation,
    #[serde(default)]
    pub(super) log: LogTable,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    pub(super) path: Option<Text>,
    pub(super) key_file: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Nodes {
    pub(super) lease_milliseconds: Option<Number>,
    pub(super) keepalive_milliseconds: Option<Number>,
    pub(super) http_port: Option<Number>,
    pub(super) tls_port: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) listen: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) socket: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    pub(super) directory: Text,
    #[serde(default)]
    pub(super) contact: Vec<Text>,
    pub(super) root: Option<Text>,
    pub(super) eab_key_id: Option<Text>,
    pub(super) eab_key_file: Option<Text>,
    pub(super) challenge: Option<Text>,
    pub(super) dns_hook: Option<Text>,
    pub(super) stateless: Option<Spanned<bool>>,
    pub(super) key_type: Option<Text>,
    pub(super) concurrent_orders: Option<Number>,
    pub(super) orders_per_hour: Option<Number>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificates {
    #[serde(default)]
    pub(super) allow: Vec<Text>,
    #[serde(default)]
    pub(super) deny: Vec<Text>,
    pub(super) addresses: Option<bool>,
    pub(super) reserved: Option<bool>,
    pub(super) internal_file: Option<Text>,
    pub(super) barrier_seconds: Option<Number>,
    pub(super) drain_seconds: Option<Number>,
    pub(super) request_seconds: Option<Number>,
    pub(super) settle_seconds: Option<Number>,
    pub(super) import_look_seconds: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    pub(super) certificate: Text,
    pub(super) key: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    pub(super) tickets_seconds: Option<Number>,
    pub(super) tokens_seconds: Option<Number>,
    pub(super) connection_ids_seconds: Option<Number>,
    pub(super) encapsulation_seconds: Option<Number>,
    pub(super) connection_id_lifetime_seconds: Option<Number>,
}
