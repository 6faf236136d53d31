//! A node: its files, and the process of its edge, which can be killed, stopped and started anew.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::daemon::Daemon;
use super::metrics::{Metrics, http_get};
use super::namespace::Namespace;
use super::programs;
use super::topology::{ANYCAST, Bed, MORE_ANYCAST, PLACES, PORT, Place};
use super::{FleetOptions, Steering};
use crate::credentials::Files;

/// A loaded machine verifies and attaches the programs of four nodes in a few seconds.
const READY_WITHIN: Duration = Duration::from_secs(20);
const ADMIN: &str = "127.0.0.1:9443";

/// What a node serves with.
pub(crate) enum Origin<'a> {
    /// A certificate with its key, and the fleet file.
    Files(&'a Files, &'a Path),
    /// What the controller at this address gives it.
    Controller(SocketAddr),
}

/// A node of the fleet.
#[derive(Debug)]
pub struct Node {
    place: Place,
    namespace: Namespace,
    directory: PathBuf,
    pin_directory: PathBuf,
    daemon: Daemon,
}

impl Node {
    /// Writes the files of a node. Nothing runs yet.
    pub(crate) fn new(
        bed: &Bed,
        place: Place,
        options: &FleetOptions,
        origin: &Origin<'_>,
    ) -> Result<Self> {
        let directory = bed.name().directory().join(place.name);
        fs::create_dir_all(directory.join("state"))?;
        let node = Self {
            place,
            namespace: bed.place(place),
            pin_directory: bed.name().pin_directory(place.name),
            daemon: Daemon::new(place.name, directory.join("log")),
            directory,
        };
        fs::write(node.blocklist(), "")?;
        fs::write(node.config_file(), node.config(options, origin)?)?;
        Ok(node)
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where it runs.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The process, while it runs.
    ///
    /// # Errors
    /// Where it does not.
    pub fn process_id(&self) -> Result<u32> {
        self.daemon.process_id()
    }

    /// Where it pins its programs.
    #[must_use]
    pub fn pin_directory(&self) -> &Path {
        &self.pin_directory
    }

    /// Where it keeps what outlives its process.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Makes it the node that a controller's `token` is for, by the program's own `enrol`.
    ///
    /// # Errors
    /// Where the program refuses, with what it says.
    pub fn enrol(&self, token: &str) -> Result<()> {
        let invitation = self.directory.join("invitation");
        fs::write(&invitation, token)?;
        let paths = [self.config_file(), invitation];
        let [config, invitation] =
            paths.each_ref().map(|path| path.to_str().context("the path is UTF-8"));
        let edge = programs::edge().to_str().context("the path is UTF-8")?;
        let enrol = ["enrol", "--config", config?, "--invitation-file", invitation?];
        self.namespace.output(edge, &enrol)?;
        Ok(())
    }

    fn config_file(&self) -> PathBuf {
        self.directory.join("edge.toml")
    }

    /// The file of networks whose packets it drops.
    #[must_use]
    pub fn blocklist(&self) -> PathBuf {
        self.directory.join("blocklist")
    }

    fn admin_socket(&self) -> PathBuf {
        self.directory.join("admin.sock")
    }

    fn config(&self, options: &FleetOptions, origin: &Origin<'_>) -> Result<String> {
        let name = self.place.name;
        let [first, tables] = match origin {
            Origin::Files(credentials, fleet_file) => {
                self.of_files(options, credentials, fleet_file)?
            }
            Origin::Controller(address) => {
                [String::new(), format!("[controller]\naddresses = [\"{address}\"]\n")]
            }
        };
        Ok(format!(
            r#"{first}state_directory = "{state}"
drain_seconds = {drain}
[listen]
anycast = {anycast:?}
interfaces = {interfaces:?}
port = {PORT}
workers = {workers}
[steering]
mode = "{mode}"
pin_directory = "{pins}"
[admin]
listen = "{ADMIN}"
socket = "{socket}"
[quic]
retry_threshold = {retry}
idle_timeout_seconds = 60
{quic}
[admission]
blocklist = "{blocklist}"
{admission}
{tables}"#,
            state = self.state_directory().display(),
            drain = options.drain.as_secs(),
            anycast =
                [ANYCAST, MORE_ANYCAST].concat().iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            interfaces = self.place.links().map(|link| link.interface).collect::<Vec<_>>(),
            workers = options.workers_at(name),
            mode = options.steering_at(name).word(),
            pins = self.pin_directory.display(),
            socket = self.admin_socket().display(),
            retry = options.retry_threshold,
            blocklist = self.blocklist().display(),
            quic = options.quic,
            admission = options.admission,
        ))
    }

    /// What stands at the top of the file and at its end, of a node without a controller.
    fn of_files(
        &self,
        options: &FleetOptions,
        credentials: &Files,
        fleet_file: &Path,
    ) -> Result<[String; 2]> {
        let first =
            format!("node = {}\nfleet_file = \"{}\"\n", self.place.id, fleet_file.display());
        let mut tables = format!(
            "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            credentials.certificate.display(),
            credentials.key.display()
        );
        for place in PLACES {
            write!(
                tables,
                "[[nodes]]\nid = {}\nname = \"{}\"\nsite = \"{}\"\n",
                place.id, place.name, place.site
            )?;
            if !options.ipv6_only.contains(&place.name) {
                writeln!(tables, "ipv4 = \"{}\"", place.ipv4())?;
            }
            if !options.ipv4_only.contains(&place.name) {
                writeln!(tables, "ipv6 = \"{}\"", place.ipv6())?;
            }
            if options.unknown.contains(&place.name) && place != self.place {
                tables += "liveness = \"unknown\"\n";
            }
        }
        Ok([first, tables])
    }

    /// From the next start on the node steers in this way.
    ///
    /// # Errors
    /// Where its configuration cannot be written.
    pub fn set_steering(&self, steering: Steering) -> Result<()> {
        let config = fs::read_to_string(self.config_file())?;
        let lines = config.lines().map(|line| match line.starts_with("mode = ") {
            true => format!("mode = \"{}\"\n", steering.word()),
            false => format!("{line}\n"),
        });
        Ok(fs::write(self.config_file(), lines.collect::<String>())?)
    }

    /// Starts the edge. [`Self::wait_until_ready`] follows.
    ///
    /// # Errors
    /// Where it cannot be started, or runs already.
    pub fn start(&self) -> Result<()> {
        let mut command = Command::new(programs::edge());
        command.arg("serve").arg("--config").arg(self.config_file());
        self.daemon.start(command, |command| self.namespace.enter(|| command.spawn()))
    }

    /// Waits until the node would be announced by its router.
    ///
    /// # Errors
    /// Where it ends, or is not ready in time; with what it logged.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.daemon.wait_until(READY_WITHIN, || matches!(self.http("/readyz"), Ok((200, _))))
    }

