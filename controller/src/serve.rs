//! A controller from start to stop: the store, the tasks over it, and what listens.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use fleet_wire::message::Position;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::acme::{self, Issuers};
use crate::config::{Certificates, Config};
use crate::identity::{Authority, IdentityError};
use crate::init::{self, InitError};
use crate::ledger::{Ledger, LedgerError};
use crate::limits;
use crate::metrics::{self, Metrics};
use crate::nodes::Nodes;
use crate::operator::Operator;
use crate::operator::socket::OperatorSocket;
use crate::publish::{self, Publisher};
use crate::records;
use crate::rotation::{self, Prover, Schedule};

/// Why a controller does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store or its key.
    #[error(transparent)]
    Store(#[from] InitError),
    /// What is in the store.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store holds none of ours.
    #[error("the store has no authority: `landfast-controller init` makes a store with one")]
    NoAuthority,
    /// The authority, or TLS for nodes.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Something that listens.
    #[error("cannot listen at {0}: {1}")]
    Listen(String, #[source] io::Error),
    /// The admin socket failed while it served.
    #[error("the admin socket {0} failed: {1}")]
    Socket(PathBuf, #[source] tonic::transport::Error),
    /// The operating system.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

impl ServeError {
    /// Whether a restart is of no use: see [`crate::store::StoreError::is_lasting`].
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Store(error) => error.is_lasting(),
            Self::Ledger(error) => error.is_lasting(),
            Self::NoAuthority => true,
            Self::Identity(_) | Self::Listen(..) | Self::Socket(..) | Self::System(_) => false,
        }
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Where it cannot start, or something that it stands on fails.
pub async fn run(config: Config) -> Result<(), ServeError> {
    let started = Instant::now();
    let (stop, overtime) = bounded(stop_signal()?);
    let store = Arc::new(init::open(&config)?);
    let ledger = Arc::new(Ledger::open(Arc::clone(&store) as _).await?);
    let listen = |error| ServeError::Listen(config.socket.display().to_string(), error);
    let socket = OperatorSocket::bind(&config.socket).map_err(listen)?;

    let nodes = Arc::new(Nodes::new(Arc::clone(&ledger), config.nodes.lease));
    let signer = authority(&ledger)?;
    let authority = signer.fingerprint();
    let publisher = Publisher {
        ledger: Arc::clone(&ledger),
        nodes: Arc::clone(&nodes),
        authority: Arc::new(signer),
        times: config.nodes,
    };
    let listen = |error| ServeError::Listen(config.listen.to_string(), error);
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr()?;

    let schedule = Schedule::new(config.rotation);
    let (rotation, asks) = mpsc::channel(limits::MAX_ROTATION_ASKS);
    let (all, lease) = (Arc::clone(&nodes), config.nodes.lease);
    let prover = Arc::new(Prover::new(Arc::clone(&ledger), all, lease));
    let asked = Arc::clone(&prover);
    let proof = move |serial| asked.proof(serial, Instant::now());
    let metrics = Arc::new(Metrics::new());
    let (changed, rotations) = (nodes.changed(), metrics.rotations.clone());
    let rotates = rotation::run(Arc::clone(&ledger), proof, changed, schedule, asks, rotations);

    let (orders, asks) = mpsc::channel(limits::MAX_ORDER_ASKS);
    let (fleet, observed) = (Arc::clone(&nodes) as _, Arc::clone(&metrics.orders));
    let certifies = acme::run(Arc::clone(&ledger), fleet, issuers(&config)?, asks, observed);
    let shows = show_metrics(&config, metrics, Arc::clone(&ledger), Arc::clone(&nodes)).await?;

    say_ready(ledger.position(), address);
    let (path, names) = (config.socket.clone(), config.names.clone());
    let publishes = publish::serve(publisher, &names, listener);
    let (leases, joins) = (nodes.watch_leases(), nodes.let_in());
    let following = Arc::clone(&nodes);
    let operator = Operator {
        ledger,
        store,
        config,
        orders,
        rotation,
        prover,
        nodes: following,
        authority,
        started,
    };
    tokio::select! {
        never = rotates => match never {},
        never = certifies => match never {},
        never = shows => match never {},
        never = leases => match never {},
        never = joins => match never {},
        ended = publishes => match ended {
            Ok(never) => match never {},
            Err(error) => Err(error.into()),
        },
        () = overtime => {
            tracing::warn!("commands in progress are cut off");
            Ok(())
        }
        ended = operator.serve(socket, stop) => {
            ended.map_err(|error| ServeError::Socket(path, error))
        }
    }
}

fn say_ready(Position { epoch, term, serial }: Position, address: SocketAddr) {
    tracing::info!(epoch, term, serial, %address, "ready");
    notify(&[NotifyState::Ready]);
}

/// Who issues certificates, by the configuration.
fn issuers(config: &Config) -> io::Result<Issuers> {
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| io::Error::other("no random bytes"))?;
    let Certificates { policy, internal_file, imported, times } = config.certificates.clone();
    Ok(Issuers {
        by_name: config.issuers.clone(),
        policy,
        internal_file: Some(internal_file),
        imported,
        ports: config.probe_ports,
        times,
        lease: config.nodes.lease,
        seed: u64::from_ne_bytes(seed),
    })
}

/// Binds the listener of metrics, if there is one, and what serves it.
async fn show_metrics(
    config: &Config,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
    nodes: Arc<Nodes>,
) -> Result<impl Future<Output = Infallible> + use<>, ServeError> {
    let listener = match config.metrics {
        Some(address) => {
            let listen = |error| ServeError::Listen(address.to_string(), error);
            Some(TcpListener::bind(address).await.map_err(listen)?)
        }
        None => None,
    };
    Ok(async move {
        match listener {
            Some(listener) => metrics::serve(listener, metrics, ledger, nodes).await,
            None => std::future::pending().await,
        }
    })
}

/// The authority of the store.
fn authority(ledger: &Ledger) -> Result<Authority, ServeError> {
    let record = ledger.get::<records::Authority>("").ok_or(ServeError::NoAuthority)?;
    Ok(Authority::open(&record.value)?)
}

/// Ends when the process is told to stop.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        notify(&[NotifyState::Stopping]);
    })
}

/// The same end, and one that comes [`limits::STOP_WITHIN`] later.
fn bounded(stop: impl Future<Output = ()>) -> (impl Future<Output = ()>, impl Future<Output = ()>) {
    let (told, stopping) = oneshot::channel();
    let stop = async move {
        stop.await;
        // Nobody waits where the process ends for another reason.
        let _ = told.send(());
    };
    let overtime = async {
        let _ = stopping.await;
        tokio::time::sleep(limits::STOP_WITHIN).await;
    };
    (stop, overtime)
}

/// Tells the service manager, if there is one (sd_notify(3)).
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
