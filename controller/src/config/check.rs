//! From what the file says to what may be relied on. Every mistake is noted, none ends the check.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::DnsName;
use settings::{Check, Checked, Problem, Text};

use super::file::{self, File};
use super::{ChallengeKind, Config, ExternalAccount, Issuer, NodeTimes, Rotation, StoreFiles};
use crate::limits;

/// Names that mean something else where an issuer's could stand.
const RESERVED: [&str; 2] = ["internal", "imported"];

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
    let issuers: Vec<_> =
        file.issuers.iter().map(|(name, issuer)| self::issuer(&mut check, name, issuer)).collect();
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

fn issuer(check: &mut Check, name: &Text, issuer: &file::Issuer) -> Checked<(String, Issuer)> {
    let name = issuer_name(check, name);
    let directory = directory(check, &issuer.directory);
    let contact: Vec<_> =
        issuer.contact.iter().map(|contact| self::contact(check, contact)).collect();
    let root = optional_path(check, &issuer.root, "root");
    let external_account = external_account(check, issuer);
    let kinds = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Dns01];
    let kinds = kinds.map(|kind| (kind.name(), kind));
    let challenge = check.word(&issuer.challenge, "challenge", &kinds, ChallengeKind::Http01);
    let dns_hook = optional_path(check, &issuer.dns_hook, "dns_hook");
    let (challenge, dns_hook) = (challenge?, dns_hook?);
    if challenge == ChallengeKind::Dns01 && dns_hook.is_none() {
        let place = issuer.challenge.as_ref().map_or(issuer.directory.span(), Text::span);
        check.refuse(
            Problem::new("dns-01 needs a command that sets the record")
                .at(place, "no `dns_hook`")
                .help("dns_hook = \"/etc/landfast/dns-hook\"; docs/controller.md says how it is called"),
        );
        return None;
    }
    let stateless = issuer.stateless.as_ref().is_some_and(|stateless| *stateless.get_ref());
    if let Some(place) = issuer.stateless.as_ref().filter(|_| stateless)
        && challenge != ChallengeKind::Http01
    {
        check.refuse(
            Problem::new("`stateless` is of http-01 alone")
                .at(place.span(), format!("with {challenge}"))
                .help("leave it out: only there an answer needs no token"),
        );
        return None;
    }
    let contact = contact.into_iter().collect::<Option<_>>()?;
    let issuer = Issuer {
        directory: directory?,
        contact,
        root: root?,
        external_account: external_account?,
        challenge,
        dns_hook,
        stateless,
    };
    Some((name?, issuer))
}

fn issuer_name(check: &mut Check, name: &Text) -> Checked<String> {
    let text = name.get_ref();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let reason = if RESERVED.contains(&text.as_str()) {
        format!("`{text}` is not free as an issuer's name")
    } else if text.is_empty() || text.len() > limits::MAX_ID_BYTES || !text.chars().all(is_plain) {
        format!("an issuer cannot be called `{text}`")
    } else {
        return Some(text.clone());
    };
    check.refuse(
        Problem::new(reason)
            .at(name.span(), "this name")
            .help("letters, digits, `-` and `_`; `internal` is there without a table"),
    );
    None
}

fn directory(check: &mut Check, directory: &Text) -> Checked<String> {
    let text = directory.get_ref();
    if text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty()) {
        return Some(text.clone());
    }
    check.refuse(
        // RFC 8555 section 6.1.
        Problem::new("`directory` is no https URL").at(directory.span(), "not https").help(
            "as in \"https://acme.example/directory\"; `root` names what to trust in a laboratory",
        ),
    );
    None
}

fn contact(check: &mut Check, contact: &Text) -> Checked<String> {
    let text = contact.get_ref();
    if text.strip_prefix("mailto:").is_some_and(|address| address.contains('@')) {
        return Some(text.clone());
    }
    check.refuse(
        Problem::new(format!("`{text}` is no contact"))
            .at(contact.span(), "not a mailto URL")
            .help("as in \"mailto:tls@example.com\" (RFC 8555 section 7.3)"),
    );
    None
}

/// Both of its settings, or neither.
fn external_account(check: &mut Check, issuer: &file::Issuer) -> Checked<Option<ExternalAccount>> {
    match (&issuer.eab_key_id, &issuer.eab_key_file) {
        (None, None) => Some(None),
        (Some(key_id), Some(key_file)) => {
            let key_file = check.path(key_file, "eab_key_file")?;
            Some(Some(ExternalAccount { key_id: key_id.get_ref().clone(), key_file }))
        }
        (Some(alone), None) | (None, Some(alone)) => {
            check.refuse(
                Problem::new("half of an external account")
                    .at(alone.span(), "this one alone")
                    .help("give both `eab_key_id` and `eab_key_file`, or neither"),
            );
            None
        }
    }
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
