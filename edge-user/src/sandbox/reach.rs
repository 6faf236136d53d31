//! What of the network a confined process reaches: its controller and its origins, by their ports,
//! with what it takes to look their names up and to believe their certificates. That is decided at
//! the start, and no reload adds to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};

use super::parent;
use crate::config::origins::{Origin, OriginTls, ServerHost};
use crate::config::{Config, ControllerConfig};
use crate::identity::ControllerAddress;

/// Resolvers are asked for long answers by TCP (RFC 7766 section 5), by short ones by UDP, which
/// Landlock does not know.
const DNS_PORT: u16 = 53;

/// What the C library reads to look a name up.
const RESOLVER: [&str; 5] =
    ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];

/// Where systems keep the authorities that they believe, and where links among these lead.
const AUTHORITIES: [&str; 9] = [
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
];

/// What says that they are elsewhere.
const AUTHORITIES_ELSEWHERE: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Why a running process cannot ask an origin: it could not from its start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfReach {
    /// A port.
    #[error(
        "origin {0}: a running process connects by TCP to the ports of its start alone, and {1} is another: restart it"
    )]
    Port(Box<str>, u16),
    /// A name.
    #[error(
        "origin {0}: a running process that was started without names looks none up, and {1} is one: restart it"
    )]
    Name(Box<str>, Box<str>),
    /// A file of authorities.
    #[error(
        "origin {0}: {1} cannot be read: a running process reads the directories of its start alone: restart it for another one"
    )]
    Ca(Box<str>, PathBuf),
    /// Those of the system.
    #[error(
        "origin {0}: a running process that was started without origins by the system's authorities reads none: restart it, or name a file in `ca`"
    )]
    Authorities(Box<str>),
}

/// Whether this process, confined or not, can ask these origins. The kernel says so: nothing is sent.
///
/// # Errors
/// Where it cannot ask one.
pub fn check(origins: &[Origin]) -> Result<(), OutOfReach> {
    let mut ports = BTreeMap::new();
    for origin in origins {
        let name = || origin.name.clone();
        for server in &origin.servers {
            ports.entry(server.port).or_insert_with(name);
            if let ServerHost::Name(host) = &server.host
                && is_denied(&RESOLVER.map(PathBuf::from))
            {
                return Err(OutOfReach::Name(name(), host.clone()));
            }
        }
        match origin.ca() {
            Some(ca) if is_denied(&[ca.to_owned()]) => {
                return Err(OutOfReach::Ca(name(), ca.to_owned()));
            }
            None if believes_the_system(origin) && is_denied(&of_the_system()) => {
                return Err(OutOfReach::Authorities(name()));
            }
            _ => {}
        }
    }
    match ports.into_iter().find(|(port, _)| is_closed(*port)) {
        Some((port, name)) => Err(OutOfReach::Port(name, port)),
        None => Ok(()),
    }
}

/// The ports that TCP leads to.
pub(super) fn ports(config: &Config) -> BTreeSet<u16> {
    let servers = config.origins.iter().flat_map(|origin| &origin.servers);
    let ports = servers.map(|server| server.port);
    let ports = ports.chain(controllers(config).iter().map(ControllerAddress::port));
    ports.chain(has_names(config).then_some(DNS_PORT)).collect()
}

/// What is read to look names up, where there are some: the files, not all of /etc. Of a link, as
/// systemd-resolved and others make /etc/resolv.conf one, the directory that it leads to, because
/// they replace what is there.
pub(super) fn resolver(config: &Config) -> Vec<PathBuf> {
    if !has_names(config) {
        return Vec::new();
    }
    let leads_to = |file: &Path| {
        let real = file.canonicalize().ok()?;
        parent(&real).filter(|directory| directory != "/etc")
    };
    RESOLVER.iter().map(Path::new).map(|file| leads_to(file).unwrap_or(file.into())).collect()
}

/// The system's authorities, where an origin is believed by them.
pub(super) fn authorities(config: &Config) -> Vec<PathBuf> {
    let is_needed = config.origins.iter().any(believes_the_system);
    if is_needed { of_the_system() } else { Vec::new() }
}

pub(super) fn of_the_system() -> Vec<PathBuf> {
    let elsewhere = AUTHORITIES_ELSEWHERE.iter().filter_map(std::env::var_os);
    let elsewhere = elsewhere.flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
    AUTHORITIES.iter().map(PathBuf::from).chain(elsewhere).collect()
}

fn controllers(config: &Config) -> &[ControllerAddress] {
    config.controller.as_ref().map_or(&[], |ControllerConfig { addresses }| addresses)
}

fn has_names(config: &Config) -> bool {
    let mut servers = config.origins.iter().flat_map(|origin| &origin.servers);
    servers.any(|server| matches!(server.host, ServerHost::Name(_)))
        || controllers(config).iter().any(|address| address.name().is_some())
}

fn believes_the_system(origin: &Origin) -> bool {
    matches!(&origin.tls, Some(OriginTls { ca: None, verify: true, .. }))
}

/// Whether none of `paths` can be read, and not because none is there.
fn is_denied(paths: &[PathBuf]) -> bool {
    let refused = |path: &PathBuf| File::open(path).err().map(|error| error.kind());
    let refused: Option<Vec<_>> = paths.iter().map(refused).collect();
    refused.is_some_and(|refused| refused.contains(&ErrorKind::PermissionDenied))
}

/// Whether this process may not connect to `port`. Nobody is at the broadcast address, which the
/// kernel says by itself, after it has looked at its rules.
fn is_closed(port: u16) -> bool {
    let connected = TcpStream::connect((Ipv4Addr::BROADCAST, port));
    connected.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}
