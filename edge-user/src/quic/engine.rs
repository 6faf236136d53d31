//! One worker's QUIC, without a clock or a socket: datagrams and `now` in, datagrams and the
//! next deadline out. `handle_*` takes in, `poll_*` gives out.
//!
//! Whoever drives an engine calls [`Engine::poll_transmit`] until it gives nothing after every
//! `handle_*` and after every operation on a stream; [`Engine::register`] says when there is
//! something again.

mod address_guard;
mod another_length;
mod operations;
mod reset_budget;
mod send_budget;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use edge_wire::Reason;
use edge_wire::cid::ServerId;
use quinn_proto::{
    AcceptError, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event, Incoming,
    StreamEvent, Transmit,
};

use crate::config::QuicConfig;
use crate::limits;
use crate::quic::cid::{MintError, Owners};
use crate::quic::keys::EngineKeys;
use crate::quic::transport::{self, SetupError};
use crate::quic::{Datagram, socket};
use fleet_wire::secrets::Secrets;

use address_guard::AddressGuard;
pub use operations::StreamFailure;
use operations::{Live, wake_all};
use reset_budget::ResetBudget;
use send_budget::SendBudget;

/// A connection of an engine. Never reused, unlike quinn's handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    handle: ConnectionHandle,
    serial: u64,
}

/// What an engine is made of.
pub struct EngineSetup<'a> {
    /// Who we are, and who owns which connection ID.
    pub owners: &'a Owners,
    /// What the fleet shares.
    pub secrets: &'a Secrets,
    /// Certificate, tickets, ALPN.
    pub tls: Arc<rustls::ServerConfig>,
    /// Bounds, for this engine alone.
    pub quic: QuicConfig,
    /// What it holds of answers, in bytes: [`limits::SEND_BUDGET_BYTES`].
    pub send_budget_bytes: u64,
    /// Makes the engine's own choices repeatable; `None` outside of tests.
    pub seed: Option<[u8; 32]>,
}

/// What an engine has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections there are, those in their handshake included.
    pub connections: u64,
    /// Handshakes under way.
    pub handshakes_in_progress: u64,
    /// Handshakes that ended well.
    pub handshakes_completed: u64,
    /// Handshakes that did not.
    pub handshakes_failed: u64,
    /// HTTP/3 frames that declared too much.
    pub frames_refused: u64,
}

/// Endpoint and connections of one worker.
pub struct Engine {
    endpoint: Endpoint,
    own: ServerId,
    keys: EngineKeys,
    bounds: QuicConfig,
    resets: ResetBudget,
    send_budget: SendBudget,
    /// By quinn's handle, which it reuses.
    connections: Vec<Option<Box<Live>>>,
    serial: u64,
    /// When which connection wants [`Engine::handle_timeout`]; never later than it does.
    deadlines: BTreeSet<(Instant, ConnectionHandle)>,
    /// Connections that may have something to send, each once.
    pending: VecDeque<ConnectionHandle>,
    /// Answers without a connection, with their bytes.
    answers: VecDeque<(Transmit, Vec<u8>)>,
    /// Connections whose handshake has completed, until the driver serves them.
    established: VecDeque<Key>,
    counters: Counters,
    /// The driver, while it waits for an operation to give it something to send.
    driver: Option<Waker>,
    draining: bool,
}

