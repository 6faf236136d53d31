//! What may be asked of a running edge, and changed in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use distributions::Served;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::following;
use super::metrics::Snapshot;
use super::protocol::{Answer, KeysInForce, Request, Status, WorkerStatus};
use super::served::Sources;
use crate::access_log::AccessLog;
use crate::admission::Rules;
use crate::config::{Config, NodeConfig, SteeringMode};
use crate::current::Current;
use crate::follow::view::View;
use crate::limits;
use crate::nodes::NodeTable;
use crate::proxy::Distributions;
use crate::quic::driver::{ToWorker, WorkerReport};
use crate::relay::{RelayHandle, RelayOrder, RelayReport};
use crate::sandbox::Landlock;
use crate::steering::{Attachment, Steering, SteeringError};
use crate::tcp::tally::Tally;
use crate::tls::tickets::FleetTickets;
use crate::tls::{Challenges, Live};
use fleet_wire::secrets::Secrets;

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not everything is attached yet.
    Starting,
    /// Connections are taken.
    Serving,
    /// Told to stop: no new connections, those in progress end.
    Draining,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// What the parts of a running edge are, as far as they are asked or changed.
pub struct Parts {
    /// What it was started with.
    pub config: Arc<Config>,
    /// Shared with the workers.
    pub nodes: Arc<NodeTable>,
    /// Where XDP or the reuseport program is attached.
    pub steering: Option<Steering>,
    /// Inboxes of the workers, in order.
    pub workers: Vec<mpsc::Sender<ToWorker>>,
    /// Where packets of nodes are wrapped and unwrapped in user space.
    pub relay: Option<RelayHandle>,
    /// Early drops and budgets.
    pub rules: watch::Sender<Rules>,
    /// What is answered under which names.
    pub distributions: watch::Sender<Arc<Distributions>>,
    /// What of that the controller gave. `None`: what it gave could not be served at the start.
    pub given: Option<Served>,
    /// How far the process is confined.
    pub landlock: Landlock,
    /// The process among those of its node.
    pub generation: u8,
    /// What the fleet shares, as it is in force everywhere in the process.
    pub secrets: Secrets,
    /// The tickets of all workers.
    pub tickets: Arc<FleetTickets>,
    /// The certificates of all workers.
    pub certificates: Arc<Live>,
    /// What authorities are answered.
    pub challenges: Arc<Challenges>,
    /// What came of TCP connections.
    pub tcp: Arc<Tally>,
    /// How the node stands with its controller, where it has one.
    pub controller: Option<watch::Receiver<View>>,
    /// Where requests are noted, if they are.
    pub access_log: Option<Arc<AccessLog>>,
}

/// A running edge, for those who ask and command. Shared on the control runtime.
pub struct Control {
    config: Arc<Config>,
    /// How each node fares.
    pub(super) table: Arc<NodeTable>,
    /// Which nodes there are.
    pub(super) fleet: watch::Sender<Arc<[NodeConfig]>>,
    steering: Mutex<Option<Steering>>,
    pub(super) workers: Vec<mpsc::Sender<ToWorker>>,
    pub(super) relay: Option<RelayHandle>,
    rules: watch::Sender<Rules>,
    pub(super) distributions: watch::Sender<Arc<Distributions>>,
    pub(super) sources: Current<Sources>,
    landlock: Landlock,
    generation: u8,
    phase: watch::Sender<Phase>,
    started: Instant,
    /// As they are in force in every part of the process.
    pub(super) secrets: Current<Secrets>,
    /// Held by the one reload that is under way.
    pub(super) reloading: tokio::sync::Mutex<()>,
    pub(super) tickets: Arc<FleetTickets>,
    pub(super) certificates: Arc<Live>,
    challenges: Arc<Challenges>,
    tcp: Arc<Tally>,
    controller: Option<watch::Receiver<View>>,
    access_log: Option<Arc<AccessLog>>,
}

