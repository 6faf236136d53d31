//! The encapsulation port in user space: the way without XDP. Slower, counted, never down.
//!
//! What other nodes send is checked, taken out of its outer headers and handed to the owner's
//! worker; what this node's workers hold of another node's connections is wrapped and sent there.
//! The work on bytes is in [`unwrap`](mod@unwrap), [`wrap`](mod@wrap) and [`choose`], without a
//! socket; here is the loop around it. With XDP attached there is no relay.

mod choose;
mod peers;
mod socket;
#[cfg(test)]
mod tests;
mod unwrap;
mod wrap;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use edge_wire::admit::{Budget, Limit};
use edge_wire::{Reason, siphash};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::admission;
use crate::config::{Config, NodeConfig};
use crate::limits;
use crate::quic::Datagram;
use crate::quic::driver::ToWorker;
use choose::WorkerChoice;
use fleet_wire::secrets::Secrets;
use peers::Peers;

/// A datagram for a node that a worker found to be its owner.
#[derive(Debug)]
pub struct ToRelay {
    /// The owner.
    pub node: u16,
    /// As it came to this node. One that came by way of a node is counted and dropped.
    pub datagram: Datagram,
}

/// What the relay has done since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayReport {
    /// Datagrams, by the Reason that each ended with.
    pub reasons: [u64; Reason::COUNT as usize],
}

/// What a relay can be told, beside the datagrams of workers.
#[derive(Debug)]
pub enum RelayOrder {
    /// Say what you have done.
    Report(oneshot::Sender<RelayReport>),
    /// Put these secrets in force, and say when they are.
    Secrets(Arc<Secrets>, oneshot::Sender<()>),
    /// Take these for the nodes of the fleet, and say when you do.
    Nodes(Arc<[NodeConfig]>, oneshot::Sender<()>),
}

/// The way to a running [`Relay`]. The relay ends when the last sender of `orders` is dropped.
#[derive(Clone, Debug)]
pub struct RelayHandle {
    /// For the workers; bounded, so use `try_send` and count [`Reason::QueueFull`].
    pub inbox: mpsc::Sender<ToRelay>,
    /// For whoever commands it.
    pub orders: mpsc::Sender<RelayOrder>,
}

/// Bound to our own addresses, ready to run.
pub struct Relay {
    peers: Peers,
    choice: WorkerChoice,
    forwards: Limit,
    /// By family.
    sockets: [Sockets<std::net::UdpSocket>; 2],
    inbox: mpsc::Receiver<ToRelay>,
    orders: mpsc::Receiver<RelayOrder>,
}

impl Relay {
    /// Binds the encapsulation port on this node's own addresses. `workers` is at least 1.
    ///
    /// # Errors
    /// Where a socket cannot be made or bound; the message names the address.
    pub fn bind(
        config: &Config,
        secrets: &Secrets,
        generation: u8,
        workers: u8,
    ) -> io::Result<(Self, RelayHandle)> {
        let own = config.nodes.iter().find(|node| node.id == config.node);
        let port = config.steering.encapsulation_port;
        let ipv4 = own.and_then(|node| node.ipv4).map(IpAddr::V4);
        let ipv6 = own.and_then(|node| node.ipv6).map(IpAddr::V6);
        let sockets = [ipv4, ipv6].map(|address| Sockets::bind(address, port));
        let [ipv4, ipv6] = sockets;
        let (to_relay, inbox) = mpsc::channel(limits::RELAY_QUEUE);
        let (to_orders, orders) = mpsc::channel(limits::RELAY_ORDERS);
        let choice = WorkerChoice {
            configs: secrets.decode_configs(),
            node: config.node,
            generation,
            workers,
            hash_key: siphash::key(secrets.worker_hash),
        };
        let peers = Peers::new(config, secrets);
        let forwards = admission::forwards(&config.admission);
        let relay = Self { peers, choice, forwards, sockets: [ipv4?, ipv6?], inbox, orders };
        Ok((relay, RelayHandle { inbox: to_relay, orders: to_orders }))
    }

    /// Relays until the handle is dropped. `workers` are the inboxes, by worker.
    ///
    /// # Errors
    /// Where the runtime cannot watch the sockets.
    pub async fn run(self, workers: Vec<mpsc::Sender<ToWorker>>) -> io::Result<()> {
        let Self { peers, choice, forwards, sockets, mut inbox, mut orders } = self;
        let [ipv4, ipv6] = sockets.map(Sockets::watched);
        let (ipv4, ipv6) = (ipv4?, ipv6?);
        let mut running = Running {
            peers,
            choice,
            workers,
            forwards,
            budgets: HashMap::new(),
            started: Instant::now(),
            counts: [0; Reason::COUNT as usize],
            received: vec![0; limits::RELAY_DATAGRAM_BYTES],
            wrapped: Vec::new(),
        };
        let mut leaving = Vec::with_capacity(limits::RELAY_BATCH);
        loop {
            tokio::select! {
                readable = ipv4.readable() => running.receive(readable?),
                readable = ipv6.readable() => running.receive(readable?),
                _ = inbox.recv_many(&mut leaving, limits::RELAY_BATCH), if !inbox.is_closed() => {
                    for datagram in leaving.drain(..) {
                        running.send(&datagram, &ipv4, &ipv6).await;
                    }
                }
                order = orders.recv() => match order {
                    Some(order) => running.obey(order),
                    None => return Ok(()),
                }
            }
        }
    }
}

