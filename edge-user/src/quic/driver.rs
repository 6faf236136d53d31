//! The loop of one worker: a pinned thread with its socket, its clock and its engine.
//!
//! A turn sends what there is to send, takes in what has arrived, and then lets the tasks of
//! connections and requests run, those of TCP among them, before the next turn sends what they wrote. Nothing else in the
//! process reads the clock for QUIC.

mod arrivals;
mod turn;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use edge_wire::Reason;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use crate::access_log::AccessLog;
use crate::admission::door::Door;
use crate::admission::pressure::Gauge;
use crate::config::QuicConfig;
use crate::http::Place;
use crate::http::h3::tally;
use crate::limits;
use crate::proxy::Distributions;
use crate::proxy::files::read::OpenFiles;
use crate::proxy::in_force::{AnsweredReport, InForce};
use crate::proxy::origins::counts::OriginReport;
use crate::quic::Datagram;
use crate::quic::cid::{MintError, Owners};
use crate::quic::engine::{Engine, EngineSetup};
use crate::quic::keys::CountedTickets;
use crate::quic::socket::Socket;
use crate::quic::transport::SetupError;
use crate::relay::ToRelay;
use crate::sandbox;
use crate::tcp::listener::{Listening, Reception, TcpReport};
use crate::tls::Live;
use fleet_wire::secrets::Secrets;

use arrivals::Arrivals;
use turn::Driver;

/// What a worker can be told.
pub enum ToWorker {
    /// A datagram that another worker received, or another node.
    Datagram(Datagram),
    /// Say what you have counted.
    Report(oneshot::Sender<WorkerReport>),
    /// Put these secrets in force, and say when they are, or why not.
    Secrets(Arc<Secrets>, oneshot::Sender<Result<(), MintError>>),
    /// Take no new connections, finish the requests under way, and end.
    Drain {
        /// When requests still under way are given up.
        deadline: Instant,
    },
}

/// A worker that runs.
pub struct WorkerHandle {
    /// What it is told; bounded by [`limits::INBOX_MESSAGES`].
    pub inbox: mpsc::Sender<ToWorker>,
    /// Whether its handshakes in progress are above its share of the threshold of Retry.
    pub load: watch::Receiver<u64>,
    /// Ends after a drain, with the last report.
    pub thread: JoinHandle<WorkerReport>,
}

/// What a worker has counted since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerReport {
    /// Which worker.
    pub worker: u8,
    /// Datagrams by how they ended, indexed by [`Reason`].
    pub reasons: [u64; Reason::COUNT as usize],
    /// Connections now, those in their handshake included.
    pub connections: u64,
    /// Handshakes that ended well.
    pub handshakes_completed: u64,
    /// Handshakes that did not.
    pub handshakes_failed: u64,
    /// Handshakes now.
    pub handshakes_in_progress: u64,
    /// UDP payload bytes from the socket.
    pub bytes_received: u64,
    /// UDP payload bytes to the socket.
    pub bytes_sent: u64,
    /// Datagrams from the socket.
    pub datagrams_received: u64,
    /// Datagrams to the socket.
    pub datagrams_sent: u64,
    /// Requests that were read.
    pub requests: u64,
    /// Answers that the deadline of a drain cut off.
    pub requests_cut: u64,
    /// Session tickets that were accepted.
    pub resumed: u64,
    /// HTTP/3 frames that declared too much.
    pub frames_refused: u64,
    /// Requests and connections of HTTP/3 that were refused, indexed by [`tally::Refused`].
    pub refused: [u64; tally::COUNT],
    /// Connections by TCP and what is theirs; their requests are among `requests`.
    pub tcp: TcpReport,
    /// Requests that were answered, by distribution.
    pub answered: Vec<AnsweredReport>,
    /// What became of requests to origins.
    pub origins: Vec<OriginReport>,
}

/// What a worker is made of.
pub struct WorkerSetup {
    /// Which worker.
    pub worker: u8,
    /// Its socket, of [`crate::quic::socket::bind_group`].
    pub socket: std::net::UdpSocket,
    /// What it is told, see [`inboxes`].
    pub inbox: mpsc::Receiver<ToWorker>,
    /// The inboxes of all workers, its own too, by worker.
    pub peers: Vec<mpsc::Sender<ToWorker>>,
    /// Who owns which connection ID, for any worker of the process.
    pub owners: Owners,
    /// What the fleet shares.
    pub secrets: Arc<Secrets>,
    /// Certificate, tickets, ALPN.
    pub tls: Arc<rustls::ServerConfig>,
    /// Who is served, by the certificates of `tls`.
    pub certificates: Arc<Live>,
    /// Forwards to other nodes in user space; only without XDP.
    pub relay: Option<mpsc::Sender<ToRelay>>,
    /// Early drops.
    pub door: Door,
    /// What is answered under which names, now and later.
    pub distributions: watch::Receiver<Arc<Distributions>>,
    /// Shared by all workers of the process.
    pub open_files: OpenFiles,
    /// The node's name.
    pub name: Arc<str>,
    /// The node's site.
    pub site: Arc<str>,
    /// Bounds of the whole process: this worker has its even share.
    pub config: QuicConfig,
    /// What it notes requests by, where that is wished.
    pub access_log: Option<Arc<AccessLog>>,
    /// HTTP over TCP, where it is served.
    pub tcp: Option<Listening>,
}

