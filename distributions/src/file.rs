//! The tables as they are written: names, and where each value stands. Nothing is checked here but
//! the kind of each value and that no setting is unknown.

use std::collections::BTreeMap;

use serde::Deserialize;
use settings::{Number, Text};
use toml::Spanned;

/// A file of nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) distributions: Option<Spanned<Vec<Distribution>>>,
    pub(crate) origins: Option<Spanned<Vec<Origin>>>,
}

/// An entry of `[[distributions]]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    pub(crate) names: Spanned<Vec<Text>>,
    pub(crate) behaviours: Option<Vec<Behaviour>>,
    pub(crate) request_headers: Option<HeaderRules>,
    pub(crate) response_headers: Option<HeaderRules>,
    pub(crate) request_id: Option<Text>,
    pub(crate) server_timing: Option<bool>,
}

/// One of `redirect`, `respond`, `files` and `proxy` is there, which is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Behaviour {
    pub(crate) path: Text,
    pub(crate) exact: Option<bool>,
    pub(crate) redirect: Option<Spanned<Redirect>>,
    pub(crate) respond: Option<Spanned<Respond>>,
    pub(crate) files: Option<Spanned<Files>>,
    pub(crate) proxy: Option<Spanned<Proxy>>,
    pub(crate) request_headers: Option<Spanned<HeaderRules>>,
    pub(crate) response_headers: Option<HeaderRules>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    pub(crate) to: Text,
    pub(crate) status: Option<Number>,
    pub(crate) append: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Respond {
    pub(crate) status: Option<Number>,
    pub(crate) body: Option<Text>,
    pub(crate) content_type: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Files {
    pub(crate) root: Text,
    pub(crate) index: Option<Text>,
    pub(crate) append: Option<Text>,
    #[serde(default)]
    pub(crate) precompressed: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    pub(crate) origin: Text,
    pub(crate) append: Option<Text>,
    pub(crate) forwarded: Option<Text>,
}

/// An entry of `[[origins]]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    pub(crate) name: Text,
    pub(crate) servers: Spanned<Vec<Text>>,
    pub(crate) protocol: Option<Text>,
    pub(crate) host: Option<Text>,
    pub(crate) server_name: Option<Text>,
    pub(crate) ca: Option<Text>,
    pub(crate) verify: Option<Spanned<bool>>,
    pub(crate) connect_timeout_seconds: Option<Number>,
    pub(crate) response_timeout_seconds: Option<Number>,
    pub(crate) idle_timeout_seconds: Option<Number>,
    pub(crate) total_timeout_seconds: Option<Number>,
    pub(crate) max_connections: Option<Number>,
    pub(crate) keep_alive_seconds: Option<Number>,
    pub(crate) health: Option<Health>,
    pub(crate) max_failures: Option<Number>,
    pub(crate) eject_seconds: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    pub(crate) path: Text,
    pub(crate) interval_seconds: Option<Number>,
    pub(crate) timeout_seconds: Option<Number>,
    pub(crate) status: Option<Number>,
    pub(crate) rise: Option<Number>,
    pub(crate) fall: Option<Number>,
}

/// Names and values.
pub(crate) type Fields = BTreeMap<Text, Text>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderRules {
    #[serde(default)]
    pub(crate) set: Fields,
    #[serde(default)]
    pub(crate) add: Fields,
    #[serde(default)]
    pub(crate) remove: Vec<Text>,
}
