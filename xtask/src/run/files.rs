//! The files of an edge on this machine, in `target/run`: key, certificate, fleet file,
//! configuration.

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
    /// `mode` of `[steering]`.
    pub(super) steering: &'a str,
}

/// An edge's files.
pub(super) struct Place {
    /// A name or address that the certificate is for and a client can reach.
    pub(super) host: String,
    /// What a client trusts.
    pub(super) certificate: PathBuf,
    /// What the edge is started with.
    pub(super) config: PathBuf,
}

impl Place {
    /// Writes the files. The certificate is new each time, the secrets of the fleet stay.
    ///
    /// # Errors
    /// Where the interface has no address, or a file cannot be written.
    pub(super) fn prepare(edge: &Path, wanted: &Wanted<'_>) -> Result<Self> {
        let addresses = addresses(wanted.interface)?;
        let folder = process::root().join("target/run");
        fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;

        let host = match addresses.iter().any(IpAddr::is_loopback) {
            true => "localhost".to_owned(),
            false => bracketed(addresses[0]),
        };
        let certificate = folder.join("cert.pem");
        certify(&addresses, &certificate, &folder.join("key.pem"))?;

        let fleet = folder.join("fleet.toml");
        if !fleet.exists() {
            process::complete(process::command(edge).args(["fleet", "init"]).arg(&fleet))?;
        }
        let config = folder.join("edge.toml");
        fs::write(&config, configuration(&folder, &addresses, wanted))?;
        Ok(Self { host, certificate, config })
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

/// A key, and a certificate for `localhost` and `addresses` that it signed itself.
fn certify(addresses: &[IpAddr], certificate: &Path, key: &Path) -> Result<()> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().map(IpAddr::to_string));
    let certified = rcgen::generate_simple_self_signed(names)?;
    fs::write(certificate, certified.cert.pem())?;
    write_private(key, &certified.signing_key.serialize_pem())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::File::options();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// The one node's own address: as every node's, not one of those that clients come to.
const NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn configuration(folder: &Path, addresses: &[IpAddr], wanted: &Wanted<'_>) -> String {
    let Wanted { interface, port, metrics_port, steering } = wanted;
    let folder = folder.display();
    let anycast: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let anycast = anycast.join(", ");
    format!(
        r#"# Written by `cargo xtask run`, each time.
node = 1
fleet_file = "{folder}/fleet.toml"
state_directory = "{folder}/state"
drain_seconds = 5

[listen]
anycast = [{anycast}]
interfaces = ["{interface}"]
port = {port}

[tls]
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"

[steering]
mode = "{steering}"
pin_directory = "/sys/fs/bpf/landfast-run"

[admin]
listen = "127.0.0.1:{metrics_port}"
socket = "{folder}/admin.sock"

[[nodes]]
id = 1
name = "here"
site = "local"
ipv4 = "{NODE}"
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
    fn the_configuration_is_toml_and_the_node_is_no_anycast_address() {
        let served = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let wanted =
            Wanted { interface: "lo", port: 4433, metrics_port: 9443, steering: "user-space" };
        let text = configuration(Path::new("/a"), &served, &wanted);
        let table: toml::Table = toml::from_str(&text).expect("TOML");
        assert_eq!(table["steering"]["mode"].as_str(), Some("user-space"));
        assert_eq!(table["listen"]["anycast"][0].as_str(), Some("127.0.0.1"));
        assert_eq!(table["nodes"][0]["ipv4"].as_str(), Some("127.0.0.2"));
    }
}
