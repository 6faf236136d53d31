//! What a fleet is made of, and in what it differs from the usual one.

use std::time::Duration;

use super::topology::{PLACES, Place};

/// How a node steers: the words of its config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// XDP in the driver.
    Native,
    /// XDP behind the driver.
    Generic,
    /// In the process, without XDP.
    UserSpace,
    /// Not at all: the kernel's hash of the 4-tuple.
    Off,
}

impl Steering {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::UserSpace => "user-space",
            Self::Off => "off",
        }
    }
}

/// In what a fleet differs from the usual one.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// Nodes that run: the others are no more than names, and nobody routes to them.
    pub nodes: Vec<&'static str>,
    /// How nodes steer.
    pub steering: Steering,
    /// Nodes that steer in another way.
    pub exceptions: Vec<(&'static str, Steering)>,
    /// Workers of a node.
    pub workers: u8,
    /// Nodes with another number of workers.
    pub uneven_workers: Vec<(&'static str, u8)>,
    /// Handshakes in progress above which a node asks for a Retry.
    pub retry_threshold: u32,
    /// How long a stop waits for requests.
    pub drain: Duration,
    /// Nodes that have an address of IPv4 only, for packets between nodes.
    pub ipv4_only: Vec<&'static str>,
    /// The same, of IPv6.
    pub ipv6_only: Vec<&'static str>,
    /// Nodes of which the others don't know how they fare.
    pub unknown: Vec<&'static str>,
    /// Whether connection IDs show their owner to everybody.
    pub plain_ids: bool,
    /// Nodes that use a next key of each sort, which the others only know.
    pub rotated: Vec<&'static str>,
    /// Lines for `[quic]`, beside those that are there.
    pub quic: &'static str,
    /// Lines for `[admission]`, without the blocklist, which every node has, empty at first.
    pub admission: &'static str,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            nodes: PLACES.map(|place| place.name).to_vec(),
            steering: Steering::Native,
            exceptions: Vec::new(),
            workers: 2,
            uneven_workers: Vec::new(),
            retry_threshold: 1000,
            drain: Duration::from_secs(5),
            ipv4_only: Vec::new(),
            ipv6_only: Vec::new(),
            unknown: Vec::new(),
            plain_ids: false,
            rotated: Vec::new(),
            quic: "",
            admission: "",
        }
    }
}

impl FleetOptions {
    /// Of a1 and a2 alone. Each node costs a second of a core while the kernel verifies its
    /// programs, and most cases need an owner and one other.
    #[must_use]
    pub fn pair() -> Self {
        Self { nodes: vec!["a1", "a2"], ..Self::default() }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        PLACES.into_iter().filter(|place| self.nodes.contains(&place.name))
    }

    pub(super) fn steering_at(&self, node: &str) -> Steering {
        let exception = self.exceptions.iter().find(|(name, _)| *name == node);
        exception.map_or(self.steering, |(_, steering)| *steering)
    }

    pub(super) fn workers_at(&self, node: &str) -> u8 {
        let uneven = self.uneven_workers.iter().find(|(name, _)| *name == node);
        uneven.map_or(self.workers, |(_, workers)| *workers)
    }
}
