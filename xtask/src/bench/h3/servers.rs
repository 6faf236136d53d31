//! The edge, and what it is measured against.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use super::cost::{self, Core};
use crate::process;

/// What the load asks for: the name of `tests::credentials`.
const SERVER_NAME: &str = "landfast.test";
/// How long a server may take to start.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How often that is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `landfast-edge`, one worker, without steering.
    Edge,
    /// `h3_responder` of the package `tests`.
    Quinn,
    /// Debian's.
    Caddy,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Edge, Self::Quinn, Self::Caddy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Quinn => "quinn + h3-quinn",
            Self::Caddy => "caddy",
        }
    }
}

/// Programs and files of all servers.
pub(super) struct Site {
    edge: PathBuf,
    responder: PathBuf,
    folder: PathBuf,
    /// What clients trust.
    pub(super) certificate: PathBuf,
}

/// A server that runs. It is ended when this is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Site {
    /// Writes certificate, configurations, and a file for each body that is asked for.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn prepare(
        edge: PathBuf,
        responder: PathBuf,
        bodies: impl Iterator<Item = u64>,
    ) -> Result<Self> {
        let folder = process::root().join("target/bench/h3");
        fs::create_dir_all(folder.join("www/bytes"))?;
        for body in bodies {
            File::create(folder.join(format!("www/bytes/{body}")))?.set_len(body)?;
        }
        let certified = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
        let certificate = folder.join("cert.pem");
        fs::write(&certificate, certified.cert.pem())?;
        fs::write(folder.join("key.pem"), certified.signing_key.serialize_pem())?;
        let fleet = folder.join("fleet.toml");
        // Anew each time: what an older edge wrote may have another form.
        if fleet.exists() {
            fs::remove_file(&fleet)?;
        }
        process::complete(process::command(&edge).args(["fleet", "init"]).arg(&fleet))?;
        Ok(Self { edge, responder, folder, certificate })
    }

    /// Starts each server, in the order of [`Kind::ALL`].
    ///
    /// # Errors
    /// Where one of them does not start.
    pub(super) fn start_all(&self) -> Result<Vec<Server>> {
        Kind::ALL.into_iter().map(|kind| self.start(kind)).collect()
    }

    /// Starts a server on the servers' core, and waits until it listens.
    ///
    /// # Errors
    /// Where it ends, or does not listen in time: its log is named.
    pub(super) fn start(&self, kind: Kind) -> Result<Server> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = match kind {
            Kind::Edge => self.edge(address)?,
            Kind::Quinn => self.responder(address),
            Kind::Caddy => self.caddy(address)?,
        };
        let log = self.folder.join(format!("{}.log", kind.name().replace(' ', "")));
        command.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(File::create(&log)?);
        let child = cost::on(Core::Server, || command.spawn().with_context(|| kind.name()))?;
        let mut server = Server { child, address };
        server.wait_ready().with_context(|| format!("see {}", log.display()))?;
        Ok(server)
    }

    fn edge(&self, address: SocketAddr) -> Result<Command> {
        let config = self.folder.join("edge.toml");
        let folder = self.folder.display();
        let (port, admin) = (address.port(), free_port()?);
        fs::write(
            &config,
            format!(
                r#"node = 1
fleet_file = "{folder}/fleet.toml"
state_directory = "{folder}/state"
drain_seconds = 1
listen = {{ anycast = ["127.0.0.1"], port = {port}, workers = 1 }}
tls = {{ certificate = "{folder}/cert.pem", key = "{folder}/key.pem" }}
steering = {{ mode = "off" }}
admin = {{ listen = "127.0.0.1:{admin}", socket = "{folder}/admin.sock" }}
nodes = [{{ id = 1, name = "here", site = "local", ipv4 = "127.0.0.2" }}]
"#
            ),
        )?;
        let mut command = process::command(&self.edge);
        command.arg("serve").arg("--config").arg(config);
        Ok(command)
    }

    fn responder(&self, address: SocketAddr) -> Command {
        let mut command = process::command(&self.responder);
        command.arg(address.to_string()).arg(&self.certificate).arg(self.folder.join("key.pem"));
        command
    }

    fn caddy(&self, address: SocketAddr) -> Result<Command> {
        let config = self.folder.join("Caddyfile");
        let folder = self.folder.display();
        let port = address.port();
        fs::write(
            &config,
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
	root * {folder}/www
	file_server
}}
"#
            ),
        )?;
        let mut command = process::command("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
        // What it keeps stays with us.
        command.env("HOME", &self.folder).env("XDG_DATA_HOME", &self.folder);
        command.env("XDG_CONFIG_HOME", &self.folder);
        Ok(command)
    }
}

impl Server {
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

    fn wait_ready(&mut self) -> Result<()> {
        let end = Instant::now() + READY_WITHIN;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if listens(self.address.port())? {
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

fn free_port() -> Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Whether anybody has a UDP socket on the port, of either family.
fn listens(port: u16) -> Result<bool> {
    let suffix = format!(":{port:04X}");
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        let table = fs::read_to_string(Path::new(table)).unwrap_or_default();
        let mut local = table.lines().filter_map(|line| line.split_whitespace().nth(1));
        if local.any(|address| address.ends_with(&suffix)) {
            return Ok(true);
        }
    }
    Ok(false)
}
