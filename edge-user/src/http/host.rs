//! Whom a request is for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Scheme;
use http::{HeaderMap, Uri, header};

use super::Version;
use crate::tls::host_name;

/// The port that https has by itself (RFC 9110 section 4.2.2).
pub(crate) const HTTPS_PORT: u16 = 443;

/// A host that a URI may name, in the form in which we name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// In lower case, without dot at its end.
    Name(Box<str>),
    Address(IpAddr),
}

impl Host {
    /// The one host of a request in clear: there is one `Host`, it is good, and a target in absolute
    /// form comes before it (RFC 9112 sections 3.2 and 3.2.2).
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(header::HOST).iter();
        let (field, None) = (fields.next()?, fields.next()) else { return None };
        let host = Self::parse(field.to_str().ok()?)?;
        match (uri.scheme(), uri.authority()) {
            (None, None) => Some(host),
            (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP => {
                Self::parse(authority.as_str())
            }
            _ => None,
        }
    }

    /// The one host of a request over TLS. `:authority`, or a target in absolute form, and `Host` name
    /// the same, or the request is for nobody (RFC 9113 section 8.3.1): what is in front of us or
    /// behind us might go by the other one. HTTP/1.1 cannot do without `Host` (RFC 9112 section 3.2).
    pub(crate) fn of_https(
        version: Version,
        authority: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let mut fields = headers.get_all(header::HOST).iter();
        let (field, None) = (fields.next(), fields.next()) else { return None };
        let field = match field {
            Some(field) => Some(Self::with_port(field.to_str().ok()?)?),
            None if version == Version::Http11 => return None,
            None => None,
        };
        let authority = match authority {
            Some(authority) => Some(Self::with_port(authority)?),
            None => None,
        };
        match (authority, field) {
            (Some(authority), Some(field)) if authority != field => None,
            (authority, field) => authority.or(field).map(|(host, _)| host),
        }
    }

    /// With the port, which is that of https where none is said (RFC 9110 section 4.2.2).
    fn with_port(text: &str) -> Option<(Self, u16)> {
        let host = Self::parse(text)?;
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some((host, port.unwrap_or(HTTPS_PORT)))
    }

    /// `uri-host [ ":" port ]` (RFC 9110 section 7.2), of which nothing but a DNS name or an address
    /// is taken: no user, no escapes.
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let port = port.strip_prefix(':').or(port.is_empty().then_some(""))?;
            let address: Ipv6Addr = address.parse().ok()?;
            return is_port(port).then_some(Self::Address(address.into()));
        }
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        if !is_port(port) {
            return None;
        }
        match host.parse::<Ipv4Addr>() {
            Ok(address) => Some(Self::Address(address.into())),
            Err(_) => host_name(host).map(Self::Name),
        }
    }

    /// The name that a client asks for by SNI, which an address is not (RFC 6066 section 3).
    pub(crate) fn server_name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }
}

/// Which port it is does not matter: it is ours, or that before an address translator. It may be
/// empty (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Host::parse(text).map(|host| host.to_string())
    }

    #[test]
    fn names_and_addresses_are_hosts_with_any_port() {
        for (text, host) in [
            ("WWW.Example.com", "www.example.com"),
            ("example.com.", "example.com"),
            ("example.com:", "example.com"),
            ("example.com:5002", "example.com"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001:db8:0::1]:80", "[2001:db8::1]"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(host), "{text}");
        }
    }

    /// Each of these would lead somewhere else, in the eyes of one client or another.
    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            ":80",
            "a.example/b",
            "a.example@b.example",
            "a.example:80@b.example",
            "a.example#b",
            "a.example?b",
            "a.example\\b",
            "a.example, b.example",
            "a b",
            "a%2eexample",
            "a.example:+80",
            "a.example:65536",
            "a.example:80:80",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[fe80::1%25eth0]",
            "[192.0.2.1]",
            "2001:db8::1",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    fn of_https(version: Version, authority: Option<&str>, hosts: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().expect("a value"));
        }
        let host = Host::of_https(version, authority, &headers);
        host.map(|host| host.to_string())
    }

    /// RFC 9113 section 8.3.1, RFC 9112 section 3.2.
    #[test]
    fn authority_and_host_name_one() {
        let a = Some("a.example");
        for version in [Version::Http2, Version::Http3] {
            for (authority, hosts) in [
                (a, &[][..]),
                (None, &["a.example"]),
                (a, &["A.example:443"]),
                (Some("a.example:"), &["a.example."]),
            ] {
                assert_eq!(of_https(version, authority, hosts).as_deref(), a, "{hosts:?}");
            }
        }
        for version in [Version::Http2, Version::Http11] {
            for (authority, hosts) in [
                (None, &[][..]),
                (a, &["b.example"]),
                (a, &["a.example:8443"]),
                (a, &["a.example", "a.example"]),
                (a, &[""]),
                (None, &["a.example", "b.example"]),
                (Some("u@a.example"), &[]),
                (Some("u@a.example"), &["u@a.example"]),
                (None, &["u@a.example"]),
            ] {
                assert_eq!(of_https(version, authority, hosts), None, "{authority:?} {hosts:?}");
            }
        }
        assert_eq!(of_https(Version::Http11, a, &[]), None, "a target does not replace it");
    }
}
