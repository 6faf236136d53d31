//! The edge, and what it is measured against.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::bench::cost::Core;
use crate::bench::server::{self, Server, Transport};
use crate::process;

/// A server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Kind {
    /// `landfast-edge`, one worker, without steering.
    Edge,
    /// `h3_responder` of the package `tests`.
    Quinn,
    /// Debian's.
    Caddy,
}

impl Kind {
    pub(in crate::bench) const ALL: [Self; 3] = [Self::Edge, Self::Quinn, Self::Caddy];

    pub(in crate::bench) fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Quinn => "quinn + h3-quinn",
            Self::Caddy => "caddy",
        }
    }
}

/// Programs and files of all servers.
pub(in crate::bench) struct Site {
    edge: PathBuf,
    responder: PathBuf,
    /// With `cert.pem` and `key.pem`.
    pub(in crate::bench) folder: PathBuf,
    /// What clients trust.
    pub(in crate::bench) certificate: PathBuf,
}

impl Site {
    /// Writes a certificate, and a file for each body that is asked for.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(in crate::bench) fn prepare(
        edge: PathBuf,
        responder: PathBuf,
        bodies: impl Iterator<Item = u64>,
    ) -> Result<Self> {
        let folder = process::root().join("target/bench/h3");
        server::bodies(&folder.join("www/bytes"), bodies)?;
        server::certify(&folder)?;
        let certificate = folder.join("cert.pem");
        Ok(Self { edge, responder, folder, certificate })
    }

    /// Starts these servers.
    ///
    /// # Errors
    /// Where one of them does not start.
    pub(in crate::bench) fn start_all(&self, kinds: &[Kind]) -> Result<Vec<Server>> {
        kinds.iter().map(|kind| self.start(*kind)).collect()
    }

    /// Starts a server on the servers' core, and waits until it listens.
    ///
    /// # Errors
    /// Where it ends, or does not listen in time: its log is named.
    pub(in crate::bench) fn start(&self, kind: Kind) -> Result<Server> {
        let address = server::free_address()?;
        let command = match kind {
            Kind::Edge => self.edge(address)?,
            Kind::Quinn => self.responder(address),
            Kind::Caddy => {
                let files = format!("\troot * {}/www\n\tfile_server", self.folder.display());
                let config = server::caddy_config(&self.folder, address, &files);
                server::caddy(&self.folder, &config)?
            }
        };
        let at = (Transport::Udp, address);
        Server::start(kind.name(), &self.folder, Core::Server, command, at)
    }

    fn edge(&self, address: SocketAddr) -> Result<Command> {
        let config = self.folder.join("edge.toml");
        fs::write(&config, server::edge_config(&self.edge, &self.folder, address)?)?;
        let mut command = process::command(&self.edge);
        command.arg("serve").arg("--config").arg(config);
        Ok(command)
    }

    fn responder(&self, address: SocketAddr) -> Command {
        let mut command = process::command(&self.responder);
        command.arg(address.to_string()).arg(&self.certificate).arg(self.folder.join("key.pem"));
        command
    }
}