impl Control {
    /// Takes the parts over; the phase is [`Phase::Starting`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            config,
            nodes,
            steering,
            workers,
            relay,
            rules,
            distributions,
            given,
            landlock,
            generation,
            secrets,
            tickets,
            certificates,
            challenges,
            tcp,
            controller,
            access_log,
        } = parts;
        let sources = Sources {
            file: config.served(),
            lacks: given.is_none(),
            controller: given.unwrap_or_default(),
            coalescing: config.coalescing.clone(),
        };
        Self {
            fleet: watch::Sender::new(config.nodes.as_slice().into()),
            config,
            table: nodes,
            steering: Mutex::new(steering),
            workers,
            relay,
            rules,
            distributions,
            sources: Current::new(sources),
            landlock,
            generation,
            phase: watch::Sender::new(Phase::Starting),
            started: Instant::now(),
            secrets: Current::new(secrets),
            reloading: tokio::sync::Mutex::new(()),
            tickets,
            certificates,
            challenges,
            tcp,
            controller,
            access_log,
        }
    }

    /// What the process was started with.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The certificates of every worker, to be changed.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Live> {
        &self.certificates
    }

    /// What authorities are answered, to be changed.
    #[must_use]
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// How the node stands with its controller at this moment, where it has one.
    #[must_use]
    pub fn controller(&self) -> Option<View> {
        self.controller.as_ref().map(|view| view.borrow().clone())
    }

    /// Where requests are noted, if they are.
    #[must_use]
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access_log.as_deref()
    }

    /// How far the process is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to `phase`, unless that was reached already: a drain is not undone.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase as u8 > *current as u8;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// Waits until the process was told to stop.
    pub async fn draining(&self) {
        let mut phase = self.phase.subscribe();
        // `self` holds the sender, so the wait can only end by the phase.
        let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
    }

    /// Early drops and budgets as they are now.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules.borrow().clone()
    }

    /// Changes early drops and budgets, in the kernel and for the workers.
    ///
    /// # Errors
    /// Where the kernel refuses: then the workers keep what they had, too.
    pub fn set_rules(&self, rules: Rules) -> Result<(), SteeringError> {
        if let Some(steering) = self.steering().as_mut() {
            steering.set_admission(&rules)?;
        }
        self.rules.send_replace(rules);
        Ok(())
    }

    /// Asks every worker at once. `None` stands for one that does not answer within
    /// [`limits::REPORT_WITHIN`].
    pub async fn reports(&self) -> Vec<Option<WorkerReport>> {
        futures_util::future::join_all(self.workers.iter().map(report)).await
    }

    /// The workers that do not answer in time. One that has ended because it was told to is none.
    pub async fn stuck(&self) -> Vec<u8> {
        let reports = self.reports().await;
        let draining = self.phase() == Phase::Draining;
        let workers = (0..).zip(&self.workers).zip(reports);
        let stuck = workers
            .filter(|((_, inbox), report)| report.is_none() && !(draining && inbox.is_closed()));
        stuck.map(|((worker, _), _)| worker).collect()
    }

    /// All figures of this moment.
    pub async fn snapshot(&self) -> Snapshot {
        let workers = self.reports().await;
        let relay = match &self.relay {
            Some(relay) => relay_report(relay).await,
            None => None,
        };
        let attachments = self.attachments();
        let steering = self.steering().as_ref().and_then(|steering| {
            steering
                .reasons()
                .inspect_err(|error| tracing::warn!(%error, "the kernel's counters cannot be read"))
                .ok()
        });
        let liveness = |node: &NodeConfig| (node.id, self.table.liveness(node.id));
        Snapshot {
            workers,
            relay,
            steering,
            nodes: self.nodes().iter().map(liveness).collect(),
            mode: self.config.steering.mode,
            rules: self.rules(),
            landlock: self.landlock,
            attachments,
            certificates: self.certificates.summary(SystemTime::now()),
            challenges: self.challenges.asked(),
            tcp: Arc::clone(&self.tcp),
            controller: self.controller(),
            access_log: self.access_log().map(AccessLog::counts),
        }
    }

    /// What is attached in the kernel, for as long as the guard is held: never across an await.
    pub fn steering(&self) -> MutexGuard<'_, Option<Steering>> {
        // Whoever panicked left the maps as they were: each change is one entry.
        self.steering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each interface that is to have XDP, and whether it has.
    pub fn attachments(&self) -> Vec<(String, Attachment)> {
        let steering = self.steering();
        let list = steering.iter().flat_map(Steering::attachments);
        list.map(|(interface, attachment)| (interface.clone(), attachment.clone())).collect()
    }

    /// Answers a line of the admin socket.
    pub async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Node { id, liveness } => match self.set_node(id, liveness) {
                Ok(()) => Answer::Done {},
                Err(error) => Answer::Error(error.to_string()),
            },
            Request::Nodes {} => Answer::Nodes(self.node_list()),
            Request::Status {} => Answer::Status(Box::new(self.status().await)),
            Request::Blocklist {} => Answer::Blocklist(self.blocklist()),
            Request::BlocklistReload {} => match self.reload_blocklist() {
                Ok(change) => Answer::Change(change),
                Err(error) => Answer::Error(error.to_string()),
            },
            Request::Drain {} => {
                tracing::info!("told to drain by the admin socket");
                self.advance(Phase::Draining);
                Answer::Done {}
            }
            Request::Reload {} => match self.reload().await {
                Ok(reloaded) => Answer::Reloaded(reloaded),
                Err(error) => Answer::Error(error.shown()),
            },
        }
    }

    async fn status(&self) -> Status {
        let reports = self.reports().await;
        let secrets = self.secrets.load();
        let worker = |(worker, report): (usize, &Option<WorkerReport>)| {
            let figure = |figure: fn(&WorkerReport) -> u64| report.as_ref().map_or(0, figure);
            WorkerStatus {
                worker: worker as u8,
                answers: report.is_some(),
                connections: figure(|report| report.connections),
                handshakes_in_progress: figure(|report| report.handshakes_in_progress),
                requests: figure(|report| report.requests),
            }
        };
        let nodes = self.nodes();
        let ours = nodes.iter().find(|node| node.id == self.config.node);
        let ours = ours.unwrap_or_else(|| self.config.our_node());
        Status {
            phase: self.phase().name().to_owned(),
            node: self.config.node,
            name: ours.name.clone(),
            site: ours.site.clone(),
            generation: self.generation,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            steering: mode_name(self.config.steering.mode).to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            connection_ids: KeysInForce {
                made_under: secrets.mint,
                read: secrets.connection_ids.iter().map(|config| config.config_id).collect(),
            },
            encapsulation: KeysInForce {
                made_under: secrets.encapsulate_with,
                read: secrets.encapsulation_keys.iter().map(|key| key.key_id).collect(),
            },
            distributions: self.sources.load().status(),
            controller: self.controller().map(|view| following::status(view, SystemTime::now())),
            workers: reports.iter().enumerate().map(worker).collect(),
        }
    }
}

/// The word for `mode`, as in the configuration file.
#[must_use]
pub const fn mode_name(mode: SteeringMode) -> &'static str {
    match mode {
        SteeringMode::Native => "native",
        SteeringMode::Generic => "generic",
        SteeringMode::UserSpace => "user-space",
        SteeringMode::Off => "off",
    }
}

async fn report(worker: &mpsc::Sender<ToWorker>) -> Option<WorkerReport> {
    let (answer, report) = oneshot::channel();
    let ask = async {
        worker.send(ToWorker::Report(answer)).await.ok()?;
        report.await.ok()
    };
    timeout(limits::REPORT_WITHIN, ask).await.ok().flatten()
}

async fn relay_report(relay: &RelayHandle) -> Option<RelayReport> {
    let (answer, report) = oneshot::channel();
    let ask = async {
        relay.orders.send(RelayOrder::Report(answer)).await.ok()?;
        report.await.ok()
    };
    timeout(limits::REPORT_WITHIN, ask).await.ok().flatten()
}