impl Engine {
    /// An engine without connections.
    ///
    /// # Errors
    /// Where secrets, TLS or bounds are not fit for QUIC.
    pub fn new(setup: EngineSetup<'_>) -> Result<Self, SetupError> {
        let lifetime = setup.quic.connection_id_lifetime;
        let keys = EngineKeys::new(setup.secrets, setup.owners, lifetime)?;
        let endpoint = transport::endpoint(&keys);
        let server = transport::server(&keys, setup.tls, &setup.quic)?;
        Ok(Self {
            // Sockets of ours never fragment: path MTU discovery may be relied on.
            endpoint: Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)), true, setup.seed),
            own: setup.owners.own(),
            keys,
            bounds: setup.quic,
            resets: ResetBudget::default(),
            send_budget: SendBudget::new(setup.send_budget_bytes),
            connections: Vec::new(),
            serial: 0,
            deadlines: BTreeSet::new(),
            pending: VecDeque::new(),
            answers: VecDeque::new(),
            established: VecDeque::new(),
            counters: Counters::default(),
            driver: None,
            draining: false,
        })
    }

    /// Whose connections these are.
    #[must_use]
    pub fn own(&self) -> ServerId {
        self.own
    }

    /// What has been counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Puts the fleet's secrets in force as they are by now, and who owns what by them.
    ///
    /// # Errors
    /// Where the config that mints makes IDs of another length; nothing is changed then.
    pub fn change_secrets(&self, secrets: &Secrets, owners: &Owners) -> Result<(), MintError> {
        self.keys.change(secrets, owners)
    }

    /// Bytes of answers that are held until clients acknowledge them.
    #[must_use]
    pub fn send_bytes_held(&self) -> u64 {
        self.send_budget.held_bytes()
    }

    /// Takes a datagram in, and says what became of it.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Reason {
        let Datagram { client, destination, ecn, payload, via: _ } = datagram;
        let short = payload.first().is_some_and(|first| first & 0x80 == 0);
        if short && let Some(reason) = self.reset_another_length(now, client, destination, &payload)
        {
            return reason;
        }
        let mut answer = Vec::new();
        let bytes = payload.len() as u64;
        let ecn = ecn.map(socket::ecn_in);
        let local = Some(destination.ip());
        match self.endpoint.handle(now, client, local, ecn, payload, &mut answer) {
            None => Reason::Ignored,
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(live) = self.connections.get_mut(handle.0).and_then(Option::as_mut) {
                    if !live.handle_datagram(now, client.ip(), bytes, event) {
                        return Reason::Ignored;
                    }
                    self.settle(handle);
                    self.enqueue(handle);
                }
                Reason::Local
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.admit(now, incoming, bytes),
            // The only answer to a short header is a stateless reset (RFC 9000 section 10.3).
            Some(DatagramEvent::Response(_)) if short && !self.resets.take(now) => {
                Reason::ResetLimited
            }
            Some(DatagramEvent::Response(transmit)) => {
                self.answer(transmit, answer);
                if short { Reason::ResetSent } else { Reason::Ignored }
            }
        }
    }

    /// Each attempt is refused, asked to retry, or accepted.
    fn admit(&mut self, now: Instant, incoming: Incoming, bytes: u64) -> Reason {
        let mut answer = Vec::new();
        let (client, validated) = (incoming.remote_address(), incoming.remote_address_validated());
        if self.draining || self.counters.connections >= u64::from(self.bounds.max_connections) {
            let transmit = self.endpoint.refuse(incoming, &mut answer);
            self.answer(transmit, answer);
            return Reason::ConnectionLimit;
        }
        let half_open = self.counters.handshakes_in_progress;
        if !validated && half_open >= u64::from(self.bounds.retry_threshold) {
            return match self.endpoint.retry(incoming, &mut answer) {
                Ok(transmit) => {
                    self.answer(transmit, answer);
                    Reason::RetrySent
                }
                Err(error) => {
                    self.endpoint.ignore(error.into_incoming());
                    Reason::Ignored
                }
            };
        }
        match self.endpoint.accept(incoming, now, &mut answer, None) {
            Ok((handle, connection)) => {
                let guard = AddressGuard::new(client.ip(), validated, bytes);
                self.insert(now, handle, connection, guard);
                Reason::NewConnection
            }
            Err(AcceptError { response, cause: _ }) => {
                self.counters.handshakes_failed += 1;
                if let Some(transmit) = response {
                    self.answer(transmit, answer);
                }
                Reason::Ignored
            }
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        connection: quinn_proto::Connection,
        guard: AddressGuard,
    ) {
        self.serial += 1;
        let (account, ends) = (self.send_budget.open(), now + limits::HANDSHAKE_TIMEOUT);
        let live = Box::new(Live::new(self.serial, connection, guard, account, ends));
        if self.connections.len() <= handle.0 {
            self.connections.resize_with(handle.0 + 1, || None);
        }
        self.connections[handle.0] = Some(live);
        self.counters.connections += 1;
        self.counters.handshakes_in_progress += 1;
        self.settle(handle);
        self.enqueue(handle);
    }

    fn answer(&mut self, transmit: Transmit, bytes: Vec<u8>) {
        if self.answers.len() < limits::MAX_PENDING_ANSWERS {
            self.answers.push_back((transmit, bytes));
        }
    }

    /// The time at which [`Engine::handle_timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Lets the connections act whose deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, handle)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            if let Some(live) = self.connections.get_mut(handle.0).and_then(Option::as_mut) {
                live.deadline = None;
                live.quic.handle_timeout(now);
                live.close_when_due(now);
                self.settle(handle);
                self.enqueue(handle);
            }
        }
    }

    /// The next datagrams to send, all of one connection and of one size but for the last:
    /// at most `segments`, which is at least 1. `buffer` is theirs.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        buffer.clear();
        if let Some((transmit, bytes)) = self.answers.pop_front() {
            buffer.extend_from_slice(&bytes);
            return Some(transmit);
        }
        let segments = segments.clamp(1, limits::MAX_SEND_SEGMENTS);
        while let Some(handle) = self.pending.pop_front() {
            let Some(live) = self.connections.get_mut(handle.0).and_then(Option::as_mut) else {
                continue;
            };
            live.pending = false;
            let transmit = live.poll_transmit(now, segments, buffer);
            self.settle(handle);
            if transmit.is_some() {
                // To the back: the others have their turn first.
                self.enqueue(handle);
                return transmit;
            }
            self.schedule(handle);
        }
        None
    }

    /// Whether [`Engine::poll_transmit`] may have something to give.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty() || !self.answers.is_empty()
    }

    /// A connection whose handshake has completed since the last time.
    pub fn poll_established(&mut self) -> Option<Key> {
        self.established.pop_front()
    }

    /// Whom to wake when an operation on a stream gives something to send; `None` while the
    /// driver is at work anyway.
    pub fn register(&mut self, driver: Option<Waker>) {
        self.driver = driver;
    }

    /// Refuses new connections from now on.
    pub fn begin_drain(&mut self) {
        self.draining = true;
    }

    /// Moves events between connection, endpoint and those who wait for the connection.
    fn settle(&mut self, handle: ConnectionHandle) {
        let Some(live) = self.connections.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        let mut drained = false;
        while let Some(event) = live.quic.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                live.quic.handle_event(event);
            }
        }
        while let Some(event) = live.quic.poll() {
            match event {
                Event::Connected => {
                    live.established = true;
                    live.closes_at = None;
                    live.guard.handshake_completed();
                    self.counters.handshakes_in_progress -= 1;
                    self.counters.handshakes_completed += 1;
                    self.established.push_back(Key { handle, serial: live.serial });
                }
                Event::ConnectionLost { reason } => live.lose(reason),
                Event::Stream(event) => live.stream_event(event),
                Event::HandshakeDataReady | Event::DatagramReceived | Event::DatagramsUnblocked => {
                }
            }
        }
        live.wake_granted();
        if drained {
            self.forget(handle);
        }
    }

    fn forget(&mut self, handle: ConnectionHandle) {
        let Some(mut live) = self.connections.get_mut(handle.0).and_then(Option::take) else {
            return;
        };
        if let Some(deadline) = live.deadline {
            self.deadlines.remove(&(deadline, handle));
        }
        live.lose(ConnectionError::LocallyClosed);
        self.counters.connections -= 1;
        if !live.established {
            self.counters.handshakes_in_progress -= 1;
            self.counters.handshakes_failed += 1;
        }
    }

    fn enqueue(&mut self, handle: ConnectionHandle) {
        if let Some(live) = self.connections.get_mut(handle.0).and_then(Option::as_mut)
            && !live.pending
        {
            live.pending = true;
            self.pending.push_back(handle);
            if let Some(driver) = self.driver.take() {
                driver.wake();
            }
        }
    }

    /// Notes the connection's deadline. One that moves later stays where it is: it then fires
    /// once in vain, which is cheaper than to move it with every packet.
    fn schedule(&mut self, handle: ConnectionHandle) {
        let Some(live) = self.connections.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        let next = live.quic.poll_timeout().into_iter().chain(live.closes_at).min();
        let Some(deadline) = next else { return };
        match live.deadline {
            Some(noted) if noted <= deadline => return,
            Some(noted) => {
                self.deadlines.remove(&(noted, handle));
            }
            None => {}
        }
        live.deadline = Some(deadline);
        self.deadlines.insert((deadline, handle));
    }
}

impl Live {
    fn stream_event(&mut self, event: StreamEvent) {
        let waker = match event {
            StreamEvent::Opened { dir } => {
                self.allow_more_requests();
                self.acceptors[dir as usize].take()
            }
            StreamEvent::Available { dir } => self.openers[dir as usize].take(),
            StreamEvent::Readable { id } => self.readers.remove(&id),
            StreamEvent::Stopped { id, .. } if id.dir() == Dir::Uni => {
                self.unidirectional_stopped = true;
                self.acceptors[Dir::Uni as usize].take()
            }
            StreamEvent::Writable { id } | StreamEvent::Stopped { id, .. } => {
                self.writers.remove(&id)
            }
            StreamEvent::Finished { .. } => self.delivered.take(),
        };
        wake_all(waker);
    }
}
