//! Listens at the router to every packet that passes, as on the wire.
//!
//! A packet that the router sends on is heard twice, the second time with a hop less.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::namespace::Namespace;

/// Between two looks at whether to end.
const LOOK_EACH_MS: i64 = 20;
/// The port to which nodes encapsulate.
const ENCAPSULATION_PORT: u16 = 7842;
const ETHERNET_BYTES: usize = 14;
/// Of ours, in front of the inner packet.
const HEADER_BYTES: usize = 16;
/// What a node sets as the outer hop limit: what it sent is heard with this, before the router
/// takes one away.
const OUTER_HOPS: u8 = 64;

/// A UDP datagram as it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sends it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// Of the UDP header.
    pub checksum: u16,
    /// The whole IP packet.
    pub packet: Vec<u8>,
    /// Behind the UDP header.
    pub payload: Vec<u8>,
}

/// What a node sent to another.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// The outer packet.
    pub outer: Heard,
    /// The client's packet.
    pub inner: Heard,
}

/// The thread that listens, until it is dropped.
#[derive(Debug)]
pub struct Tap {
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// In this namespace, on every device.
    ///
    /// # Errors
    /// Where the kernel refuses, usually because this is not root.
    pub(super) fn start(namespace: &Namespace) -> Result<Self> {
        let socket = namespace.enter(packet_socket)?;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (hearing, stopped) = (heard.clone(), stop.clone());
        let thread = std::thread::spawn(move || listen(&socket, &hearing, &stopped));
        Ok(Self { heard, stop, thread: Some(thread) })
    }

    /// Every UDP datagram until now.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What nodes sent to nodes until now, each once.
    #[must_use]
    pub fn crossings(&self) -> Vec<Crossing> {
        let mut heard = self.heard();
        heard.retain(|outer| {
            outer.destination.port() == ENCAPSULATION_PORT && outer.hops == OUTER_HOPS
        });
        let crossing = |outer: Heard| {
            let inner = Heard::parse(outer.payload.get(HEADER_BYTES..)?)?;
            Some(Crossing { outer, inner })
        };
        heard.into_iter().filter_map(crossing).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panic was printed
        }
    }
}

fn packet_socket() -> Result<OwnedFd> {
    let (family, flags) = (AddressFamily::Packet, SockFlag::SOCK_CLOEXEC);
    let socket = socket(family, SockType::Raw, flags, SockProtocol::EthAll)
        .context("a packet socket (it takes root)")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(LOOK_EACH_MS))?;
    Ok(socket)
}

fn listen(socket: &OwnedFd, heard: &Mutex<Vec<Heard>>, stopped: &AtomicBool) {
    let mut frame = vec![0; usize::from(u16::MAX) + ETHERNET_BYTES];
    while !stopped.load(Ordering::Relaxed) {
        // Nothing within the timeout is an error too.
        let Ok(length) = recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) else { continue };
        let packet = frame[..length].get(ETHERNET_BYTES..).and_then(Heard::parse);
        heard.lock().unwrap_or_else(PoisonError::into_inner).extend(packet);
    }
}

impl Heard {
    /// Reads an IP packet without options, written anew here: a fault of the code under test is
    /// not built into what is expected of it.
    fn parse(packet: &[u8]) -> Option<Self> {
        let (header_bytes, protocol, hops, traffic_class) = match packet.first()? {
            0x45 => (20, *packet.get(9)?, *packet.get(8)?, *packet.get(1)?),
            first if first >> 4 == 6 => {
                let class = first << 4 | packet.get(1)? >> 4;
                (40, *packet.get(6)?, *packet.get(7)?, class)
            }
            _ => return None,
        };
        if protocol != 17 {
            return None;
        }
        let (header, datagram) = packet.split_at_checked(header_bytes)?;
        let addresses: [IpAddr; 2] = match header_bytes {
            20 => [12, 16].map(|at| Ipv4Addr::from(four(header, at)).into()),
            _ => [8, 24].map(|at| Ipv6Addr::from(sixteen(header, at)).into()),
        };
        let number = |at| Some(u16::from_be_bytes([*datagram.get(at)?, *datagram.get(at + 1)?]));
        let (source_port, destination_port, length) = (number(0)?, number(2)?, number(4)?);
        Some(Self {
            source: SocketAddr::new(addresses[0], source_port),
            destination: SocketAddr::new(addresses[1], destination_port),
            traffic_class,
            hops,
            checksum: number(6)?,
            packet: packet.get(..header_bytes + usize::from(length))?.to_vec(),
            payload: datagram.get(8..usize::from(length))?.to_vec(),
        })
    }
}

fn four(header: &[u8], at: usize) -> [u8; 4] {
    header[at..at + 4].try_into().expect("four bytes")
}

fn sixteen(header: &[u8], at: usize) -> [u8; 16] {
    header[at..at + 16].try_into().expect("sixteen bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;

    #[test]
    fn what_the_builder_wrote_is_read() {
        for packet in [Packet::ipv4(), Packet::ipv6()] {
            let packet = packet.payload([7; 30]).traffic_class(0xb9);
            let heard = Heard::parse(&packet.frame()[ETHERNET_BYTES..]).expect("UDP");
            assert_eq!((heard.source, heard.destination), (packet.source, packet.destination));
            assert_eq!((heard.traffic_class, heard.hops), (0xb9, packet.hops));
            assert_eq!((heard.packet, heard.payload), (packet.ip(), packet.payload));
        }
    }
}
