//! An edge in a network namespace of its own, with as many addresses as hosts, and clients in another.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::credentials::Certificates;
use crate::fleet::daemon::Daemon;
use crate::fleet::metrics::http_get;
use crate::fleet::namespace::{BedName, Namespace, remove_namespaces};
use crate::fleet::{Metrics, programs};

/// The page's host, and those of what is on it. One registered name, so that a browser keeps all of
/// them together.
pub const HOSTS: [&str; 6] = [
    "www.coalescing.test",
    "a.coalescing.test",
    "b.coalescing.test",
    "c.coalescing.test",
    "d.coalescing.test",
    "e.coalescing.test",
];
/// In the certificate and served, and not on the page.
const UNRELATED: &str = "unrelated.test";
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const ADMIN: &str = "127.0.0.1:9443";
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Of which names an edge tells its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// Of all that it serves.
    All,
    /// It sends no frame.
    None,
    /// Of one that is not on the page.
    Unrelated,
}

impl Told {
    fn table(self) -> &'static str {
        match self {
            Self::All => "",
            Self::None => "announce = false",
            Self::Unrelated => "exclude = [\"*.coalescing.test\"]",
        }
    }
}

/// The edge, and where clients of it run.
pub(crate) struct Site {
    edge: Daemon, // ended before its namespace
    namespace: Namespace,
    clients: Namespace,
    directory: PathBuf,
    /// The key of its certificate.
    pub(crate) pin: String,
}

impl Site {
    /// Serves the page at [`HOSTS`].
    pub(super) fn start(told: Told) -> Result<Self> {
        let mut tables = String::new();
        for host in HOSTS.into_iter().chain([UNRELATED]) {
            let (content_type, body) = match host == HOSTS[0] {
                true => ("text/html", page()),
                false => ("image/svg+xml", IMAGE.to_owned()),
            };
            write!(
                tables,
                "[[distributions]]\nnames = [\"{host}\"]\n[[distributions.behaviours]]\npath = \"/\"\n\
                 respond = {{ content_type = \"{content_type}\", body = \"{body}\" }}\n"
            )?;
        }
        Self::start_with(told, &tables)
    }

    /// Serves what these tables of the configuration say.
    pub(crate) fn start_with(told: Told, tables: &str) -> Result<Self> {
        let name = BedName::unique();
        let (namespace, clients) = (name.namespace("site"), name.namespace("clients"));
        let directory = name.directory();
        fs::create_dir_all(&directory)?;
        let edge = Daemon::new("the edge", directory.join("log"));
        let names: Vec<_> = HOSTS.into_iter().chain([UNRELATED]).collect();
        let certificates = Certificates::of(&names)?;
        let site = Self { edge, namespace, clients, directory, pin: certificates.pin() };
        site.write_files(&certificates, told, tables)?;
        site.link()?;
        let mut serve = Command::new(programs::edge());
        serve.arg("serve").arg("--config").arg(site.path("edge.toml"));
        site.edge.start(serve, |serve| site.namespace.enter(|| serve.spawn()))?;
        let is_ready = || matches!(site.http("/readyz"), Ok((200, _)));
        site.edge.wait_until(READY_WITHIN, is_ready)?;
        Ok(site)
    }

    /// Clients have a link that does not change while they run. Without a default route Firefox finds,
    /// a second after its start, that it is offline, and gives up the connections that it has; when an
    /// address of IPv6 has come, seconds after the link, Chromium gives up what it has asked for.
    fn link(&self) -> Result<()> {
        self.namespace.add()?;
        self.clients.add()?;
        self.clients
            .set(&[("ipv6/conf/all/disable_ipv6", 1), ("ipv6/conf/default/disable_ipv6", 1)])?;
        let addresses =
            (0..HOSTS.len()).map(|host| format!("addr add {}/24 dev uplink\n", address(host)));
        self.namespace.ip(&format!(
            "link set lo up\nlink add uplink type veth peer name uplink netns {}\nlink set uplink up\n{}",
            self.clients.name(),
            addresses.collect::<String>()
        ))?;
        self.clients.ip(&format!(
            "link set lo up\nlink set uplink up\naddr add {CLIENT}/24 dev uplink\nroute add default via {}\n",
            address(0)
        ))
    }

