//! A flood of Initials with false sources.
//!
//! Three quarters of the sources are in a few networks, as rented hosts are; the rest is from
//! anywhere, as false sources are. Each Initial is genuine and no client goes on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::fleet::raw_ip::RawIp;
use crate::fleet::{ANYCAST, Fleet, PORT};
use crate::initials::Initials;
use crate::net::Random;
use crate::packet::Packet;

/// Initials a second: a line of 100 Mbit/s. Half of a handshake lasts ten seconds, so
/// the Retry thresholds of three nodes are reached within the first second.
const INITIALS_A_SECOND: u64 = 10_000;
/// Enough for a run, so that no connection ID comes twice.
const INITIALS: u64 = 80_000;
/// Between two bursts.
const TICK: Duration = Duration::from_millis(2);
/// Networks of each family that three quarters of the flood comes from: each a /24, or a /56.
const NETWORKS: u64 = 4;
/// Where the sources are: what answers them goes nowhere.
const SOURCES: [&str; 3] = ["10.0.0.0/8", "100.64.0.0/16", "2001:db8:8000::/33"];
const SEED: u64 = 0x0f10_0d00;

/// Packets, made before the flood so that making them takes no time from those who suffer it.
pub(super) struct Packets(Vec<Vec<u8>>);

impl Packets {
    pub(super) fn make() -> Result<Self> {
        let initials = Initials::new()?;
        let mut random = Random::seeded(SEED);
        let packet = |_| {
            let id = random.draw().to_be_bytes();
            let anycast = ANYCAST[(random.draw() % 2) as usize];
            let source = source(anycast.is_ipv4(), &mut random);
            let packet = Packet::ipv4().payload(initials.datagram(&id)?).with(|packet| {
                packet.source = source;
                packet.destination = SocketAddr::new(anycast, PORT);
            });
            Ok(packet.ip())
        };
        Ok(Self((0..INITIALS).map(packet).collect::<Result<_>>()?))
    }
}

fn source(ipv4: bool, random: &mut Random) -> SocketAddr {
    let network = random.draw() % NETWORKS;
    let few = !random.draw().is_multiple_of(4);
    let bits = random.draw();
    let address: IpAddr = if ipv4 {
        let base = if few { 0x6440_0000 | (network as u32) << 8 } else { 0x0a00_0000 };
        let mask = if few { 0xff } else { 0x00ff_ffff };
        Ipv4Addr::from(base | bits as u32 & mask).into()
    } else {
        let base = 0x2001_0db8_8000_0000 | if few { network << 8 } else { 0 };
        let mask = if few { 0xff } else { 0x7fff_ffff };
        Ipv6Addr::from(u128::from(base | bits & mask) << 64 | u128::from(random.draw())).into()
    };
    SocketAddr::new(address, 1024 + (random.draw() % 60_000) as u16)
}

/// The thread that sends.
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent>>,
}

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Packets.
    pub(super) initials: u64,
    /// In this time.
    pub(super) took: Duration,
}

impl Flood {
    /// Sends from the client's side, until it is told to stop or has nothing left to send.
    pub(super) fn start(fleet: &Fleet, packets: Packets) -> Result<Self> {
        let lines = SOURCES.map(|source| format!("route add blackhole {source}\n")).concat();
        fleet.router().namespace().ip(&lines)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = fleet.client().namespace().thread(move || send(&packets.0, &stopped));
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the flood panicked"))?
    }
}

fn send(packets: &[Vec<u8>], stopped: &AtomicBool) -> Result<Sent> {
    let raw = RawIp::open()?;
    let start = Instant::now();
    let mut initials = 0;
    for packet in packets {
        while initials >= start.elapsed().as_micros() as u64 * INITIALS_A_SECOND / 1_000_000 {
            if stopped.load(Ordering::Relaxed) {
                return Ok(Sent { initials, took: start.elapsed() });
            }
            sleep(TICK);
        }
        // A full queue loses packets on their way, as real floods do; anything else is a fault.
        raw.send(packet)?;
        initials += 1;
    }
    Ok(Sent { initials, took: start.elapsed() })
}
