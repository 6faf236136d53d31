//! From what the file says to what may be relied on. Every mistake is noted, none ends the check.

mod certificates;
mod issuer;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::DnsName;
use settings::{Check, Checked, Problem, Text};

use super::file::{self, File};
use super::{Config, NodeTimes, Rotation, StoreFiles};
use crate::acme::probe::Ports;
use crate::limits;

/// Checks `file`.
pub(super) fn check(file: &File) -> Result<Config, Vec<Problem>> {
    let mut check = Check::default();
    let listen = check.address_or(&file.listen, "listen", limits::DEFAULT_LISTEN);
    let names = names(&mut check, file);
    let store = store(&mut check, &file.store);
    let nodes = nodes(&mut check, &file.nodes);
    let metrics = file.metrics.as_ref().map(|metrics| {
        check.address_or(&metrics.listen, "metrics.listen", limits::DEFAULT_METRICS_LISTEN)
    });
    let socket = check.path_or(&file.admin.socket, "socket", limits::DEFAULT_SOCKET.as_ref());
    let ports = ports(&mut check, &file.nodes);
    let issuers: Vec<_> =
        file.issuers.iter().map(|(name, it)| issuer::issuer(&mut check, name, it)).collect();
    let one_answers = issuer::one_answers_for_any(&mut check, file);
    let beside = store.as_ref().map_or(Path::new(limits::DEFAULT_STORE), |store| &store.path);
    let certificates = certificates::certificates(&mut check, file, beside);
    let rotation = rotation(&mut check, &file.rotation);
    let log = file.log.check(&mut check);
    let whole = || {
        Some(Config {
            file: PathBuf::new(), // known to whoever read it
            listen: listen?,
            names: names?,
            store: store?,
            nodes: nodes?,
            metrics: metrics.map_or(Some(None), |listen| listen.map(Some))?,
            socket: socket?,
            probe_ports: one_answers.and(ports)?,
            certificates: certificates?,
            issuers: issuers.into_iter().collect::<Option<BTreeMap<_, _>>>()?,
            rotation: rotation?,
            log: log?,
        })
    };
    let config = whole();
    check.finish(config)
}

fn names(check: &mut Check, file: &File) -> Checked<Vec<String>> {
    let names = file.names.get_ref();
    if names.is_empty() || names.len() > limits::MAX_NAMES {
        let most = limits::MAX_NAMES;
        check.refuse(
            Problem::new(format!("`names` must hold 1 to {most} names or addresses"))
                .at(file.names.span(), format!("{} of them", names.len()))
                .help("by what nodes reach this controller, as in [\"controller.example.com\"]"),
        );
        return None;
    }
    let checked: Vec<_> = names.iter().map(|name| self::name(check, name)).collect();
    checked.into_iter().collect()
}

/// A DNS name or an address, without a port.
fn name(check: &mut Check, name: &Text) -> Checked<String> {
    let text = name.get_ref();
    if text.parse::<IpAddr>().is_ok() || DnsName::try_from(text.as_str()).is_ok() {
        return Some(text.clone());
    }
    check.refuse(
        Problem::new(format!("`{text}` is neither a DNS name nor an address"))
            .at(name.span(), "not a name")
            .help("without a port: it stands in the controller's certificate"),
    );
    None
}

fn store(check: &mut Check, store: &file::Store) -> Checked<StoreFiles> {
    let path = check.path_or(&store.path, "path", limits::DEFAULT_STORE.as_ref());
    let key_file = check.path_or(&store.key_file, "key_file", limits::DEFAULT_KEY_FILE.as_ref());
    Some(StoreFiles { path: path?, key_file: key_file? })
}

fn nodes(check: &mut Check, nodes: &file::Nodes) -> Checked<NodeTimes> {
    let lease = check.milliseconds(
        &nodes.lease_milliseconds,
        "lease_milliseconds",
        limits::MIN_LEASE..=limits::MAX_LEASE,
        limits::DEFAULT_LEASE,
    );
    let keepalive = check.milliseconds(
        &nodes.keepalive_milliseconds,
        "keepalive_milliseconds",
        limits::MIN_KEEPALIVE..=limits::MAX_LEASE,
        limits::DEFAULT_KEEPALIVE,
    );
    let (lease, keepalive) = (lease?, keepalive?);
    if keepalive * 2 >= lease {
        let mut problem = Problem::new(format!(
            "one lost report would end a lease: {} ms between reports, and {} ms without one",
            keepalive.as_millis(),
            lease.as_millis()
        ));
        for (number, label) in [
            (&nodes.lease_milliseconds, "a node is given up after this"),
            (&nodes.keepalive_milliseconds, "and reports this often"),
        ] {
            if let Some(number) = number {
                problem = problem.at(number.span(), label);
            }
        }
        check.refuse(problem.help("make the lease more than twice the keepalive"));
        return None;
    }
    Some(NodeTimes { lease, keepalive })
}

fn ports(check: &mut Check, nodes: &file::Nodes) -> Checked<Ports> {
    let Ports { http, tls } = Ports::default();
    let http = check.number_or(&nodes.http_port, "http_port", 1..=u16::MAX, http);
    let tls = check.number_or(&nodes.tls_port, "tls_port", 1..=u16::MAX, tls);
    Some(Ports { http: http?, tls: tls? })
}

/// What issuers and certificates may be called.
fn is_plain_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    !text.is_empty() && text.len() <= limits::MAX_ID_BYTES && text.chars().all(is_plain)
}

fn optional_path(check: &mut Check, path: &Option<Text>, name: &str) -> Checked<Option<PathBuf>> {
    match path {
        Some(path) => check.path(path, name).map(Some),
        None => Some(None),
    }
}

fn rotation(check: &mut Check, rotation: &file::Rotation) -> Checked<Rotation> {
    let mut every = |number, name, default| {
        check.seconds(number, name, Duration::ZERO..=limits::MAX_ROTATION, default)
    };
    let tickets =
        every(&rotation.tickets_seconds, "tickets_seconds", limits::DEFAULT_TICKET_ROTATION);
    let tokens = every(&rotation.tokens_seconds, "tokens_seconds", limits::DEFAULT_TOKEN_ROTATION);
    let connection_ids = every(
        &rotation.connection_ids_seconds,
        "connection_ids_seconds",
        limits::DEFAULT_CONNECTION_ID_ROTATION,
    );
    let encapsulation = every(
        &rotation.encapsulation_seconds,
        "encapsulation_seconds",
        limits::DEFAULT_ENCAPSULATION_ROTATION,
    );
    let connection_id_lifetime = check.seconds(
        &rotation.connection_id_lifetime_seconds,
        "connection_id_lifetime_seconds",
        Duration::from_secs(1)..=limits::MAX_ROTATION,
        limits::DEFAULT_CONNECTION_ID_LIFETIME,
    );
    Some(Rotation {
        tickets: tickets?,
        tokens: tokens?,
        connection_ids: connection_ids?,
        encapsulation: encapsulation?,
        connection_id_lifetime: connection_id_lifetime?,
    })
}
