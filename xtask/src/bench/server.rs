//! A server that is measured, or that others need: started on a core of its own, ended when it is
//! not needed any more.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use super::cost::{self, Core};
use crate::process;

/// What every load asks for: the name of `tests::credentials`.
pub(super) const SERVER_NAME: &str = "landfast.test";
/// How long a server may take to start.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often that is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What is below HTTP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Of HTTP/2 and HTTP/1.1.
    Tcp,
    /// Of HTTP/3.
    Udp,
}

/// A server that runs. It is ended when this is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// Starts a server on a core, and waits until it listens at `address`. What it says goes to
    /// `NAME.log` in `folder`.
    ///
    /// # Errors
    /// Where it ends, or does not listen in time: its log is named.
    pub(super) fn start(
        name: &str,
        folder: &Path,
        core: Core,
        mut command: Command,
        (transport, address): (Transport, SocketAddr),
    ) -> Result<Self> {
        let log = folder.join(format!("{}.log", name.replace(' ', "")));
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = cost::on(core, || command.spawn().with_context(|| name.to_owned()))?;
        let mut server = Self { child, address };
        server.wait_ready(transport).with_context(|| format!("see {}", log.display()))?;
        Ok(server)
    }

    /// User and system time so far.
    ///
    /// # Errors
    /// Where it has ended.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        cost::cpu_time(self.pid())
    }

    /// Memory of its own.
    ///
    /// # Errors
    /// Where it has ended.
    pub(super) fn memory_bytes(&self) -> Result<u64> {
        cost::memory_bytes(self.pid())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn wait_ready(&mut self, transport: Transport) -> Result<()> {
        let end = Instant::now() + READY_WITHIN;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if listens(transport, self.address.port()) {
                return Ok(());
            }
            std::thread::sleep(ASK_EVERY);
        }
        bail!("it does not listen after {} s", READY_WITHIN.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing of value is lost with it; one that has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that no kernel gives to clients unless it is told to (`ip_local_port_range`): of ten thousand
/// connections that have just ended, one would be in the way.
const PORTS: Range<u16> = 20_000..32_000;

/// An address of the loopback at whose port nobody is, at any address, neither by UDP nor by TCP.
/// Another one each time.
///
/// # Errors
/// Where there is none.
pub(super) fn free_address() -> Result<SocketAddr> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Another process begins elsewhere.
    let own = std::process::id() as usize * 16;
    for _ in PORTS {
        let given = usize::from(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from((own + given) % PORTS.len())?;
        let everywhere = (Ipv6Addr::UNSPECIFIED, port);
        if UdpSocket::bind(everywhere).is_ok() && TcpListener::bind(everywhere).is_ok() {
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
    }
    bail!("no port is free")
}

/// The configuration of an edge at `address` with one worker and without steering, whose files are
/// in `folder`: all but what it answers. No connection ends while thousands of others are made. Its
/// secrets are made anew each time: what an older edge wrote may have another form.
///
/// # Errors
/// Where a file cannot be written.
pub(super) fn edge_config(edge: &Path, folder: &Path, address: SocketAddr) -> Result<String> {
    let fleet = folder.join("fleet.toml");
    if fleet.exists() {
        fs::remove_file(&fleet)?;
    }
    process::output(process::command(edge).args(["fleet", "init"]).arg(&fleet))?;
    let (port, admin, folder) = (address.port(), free_address()?, folder.display());
    Ok(format!(
        r#"node = 1
fleet_file = "{folder}/fleet.toml"
state_directory = "{folder}/state"
drain_seconds = 1
listen = {{ anycast = ["127.0.0.1"], port = {port}, tcp = true, workers = 1 }}
tls = {{ certificate = "{folder}/cert.pem", key = "{folder}/key.pem" }}
steering = {{ mode = "off" }}
quic = {{ idle_timeout_seconds = 300 }}
admin = {{ listen = "{admin}", socket = "{folder}/admin.sock" }}
nodes = [{{ id = 1, name = "here", site = "local", ipv4 = "127.0.0.2" }}]
"#
    ))
}

/// The configuration of Caddy at `address` with what it does, whose certificate is in `folder`.
pub(super) fn caddy_config(folder: &Path, address: SocketAddr, does: &str) -> String {
    let (port, folder) = (address.port(), folder.display());
    format!(
        r#"{{
	admin off
	auto_https disable_redirects
	log {{
		level ERROR
	}}
}}
https://{SERVER_NAME}:{port} {{
	bind 127.0.0.1
	tls {folder}/cert.pem {folder}/key.pem
{does}
}}
"#
    )
}

/// Caddy with that configuration, written to `folder`; what it keeps stays there.
///
/// # Errors
/// Where the file cannot be written.
pub(super) fn caddy(folder: &Path, config: &str) -> Result<Command> {
    let file = folder.join("Caddyfile");
    fs::write(&file, config)?;
    let mut command = process::command("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    Ok(command)
}

/// Writes `cert.pem` and `key.pem` to `folder`: a certificate that is its own authority.
///
/// # Errors
/// Where they cannot be made.
pub(super) fn certify(folder: &Path) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
    fs::write(folder.join("cert.pem"), certified.cert.pem())?;
    let key = folder.join("key.pem");
    fs::write(&key, certified.signing_key.serialize_pem())?;
    // The edge warns of a key that others may read.
    fs::set_permissions(key, Permissions::from_mode(0o600))?;
    Ok(())
}

/// Writes a file of each length to `folder`, named by it.
///
/// # Errors
/// Where one cannot be written.
pub(super) fn bodies(folder: &Path, lengths: impl Iterator<Item = u64>) -> Result<()> {
    fs::create_dir_all(folder)?;
    for length in lengths {
        File::create(folder.join(length.to_string()))?.set_len(length)?;
    }
    Ok(())
}

/// Whether anybody listens at the port, in either family.
fn listens(transport: Transport, port: u16) -> bool {
    let tables = match transport {
        Transport::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Transport::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let tables = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().any(|table| has_listener(table, transport, port))
}

/// Of a table of the kernel's: the second word of a line is the local address, the fourth the state.
fn has_listener(table: &str, transport: Transport, port: u16) -> bool {
    /// TCP_LISTEN, in the kernel's `tcp_states.h`.
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        let is_here = words.nth(1).is_some_and(|address| address.ends_with(&suffix));
        is_here && (transport == Transport::Udp || words.nth(1) == Some(LISTEN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_twice() {
        let addresses: Vec<_> = (0..9).map(|_| free_address().expect("a free port")).collect();
        let different: std::collections::BTreeSet<_> = addresses.iter().collect();
        assert_eq!(different.len(), addresses.len());
        assert!(addresses.iter().all(|address| PORTS.contains(&address.port())));
    }

    #[test]
    fn a_listener_is_told_from_a_connection_at_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n   \
             1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000\n";
        assert!(has_listener(table, Transport::Tcp, 8080));
        assert!(!has_listener(table, Transport::Tcp, 8081));
        assert!(has_listener(table, Transport::Udp, 8081));
        assert!(!has_listener(table, Transport::Udp, 8082));
    }
}
