//! The workers of a process, from their start to their end.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edge_wire::cid::ServerId;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{Inputs, ServeError};
use crate::access_log::AccessLog;
use crate::admission::Rules;
use crate::admission::door::Door;
use crate::limits;
use crate::nodes::NodeTable;
use crate::proxy::files::read::OpenFiles;
use crate::quic::cid::Owners;
use crate::quic::driver::{self, ToWorker, WorkerHandle, WorkerReport, WorkerSetup};
use crate::relay::ToRelay;
use crate::tcp::listener::Listening;

/// Both ends of every worker's inbox, before any of them runs.
pub(super) struct Inboxes {
    pub(super) senders: Vec<mpsc::Sender<ToWorker>>,
    receivers: Vec<mpsc::Receiver<ToWorker>>,
}

impl Inboxes {
    pub(super) fn new(workers: u8) -> Self {
        let (senders, receivers) = driver::inboxes(workers);
        Self { senders, receivers }
    }
}

/// What they receive by, worker by worker, and what they may open.
pub(super) struct Opened {
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) listenings: Vec<Option<Listening>>,
    pub(super) files: OpenFiles,
    pub(super) access_log: Option<Arc<AccessLog>>,
}

/// The workers that run.
pub(super) struct Workers {
    handles: Vec<WorkerHandle>,
}

impl Workers {
    /// Starts one for each of the sockets, and before them what writes the access log.
    pub(super) fn start(
        inputs: &Inputs,
        generation: u8,
        nodes: &Arc<NodeTable>,
        opened: Opened,
        inboxes: Inboxes,
        relay: Option<&mpsc::Sender<ToRelay>>,
        rules: &watch::Sender<Rules>,
    ) -> Result<Self, ServeError> {
        let config = &inputs.config;
        if let Some(log) = &opened.access_log {
            log.start().map_err(|error| ServeError::AccessLog(log.path().into(), error))?;
        }
        let own = ServerId { node: config.node, worker: 0, generation };
        let owners = Owners::new(&inputs.secrets, own, config.listen.workers, Arc::clone(nodes));
        let name: Arc<str> = config.our_node().name.as_str().into();
        let site: Arc<str> = config.site.as_str().into();
        // With XDP the kernel has held the sum to the budget already.
        let sharing = if config.steering.mode.has_xdp() { 1 } else { config.listen.workers };
        let mut handles = Vec::with_capacity(config.listen.workers.into());
        let parts = opened.sockets.into_iter().zip(opened.listenings).zip(inboxes.receivers);
        for (worker, ((socket, tcp), inbox)) in (0..).zip(parts) {
            let setup = WorkerSetup {
                worker,
                socket,
                inbox,
                peers: inboxes.senders.clone(),
                owners: owners.clone(),
                secrets: Arc::clone(&inputs.secrets),
                tls: Arc::clone(&inputs.tls.config),
                certificates: Arc::clone(&inputs.tls.certificates),
                relay: relay.cloned(),
                door: Door::new(rules.subscribe(), sharing, Instant::now()),
                distributions: inputs.distributions.subscribe(),
                open_files: opened.files.clone(),
                name: Arc::clone(&name),
                site: Arc::clone(&site),
                config: config.quic,
                access_log: opened.access_log.clone(),
                tcp,
            };
            let spawned = driver::spawn(setup);
            handles.push(spawned.map_err(|error| ServeError::Worker(worker, error))?);
        }
        tracing::info!(workers = handles.len(), "workers run");
        Ok(Self { handles })
    }

    /// What each tells of its handshakes in progress.
    pub(super) fn loads(&self) -> Vec<watch::Receiver<u64>> {
        self.handles.iter().map(|worker| worker.load.clone()).collect()
    }

    /// Waits until one of them has ended, by a panic or of its own accord.
    pub(super) async fn any_ended(&self) -> u8 {
        let ends = self.handles.iter().map(|worker| Box::pin(worker.inbox.closed()));
        let ((), worker, _) = futures_util::future::select_all(ends).await;
        worker as u8
    }

    /// Lets requests in progress end until `deadline`, and waits for the end of every worker, a
    /// little longer than that.
    pub(super) async fn drain(&self, deadline: Instant) -> Result<(), ServeError> {
        let patience = deadline.saturating_duration_since(Instant::now())
            + limits::DRAIN_TAIL
            + limits::DRAIN_MARGIN;
        let drains = self.handles.iter().map(|worker| drain(worker, deadline, patience));
        let ended = futures_util::future::join_all(drains).await;
        let stuck: Vec<_> = (0u8..).zip(ended).filter(|(_, ended)| !ended).collect();
        match stuck.first() {
            None => Ok(()),
            Some((worker, _)) => Err(ServeError::Stuck(*worker)),
        }
    }

    /// The last reports, once all have ended. `None`: it panicked.
    pub(super) fn join(self) -> Vec<Option<WorkerReport>> {
        self.handles.into_iter().map(|worker| worker.thread.join().ok()).collect()
    }
}

async fn drain(worker: &WorkerHandle, deadline: Instant, patience: Duration) -> bool {
    let ended = async {
        // It may have ended just now; then it is drained.
        let _ = worker.inbox.send(ToWorker::Drain { deadline }).await;
        worker.inbox.closed().await;
    };
    timeout(patience, ended).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that panics at its first message, and one that waits for ever.
    fn one_that_panics_and_one_that_does_not() -> (Workers, mpsc::Receiver<ToWorker>) {
        let (bad, mut messages) = mpsc::channel(1);
        let thread = std::thread::spawn(move || {
            messages.blocking_recv();
            panic!("on purpose");
        });
        let load = || watch::channel(0).1;
        let bad = WorkerHandle { inbox: bad, load: load(), thread };
        let (good, messages) = mpsc::channel(1);
        let thread = std::thread::spawn(|| panic!("never joined"));
        (
            Workers { handles: vec![WorkerHandle { inbox: good, load: load(), thread }, bad] },
            messages,
        )
    }

    #[tokio::test]
    async fn a_worker_that_panics_is_seen_at_once_whichever_it_is() {
        let (workers, _good) = one_that_panics_and_one_that_does_not();
        let deadline = Instant::now();
        workers.handles[1].inbox.send(ToWorker::Drain { deadline }).await.expect("it waits");
        assert_eq!(workers.any_ended().await, 1);
        assert_eq!(workers.join().into_iter().filter(Option::is_none).count(), 2);
    }

    #[tokio::test]
    async fn a_panic_while_draining_does_not_keep_the_stop_waiting() {
        let (workers, good) = one_that_panics_and_one_that_does_not();
        drop(good); // it has ended
        workers.drain(Instant::now()).await.expect("both have ended");
    }
}
