//! An aioquic client in a process of its own. It connects, then does one thing a line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;

use super::namespace::Namespace;
use super::programs;
use super::topology::PORT;
use crate::credentials::SERVER_NAME;
use crate::http3::Identity;

/// An answer as aioquic saw it.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Download {
    /// HTTP status.
    pub status: u16,
    /// Bytes of the content.
    pub length: u64,
    /// The content's SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A connected client. Dropping it ends the process.
#[derive(Debug)]
pub struct Aioquic {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What the script says after connecting.
#[derive(Clone, Debug, serde::Deserialize)]
struct Connected {
    resumed: bool,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line<T> {
    Failed { error: String },
    Done(T),
}

impl Aioquic {
    pub(crate) fn connect(
        namespace: &Namespace,
        authority: &Path,
        anycast: IpAddr,
        memory: Option<&Path>,
    ) -> Result<Self> {
        let mut python = Command::new(programs::python());
        python.arg(programs::script("aioquic_client.py"));
        python.arg(authority).args([SERVER_NAME, &anycast.to_string(), &PORT.to_string()]);
        python.args(memory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = namespace.enter(|| python.spawn()).context("start python")?;
        let input = process.stdin.take().context("python has no stdin")?;
        let output = process.stdout.take().context("python has no stdout")?;
        Ok(Self { process, input, output: BufReader::new(output) })
    }

    /// Waits for the handshake; whether a session was resumed.
    ///
    /// # Errors
    /// Where it fails.
    pub fn connected(&mut self) -> Result<bool> {
        Ok(self.read::<Connected>()?.resumed)
    }

    /// Asks who answers.
    ///
    /// # Errors
    /// Where there is no answer within five seconds.
    pub fn identity(&mut self) -> Result<Identity> {
        self.ask("identity")
    }

    /// Sends a GET for `path` and does not wait: [`Self::finish`] does.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn begin(&mut self, path: &str) -> Result<()> {
        self.ask::<serde::de::IgnoredAny>(&format!("begin {path}")).map(|_| ())
    }

    /// Waits for the answer to what was begun.
    ///
    /// # Errors
    /// Where there is none within a minute.
    pub fn finish(&mut self) -> Result<Download> {
        self.ask("finish")
    }

    /// Goes on from another port of the same address, as behind a NAT that forgot the first.
    ///
    /// # Errors
    /// Where no socket can be had.
    pub fn change_port(&mut self) -> Result<()> {
        self.ask::<serde::de::IgnoredAny>("rebind").map(|_| ())
    }

    /// Goes on from another address, with another connection ID, as a phone that leaves a WLAN.
    ///
    /// # Errors
    /// Where no socket can be had.
    pub fn change_address(&mut self, address: IpAddr) -> Result<()> {
        self.ask::<serde::de::IgnoredAny>(&format!("migrate {address}")).map(|_| ())
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        writeln!(self.input, "{command}")?;
        self.read().with_context(|| format!("aioquic: {command}"))
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match serde_json::from_str(&line).with_context(|| format!("aioquic says {line:?}"))? {
            Line::Done(value) => Ok(value),
            Line::Failed { error } => bail!("aioquic: {error}"),
        }
    }
}

impl Drop for Aioquic {
    fn drop(&mut self) {
        // It ends by itself where its input ends; this is for one that hangs.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
