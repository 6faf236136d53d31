//! A worker without driver: an engine, and an application that gives the bytes asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use edge_user::config::QuicConfig;
use edge_user::quic::cid::Owners;
use edge_user::quic::engine::{Engine, EngineSetup, Key};
use edge_user::quic::keys::CountedTickets;
use edge_user::tls::tickets::FleetTickets;
use edge_wire::Reason;
use edge_wire::cid::ServerId;
use fleet_wire::secrets::Secrets;
use quinn_proto::{Dir, StreamId};

use super::pattern;
use crate::credentials::Fleet;

/// One worker of one node.
pub struct Host {
    /// Its engine.
    pub engine: Engine,
    /// Whose connections are whose, as it sees it.
    pub owners: Owners,
    /// Datagrams by how they ended.
    pub reasons: HashMap<Reason, u64>,
    /// UDP payload bytes in.
    pub bytes_received: u64,
    /// UDP payload bytes out.
    pub bytes_sent: u64,
    /// Its tickets.
    pub tickets: Arc<CountedTickets>,
    fleet_tickets: Arc<FleetTickets>,
    woken: Arc<Woken>,
    connections: Vec<Key>,
    answers: Vec<Answer>,
}

/// Whether the application was told that it can go on: what the engine forgets to say stands still.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request being read, or answered.
struct Answer {
    key: Key,
    id: StreamId,
    request: Vec<u8>,
    /// How much, once the request is whole.
    length: Option<u64>,
    written: u64,
}

impl Host {
    pub(crate) fn new(
        fleet: &Fleet,
        own: ServerId,
        workers: u8,
        quic: QuicConfig,
        send_budget_bytes: u64,
        seed: u64,
    ) -> Self {
        let owners = fleet.owners(own, workers);
        let fleet_tickets = Arc::new(FleetTickets::new(&fleet.secrets.tickets));
        let mut tls = rustls::ServerConfig::clone(&fleet.server_tls);
        tls.ticketer = fleet_tickets.clone();
        let (tls, tickets) = CountedTickets::install(&Arc::new(tls));
        let mut bytes = [own.worker; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        bytes[8..10].copy_from_slice(&own.node.to_be_bytes());
        let engine = Engine::new(EngineSetup {
            owners: &owners,
            secrets: &fleet.secrets,
            tls,
            quic,
            send_budget_bytes,
            seed: Some(bytes),
        })
        .expect("fit for QUIC");
        Self {
            engine,
            owners,
            reasons: HashMap::new(),
            bytes_received: 0,
            bytes_sent: 0,
            tickets: tickets.expect("tickets are on"),
            fleet_tickets,
            woken: Arc::new(Woken(AtomicBool::new(false))),
            connections: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Puts other secrets in force while connections live, as a reload of its node does.
    ///
    /// # Panics
    /// Where connection IDs would get another length.
    pub fn change_secrets(&mut self, secrets: &Secrets) {
        self.owners = self.owners.with_secrets(secrets);
        self.engine.change_secrets(secrets, &self.owners).expect("IDs of the same length");
        self.fleet_tickets.change(&secrets.tickets);
    }

    /// How many datagrams ended so.
    #[must_use]
    pub fn counted(&self, reason: Reason) -> u64 {
        self.reasons.get(&reason).copied().unwrap_or(0)
    }

    /// Closes every connection, whatever is under way.
    pub fn close_all(&mut self, code: u32) {
        for key in &self.connections {
            self.engine.close(*key, code.into(), Bytes::new());
        }
    }

    pub(super) fn count(&mut self, reason: Reason) {
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// Lets the application do what it can.
    pub(super) fn serve(&mut self) {
        while let Some(key) = self.engine.poll_established() {
            self.connections.push(key);
            self.woken.0.store(true, Ordering::Relaxed);
        }
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return;
        }
        let waker = Waker::from(self.woken.clone());
        let cx = &mut Context::from_waker(&waker);
        let Self { engine, connections, answers, .. } = self;
        connections.retain(|key| {
            loop {
                match engine.poll_accept(*key, Dir::Bi, cx) {
                    Poll::Ready(Ok(id)) => answers.push(Answer {
                        key: *key,
                        id,
                        request: Vec::new(),
                        length: None,
                        written: 0,
                    }),
                    Poll::Ready(Err(_)) => return false,
                    Poll::Pending => return true,
                }
            }
        });
        answers.retain_mut(|answer| answer.go_on(engine, cx).is_pending());
    }
}

impl Answer {
    /// Ready when there is no more to do.
    fn go_on(&mut self, engine: &mut Engine, cx: &mut Context<'_>) -> Poll<()> {
        while self.length.is_none() {
            match engine.poll_read(self.key, self.id, cx) {
                Poll::Ready(Ok(Some(bytes))) => self.request.extend_from_slice(&bytes),
                Poll::Ready(Ok(None)) => {
                    let length = self.request[..].try_into().expect("eight bytes");
                    self.length = Some(u64::from_be_bytes(length));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        while let Some(left) = self.length.map(|length| length - self.written).filter(|l| *l > 0) {
            let mut chunk: Bytes =
                (self.written..).take(left.min(4096) as usize).map(pattern).collect();
            let before = chunk.len();
            match engine.poll_write(self.key, self.id, &mut chunk, cx) {
                Poll::Ready(Ok(())) => self.written += (before - chunk.len()) as u64,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        let _ = engine.finish(self.key, self.id);
        Poll::Ready(())
    }
}
