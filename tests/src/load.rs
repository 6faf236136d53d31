//! A generator of HTTP/3 requests that costs little itself, for `cargo xtask bench h3`.
//!
//! It drives quinn-proto without any HTTP library: a request is the same bytes each time, an
//! answer is counted and thrown away. Each connection has a socket of its own, as clients have.
//!
//! | module | job |
//! |---|---|
//! | [`connection`] | one connection of QUIC on its socket |
//! | [`session`] | the requests on it |

pub mod connection;
pub mod session;

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{ClientConfig, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use session::Session;

/// Handshakes at one time while connections are made: few enough that no server asks for a Retry.
const HANDSHAKES_AT_ONCE: usize = 8;
/// What may be unread on a stream: more than a server keeps in flight, so that it is the limit.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Longer than any pause between two rounds, and than ten thousand handshakes on a busy machine.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// What to do to a server.
pub struct Plan {
    /// Where it listens.
    pub server: SocketAddr,
    /// QUIC and TLS of the client.
    pub config: ClientConfig,
    /// How many connections.
    pub connections: usize,
    /// Requests in progress on each.
    pub streams: usize,
    /// Bytes of the body that is asked for, by `/bytes/N`.
    pub body_bytes: u64,
    /// A new connection for each request.
    pub renew: bool,
}

/// What the sessions are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Connect, ask once, and rest.
    Connect,
    /// Ask for as long as this is so; then finish what was asked.
    Busy,
    /// Rest.
    Rest,
    /// Close.
    End,
}

/// Connections that are made, and told when to ask.
pub struct Load {
    phase: watch::Sender<Phase>,
    stop: Rc<Cell<bool>>,
    sessions: JoinSet<Result<()>>,
    reports: tokio::sync::mpsc::Receiver<u64>,
    connections: usize,
}

impl Load {
    /// Makes the connections, and asks once on each. Needs tokio and a `LocalSet`.
    ///
    /// # Errors
    /// Where one of them is not made, or its first answer is not what was asked for.
    pub async fn connect(plan: Plan) -> Result<Self> {
        let (phase, phases) = watch::channel(Phase::Connect);
        let (report, reports) = tokio::sync::mpsc::channel(plan.connections.max(1));
        let stop = Rc::new(Cell::new(false));
        let handshakes = Rc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
        let connections = plan.connections;
        let plan = Rc::new(plan);
        let mut sessions = JoinSet::new();
        for _ in 0..connections {
            let (plan, handshakes) = (plan.clone(), handshakes.clone());
            let (phases, stop, report) = (phases.clone(), stop.clone(), report.clone());
            sessions.spawn_local(async move {
                let place = handshakes.acquire().await?;
                let mut session = Session::connect(&plan).await?;
                drop(place);
                live(&plan, &mut session, phases, &stop, report).await
            });
        }
        let mut load = Self { phase, stop, sessions, reports, connections };
        load.all_report().await?;
        Ok(load)
    }

    /// Asks for so long, waits for the answers that are due, and says how many there were.
    ///
    /// # Errors
    /// Where a connection is lost, or an answer is short.
    pub async fn run(&mut self, duration: Duration) -> Result<u64> {
        self.stop.set(false);
        self.phase.send_replace(Phase::Busy);
        tokio::time::sleep(duration).await;
        self.stop.set(true);
        let answers = self.all_report().await;
        self.phase.send_replace(Phase::Rest);
        answers
    }

    /// Closes the connections.
    ///
    /// # Errors
    /// Where one was lost before.
    pub async fn close(mut self) -> Result<()> {
        self.phase.send_replace(Phase::End);
        while let Some(ended) = self.sessions.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Waits for a word of each session; the sum of what they say.
    async fn all_report(&mut self) -> Result<u64> {
        let mut sum = 0;
        for _ in 0..self.connections {
            tokio::select! {
                count = self.reports.recv() => sum += count.context("no session is left")?,
                Some(ended) = self.sessions.join_next() => {
                    ended??;
                    anyhow::bail!("a session has ended");
                }
            }
        }
        Ok(sum)
    }
}

/// A session from its first answer to its end.
async fn live(
    plan: &Plan,
    session: &mut Session,
    mut phases: watch::Receiver<Phase>,
    stop: &Cell<bool>,
    report: tokio::sync::mpsc::Sender<u64>,
) -> Result<()> {
    report.send(1).await?;
    loop {
        tokio::select! {
            changed = phases.changed() => changed?,
            lost = session.rest() => return lost,
        }
        let phase = *phases.borrow_and_update();
        match phase {
            Phase::Busy if plan.renew => report.send(renew(plan, stop).await?).await?,
            Phase::Busy => report.send(session.ask_until(stop).await?).await?,
            Phase::End => return session.close().await,
            Phase::Connect | Phase::Rest => {}
        }
    }
}

/// One connection after another, with one request each. How many.
async fn renew(plan: &Plan, stop: &Cell<bool>) -> Result<u64> {
    let mut count = 0;
    while !stop.get() {
        Session::connect(plan).await?.close().await?;
        count += 1;
    }
    Ok(count)
}

/// A client that trusts the certificate in a PEM file and remembers no sessions.
///
/// # Errors
/// Where the file is no certificate.
pub fn client_config(certificate: &Path) -> Result<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(STREAM_WINDOW_BYTES.into());
    transport.receive_window(VarInt::from_u32(2 * STREAM_WINDOW_BYTES));
    transport.max_idle_timeout(Some(IDLE_TIMEOUT.try_into()?));
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}
