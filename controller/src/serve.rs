//! A controller from start to stop: the store, the tasks over it, and what listens.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::init::{self, InitError};
use crate::ledger::{Ledger, LedgerError};
use crate::limits;
use crate::operator::Operator;
use crate::operator::socket::OperatorSocket;
use crate::rotation::{self, Proof, Schedule};

/// Why a controller does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The store or its key.
    #[error(transparent)]
    Store(#[from] InitError),
    /// What is in the store.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
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

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Where it cannot start, or something that it stands on fails.
pub async fn run(config: Config) -> Result<(), ServeError> {
    let started = Instant::now();
    let stop = stop_signal()?;
    let store = Arc::new(init::open(&config)?);
    let ledger = Arc::new(Ledger::open(Arc::clone(&store) as _).await?);
    let listen = |error| ServeError::Listen(config.socket.display().to_string(), error);
    let socket = OperatorSocket::bind(&config.socket).map_err(listen)?;

    let schedule = Schedule::new(config.rotation);
    let (rotation, asks) = mpsc::channel(limits::MAX_ROTATION_ASKS);
    let proof = |_: u64| Proof::default();
    let (_changed, changes) = watch::channel(0);
    let rotates =
        rotation::run(Arc::clone(&ledger), proof, changes, schedule, config.nodes.lease, asks);

    let position = ledger.position();
    tracing::info!(epoch = position.epoch, term = position.term, serial = position.serial, "ready");
    notify(&[NotifyState::Ready]);
    let path = config.socket.clone();
    let operator = Operator { ledger, store, config, rotation, proof: Arc::new(proof), started };
    tokio::select! {
        never = rotates => match never {},
        ended = operator.serve(socket, stop) => {
            ended.map_err(|error| ServeError::Socket(path, error))
        }
    }
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

/// Tells the service manager, if there is one (sd_notify(3)).
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
