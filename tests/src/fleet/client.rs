//! Where clients run. Clients of this process enter the namespace; programs are started in it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use quinn::Endpoint;
use rustls::pki_types::CertificateDer;

use super::aioquic::Aioquic;
use super::namespace::Namespace;
use super::programs;
use super::topology::{CLIENT, PORT};
use crate::credentials::{Files, SERVER_NAME};
use crate::http3::{self, Http3, Identity};

/// No test takes this long unless it hangs, also when a machine is busy.
const ASYNC_TIMEOUT: Duration = Duration::from_secs(60);

/// The client of a fleet.
#[derive(Debug)]
pub struct Client {
    namespace: Namespace,
    directory: PathBuf,
    credentials: Files,
    config: quinn::ClientConfig,
}

impl Client {
    pub(crate) fn new(
        namespace: Namespace,
        directory: PathBuf,
        credentials: Files,
    ) -> Result<Self> {
        let config = http3::client_config(&credentials.authority_der)?;
        Ok(Self { namespace, directory, credentials, config })
    }

    /// Where it runs.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A directory for what clients want to keep, gone with the fleet.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What a client trusts, PEM.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.credentials.authority
    }

    /// The same, for clients that are made in this process.
    #[must_use]
    pub fn authority_der(&self) -> CertificateDer<'static> {
        self.credentials.authority_der.clone()
    }

    /// What a quinn client of this fleet is configured with.
    #[must_use]
    pub fn config(&self) -> &quinn::ClientConfig {
        &self.config
    }

    /// Runs a future on a tokio runtime inside the namespace.
    ///
    /// # Errors
    /// Those of `work`; and where it takes longer than a minute.
    ///
    /// # Panics
    /// Where `work` does.
    pub fn run<T: Send>(&self, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        self.run_within(ASYNC_TIMEOUT, work)
    }

    /// The same for what is meant to take long.
    ///
    /// # Errors
    /// Those of `work`; and where it takes longer than `limit`.
    ///
    /// # Panics
    /// Where `work` does.
    pub fn run_within<T: Send>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        self.namespace.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let limited = async { tokio::time::timeout(limit, work()).await };
            runtime.block_on(limited).context("it takes too long")?
        })
    }

    /// A quinn endpoint, with a socket of its own, that can reach addresses like `anycast`.
    /// Inside [`Self::run`].
    ///
    /// # Errors
    /// Where no socket can be had.
    pub fn endpoint(&self, anycast: IpAddr) -> Result<Endpoint> {
        http3::endpoint(first_address(anycast), self.config.clone())
    }

    /// A connection with a socket of its own. Inside [`Self::run`].
    ///
    /// # Errors
    /// Where the handshake fails.
    pub async fn connect(&self, anycast: IpAddr) -> Result<Http3> {
        Http3::connect(&self.endpoint(anycast)?, anycast).await
    }

    /// Connects an aioquic client.
    ///
    /// # Errors
    /// Where Python cannot be started, or the handshake fails.
    pub fn aioquic(&self, anycast: IpAddr) -> Result<Aioquic> {
        Aioquic::connect(&self.namespace, self.authority(), anycast, None)
    }

    /// Connects an aioquic client that keeps session ticket and token in the file `memory`, and
    /// shows what is there.
    ///
    /// # Errors
    /// Where Python cannot be started, or the handshake fails.
    pub fn aioquic_with_memory(&self, anycast: IpAddr, memory: &Path) -> Result<Aioquic> {
        Aioquic::connect(&self.namespace, self.authority(), anycast, Some(memory))
    }

    /// GETs `/` with libcurl, HTTP/3 or nothing.
    ///
    /// # Errors
    /// Where it gets no answer.
    pub fn pycurl(&self, anycast: IpAddr) -> Result<Identity> {
        let script = programs::script("pycurl_get.py");
        let arguments =
            [script.as_path(), self.authority()].map(|path| path.to_string_lossy().into_owned());
        let python = programs::python();
        let body = self.namespace.output(
            &python.to_string_lossy(),
            &[&arguments[0], &arguments[1], SERVER_NAME, &anycast.to_string(), &PORT.to_string()],
        )?;
        serde_json::from_str(&body).with_context(|| format!("pycurl got {body}"))
    }

    /// Runs gtlsclient for `paths` with more `options`; returns what it wrote, and the contents
    /// it got, in the order of `paths`. Paths have different last parts, which name files.
    ///
    /// # Errors
    /// Where it does not end well, or a content is missing.
    pub fn gtlsclient(
        &self,
        anycast: IpAddr,
        options: &[&str],
        paths: &[&str],
    ) -> Result<(String, Vec<Vec<u8>>)> {
        let downloads = self.directory.join("gtlsclient");
        let _ = std::fs::remove_dir_all(&downloads); // perhaps it is the first run
        std::fs::create_dir_all(&downloads)?;
        let download = format!("--download={}", downloads.display());
        let sni = format!("--sni={SERVER_NAME}");
        let uris: Vec<_> =
            paths.iter().map(|path| format!("https://{SERVER_NAME}{path}")).collect();
        let (host, port) = (anycast.to_string(), PORT.to_string());
        let mut arguments = vec![
            "--no-quic-dump",
            "--no-http-dump",
            "--exit-on-all-streams-close",
            "--timeout=10s",
        ];
        arguments.extend([download.as_str(), sni.as_str()]);
        arguments.extend(options);
        arguments.extend([host.as_str(), port.as_str()]);
        arguments.extend(uris.iter().map(String::as_str));
        let said = self.namespace.enter(|| {
            // Its log goes to standard error, and is wanted also where it succeeds.
            let mut program = std::process::Command::new("gtlsclient");
            let output = program.args(&arguments).output().context("start gtlsclient")?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.success(), "gtlsclient {arguments:?}: {}\n{said}", output.status);
            Ok(said)
        })?;
        let contents = paths.iter().map(|path| {
            let name = path.rsplit('/').next().filter(|name| !name.is_empty());
            let file = downloads.join(name.unwrap_or("index.html"));
            std::fs::read(&file).with_context(|| format!("no {}:\n{said}", file.display()))
        });
        Ok((said.clone(), contents.collect::<Result<_>>()?))
    }
}

/// The client's first address of the family of `anycast`.
#[must_use]
pub fn first_address(anycast: IpAddr) -> IpAddr {
    address(anycast, 0)
}

/// The client's other address of the family of `anycast`.
#[must_use]
pub fn second_address(anycast: IpAddr) -> IpAddr {
    address(anycast, 1)
}

fn address(anycast: IpAddr, which: usize) -> IpAddr {
    CLIENT[which][usize::from(anycast.is_ipv6())]
}