    /// Kills the process, as a crash or the kernel would.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&self) -> Result<()> {
        self.daemon.kill()
    }

    /// Asks the process to stop, as a service manager does, without waiting for it.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.daemon.ask_to_stop()
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// Where it does not run, or not end in time.
    pub fn wait_until_ended(&self) -> Result<ExitStatus> {
        self.daemon.wait_until_ended()
    }

    /// What `/readyz` answers: status and words.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn ready(&self) -> Result<(u16, String)> {
        self.http("/readyz")
    }

    /// What the node counts now.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        let (status, body) = self.http("/metrics")?;
        ensure!(status == 200, "{}: metrics answer {status}", self.place.name);
        Metrics::parse(&body)
    }

    /// Runs `landfast-edge node` against this node, as an operator would: for instance
    /// `["dead", "1"]`.
    ///
    /// # Errors
    /// Where it does not succeed.
    pub fn admin(&self, arguments: &[&str]) -> Result<String> {
        self.ask(&[&["node"], arguments].concat())
    }

    /// Runs `landfast-edge` against this node, for instance `["blocklist", "list"]`.
    ///
    /// # Errors
    /// Where it does not succeed, with what it says.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.admin_socket();
        let socket = socket.to_str().context("the path is UTF-8")?;
        let edge = programs::edge().to_str().context("the path is UTF-8")?;
        let command = [arguments, &["--socket", socket]].concat();
        self.namespace.output(edge, &command)
    }

    /// What the process wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    fn http(&self, path: &str) -> Result<(u16, String)> {
        let address = ADMIN.parse().expect("an address");
        self.namespace.enter(|| http_get(address, path))
    }
}