/// Why a worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Socket, thread or runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Secrets, TLS or bounds.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// The inboxes of a process's workers, both ends, by worker.
#[must_use]
pub fn inboxes(workers: u8) -> (Vec<mpsc::Sender<ToWorker>>, Vec<mpsc::Receiver<ToWorker>>) {
    (0..workers).map(|_| mpsc::channel(limits::INBOX_MESSAGES)).unzip()
}

/// Starts a worker on a thread of its own, pinned to a core.
///
/// # Errors
/// Where the operating system refuses, or secrets, TLS or bounds are not fit for QUIC.
///
/// # Panics
/// Where `peers` has no inbox for this worker.
pub fn spawn(setup: WorkerSetup) -> Result<WorkerHandle, SpawnError> {
    let WorkerSetup { worker, socket, inbox, peers, owners, secrets, tls, relay, .. } = setup;
    let owners = owners.for_worker(worker);
    let (tls, tickets) = CountedTickets::install(&tls);
    let quic = share(setup.config, owners.workers());
    let engine = Engine::new(EngineSetup {
        owners: &owners,
        secrets: &secrets,
        tls,
        quic,
        send_budget_bytes: limits::SEND_BUDGET_BYTES,
        seed: None,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name(format!("files-{worker}"))
        .max_blocking_threads(limits::FILE_THREADS)
        .thread_keep_alive(limits::FILE_THREAD_IDLE)
        .build()?;
    let port = socket.local_addr()?.port();
    let socket = {
        let _context = runtime.enter();
        Socket::new(socket)?
    };
    let own_inbox = peers[usize::from(worker)].clone();
    let (name, site, door, tcp) = (setup.name, setup.site, setup.door, setup.tcp);
    let (distributions, open_files) = (setup.distributions, setup.open_files);
    let (certificates, access_log) = (setup.certificates, setup.access_log);
    let (gauge, load) = Gauge::new(quic.retry_threshold);
    let thread = thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
        pin(worker);
        sandbox::keep_no_capability();
        let (own, workers) = (owners.own(), usize::from(owners.workers()));
        let engine = Rc::new(RefCell::new(engine));
        let place = Rc::new(Place {
            own,
            name,
            site,
            port,
            requests: Rc::new(Cell::new(0)),
            cut: Cell::new(0),
            date: Default::default(),
            encoder: Default::default(),
            distributions: InForce::new(distributions, workers),
            open_files,
            certificates,
            covered: Default::default(),
            refused: Default::default(),
            access_log: access_log.map(|log| Rc::new(log.pen(worker))),
        });
        let drain = watch::Sender::new(None);
        let local = LocalSet::new();
        let reception = local.block_on(&runtime, open(tcp, place.clone(), drain.subscribe()));
        let driver = Driver {
            arrivals: Arrivals::new(engine.clone(), owners, peers, relay, door),
            engine,
            socket,
            inbox,
            place,
            tickets,
            gauge,
            timer: None,
            blocked: None,
            buffer: Vec::new(),
            sent: Default::default(),
            drain,
            reception,
        };
        run(runtime, local, driver)
    })?;
    Ok(WorkerHandle { inbox: own_inbox, load, thread })
}

/// Runs to the end. Threads that read files are not waited for: what a disk that hangs holds up,
/// nobody needs any more.
fn run<F: Future>(runtime: Runtime, local: LocalSet, work: F) -> F::Output {
    let output = local.block_on(&runtime, work);
    drop(local);
    runtime.shutdown_background();
    output
}

/// Begins to serve TCP, where that is wished. QUIC does not end with it.
async fn open(
    tcp: Option<Listening>,
    place: Rc<Place>,
    drain: watch::Receiver<Option<Instant>>,
) -> Option<Rc<Reception>> {
    let opened = Reception::open(tcp?, place, drain);
    opened.inspect_err(|error| tracing::error!(%error, "TCP cannot be served")).ok()
}

/// A worker's part of the bounds that the process has.
fn share(config: QuicConfig, workers: u8) -> QuicConfig {
    let workers = u32::from(workers.max(1));
    QuicConfig {
        max_connections: config.max_connections.div_ceil(workers),
        retry_threshold: config.retry_threshold.div_ceil(workers),
        ..config
    }
}

/// Keeps the thread on one of the cores that the process may use: its connections stay in that
/// core's cache. Slower where it fails, no less right.
fn pin(worker: u8) {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return };
    let cores: Vec<_> =
        (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    let Some(core) = cores.get(usize::from(worker) % cores.len().max(1)) else { return };
    let mut set = CpuSet::new();
    if let Err(error) = set.set(*core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)) {
        tracing::warn!(worker, core, %error, "not pinned");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// A disk that hangs is a thread that waits.
    #[test]
    fn a_read_that_does_not_end_does_not_keep_a_worker() {
        let (disk, hangs) = channel::<()>();
        let (says, ended) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let (reads, begun) = oneshot::channel();
            let work = async {
                tokio::task::spawn_blocking(move || {
                    let _ = reads.send(());
                    let _ = hangs.recv();
                });
                begun.await.expect("it reads");
            };
            run(runtime.expect("a runtime"), LocalSet::new(), work);
            says.send(()).expect("somebody waits");
        });
        ended.recv_timeout(Duration::from_secs(30)).expect("an end");
        drop(disk);
    }
}
