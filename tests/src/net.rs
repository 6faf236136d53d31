//! A seeded network in virtual time: one client endpoint, several engines, and a router between
//! them that loses, delays, reorders and duplicates datagrams and changes its mind.
//!
//! Everything random here comes from one seed. The endpoints' own choices (connection IDs, TLS
//! randoms) do not, so a seed repeats the network's behaviour, not each byte.

mod client;
mod server;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use edge_user::config::QuicConfig;
use edge_user::limits;
use edge_user::quic::cid::Route;
use edge_user::quic::{Datagram, Via};
use edge_wire::Reason;
use edge_wire::cid::ServerId;
use quinn_proto::{EcnCodepoint, Transmit};

use crate::credentials::Fleet;
pub use client::{Client, Download};
pub use server::Host;

/// The anycast address.
pub const ANYCAST: ([u8; 4], u16) = ([192, 0, 2, 1], 443);
/// The client's address at first.
pub const CLIENT: ([u8; 4], u16) = ([203, 0, 113, 9], 4711);

/// SplitMix64: small, fast, good enough to choose fates of packets.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, often: u64) -> bool {
        self.draw() % 1000 < often
    }
}

/// How the network treats datagrams, both ways alike.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Lost, in a thousand.
    pub loss: u64,
    /// Delivered twice, in a thousand.
    pub duplicates: u64,
    /// One way.
    pub delay: Duration,
    /// Added to the delay, up to this much, for each datagram on its own: what reorders.
    pub jitter: Duration,
}

impl Conditions {
    /// Nothing is lost and all stays in order.
    pub const FAIR: Self =
        Self { loss: 0, duplicates: 0, delay: Duration::from_millis(10), jitter: Duration::ZERO };
    /// A tenth is lost, much is reordered, some comes twice.
    pub const FOUL: Self = Self {
        loss: 100,
        duplicates: 20,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(15),
    };
}

/// A datagram under way.
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

/// Bytes that hosts had from an address, and sent to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchanged {
    /// That arrived at a host.
    pub received: u64,
    /// That left a host, lost or not.
    pub sent: u64,
}

/// Client, network, hosts.
pub struct Net {
    /// What the hosts share.
    pub fleet: Fleet,
    /// The engines, by number.
    pub hosts: Vec<Host>,
    /// The client.
    pub client: Client,
    /// Which host the router sends the client's datagrams to.
    pub route: usize,
    /// Whether hosts send on what belongs to another one.
    pub steering: bool,
    /// How datagrams fare.
    pub conditions: Conditions,
    /// Choices that are made for the whole run.
    pub random: Random,
    /// UDP payload bytes between each of the client's addresses and all hosts.
    pub exchanged: HashMap<IpAddr, Exchanged>,
    now: Instant,
    started: Instant,
    sequence: u64,
    under_way: BinaryHeap<Reverse<(Instant, u64)>>,
    packets: HashMap<u64, Packet>,
}

impl Net {
    /// A network of one engine for each owner, the first of which gets the client's datagrams.
    #[must_use]
    pub fn new(seed: u64, fleet: Fleet, owners: &[ServerId], quic: QuicConfig) -> Self {
        Self::with_send_budget(seed, fleet, owners, quic, limits::SEND_BUDGET_BYTES)
    }

    /// The same, each engine with so many bytes for answers.
    #[must_use]
    pub fn with_send_budget(
        seed: u64,
        fleet: Fleet,
        owners: &[ServerId],
        quic: QuicConfig,
        send_budget_bytes: u64,
    ) -> Self {
        let host = |fleet: &Fleet, own: &ServerId, workers| {
            Host::new(fleet, *own, workers, quic, send_budget_bytes, seed)
        };
        let workers = owners.iter().map(|own| own.worker + 1).max().unwrap_or(1);
        let now = Instant::now();
        Self {
            hosts: owners.iter().map(|own| host(&fleet, own, workers)).collect(),
            client: Client::new(&fleet, seed),
            fleet,
            route: 0,
            steering: true,
            conditions: Conditions::FAIR,
            random: Random(seed),
            exchanged: HashMap::new(),
            now,
            started: now,
            sequence: 0,
            under_way: BinaryHeap::new(),
            packets: HashMap::new(),
        }
    }

    /// Has a host begin anew as another process: without connections, under the secrets and the
    /// certificate of `self.fleet` as they are by now.
    pub fn restart(&mut self, index: usize, own: ServerId, quic: QuicConfig) {
        let workers = self.hosts[index].owners.workers();
        self.hosts[index] = Host::new(
            &self.fleet,
            own,
            workers,
            quic,
            limits::SEND_BUDGET_BYTES,
            self.random.draw(),
        );
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.started
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Opens a connection and asks for so many bytes on it. The number of the download.
    pub fn download(&mut self, bytes: u64) -> usize {
        self.client.connect(self.now, ANYCAST.into(), bytes)
    }

    /// Runs until `done`, for at most `limit` of virtual time. Whether it was done.
    pub fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.send_all();
            if done(self) {
                return true;
            }
            let Some(next) = self.next_event().filter(|next| *next <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            self.deliver_due();
            self.client.handle_timeout(self.now);
            for host in &mut self.hosts {
                host.engine.handle_timeout(self.now);
            }
        }
    }