/// The sockets of one family; none where we have no address of it.
struct Sockets<S> {
    /// The encapsulation port, that packets of nodes come to.
    port: Option<S>,
    /// Ports that packets to nodes leave from.
    sources: Vec<S>,
}

impl Sockets<std::net::UdpSocket> {
    fn bind(address: Option<IpAddr>, port: u16) -> io::Result<Self> {
        let Some(address) = address else { return Ok(Self { port: None, sources: Vec::new() }) };
        let port = socket::open(SocketAddr::new(address, port))?;
        Ok(Self { port: Some(port), sources: socket::open_sources(address)? })
    }

    /// On the runtime that runs the relay.
    fn watched(self) -> io::Result<Sockets<UdpSocket>> {
        let sources = self.sources.into_iter().map(UdpSocket::from_std);
        Ok(Sockets {
            port: self.port.map(UdpSocket::from_std).transpose()?,
            sources: sources.collect::<io::Result<_>>()?,
        })
    }
}

impl Sockets<UdpSocket> {
    async fn readable(&self) -> io::Result<&UdpSocket> {
        match &self.port {
            Some(socket) => socket.readable().await.map(|()| socket),
            None => std::future::pending().await,
        }
    }

    /// Always the same for a client, so that its packets stay in order.
    fn source(&self, client: SocketAddr) -> Option<&UdpSocket> {
        let count = self.sources.len().max(1);
        self.sources.get(usize::from(wrap::source_hash(client)) % count)
    }
}

struct Running {
    peers: Peers,
    choice: WorkerChoice,
    workers: Vec<mpsc::Sender<ToWorker>>,
    forwards: Limit,
    /// By node, of which there are as many as the fleet has.
    budgets: HashMap<u16, Budget>,
    started: Instant,
    counts: [u64; Reason::COUNT as usize],
    received: Vec<u8>,
    wrapped: Vec<u8>,
}

impl Running {
    fn count(&mut self, reason: Reason) {
        self.counts[reason as usize] += 1;
    }

    /// Whoever asked may have gone; then nobody needs the answer.
    fn obey(&mut self, order: RelayOrder) {
        match order {
            RelayOrder::Report(answer) => {
                let _ = answer.send(RelayReport { reasons: self.counts });
            }
            RelayOrder::Secrets(secrets, done) => {
                self.peers.set_secrets(&secrets);
                self.choice.configs = secrets.decode_configs();
                let _ = done.send(());
            }
            RelayOrder::Nodes(nodes, done) => {
                self.peers.set_nodes(&nodes);
                self.budgets.retain(|node, _| self.peers.knows(*node));
                let _ = done.send(());
            }
        }
    }

    /// Takes a batch from the socket. Any error ends the batch: it is "nothing left", or one that
    /// an earlier datagram of ours drew, and the socket is asked again when it is next readable.
    fn receive(&mut self, socket: &UdpSocket) {
        for _ in 0..limits::RELAY_BATCH {
            let Ok((length, sender)) = socket.try_recv_from(&mut self.received) else { return };
            let reason = match unwrap::unwrap(&self.peers, sender.ip(), &self.received[..length]) {
                Ok(datagram) => self.hand_to_worker(datagram),
                Err(reason) => reason,
            };
            self.count(reason);
        }
    }

    fn hand_to_worker(&self, datagram: Datagram) -> Reason {
        let worker = self.choice.worker(&datagram.payload);
        let Some(inbox) = self.workers.get(usize::from(worker)) else {
            return Reason::WorkerNone;
        };
        match inbox.try_send(ToWorker::Datagram(datagram)) {
            Ok(()) => Reason::Stripped,
            Err(TrySendError::Full(_)) => Reason::QueueFull,
            Err(TrySendError::Closed(_)) => Reason::WorkerNone,
        }
    }

    /// `steer_node` passes what is beyond a node's budget, to be dropped by the engine; here it ends.
    fn is_within_budget(&mut self, node: u16) -> bool {
        let now_ns = self.started.elapsed().as_nanos() as u64;
        self.budgets.entry(node).or_default().spend(&self.forwards, now_ns)
    }

    /// Sends, and waits while the socket's buffer is full: then the inbox fills, and the workers
    /// count what no longer fits.
    async fn send(
        &mut self,
        order: &ToRelay,
        ipv4: &Sockets<UdpSocket>,
        ipv6: &Sockets<UdpSocket>,
    ) {
        if !self.is_within_budget(order.node) {
            return self.count(Reason::ForwardLimited);
        }
        let wrapped = wrap::wrap(&self.peers, order.node, &order.datagram, &mut self.wrapped);
        let reason = match wrapped {
            Err(reason) => reason,
            Ok(target) => {
                let family = if target.is_ipv4() { ipv4 } else { ipv6 };
                match family.source(order.datagram.client) {
                    None => Reason::NoNextHop,
                    Some(socket) => sent(socket.send_to(&self.wrapped, target).await),
                }
            }
        };
        self.count(reason);
    }
}

fn sent(result: io::Result<usize>) -> Reason {
    match result {
        Ok(_) => Reason::Forwarded,
        Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Reason::TooBig,
        Err(_) => Reason::NoNextHop,
    }
}