    fn write_files(&self, certificates: &Certificates, told: Told, tables: &str) -> Result<()> {
        let files = certificates.write(&self.directory)?;
        let hosts = HOSTS.into_iter().enumerate();
        let hosts = hosts.map(|(host, name)| format!("{} {name}\n", address(host)));
        fs::write(
            self.path("hosts"),
            format!("127.0.0.1 localhost\n{}", hosts.collect::<String>()),
        )?;
        // Nobody listens there, and whoever asks hears so at once.
        fs::write(self.path("resolv.conf"), "nameserver 127.0.0.1\n")?;
        let made = Command::new(programs::edge())
            .args(["fleet", "init"])
            .arg(self.path("fleet.toml"))
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let config = format!(
            r#"node = 1
fleet_file = "{fleet}"
state_directory = "{state}"
drain_seconds = 0
listen = {{ anycast = ["{anycast}"], port = 443, tcp = true, workers = 2 }}
tls = {{ certificate = "{certificate}", key = "{key}" }}
steering = {{ mode = "off" }}
admin = {{ listen = "{ADMIN}", socket = "{socket}" }}
nodes = [{{ id = 1, name = "here", site = "lab", ipv4 = "198.51.100.1" }}]
[coalescing]
{coalescing}
{tables}"#,
            fleet = self.path("fleet.toml").display(),
            state = self.path("state").display(),
            anycast = address(0),
            certificate = files.certificate.display(),
            key = files.key.display(),
            socket = self.path("admin.sock").display(),
            coalescing = told.table(),
        );
        Ok(fs::write(self.path("edge.toml"), config)?)
    }

    /// A file of it, or one that a browser may make.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What clients trust, PEM.
    pub(super) fn authority(&self) -> PathBuf {
        self.path("authority.pem")
    }

    /// Runs a program in the namespace of the edge, until what is returned is dropped.
    pub(crate) fn run_beside(&self, name: &str, command: Command) -> Result<Daemon> {
        let program = Daemon::new(name, self.path(&format!("{name}.out")));
        program.start(command, |command| self.namespace.enter(|| command.spawn()))?;
        Ok(program)
    }

    /// Starts a program that finds [`HOSTS`] where they are.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.clients.enter(|| {
            // Only this thread, and what it starts, sees the other files.
            unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&Path>, "/", None::<&str>, private, None::<&str>)?;
            for name in ["hosts", "resolv.conf"] {
                let (ours, place) = (self.path(name), Path::new("/etc").join(name));
                mount(Some(&ours), &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                    .with_context(|| format!("another {}", place.display()))?;
            }
            let program = command.get_program().to_string_lossy().into_owned();
            command.spawn().with_context(|| format!("start {program}"))
        })
    }

    /// What the edge has counted.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let (status, body) = self.http("/metrics")?;
        ensure!(status == 200, "metrics answer {status}");
        Metrics::parse(&body)
    }

    fn http(&self, path: &str) -> Result<(u16, String)> {
        let admin: SocketAddr = ADMIN.parse().expect("an address");
        self.namespace.enter(|| http_get(admin, path))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.edge.kill(); // it may have ended; the run has said what it thinks of that
        remove_namespaces(&[self.clients.clone(), self.namespace.clone()]);
        let _ = fs::remove_dir_all(&self.directory); // the next bed sweeps
    }
}

/// Where a host is.
fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 1 + host as u8)
}

const IMAGE: &str = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";

/// An image of each other host, and no icon that would be looked for.
fn page() -> String {
    let images = HOSTS[1..].iter().map(|host| format!("<img src='https://{host}/'>"));
    format!("<!doctype html><link rel='icon' href='data:,'>{}", images.collect::<String>())
}