    fn next_event(&mut self) -> Option<Instant> {
        let packet = self.under_way.peek().map(|Reverse((at, _))| *at);
        let hosts = self.hosts.iter().filter_map(|host| host.engine.poll_timeout()).min();
        packet.into_iter().chain(hosts).chain(self.client.poll_timeout()).min()
    }

    fn send_all(&mut self) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut buffer) {
            let from = self.client.address;
            self.send(from, &transmit, &buffer);
        }
        for index in 0..self.hosts.len() {
            self.hosts[index].serve();
            while let Some(transmit) =
                self.hosts[index].engine.poll_transmit(self.now, 10, &mut buffer)
            {
                let from =
                    SocketAddr::new(transmit.src_ip.expect("the anycast address"), ANYCAST.1);
                self.hosts[index].bytes_sent += transmit.size as u64;
                let to = transmit.destination.ip();
                self.exchanged.entry(to).or_default().sent += transmit.size as u64;
                self.send(from, &transmit, &buffer);
            }
        }
    }

    fn send(&mut self, from: SocketAddr, transmit: &Transmit, bytes: &[u8]) {
        let size = transmit.segment_size.unwrap_or(transmit.size);
        for bytes in bytes[..transmit.size].chunks(size) {
            let (to, ecn) = (transmit.destination, transmit.ecn);
            if self.random.per_mille(self.conditions.loss) {
                continue;
            }
            let copies = 1 + u64::from(self.random.per_mille(self.conditions.duplicates));
            for _ in 0..copies {
                let jitter = self.conditions.jitter.as_micros() as u64;
                let jitter = Duration::from_micros(self.random.draw() % (jitter + 1));
                self.sequence += 1;
                let at = self.now + self.conditions.delay + jitter;
                self.under_way.push(Reverse((at, self.sequence)));
                self.packets.insert(self.sequence, Packet { from, to, ecn, bytes: bytes.to_vec() });
            }
        }
    }

    fn deliver_due(&mut self) {
        while let Some(&Reverse((at, sequence))) = self.under_way.peek()
            && at <= self.now
        {
            self.under_way.pop();
            let packet = self.packets.remove(&sequence).expect("each is there once");
            if packet.to == ANYCAST.into() {
                let from = self.exchanged.entry(packet.from.ip()).or_default();
                from.received += packet.bytes.len() as u64;
                self.arrive(self.route, packet, Via::Wire);
            } else {
                // Nobody is at an address that the client has left.
                self.client.handle_datagram(self.now, packet.to, packet.ecn, &packet.bytes);
            }
        }
    }

    /// What a worker's driver does with a datagram, with the hosts as workers and nodes.
    fn arrive(&mut self, index: usize, packet: Packet, via: Via) {
        let host = &mut self.hosts[index];
        host.bytes_received += packet.bytes.len() as u64;
        let owner = host.owners.of(&packet.bytes);
        let route = owner.route(via, self.steering);
        let to = match route {
            Route::Worker(worker) if self.steering => ServerId { worker, ..host.owners.own() },
            Route::Node(node) => ServerId { node, ..host.owners.own() },
            Route::Drop(reason) => return host.count(reason),
            Route::Engine | Route::Worker(_) => {
                let reason = host.engine.handle_datagram(self.now, datagram(&packet, via));
                return host.count(reason);
            }
        };
        let reached = self.hosts.iter().position(|host| {
            let own = host.owners.own();
            // A node gives what it was sent to the right worker itself.
            own.node == to.node && (matches!(route, Route::Node(_)) || own == to)
        });
        let (reason, next) = match route {
            Route::Node(_) => (Reason::Forwarded, Via::Node),
            _ => (Reason::HandedOver, Via::Worker),
        };
        self.hosts[index].count(reason);
        if let Some(reached) = reached {
            self.arrive(reached, packet, next);
        }
    }

    /// Gives a copy of what the client sends next straight to an engine, whoever owns it, as a
    /// router or a kernel would that knows nothing of connection IDs.
    pub fn misdeliver(&mut self, index: usize, bytes: &[u8]) -> Reason {
        let packet = Packet {
            from: self.client.address,
            to: ANYCAST.into(),
            ecn: None,
            bytes: bytes.to_vec(),
        };
        let reason =
            self.hosts[index].engine.handle_datagram(self.now, datagram(&packet, Via::Wire));
        self.hosts[index].count(reason);
        reason
    }
}

fn datagram(packet: &Packet, via: Via) -> Datagram {
    Datagram {
        client: packet.from,
        destination: packet.to,
        ecn: packet.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
        payload: BytesMut::from(&packet.bytes[..]),
        via,
    }
}

/// The byte at an offset of every download.
#[must_use]
pub fn pattern(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}
