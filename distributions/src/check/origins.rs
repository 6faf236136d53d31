//! `[[origins]]`: servers that answer alike, and how they are asked.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;
use settings::problem::suggestion;
use settings::{Number, Problem, Text};
use toml::Spanned;

use super::origin_servers::Servers;
use super::{Check, Checked};
use crate::file;
use crate::limits;
use crate::origins::{Health, HostSent, Origin, OriginTls, Protocol, Timeouts};

const SECOND: Duration = Duration::from_secs(1);

impl Check<'_> {
    pub(super) fn origins(
        &mut self,
        distributions: Option<&Spanned<Vec<file::Distribution>>>,
        origins: Option<&Spanned<Vec<file::Origin>>>,
    ) -> Checked<Vec<Origin>> {
        let listed = origins.map_or(&[][..], |list| list.get_ref());
        self.origins_named(distributions.map_or(&[][..], |list| list.get_ref()), listed);
        let place = origins.map(Spanned::span).unwrap_or_default();
        self.at_most(limits::MAX_ORIGINS, listed.len(), "origins", place)?;
        let mut earlier = HashMap::new();
        let checked: Vec<_> = listed
            .iter()
            .map(|origin| {
                let name = origin.name.get_ref().as_str();
                if let Some(first) = earlier.insert(name, origin.name.span()) {
                    let what = format!("two origins have the name {name}");
                    let help = "a proxy asks one: list all servers in it, or rename one";
                    self.twice(what, first, origin.name.span(), help);
                }
                self.origin(origin)
            })
            .collect();
        checked.into_iter().collect()
    }

    /// Every proxy asks an origin that is there. Whether that one is good is seen elsewhere.
    fn origins_named(&mut self, asking: &[file::Distribution], listed: &[file::Origin]) {
        let known: Vec<_> = listed.iter().map(|origin| origin.name.get_ref().as_str()).collect();
        let behaviours = asking.iter().flat_map(|it| it.behaviours.iter().flatten());
        for proxy in behaviours.filter_map(|behaviour| behaviour.proxy.as_ref()) {
            let origin = &proxy.get_ref().origin;
            let name = origin.get_ref().as_str();
            if known.contains(&name) {
                continue;
            }
            let help = match known[..] {
                [] => "write an [[origins]] table with this name and its servers".into(),
                _ => suggestion(name, &known),
            };
            self.refuse(
                Problem::new(format!("there is no origin `{name}`"))
                    .at(origin.span(), "not known")
                    .help(help),
            );
        }
    }

    fn origin(&mut self, origin: &file::Origin) -> Checked<Origin> {
        let name = self.origin_name(&origin.name);
        let servers = self.servers(&origin.servers);
        let protocols =
            [("auto", Protocol::Auto), ("http/1.1", Protocol::Http11), ("h2", Protocol::Http2)];
        let protocol = self.word(&origin.protocol, "protocol", &protocols, Protocol::Auto);
        let hosts = [("keep", HostSent::Kept), ("server", HostSent::Server)];
        let host = self.word(&origin.host, "host", &hosts, HostSent::Kept);
        let tls = self.origin_tls(origin, servers.as_ref());
        let timeouts = self.timeouts(origin);
        let max_connections = self.number_or(
            &origin.max_connections,
            "max_connections",
            1..=limits::MAX_ORIGIN_CONNECTIONS,
            limits::DEFAULT_ORIGIN_CONNECTIONS,
        );
        let keep_alive = self.seconds(
            &origin.keep_alive_seconds,
            "keep_alive_seconds",
            SECOND..=limits::MAX_ORIGIN_KEEP_ALIVE,
            limits::DEFAULT_ORIGIN_KEEP_ALIVE,
        );
        let health = origin.health.as_ref().map(|health| self.health(health));
        let (most, default) = (limits::MAX_FAILURES, limits::DEFAULT_FAILURES);
        let max_failures = self.number_or(&origin.max_failures, "max_failures", 0..=most, default);
        let (most, default) = (limits::MAX_EJECT, limits::DEFAULT_EJECT);
        let eject = self.seconds(&origin.eject_seconds, "eject_seconds", SECOND..=most, default);
        Some(Origin {
            name: name?,
            servers: servers?.list,
            protocol: protocol?,
            host: host?,
            tls: tls?,
            timeouts: timeouts?,
            max_connections: max_connections?,
            keep_alive: keep_alive?,
            health: match health {
                None => None,
                Some(health) => Some(health?),
            },
            max_failures: max_failures?,
            eject: eject?,
        })
    }

    fn origin_name(&mut self, text: &Text) -> Checked<Box<str>> {
        let name = text.get_ref().as_str();
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let length = 1..=limits::MAX_ORIGIN_NAME_BYTES;
        if !length.contains(&name.len()) || !name.bytes().all(known) {
            self.refuse(
                Problem::new(format!("`{name}` is not the name of an origin"))
                    .at(text.span(), "not a name")
                    .help("1 to 64 of a-z, 0-9 and -, as in \"app\": it is a label in metrics"),
            );
            return None;
        }
        Some(name.into())
    }

    /// `Some(None)`: no TLS.
    fn origin_tls(
        &mut self,
        origin: &file::Origin,
        servers: Option<&Servers>,
    ) -> Checked<Option<OriginTls>> {
        let file::Origin { server_name, ca, verify, .. } = origin;
        let server_name = server_name.as_ref();
        if servers.is_some_and(|servers| !servers.tls) {
            let given = [
                server_name.map(|it| ("server_name", it.span())),
                ca.as_ref().map(|it| ("ca", it.span())),
                verify.as_ref().map(|it| ("verify", it.span())),
            ];
            for (setting, place) in given.into_iter().flatten() {
                self.refuse(
                    Problem::new(format!("`{setting}` is of TLS, and the servers have none"))
                        .at(origin.servers.span(), "http")
                        .at(place, "without effect")
                        .help("remove it, or write the servers as https://"),
                );
            }
            return Some(None);
        }
        let verified = verify.as_ref().is_none_or(|verify| *verify.get_ref());
        if let (Some(ca), Some(verify), false) = (ca, verify, verified) {
            self.refuse(
                Problem::new("`ca` says who is believed, and `verify` that nobody is asked")
                    .at(ca.span(), "believed")
                    .at(verify.span(), "nobody asked")
                    .help("remove one of them"),
            );
        }
        let server_name = server_name.map(|name| self.server_name(name));
        let ca = ca.as_ref().map(|ca| self.path(ca, "ca"));
        servers?;
        Some(Some(OriginTls {
            server_name: match server_name {
                None => None,
                Some(name) => Some(name?),
            },
            ca: match ca {
                None => None,
                Some(path) => Some(path?),
            },
            verify: verified,
        }))
    }

    fn timeouts(&mut self, origin: &file::Origin) -> Checked<Timeouts> {
        let connect = self.seconds(
            &origin.connect_timeout_seconds,
            "connect_timeout_seconds",
            SECOND..=limits::MAX_CONNECT_TIMEOUT,
            limits::DEFAULT_CONNECT_TIMEOUT,
        );
        let mut progress = |number, name| {
            let (most, default) = (limits::MAX_ORIGIN_TIMEOUT, limits::DEFAULT_ORIGIN_TIMEOUT);
            self.seconds(number, name, SECOND..=most, default)
        };
        let response = progress(&origin.response_timeout_seconds, "response_timeout_seconds");
        let idle = progress(&origin.idle_timeout_seconds, "idle_timeout_seconds");
        let total = self.seconds(
            &origin.total_timeout_seconds,
            "total_timeout_seconds",
            Duration::ZERO..=limits::MAX_TOTAL_TIMEOUT,
            Duration::ZERO,
        );
        Some(Timeouts {
            connect: connect?,
            response: response?,
            idle: idle?,
            total: Some(total?).filter(|total| !total.is_zero()),
        })
    }

    fn health(&mut self, health: &file::Health) -> Checked<Health> {
        let path = self.health_path(&health.path);
        let interval = self.seconds(
            &health.interval_seconds,
            "interval_seconds",
            SECOND..=limits::MAX_HEALTH_INTERVAL,
            limits::DEFAULT_HEALTH_INTERVAL,
        );
        let longest = interval.unwrap_or(limits::MAX_HEALTH_INTERVAL);
        let default = limits::DEFAULT_HEALTH_TIMEOUT.min(longest);
        let timeout =
            self.seconds(&health.timeout_seconds, "timeout_seconds", SECOND..=longest, default);
        let status = health.status.as_ref().map(|number| self.number(number, "status", 200..=599));
        let mut checks = |number: &Option<Number>, name, default| {
            self.number_or(number, name, 1..=limits::MAX_HEALTH_CHECKS, default)
        };
        let rise = checks(&health.rise, "rise", limits::DEFAULT_RISE);
        let fall = checks(&health.fall, "fall", limits::DEFAULT_FALL);
        Some(Health {
            path: path?,
            interval: interval?,
            timeout: timeout?,
            status: match status {
                None => None,
                Some(code) => Some(StatusCode::from_u16(code?).expect("200 to 599 are")),
            },
            rise: rise?,
            fall: fall?,
        })
    }

    /// What stands in a request's line (RFC 9112 section 3.2.1).
    fn health_path(&mut self, text: &Text) -> Checked<Box<str>> {
        let path = text.get_ref().as_str();
        let visible = path.bytes().all(|byte| byte.is_ascii_graphic());
        let good = path.starts_with('/') && visible && !path.contains('#');
        let known = path.len() <= limits::MAX_HEALTH_PATH_BYTES && good;
        if !known || path.parse::<PathAndQuery>().is_err() {
            self.refuse(
                Problem::new(format!("`{path}` is not what a server can be asked for"))
                    .at(text.span(), "no path")
                    .help("a path of at most 1024 bytes, as in \"/healthz\", with % for what is not ASCII"),
            );
            return None;
        }
        Some(path.into())
    }
}
