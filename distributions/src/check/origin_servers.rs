//! `servers` of an origin: scheme, host, port, and nothing else.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use settings::{Problem, Text};
use toml::Spanned;

use super::{Check, Checked};
use crate::limits;
use crate::names::host_name;
use crate::names::unfit;
use crate::origins::{Server, ServerHost};

/// The servers of an origin, all of one scheme.
pub(super) struct Servers {
    pub(super) list: Vec<Server>,
    /// https.
    pub(super) tls: bool,
}

/// What is wrong with a URL, and what to do.
type Wrong = (&'static str, &'static str);

impl Check<'_> {
    pub(super) fn servers(&mut self, servers: &Spanned<Vec<Text>>) -> Checked<Servers> {
        let (place, texts) = (servers.span(), servers.get_ref());
        if texts.is_empty() {
            self.refuse(
                Problem::new("an origin without servers answers nobody")
                    .at(place, "no server")
                    .help("as in servers = [\"http://192.0.2.7:8080\"]"),
            );
            return None;
        }
        let most = limits::MAX_ORIGIN_SERVERS;
        self.at_most(most, texts.len(), "servers of an origin", place.clone())?;
        let mut known: Vec<(Server, bool, Range<usize>)> = Vec::new();
        for text in texts {
            let (server, tls) = self.server(text)?;
            let span = text.span();
            if let Some((_, _, first)) = known.iter().find(|(other, ..)| *other == server) {
                let what = format!("the server {server} is there twice");
                let help = "each server has the same share: remove one";
                self.twice(what, first.clone(), span.clone(), help);
                return None;
            }
            known.push((server, tls, span));
        }
        let (_, tls, first) = &known[0];
        if let Some((_, _, other)) = known.iter().find(|(_, other, _)| other != tls) {
            self.refuse(
                Problem::new("the servers of an origin are not all of one scheme")
                    .at(first.clone(), if *tls { "https" } else { "http" })
                    .at(other.clone(), if *tls { "http" } else { "https" })
                    .help("what is safe with one would not be with the other: write all as one, or two origins"),
            );
            return None;
        }
        let tls = *tls;
        Some(Servers { list: known.into_iter().map(|(server, ..)| server).collect(), tls })
    }

    fn server(&mut self, text: &Text) -> Checked<(Server, bool)> {
        let parsed = parse(text.get_ref());
        if let Err((what, help)) = parsed {
            self.refuse(
                Problem::new(format!("the server `{}` {what}", text.get_ref()))
                    .at(text.span(), "not a server")
                    .help(help),
            );
        }
        parsed.ok()
    }

    /// The name that a server of an origin has in its certificate.
    pub(super) fn server_name(&mut self, text: &Text) -> Checked<Box<str>> {
        let name = name(text.get_ref());
        if name.is_none() {
            self.refuse(
                Problem::new(format!("`{}` is not the name of a server", text.get_ref()))
                    .at(text.span(), "not a name")
                    .help("a DNS name without scheme and port, as in \"app.internal.example\""),
            );
        }
        name
    }
}

/// The server, and whether it has TLS.
fn parse(url: &str) -> Result<(Server, bool), Wrong> {
    const FORM: &str = "as in \"http://192.0.2.7:8080\", \"https://[2001:db8::7]:8443\" or \"https://app.internal.example\"";
    if url.len() > limits::MAX_SERVER_URL_BYTES {
        return Err(("is longer than 512 bytes", FORM));
    }
    let (scheme, rest) = url.split_once("://").ok_or(("has no scheme", FORM))?;
    // RFC 3986 section 3.1: case does not matter.
    let (tls, default_port) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (false, 80),
        "https" => (true, 443),
        "h2c" | "h2" => {
            return Err((
                "has a scheme that is none",
                "write http:// or https:// with protocol = \"h2\"",
            ));
        }
        _ => return Err(("is neither http nor https", FORM)),
    };
    if rest.contains(['/', '?', '#']) {
        let help = "leave out what is behind the port: clients say what they ask for, `append` of the proxy what of it is passed on";
        return Err(("is more than scheme, host and port", help));
    }
    if rest.contains('@') {
        let help =
            "leave it out: request_headers = { set = { authorization = \"...\" } } says who asks";
        return Err(("has a user", help));
    }
    let (host, port) = host_and_port(rest).ok_or(("has no host that is one", FORM))?;
    let port = match port {
        None => default_port,
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let number = port.parse().ok().filter(|number| digits && *number != 0);
            number
                .ok_or(("has a port that is none", "1 to 65535, or none for that of the scheme"))?
        }
    };
    if let ServerHost::Address(address) = host
        && unfit(address).is_some()
    {
        return Err((
            "has an address that no connection can be made to",
            "a unicast address, not link-local, IPv4 as such",
        ));
    }
    Ok((Server { host, port }, tls))
}

/// RFC 3986 section 3.2.
fn host_and_port(authority: &str) -> Option<(ServerHost, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address = IpAddr::V6(address.parse::<Ipv6Addr>().ok()?);
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
        return Some((ServerHost::Address(address), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = match host.parse() {
        Ok(address) => ServerHost::Address(IpAddr::V4(address)),
        Err(_) => ServerHost::Name(name(host)?),
    };
    Some((host, port))
}

/// A last label of digits is that of an IPv4 address (RFC 3696 section 2).
fn name(text: &str) -> Option<Box<str>> {
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    host_name(text).filter(|name| !name.rsplit('.').next().is_some_and(is_number))
}
