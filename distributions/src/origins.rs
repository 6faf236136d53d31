//! What proxies ask: origins, each a named set of servers that answer alike.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;

/// A set of servers that answer alike, and how they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// 1 to [`crate::limits::MAX_ORIGIN_NAME_BYTES`] of `a-z`, `0-9` and `-`. No other origin has it. What it
    /// is called in metrics.
    pub name: Box<str>,
    /// 1 to [`crate::limits::MAX_ORIGIN_SERVERS`], in the order of the file. No two are the same.
    pub servers: Vec<Server>,
    /// In which version of HTTP.
    pub protocol: Protocol,
    /// Which host a request is for.
    pub host: HostSent,
    /// There where all servers are https; not there where all are http.
    pub tls: Option<OriginTls>,
    /// How long a server may take.
    pub timeouts: Timeouts,
    /// Connections to one server, of the whole process: at least 1. Each worker has its even share,
    /// and one at least.
    pub max_connections: u32,
    /// How long a connection is kept that carries no request: at least a second.
    pub keep_alive: Duration,
    /// Requests of our own by which servers are known to be well.
    pub health: Option<Health>,
    /// After so many failures in a row a worker leaves a server alone for [`Origin::eject`]: a
    /// connection that is not made, a timeout, a reset; no status. 0: it never does.
    pub max_failures: u32,
    /// How long: at least a second.
    pub eject: Duration,
}

/// One host and port. Displayed as in a URI's authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Whom to connect to.
    pub host: ServerHost,
    /// The TCP port, not 0.
    pub port: u16,
}

impl Server {
    /// As in a URI of this scheme: without the port that the scheme has by itself (RFC 9110 sections
    /// 4.2.1 and 4.2.2).
    #[must_use]
    pub fn authority(&self, scheme: &str) -> String {
        let own = if scheme == "https" { 443 } else { 80 };
        let whole = self.to_string();
        match whole.strip_suffix(&format!(":{own}")) {
            Some(host) if self.port == own => host.to_owned(),
            _ => whole,
        }
    }
}

/// Whom to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerHost {
    /// A DNS name in lower case, without dot at its end. It is looked up while the process runs.
    Name(Box<str>),
    /// Unicast, with no scope, and no IPv4 address in IPv6 form.
    Address(IpAddr),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ServerHost::Name(name) => write!(f, "{name}:{}", self.port),
            ServerHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
        }
    }
}

/// In which version of HTTP an origin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Over TLS HTTP/2 or HTTP/1.1, as ALPN decides (RFC 7301); without TLS HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2; without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// Which host a request to an origin is for (RFC 9110 section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostSent {
    /// That of the client's request.
    Kept,
    /// The server, with its port where that is not the scheme's own.
    Server,
}

/// TLS to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginTls {
    /// The name that is asked for (RFC 6066 section 3) and verified, where it is not the server's
    /// host. As [`ServerHost::Name`].
    pub server_name: Option<Box<str>>,
    /// A PEM file of authorities: who is believed, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Whether the server has to prove who it is. `ca` is not there where it has not.
    pub verify: bool,
}

/// How long a server of an origin may take: each at least a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection: the name looked up, TCP and TLS.
    pub connect: Duration,
    /// From the end of the request, or the last piece of it that the server took, to the head of
    /// the response.
    pub response: Duration,
    /// Between two pieces of a body, either way.
    pub idle: Duration,
    /// For all of it, from the request's head to the response's end.
    pub total: Option<Duration>,
}

/// Requests of our own by which servers are known to be well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Path and query of a GET, as they are sent.
    pub path: Box<str>,
    /// Between the beginnings of two, at least a second.
    pub interval: Duration,
    /// For the whole of one: at least a second, at most `interval`.
    pub timeout: Duration,
    /// The one status of a server that is well; any of 200 to 399 where there is none.
    pub status: Option<StatusCode>,
    /// A server that was ill is well after so many good ones in a row: at least 1.
    pub rise: u32,
    /// A server that was well is ill after so many bad ones in a row: at least 1.
    pub fall: u32,
}

impl Origin {
    /// The URI scheme of its servers.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// The file of its authorities.
    #[must_use]
    pub fn ca(&self) -> Option<&Path> {
        self.tls.as_ref()?.ca.as_deref()
    }
}
