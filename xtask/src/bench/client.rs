//! A load: a program of the package `tests` with connections, told by its standard input.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cost::{self, Core};
use crate::process;

/// Connections of HTTP/3 that ask, and for what.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    /// Requests in progress on each.
    pub(super) streams: usize,
    pub(super) body_bytes: u64,
    /// A new connection for each request.
    pub(super) renew: bool,
}

/// Connections that are made.
pub(super) struct Client {
    child: Child,
    told: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Client {
    /// Makes the connections of a load by `program`, which is `h3_load`.
    ///
    /// # Errors
    /// Where one is not made; the program has said why.
    pub(super) fn connect(
        program: &Path,
        server: SocketAddr,
        certificate: &Path,
        load: Load,
    ) -> Result<Self> {
        let mut command = process::command(program);
        command.arg(server.to_string()).arg(certificate);
        command.args([load.connections, load.streams].map(|number| number.to_string()));
        command.arg(load.body_bytes.to_string());
        command.args(load.renew.then_some("renew"));
        Self::start(command)
    }

    /// Starts a program that makes connections, and waits for its word that they are made.
    ///
    /// # Errors
    /// Where one is not made; the program has said why.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = cost::on(Core::Client, || Ok(command.spawn()?))?;
        let told = child.stdin.take();
        let says = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut client = Self { child, told, says };
        ensure!(client.line()? == "ready", "the load is not ready");
        Ok(client)
    }

    /// Asks for so long; how many answers there were.
    ///
    /// # Errors
    /// Where the load has ended.
    pub(super) fn run(&mut self, duration: Duration) -> Result<u64> {
        let told = self.told.as_mut().expect("it is open until the end");
        writeln!(told, "run {}", duration.as_millis())?;
        Ok(self.line()?.parse()?)
    }

    /// Closes the connections.
    ///
    /// # Errors
    /// Where the load has failed.
    pub(super) fn close(mut self) -> Result<()> {
        drop(self.told.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the load ended with {status}");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.says.read_line(&mut line).context("the load is gone")?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Of one that was closed nothing is left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
