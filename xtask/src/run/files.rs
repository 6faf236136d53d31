//! The files of a controller and an edge on this machine, in `target/run`. Secrets, identities and
//! certificates are made by the programs themselves.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::ifaddrs::getifaddrs;

use crate::process;

/// What edge it shall be.
pub(super) struct Wanted<'a> {
    /// The interface whose addresses are served.
    pub(super) interface: &'a str,
    /// UDP port of HTTP/3.
    pub(super) port: u16,
    /// TCP port of metrics and health.
    pub(super) metrics_port: u16,
    /// TCP port where the edge meets its controller.
    pub(super) controller_port: u16,
    /// `mode` of `[steering]`.
    pub(super) steering: &'a str,
}

/// Where the files are.
pub(super) struct Place {
    /// A name or address that the certificate is for and a client can reach.
    pub(super) host: String,
    /// What the certificate is for.
    pub(super) names: Vec<String>,
    /// What a client trusts: written by the controller.
    pub(super) authority: PathBuf,
    /// What the edge is started with.
    pub(super) edge: PathBuf,
    /// What the controller is started with.
    pub(super) controller: PathBuf,
    /// The controller's store: there once it was started.
    pub(super) store: PathBuf,
}

impl Place {
    /// Writes the configurations. Everything else stays as it was left.
    ///
    /// # Errors
    /// Where the interface has no address, or a file cannot be written.
    pub(super) fn prepare(wanted: &Wanted<'_>) -> Result<Self> {
        let addresses = addresses(wanted.interface)?;
        let folder = process::root().join("target/run");
        fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;

        let (host, name) = match addresses.iter().any(IpAddr::is_loopback) {
            true => ("localhost".to_owned(), Some("localhost".to_owned())),
            false => (bracketed(addresses[0]), None),
        };
        let names = name.into_iter().chain(addresses.iter().map(IpAddr::to_string)).collect();
        let [edge, controller] = ["edge.toml", "controller.toml"].map(|name| folder.join(name));
        fs::write(&edge, edge_configuration(&folder, &addresses, wanted))?;
        fs::write(&controller, controller_configuration(&folder, wanted.controller_port))?;
        let (authority, store) = (folder.join("internal.pem"), folder.join("store.redb"));
        Ok(Self { host, names, authority, edge, controller, store })
    }
}

/// The addresses of an interface that clients can be sent to.
fn addresses(interface: &str) -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for of_one in getifaddrs()?.filter(|entry| entry.interface_name == interface) {
        let Some(address) = of_one.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            addresses.push(IpAddr::V4(v4.ip()));
        }
        if let Some(v6) = address.as_sockaddr_in6() {
            // A link-local address needs a scope, which neither a URL nor the configuration has.
            addresses.extend((!v6.ip().is_unicast_link_local()).then_some(IpAddr::V6(v6.ip())));
        }
    }
    ensure!(
        !addresses.is_empty(),
        "the interface {interface} has no address: `ip address` lists them"
    );
    Ok(addresses)
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The one node's own address: as every node's, not one of those that clients come to.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn edge_configuration(folder: &Path, addresses: &[IpAddr], wanted: &Wanted<'_>) -> String {
    let Wanted { interface, port, metrics_port, controller_port, steering } = wanted;
    let folder = folder.display();
    let anycast: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let anycast = anycast.join(", ");
    format!(
        r#"# Written by `cargo xtask run`, each time.
state_directory = "{folder}/state"
drain_seconds = 5

[controller]
addresses = ["127.0.0.1:{controller_port}"]

[listen]
anycast = [{anycast}]
interfaces = ["{interface}"]
port = {port}
# Nobody comes in clear, and no authority asks there: the controller issues by itself.
http_port = 0

[steering]
mode = "{steering}"
pin_directory = "/sys/fs/bpf/landfast-run"

[admin]
listen = "127.0.0.1:{metrics_port}"
socket = "{folder}/admin.sock"
"#
    )
}

fn controller_configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        r#"# Written by `cargo xtask run`, each time.
names = ["127.0.0.1"]
listen = "127.0.0.1:{port}"

[store]
path = "{folder}/store.redb"
key_file = "{folder}/controller.key"

[admin]
socket = "{folder}/controller.sock"

[certificates]
addresses = true

# A node is let in after one lease.
[nodes]
lease_milliseconds = 1000
keepalive_milliseconds = 300

[log]
level = "warn"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_an_address_and_a_stranger_has_none() {
        assert!(addresses("lo").expect("loopback").contains(&Ipv4Addr::LOCALHOST.into()));
        assert!(addresses("no-such-interface").is_err());
    }

    #[test]
    fn the_configurations_are_toml_and_meet_at_one_port() {
        let served = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let wanted = Wanted {
            interface: "lo",
            port: 4433,
            metrics_port: 9443,
            controller_port: 4840,
            steering: "user-space",
        };
        let edge = edge_configuration(Path::new("/a"), &served, &wanted);
        let edge: toml::Table = toml::from_str(&edge).expect("TOML");
        assert_eq!(edge["steering"]["mode"].as_str(), Some("user-space"));
        assert_eq!(edge["listen"]["anycast"][0].as_str(), Some("127.0.0.1"));
        let controller = controller_configuration(Path::new("/a"), wanted.controller_port);
        let controller: toml::Table = toml::from_str(&controller).expect("TOML");
        assert_eq!(controller["listen"], edge["controller"]["addresses"][0]);
    }
}
