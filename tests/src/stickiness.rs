//! How many connections survive what anycast and clients do, with steering and without.
//!
//! | module | job |
//! |---|---|
//! | [`scenario`] | what happens while connections are busy |
//! | `quinn_load`, `aioquic_load` | busy connections of either client |
//! | [`beside`] | what good clients notice of a flood |
//! | `flood`, `newcomers` | the flood, and good clients that come while it lasts |
//! | [`tally`] | what became of connections and requests |

mod aioquic_load;
pub mod beside;
mod flood;
pub mod newcomers;
mod quinn_load;
pub mod scenario;
pub mod tally;

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use edge_wire::Reason;

use crate::fleet::{Fleet, Steering};
use aioquic_load::AioquicLoad;
use beside::{Beside, Flooded, Noticed};
use quinn_load::QuinnLoad;
pub use scenario::Scenario;
use tally::{Phase, Tally};

/// Connections of aioquic, where a third of all are at least so many.
const AIOQUIC_CONNECTIONS: usize = 20;
/// Time between the beginnings of two handshakes: four nodes and their clients share the cores.
const BETWEEN_HANDSHAKES: Duration = Duration::from_millis(8);
/// Time between an answer and the next request of a connection.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(700);
/// A client that has no answer within this gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Requests that each connection gets at least, unless it is lost.
const LEAST_REQUESTS: u64 = 10;
/// How long all connections are busy before the event, and after it.
const BEFORE: Duration = Duration::from_secs(4);
const AFTER: Duration = Duration::from_secs(7);

/// One scenario, with steering or without.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// Of the scenario.
    pub name: &'static str,
    /// Whether nodes steered.
    pub steering: bool,
    /// Of the requests: always `h3`.
    pub protocol: &'static str,
    /// Connections that were made.
    pub connections: u64,
    /// Connections that ended only by the client.
    pub survived: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that were not answered whole, or not in time.
    pub requests_failed: u64,
    /// Of the client packets that nodes received after the event began: how many per cent were
    /// forwarded to another node. 0 without steering.
    pub forwarded_percent: f64,
    /// How much longer the median request took after the event, in microseconds.
    pub added_p50_us: i64,
    /// What good clients noticed of a flood, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flood: Option<Noticed>,
}

impl Outcome {
    /// Whether every connection survived and no request failed.
    #[must_use]
    pub fn held(&self) -> bool {
        self.survived == self.connections && self.requests_failed == 0
    }
}

/// Runs one scenario in a fleet of its own.
///
/// # Errors
/// Where the fleet does not start, or a connection is not made at all.
pub fn run(scenario: Scenario, steering: bool, connections: usize) -> Result<Outcome> {
    let mode = if steering { Steering::Native } else { Steering::Off };
    let options = scenario.options(mode);
    let fleet = Fleet::start(&options)?;
    fleet.router().route_to(scenario.routes())?;
    let mut clients = Clients::connect(&fleet, scenario.connections(connections))?;
    let beside = (scenario == Scenario::FloodBeside)
        .then(|| Beside::begin(&fleet, options.retry_threshold))
        .transpose()?;
    sleep(BEFORE);

    let before = Packets::count(&fleet)?;
    clients.set_phase(Phase::Event)?;
    scenario.enact(&fleet, &mut clients).context("the event")?;
    clients.set_phase(Phase::After)?;
    let mut flooded = beside.map(|beside| beside.flood(&fleet)).transpose()?;
    match &mut flooded {
        Some(flooded) => flooded.last(AFTER)?,
        None => sleep(AFTER),
    }
    let noticed = flooded.map(Flooded::stop).transpose()?;

    let tally = clients.finish()?;
    let packets = Packets::count(&fleet)?;
    Ok(Outcome {
        name: scenario.name(),
        steering,
        protocol: "h3",
        connections: tally.connections,
        survived: tally.survived,
        requests: tally.requests,
        requests_failed: tally.requests_failed,
        forwarded_percent: packets.forwarded_percent_since(&before),
        added_p50_us: tally.added_p50_us(),
        flood: noticed.map(|noticed| noticed(&tally)),
    })
}

/// Every client of a run, each busy with a request after another.
pub struct Clients {
    quinn: QuinnLoad,
    aioquic: AioquicLoad,
}

impl Clients {
    /// Connects, half of them over each family. They ask from then on.
    ///
    /// # Errors
    /// Where one is not connected.
    pub fn connect(fleet: &Fleet, connections: usize) -> Result<Self> {
        let of_aioquic = AIOQUIC_CONNECTIONS.min(connections / 3);
        let client = fleet.client();
        let mut clients = Self {
            aioquic: AioquicLoad::start(client, of_aioquic)?,
            quinn: QuinnLoad::start(client, connections - of_aioquic),
        };
        clients.aioquic.wait_connected()?;
        if let Err(error) = clients.quinn.wait_connected() {
            // The thread knows why.
            return Err(clients.quinn.finish().err().unwrap_or(error));
        }
        Ok(clients)
    }

    /// Says how far the run is, for the times of requests.
    ///
    /// # Errors
    /// Where the clients have ended.
    pub fn set_phase(&mut self, phase: Phase) -> Result<()> {
        self.quinn.set_phase(phase);
        self.aioquic.set_phase(phase)
    }

    fn change_ports(&mut self) -> Result<()> {
        self.quinn.change_ports()?;
        self.aioquic.change_ports()
    }

    fn change_addresses(&mut self) -> Result<()> {
        self.quinn.change_addresses()?;
        self.aioquic.change_addresses()
    }

    /// Lets every connection have its last requests, and says what became of them all.
    ///
    /// # Errors
    /// Where the clients have ended.
    pub fn finish(self) -> Result<Tally> {
        self.quinn.set_phase(Phase::Finish);
        let mut tally = self.aioquic.finish()?;
        tally += self.quinn.finish()?;
        Ok(tally)
    }
}

/// Client packets that nodes received, and how many of them they forwarded.
struct Packets {
    received: u64,
    forwarded: u64,
}

impl Packets {
    /// What the XDP programs counted of QUIC packets of clients: a packet that a node forwards is
    /// counted there, and not again where it is taken out.
    const OF_CLIENTS: [Reason; 8] = [
        Reason::NotQuic,
        Reason::NewConnection,
        Reason::Local,
        Reason::Forwarded,
        Reason::OwnerDead,
        Reason::OwnerUnknown,
        Reason::NoNextHop,
        Reason::TooBig,
    ];

    fn count(fleet: &Fleet) -> Result<Self> {
        let mut packets = Self { received: 0, forwarded: 0 };
        for node in fleet.nodes() {
            let metrics = node.metrics()?;
            let count = |reason| metrics.packets("steer_node", reason);
            packets.received += Self::OF_CLIENTS.into_iter().map(count).sum::<u64>();
            packets.forwarded += count(Reason::Forwarded);
        }
        Ok(packets)
    }

    fn forwarded_percent_since(&self, before: &Self) -> f64 {
        let received = self.received - before.received;
        let forwarded = self.forwarded - before.forwarded;
        if received == 0 {
            return 0.0;
        }
        (forwarded as f64 * 10_000.0 / received as f64).round() / 100.0
    }
}
