//! The controller of a fleet: its files, and the process of `landfast-controller`, which can be
//! killed, stopped and started anew. It is asked as an operator asks it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::daemon::Daemon;
use super::metrics::{Metrics, http_get};
use super::{eventually, programs, topology};
use crate::pebble::{Pebble, Place};

/// A loaded machine takes a while to read a large store.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Where it listens in a namespace of its own: its own defaults.
const PORT: u16 = 4840;
const METRICS_PORT: u16 = 9444;

/// In what a controller differs from the usual one.
#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// Where it runs.
    pub place: Place,
    /// How long a node is live without a report.
    pub lease: Duration,
    /// How often nodes report.
    pub keepalive: Duration,
    /// Lines of the configuration's end: tables such as that of [`issuer`].
    pub tables: String,
}

impl Default for ControllerOptions {
    /// Its own times, on the loopback.
    fn default() -> Self {
        Self {
            place: Place::Loopback,
            lease: Duration::from_secs(10),
            keepalive: Duration::from_secs(3),
            tables: String::new(),
        }
    }
}

/// The table of an authority that answers at its own URL, under the name `pebble`; with `more`
/// lines.
#[must_use]
pub fn issuer(authority: &Pebble, more: &str) -> String {
    let (directory, root) = (authority.directory_url(), authority.trust().display());
    format!("[issuers.pebble]\ndirectory = \"{directory}\"\nroot = \"{root}\"\n{more}\n")
}

/// A controller. Dropping it kills it; its files stay where they are.
#[derive(Debug)]
pub struct Controller {
    place: Place,
    directory: PathBuf,
    address: SocketAddr,
    metrics: SocketAddr,
    daemon: Daemon,
}

impl Controller {
    /// Writes the files of a controller to `directory`, and has it make its store. It does not
    /// serve yet.
    ///
    /// # Errors
    /// Where a file cannot be written, or `init` refuses.
    pub fn create(directory: &Path, options: &ControllerOptions) -> Result<Self> {
        let ControllerOptions { place, lease, keepalive, tables } = options;
        let [address, metrics] = addresses(place)?;
        let controller = Self {
            place: place.clone(),
            directory: directory.to_owned(),
            address,
            metrics,
            daemon: Daemon::new("the controller", directory.join("controller.log")),
        };
        let config = format!(
            r#"names = ["{name}"]
listen = "{address}"
[store]
path = "{store}"
key_file = "{key}"
[metrics]
listen = "{metrics}"
[admin]
socket = "{socket}"
[nodes]
lease_milliseconds = {lease}
keepalive_milliseconds = {keepalive}
{tables}"#,
            name = address.ip(),
            store = controller.store().display(),
            key = directory.join("controller.key").display(),
            socket = controller.socket().display(),
            lease = lease.as_millis(),
            keepalive = keepalive.as_millis(),
        );
        fs::write(controller.config_file(), config)?;
        controller.run(&["init"])?;
        Ok(controller)
    }

    /// Where nodes connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory.join("controller.toml")
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.directory.join("store.redb")
    }

    /// Where it takes commands.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("controller.sock")
    }

    /// What clients trust of the issuer `internal`, PEM: there once it has issued.
    #[must_use]
    pub fn internal_authority(&self) -> PathBuf {
        self.store().with_file_name("internal.pem")
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Errors
    /// Where it runs already, ends, or does not answer in time; with what it logged.
    pub fn start(&self) -> Result<()> {
        let mut command = self.command();
        command.arg("serve");
        self.daemon.start(command, |command| self.place.run(|| command.spawn()))?;
        self.daemon.wait_until(READY_WITHIN, || self.ask(&["status"]).is_ok())
    }

    /// Kills it, as a crash would.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&self) -> Result<()> {
        self.daemon.kill()
    }

    /// Stops it, as a service manager does, and waits for its end.
    ///
    /// # Errors
    /// Where it does not run, or not end in time.
    pub fn stop(&self) -> Result<ExitStatus> {
        self.daemon.ask_to_stop()?;
        self.daemon.wait_until_ended()
    }

    /// The process, while it runs.
    ///
    /// # Errors
    /// Where it does not.
    pub fn process_id(&self) -> Result<u32> {
        self.daemon.process_id()
    }

    /// What it wrote, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// What it counts now.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        let (status, body) = self.place.run(|| http_get(self.metrics, "/metrics"))?;
        ensure!(status == 200, "the controller's metrics answer {status}");
        Metrics::parse(&body)
    }

    /// Runs a command, for instance `["backup", "/tmp/backup"]`, and gives what it printed.
    ///
    /// # Errors
    /// Where it does not succeed, with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command();
        let output = command.args(arguments).output().context("start landfast-controller")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command that has `--json`, for instance `["nodes", "list"]`, and gives its answer.
    ///
    /// # Errors
    /// Where it does not succeed, with what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let answer = self.run(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&answer).with_context(|| format!("{arguments:?} printed {answer}"))
    }

    /// Invites the node of a place, and gives the token that it joins with.
    ///
    /// # Errors
    /// Where the controller refuses.
    pub fn invite(&self, place: topology::Place) -> Result<String> {
        let (id, ipv4) = (place.id.to_string(), place.ipv4().to_string());
        let ipv6 = place.ipv6().to_string();
        let node = ["--id", &id, "--name", place.name, "--site", place.site];
        let addresses = ["--ipv4", &ipv4, "--ipv6", &ipv6];
        let invited = self.ask(&[&["nodes", "invite"], &node[..], &addresses].concat())?;
        Ok(invited["token"].as_str().context("no token")?.to_owned())
    }

    /// Waits until the answer to a command is as `wanted`.
    ///
    /// # Errors
    /// Where it is not within `timeout`; with the last answer.
    pub fn until(
        &self,
        what: &str,
        timeout: Duration,
        arguments: &[&str],
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let reached = eventually(what, timeout, || {
            if let Ok(answer) = self.ask(arguments) {
                last = answer;
            }
            wanted(&last)
        });
        reached.with_context(|| format!("{arguments:?} answered {last}"))?;
        Ok(last)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(programs::controller());
        command.arg("--config").arg(self.config_file());
        command
    }
}

/// Where it listens for nodes, and for who reads metrics. Each start takes the same.
fn addresses(place: &Place) -> Result<[SocketAddr; 2]> {
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    match place {
        Place::Namespace(_, address) => {
            Ok([SocketAddr::new(*address, PORT), SocketAddr::new(here, METRICS_PORT)])
        }
        Place::Loopback => {
            let free = [(); 2].map(|()| TcpListener::bind((here, 0)));
            let [nodes, metrics] = free;
            Ok([nodes?.local_addr()?, metrics?.local_addr()?])
        }
    }
}
