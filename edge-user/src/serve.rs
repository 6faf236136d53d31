//! A process of the edge, from its start to its end.
//!
//! The order of the start: the files, the state directory and its generation (with a controller the
//! other way round, because what it gave is there; on a first start its first bundle is waited for,
//! while nothing is bound or attached), checks of the host,
//! the admin listeners, the UDP port, those of TCP and that of the relay, the kernel programs; then
//! what is not needed any more is given up, the relay, the workers and TCP start, and the service
//! manager is told. What may be missing is asked for early, so that a start that fails has touched
//! nothing that packets go through.
//!
//! The stop, by signal or command: `/readyz` fails so that routers look elsewhere, the workers let
//! requests in progress end, and only when they are done are the programs detached.

mod attachment;
mod inputs;
mod join;
mod notify;
mod pressure;
mod start;
mod state;
mod workers;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::Either;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use inputs::{InputError, Inputs};
pub use state::{StateError, lock};

use crate::admin::control::{Control, Phase, mode_name};
use crate::config::Config;
use crate::limits;
use crate::quic::driver::SpawnError;
use crate::sandbox::SandboxError;
use crate::steering::SteeringError;
use crate::tcp::BindError;
use start::Edge;

/// Why a process does not start, or ends otherwise than by a clean stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What it is started with: trying again does not help.
    #[error(transparent)]
    Inputs(#[from] InputError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The checks of the host found something that steering cannot do with.
    #[error("the host is not fit for steering: see the lines above")]
    Host,
    /// The port of QUIC.
    #[error("UDP port {0} cannot be bound: {1}")]
    Bind(u16, #[source] io::Error),
    /// A port of TCP.
    #[error(transparent)]
    BindTcp(#[from] BindError),
    /// The thread of HTTP in clear.
    #[error("the port of HTTP in clear cannot be served: {0}")]
    Tcp(#[source] io::Error),
    /// The listener of metrics and health.
    #[error("the admin listener {0} cannot be bound: {1}")]
    AdminListener(SocketAddr, #[source] io::Error),
    /// The socket of commands.
    #[error("the admin socket {0} cannot be bound: {1}")]
    AdminSocket(PathBuf, #[source] io::Error),
    /// The access log.
    #[error("the access log {0} cannot be written: {1}")]
    AccessLog(PathBuf, #[source] io::Error),
    /// The kernel programs.
    #[error("steering cannot start: {0}{otherwise}", otherwise = .0.otherwise())]
    Steering(#[from] SteeringError),
    /// The encapsulation port in user space.
    #[error("the relay cannot start: {0}")]
    Relay(#[source] io::Error),
    /// What the process does not need after its start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A worker.
    #[error("worker {0} cannot start: {1}")]
    Worker(u8, #[source] SpawnError),
    /// The runtime of signals and admin, or its signals.
    #[error("the control runtime cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// A worker is gone while it should serve: a fault of ours, see the log.
    #[error("worker {0} ended by itself: so does the process, to be started anew")]
    WorkerEnded(u8),
    /// A worker ended by a panic while it drained: its connections were cut.
    #[error("worker {0} panicked while it drained, a fault of ours: its connections were cut")]
    WorkerPanicked(u8),
    /// The relay is gone while it should serve.
    #[error("the relay ended by itself: so does the process, to be started anew")]
    RelayEnded,
    /// A worker does not end.
    #[error("worker {0} did not end in time: its connections are cut")]
    Stuck(u8),
    /// A second signal.
    #[error("told to stop a second time: connections are cut, nothing is detached")]
    Interrupted,
}

/// Serves by `config` until told to stop; then everything is drained and detached.
///
/// # Errors
/// Where something cannot be used or started, ends by itself, or does not end.
pub fn run(config: Config) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .map_err(ServeError::Runtime)?;
    let context = runtime.enter();
    let mut signals = Signals::new().map_err(ServeError::Runtime)?;
    let hang_up = signal(SignalKind::hangup()).map_err(ServeError::Runtime)?;
    let Some((inputs, state)) = prepare(config, &mut signals)? else { return Ok(()) };
    let edge = start::start(inputs, state)?;
    drop(context);
    runtime.block_on(serve(edge, &mut signals, hang_up))
}

/// What the process starts with. Nothing, where it was told to stop while it waited for that.
fn prepare(
    config: Config,
    signals: &mut Signals,
) -> Result<Option<(Inputs, state::State)>, ServeError> {
    let directory = config.state_directory.clone();
    let Some(controller) = config.controller.clone() else {
        let inputs = Inputs::load(config)?;
        return Ok(Some((inputs, state::State::open(&directory)?)));
    };
    let state = state::State::open(&directory)?;
    Ok(join::join(config, &controller, signals)?.map(|inputs| (inputs, state)))
}

/// The signals that the process knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Reloads at each SIGHUP. What came of it is in the log.
async fn reload_on(mut hang_up: Signal, control: &Control) {
    while hang_up.recv().await.is_some() {
        tracing::info!(by = "SIGHUP", "told to reload");
        notify::reloading();
        drop(control.reload().await);
        if control.phase() == Phase::Serving {
            notify::ready("serving");
        }
    }
}

async fn serve(mut edge: Edge, signals: &mut Signals, hang_up: Signal) -> Result<(), ServeError> {
    let control = Arc::clone(&edge.control);
    let (follows, at_stop) = match edge.joined.take() {
        Some(joined) => {
            let (follows, at_stop) = joined.restore(Arc::clone(&control)).await;
            (Either::Left(follows), Some(at_stop))
        }
        None => (Either::Right(std::future::pending()), None),
    };
    let admin = tokio::spawn(crate::admin::http::serve(edge.listener, Arc::clone(&control)));
    let commands = edge.socket.serve(Arc::clone(&control));
    let next_hops = start::follow_next_hops(Arc::clone(&control), Arc::clone(&edge.nodes));
    let watchdog = watchdog(Arc::clone(&control));
    let attachment = attachment::keep(Arc::clone(&control));
    let pressure = pressure::follow(Arc::clone(&control), edge.workers.loads());
    let reloads = reload_on(hang_up, &control);

    control.advance(Phase::Serving);
    let config = control.config();
    tracing::info!(
        port = config.listen.port,
        steering = mode_name(config.steering.mode),
        admin = %config.admin.listen,
        "serving"
    );
    notify::ready("serving");

    // Polled until the process ends: they observe and command the stop too.
    let background = async {
        let (never, (), (), (), _, (), _) =
            tokio::join!(commands, next_hops, watchdog, attachment, pressure, reloads, follows);
        match never {}
    };
    let life = async {
        let by_signal = tokio::select! {
            // Of a command and the signal after it, the command came first.
            biased;
            () = control.draining() => false,
            by = signals.stop() => {
                tracing::info!(by, "told to stop");
                true
            }
            worker = edge.workers.any_ended() => return Err(ServeError::WorkerEnded(worker)),
            () = start::relay_ended(edge.relay.as_ref()) => return Err(ServeError::RelayEnded),
        };
        tokio::select! {
            drained = drain(&control, &edge.workers, config) => drained,
            () = told_again(signals, by_signal) => Err(ServeError::Interrupted),
        }
    };
    let ended = tokio::select! {
        ended = life => ended,
        never = background => never,
    };
    admin.abort();
    if let Some(at_stop) = at_stop {
        at_stop.keep();
    }
    match ended {
        Ok(()) => finish(&control, edge.workers),
        Err(ServeError::Stuck(worker)) => {
            start::detach(&control);
            Err(ServeError::Stuck(worker))
        }
        // As after a crash: packets stay steered for the process that follows.
        Err(error) => Err(error),
    }
}

/// Waits for the second signal. A drain that was asked for by the admin socket was none: the stop
/// of the service that follows it waits for the same deadline.
async fn told_again(signals: &mut Signals, mut told: bool) {
    while !told {
        let by = signals.stop().await;
        tracing::info!(by, "draining already");
        told = true;
    }
    signals.stop().await;
}

async fn drain(
    control: &Control,
    workers: &workers::Workers,
    config: &Config,
) -> Result<(), ServeError> {
    control.advance(Phase::Draining);
    let patience = config.drain + limits::DRAIN_TAIL + limits::DRAIN_MARGIN;
    notify::stopping(patience);
    let seconds = config.drain.as_secs();
    tracing::info!(seconds, "draining: no new connections, requests in progress may end");
    workers.drain(Instant::now() + config.drain).await
}

fn finish(control: &Control, workers: workers::Workers) -> Result<(), ServeError> {
    start::detach(control);
    let (mut cut, mut panicked) = (0, None);
    for (worker, report) in workers.join().into_iter().enumerate() {
        match report {
            Some(report) => {
                cut += report.requests_cut;
                tracing::info!(worker, requests = report.requests, "worker ended");
            }
            None => panicked = Some(worker as u8),
        }
    }
    if let Some(log) = control.access_log() {
        log.close();
    }
    if cut > 0 {
        let drain_seconds = control.config().drain.as_secs();
        tracing::warn!(
            requests = cut,
            drain_seconds,
            "requests were cut off: the drain was too short"
        );
    }
    match panicked {
        Some(worker) => Err(ServeError::WorkerPanicked(worker)),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// Tells the service manager, as often as it asks for, that every worker answers.
async fn watchdog(control: Arc<Control>) {
    let Some(period) = notify::watchdog_period() else { return };
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let stuck = control.stuck().await;
        if stuck.is_empty() {
            notify::alive();
        } else {
            tracing::error!(?stuck, "workers do not answer: the watchdog is not told all is well");
        }
    }
}
