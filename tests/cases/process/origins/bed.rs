//! Edges in front of several origins, and their clients.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tests::credentials::SERVER_NAME;
use tests::versions::{Client, Version};

use super::Edge;

/// An origin of this name.
fn behind(name: &str, servers: &[String], settings: &str) -> String {
    format!(
        r#"
[[origins]]
name = "{name}"
servers = {servers:?}
{settings}
"#
    )
}

/// Who answers what: everything below `/NAME`, and the first one everything else.
fn proxied(names: &[&str]) -> String {
    let mut tables = format!("[[distributions]]\nnames = [\"{SERVER_NAME}\"]\n");
    let paths = names.iter().map(|name| (format!("/{name}"), name));
    for (path, name) in [("/".to_owned(), &names[0])].into_iter().chain(paths) {
        write!(
            tables,
            "[[distributions.behaviours]]\npath = \"{path}\"\nproxy = {{ origin = \"{name}\" }}\n"
        )
        .expect("a String takes any text");
    }
    tables
}

/// In clear.
pub(super) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

impl Edge {
    /// By every version, to several: their names, which are the paths as well, servers and settings.
    pub(super) fn in_front_of_all(origins: &[(&str, &[String], &str)]) -> Self {
        let mut edge = Self::in_front_of_none();
        edge.proxy_to(origins);
        edge.start();
        edge
    }

    /// By every version. It does not run yet.
    pub(super) fn in_front_of_none() -> Self {
        let mut edge = Self::new();
        edge.listen_by_tcp();
        edge
    }

    /// Puts them in the configuration.
    pub(super) fn proxy_to(&self, origins: &[(&str, &[String], &str)]) {
        let names: Vec<_> = origins.iter().map(|(name, ..)| *name).collect();
        let origins = origins.iter().map(|(name, servers, rest)| behind(name, servers, rest));
        self.distribute(&(origins.collect::<String>() + &proxied(&names)));
    }

    /// Ends it at once; it can start again.
    pub(super) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let _ = child.kill();
        let _ = child.wait();
    }

    /// A client that speaks this version.
    pub(in super::super) async fn client(&self, version: Version) -> Client {
        let authority = &self.credentials.authority_der;
        Client::connect(version, self.address(), authority).await.expect("a connection")
    }
}
