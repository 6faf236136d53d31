//! The edge, what it is measured against, and the origin behind them: the same certificate, files
//! and limits for each.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::ANSWER_BYTES;
use crate::bench::cost::Core;
use crate::bench::h3::BULK_BYTES;
use crate::bench::server::{self, SERVER_NAME, Server, Transport};
use crate::{process, setup};

/// Idle connections to an origin that a proxy keeps: more than there are requests at one time.
const KEPT: usize = 256;

/// The folder of an edge that is a proxy: another one may run beside it.
const PROXY: &str = "proxy";

/// A server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `landfast-edge`, one worker, without steering.
    Edge,
    /// Debian's.
    Nginx,
    /// Debian's.
    Caddy,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
        }
    }
}

/// Programs and files of all servers.
pub(super) struct Site {
    edge: PathBuf,
    nginx: PathBuf,
    /// The client of idle connections.
    pub(super) h2_idle: PathBuf,
    pub(super) folder: PathBuf,
    /// What clients trust.
    pub(super) certificate: PathBuf,
}

impl Site {
    /// Writes files, and takes over the certificate in `credentials`, which clients of HTTP/3 know.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub(super) fn prepare(credentials: &Path, h2_idle: PathBuf) -> Result<Self> {
        let edge = process::build("edge-user", "landfast-edge", true)?;
        let nginx = setup::NGINX.find().context("nginx was unpacked")?;
        let folder = process::root().join("target/bench/http");
        server::bodies(&folder.join("www/bytes"), [ANSWER_BYTES, BULK_BYTES].into_iter())?;
        fs::create_dir_all(folder.join(PROXY))?;
        for file in ["cert.pem", "key.pem"] {
            fs::copy(credentials.join(file), folder.join(file))?;
            fs::copy(credentials.join(file), folder.join(PROXY).join(file))?;
        }
        let certificate = folder.join("cert.pem");
        Ok(Self { edge, nginx, h2_idle, folder, certificate })
    }

    /// Starts these servers, as proxies where there is an origin.
    ///
    /// # Errors
    /// Where one of them does not start.
    pub(super) fn start_all(
        &self,
        kinds: &[Kind],
        origin: Option<SocketAddr>,
    ) -> Result<Vec<Server>> {
        kinds.iter().map(|kind| self.start(*kind, origin)).collect()
    }

    /// Starts a server on the servers' core, with a file of N bytes at `/bytes/N`: one of its own, or
    /// as a proxy the origin's.
    ///
    /// # Errors
    /// Where it does not start.
    pub(super) fn start(&self, kind: Kind, origin: Option<SocketAddr>) -> Result<Server> {
        let address = server::free_address()?;
        let command = match kind {
            Kind::Edge => self.edge(address, origin)?,
            Kind::Nginx => {
                let config = nginx_server(&self.folder, address, origin);
                self.nginx(kind.name(), &config)?
            }
            Kind::Caddy => self.caddy(address, origin)?,
        };
        let at = (Transport::Tcp, address);
        Server::start(kind.name(), &self.folder, Core::Server, command, at)
    }

    /// Starts what answers `/bytes/N` by HTTP/1.1 in clear: nginx, on the clients' core.
    ///
    /// # Errors
    /// Where it does not start.
    pub(super) fn origin(&self) -> Result<Server> {
        let address = server::free_address()?;
        let root = self.folder.join("www");
        let config = format!(
            "open_file_cache max=16;\n\
             server {{ listen {address}; root {}; default_type application/octet-stream; }}\n",
            root.display()
        );
        let command = self.nginx("origin", &config)?;
        Server::start("origin", &self.folder, Core::Client, command, (Transport::Tcp, address))
    }

    fn edge(&self, address: SocketAddr, origin: Option<SocketAddr>) -> Result<Command> {
        let folder = origin.map_or(self.folder.clone(), |_| self.folder.join(PROXY));
        let config = folder.join("edge.toml");
        let text = server::edge_config(&self.edge, &folder, address)?;
        fs::write(&config, text + &distribution(&self.folder, origin))?;
        let mut command = process::command(&self.edge);
        command.arg("serve").arg("--config").arg(config);
        Ok(command)
    }

    /// nginx in one process, which is the one that is looked at.
    fn nginx(&self, name: &str, does: &str) -> Result<Command> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let config = folder.join("nginx.conf");
        fs::write(&config, nginx_config(&folder, does))?;
        let mut command = process::command(&self.nginx);
        command.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log"));
        command.arg("-c").arg(config);
        Ok(command)
    }

    fn caddy(&self, address: SocketAddr, origin: Option<SocketAddr>) -> Result<Command> {
        let does = match origin {
            None => format!("\troot * {}/www\n\tfile_server", self.folder.display()),
            Some(origin) => format!(
                "\treverse_proxy {origin} {{\n\t\ttransport http {{\n\
                 \t\t\tkeepalive_idle_conns {KEPT}\n\
                 \t\t\tkeepalive_idle_conns_per_host {KEPT}\n\t\t}}\n\t}}"
            ),
        };
        server::caddy(&self.folder, &server::caddy_config(&self.folder, address, &does))
    }
}

fn distribution(folder: &Path, origin: Option<SocketAddr>) -> String {
    let origins = origin.map_or_else(String::new, |origin| {
        format!("[[origins]]\nname = \"origin\"\nservers = [\"http://{origin}\"]\n")
    });
    let answers = match origin {
        None => format!("files = {{ root = \"{}/www\" }}", folder.display()),
        Some(_) => "proxy = { origin = \"origin\" }".to_owned(),
    };
    format!(
        "{origins}[[distributions]]\nnames = [\"{SERVER_NAME}\"]\n\
         [[distributions.behaviours]]\npath = \"/bytes/\"\n{answers}\n"
    )
}

/// One process, no log of accesses, and no end to a connection that is used; else as Debian has it.
fn nginx_config(folder: &Path, does: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log;\nevents {{ worker_connections 16384; }}\n\
         http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\n\
         keepalive_requests 1000000000;\nkeepalive_timeout 600s;\n\
         client_body_temp_path {folder}/client;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n{does}}}\n"
    )
}

/// HTTP/2 over TLS 1.3, as the edge has it.
fn nginx_server(folder: &Path, address: SocketAddr, origin: Option<SocketAddr>) -> String {
    let folder = folder.display();
    let upstream = origin.map_or_else(String::new, |origin| {
        format!(
            "upstream origin {{ server {origin}; keepalive {KEPT}; \
             keepalive_requests 1000000000; }}\n"
        )
    });
    let location = match origin {
        None => format!("location /bytes/ {{ root {folder}/www; }}"),
        Some(_) => "location /bytes/ { proxy_pass http://origin; proxy_http_version 1.1; \
                    proxy_set_header Connection \"\"; }"
            .to_owned(),
    };
    format!(
        "{upstream}server {{ listen {address} ssl http2; server_name {SERVER_NAME};\n\
         ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;\n\
         ssl_protocols TLSv1.3; http2_max_concurrent_streams 100;\n\
         default_type application/octet-stream;\n{location}\n}}\n"
    )
}
