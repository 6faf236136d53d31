//! QUIC: one engine a worker, and all that feeds it.
//!
//! | module | job |
//! |---|---|
//! | [`engine`] | sans-IO: endpoint and connections; `handle_*` in, `poll_*` out, next deadline |
//! | [`transport`] | what the engine allows: windows, streams, sizes, tokens |
//! | [`cid`] | mints connection IDs that name their owner, and reads the owner from one |
//! | [`keys`] | token and stateless-reset keys, shared by the fleet |
//! | [`streams`] | handles to the engine's streams; implements `h3::quic` |
//! | [`driver`] | the loop of one worker: socket, clock, engine |
//! | [`socket`] | the group of sockets, batches in and out |

pub mod cid;
pub mod driver;
pub mod engine;
pub mod keys;
pub mod socket;
pub mod streams;
pub mod transport;

use std::net::SocketAddr;

use bytes::BytesMut;

/// A UDP payload on its way to an engine.
#[derive(Debug)]
pub struct Datagram {
    /// Where it came from.
    pub client: SocketAddr,
    /// The anycast address and port it came to, from which the answer leaves.
    pub destination: SocketAddr,
    /// Congestion marks of the IP header.
    pub ecn: Option<quinn_udp::EcnCodepoint>,
    /// What it carries.
    pub payload: BytesMut,
    /// How it came to this worker.
    pub via: Via,
}

/// How a datagram came to a worker. What came from a node is never sent to a node again, and
/// what came from a worker goes nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through its own socket.
    Wire,
    /// Handed over by another worker of this process.
    Worker,
    /// Forwarded by another node.
    Node,
}
