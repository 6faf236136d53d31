//! The kernel maps: names, keys and values. `edge-user` writes them, `edge-ebpf` reads them.
//!
//! Values are `repr(C)` without padding, in host byte order unless said; sizes are asserted here
//! because kernel and user space are compiled apart.

mod entry;

use crate::admit::Limit;
pub use crate::cid::DecodeConfig;
use crate::dissect::Family;
use crate::siphash;
pub use entry::{Headers, Ipv6Entry, Link, NodeEntry};

#[cfg(doc)]
use crate::{admit, anycast};

/// Array of one [`Local`].
pub const LOCAL: &str = ".data.local";
/// Array of one [`Ports`]: bit `port % 64` of word `port / 64` is set for our UDP ports.
pub const PORTS: &str = ".bss.ports";
/// Array of one [`anycast::Buckets`]: the anycast addresses. Asked only where a packet is about to cross
/// between nodes.
pub const ANYCAST: &str = ".bss.anycast";
/// Array of one [`DecodeConfigs`].
pub const DECODE_CONFIGS: &str = ".data.configs";
/// Array of [`NodeEntry`], by node ID.
pub const NODES: &str = "NODES";
/// Array of [`Ipv6Entry`], by node ID: so that the entries of [`NODES`] are a cache line each.
pub const NODES_IPV6: &str = "NODES_IPV6";
/// Array of one [`EncapsulationKeys`].
pub const ENCAPSULATION_KEYS: &str = ".data.keys";
/// Array of sockets, by worker, of this generation.
pub const WORKERS: &str = "WORKERS";
/// LPM trie whose keys are networks that packets are dropped from, IPv4-mapped where they are IPv4
/// (so that their prefix is 96 bits longer); the value is 1. Asked only while [`admit::BLOCKLIST`] is on.
pub const BLOCKLIST: &str = "BLOCKLIST";
/// As [`PORTS`], of UDP source ports whose packets are dropped while [`admit::AMPLIFIER_PORTS`]
/// is on.
pub const AMPLIFIER_PORTS: &str = ".bss.amplifier";
/// LRU hash map from [`admit::network`] to the [`admit::Budget`]'s time: Initials of that network.
pub const INITIALS: &str = "INITIALS";
/// Per-CPU array of `u64`, by [`crate::Reason`]: packets that `steer_node` ended so.
pub const NODE_REASONS: &str = "NODE_REASONS";
/// Per-CPU array of `u64`, by [`crate::Reason`]: packets that `steer_worker` ended so.
pub const WORKER_REASONS: &str = "WORKER_REASONS";
/// The XDP program.
pub const STEER_NODE: &str = "steer_node";
/// The reuseport program.
pub const STEER_WORKER: &str = "steer_worker";

/// Words of [`Ports`].
pub const PORT_WORDS: u32 = 1024;
/// Addresses in [`ANYCAST`].
pub const MAX_ANYCAST: u32 = 256;
/// Entries of [`NODES`] and of [`NODES_IPV6`]. An array: a hash map costs three times as much.
pub const MAX_NODES: u32 = 4096;
/// Entries of [`BLOCKLIST`]: 64 bytes each.
pub const MAX_BLOCKLIST: u32 = 65_536;
/// Entries of [`INITIALS`], the least recently used of which make room for new ones: the networks
/// of a flood with random senders are as many as it likes.
pub const MAX_INITIALS: u32 = 65_536;
/// Of [`EncapsulationKeys`]: previous, current, next, and one to spare.
pub const MAX_ENCAPSULATION_KEYS: u32 = 4;
/// Entries of [`WORKERS`].
pub const MAX_WORKERS: u32 = 256;

/// A bit for each UDP port.
pub type Ports = [u64; PORT_WORDS as usize];
/// By config ID; eight, so that three bits are always in bounds.
pub type DecodeConfigs = [DecodeConfig; 8];
/// By key ID.
pub type EncapsulationKeys = [EncapsulationKey; MAX_ENCAPSULATION_KEYS as usize];

/// What the programs know of their own node.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Key of [`crate::cid::worker_by_hash`].
    pub hash_key: siphash::Key,
    /// Initials of one network, while [`admit::INITIALS`] is on.
    pub initials: Limit,
    /// Packets to one node; no limit where they cost nothing.
    pub forwards: Limit,
    /// Nanoseconds from one tick of the kernel's clock to the next: what `bpf_jiffies64` counts.
    pub tick_ns: u64,
    /// Our own addresses, to which other nodes encapsulate; zero where we have none of a family.
    pub ipv4: [u8; 4],
    /// See `ipv4`.
    pub ipv6: [u8; 16],
    /// Our node ID.
    pub node: u16,
    /// UDP port of the encapsulation, on every node the same.
    pub encapsulation_port: u16,
    /// Log one verdict in so many through the trace buffer; 0 logs none.
    pub trace_one_in: u32,
    /// Key ID under which we encapsulate.
    pub encapsulation_key: u8,
    /// Sockets in [`WORKERS`]: 0 to `workers - 1`.
    pub workers: u8,
    /// The process that owns those sockets.
    pub generation: u8,
    /// Early drops: switches of [`admit`], one bit each.
    pub admission: u8,
}

/// A node of the fleet, ourselves included, as user space knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// One of [`NodeState`].
    pub state: u32,
    /// The way there in IPv4; see [`Node::way`].
    pub ipv4: Path,
    /// The way there in IPv6.
    pub ipv6: Path,
}

/// What is known of a node: the values of [`Node::state`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NodeState {
    /// No node has this ID, or nobody knows how it fares.
    Unknown = 0,
    /// It serves: its packets are sent to it.
    Live = 1,
    /// Agreed dead: its connections may be reset.
    Dead = 2,
}

/// The next hop to a node in one family, kept up to date from netlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Outer source: our own address. IPv4 in the first four bytes.
    pub source: [u8; 16],
    /// Outer destination: the node's address, from which alone its encapsulation is accepted.
    pub destination: [u8; 16],
    /// Device to send by: an index, or 0 while the next hop is not known.
    pub interface: u32,
    /// The next hop's MAC address.
    pub next_hop_mac: [u8; 6],
    /// The device's MAC address.
    pub source_mac: [u8; 6],
    /// 802.1Q tag to send with: the VLAN ID, or 0 for none.
    pub vlan: u16,
    /// Largest IP packet, outer headers included.
    pub mtu: u16,
}

/// A key of the encapsulation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncapsulationKey {
    /// SipHash key.
    pub key: siphash::Key,
    /// 1 where this entry holds a key.
    pub present: u64,
}

impl Path {
    /// Not known.
    pub const UNKNOWN: Self = Self {
        source: [0; 16],
        destination: [0; 16],
        interface: 0,
        source_mac: [0; 6],
        next_hop_mac: [0; 6],
        vlan: 0,
        mtu: 0,
    };
}

/// How an Ethernet header begins.
#[inline(always)]
#[must_use]
pub const fn macs(to: &[u8; 6], from: &[u8; 6]) -> [u8; 12] {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (*to, *from);
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

impl Node {
    /// The way for a packet of the family `inner`, and the family of the outer headers: its own
    /// where both ends have an address of it, else the other.
    #[inline(always)]
    #[must_use]
    pub fn way(&self, inner: Family) -> (Family, &Path) {
        let has_ends = |path: &Path| u128::from_ne_bytes(path.destination) != 0;
        match inner {
            Family::Ipv4 if has_ends(&self.ipv4) => (Family::Ipv4, &self.ipv4),
            Family::Ipv6 if !has_ends(&self.ipv6) => (Family::Ipv4, &self.ipv4),
            _ => (Family::Ipv6, &self.ipv6),
        }
    }

    /// No node.
    pub const UNKNOWN: Self =
        Self { state: NodeState::Unknown as u32, ipv4: Path::UNKNOWN, ipv6: Path::UNKNOWN };
}

impl Local {
    /// Nothing: no port, no address, no worker.
    pub const NONE: Self = Self {
        hash_key: [0; 2],
        initials: Limit::NONE,
        forwards: Limit::NONE,
        tick_ns: 0,
        ipv4: [0; 4],
        ipv6: [0; 16],
        node: 0,
        encapsulation_port: 0,
        trace_one_in: 0,
        encapsulation_key: 0,
        workers: 0,
        generation: 0,
        admission: 0,
    };
}

impl EncapsulationKey {
    /// No key.
    pub const ABSENT: Self = Self { key: [0; 2], present: 0 };
}

const _: () = {
    assert!(size_of::<Local>() == 88 && align_of::<Local>() == 8);
    assert!(size_of::<EncapsulationKey>() == 24);
    assert!(size_of::<DecodeConfig>() == 496);
};

#[cfg(feature = "user")]
#[allow(unsafe_code)] // reason: `Pod` is an unsafe trait
mod pod {
    use super::{DecodeConfig, EncapsulationKey, Ipv6Entry, Local, NodeEntry};

    // SAFETY: for all five: repr(C), `Copy`, without padding (the fields' sizes add up to the
    // asserted size), and any bytes of the right length are a value.
    unsafe impl aya::Pod for Local {}
    // SAFETY: as above.
    unsafe impl aya::Pod for NodeEntry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Ipv6Entry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for EncapsulationKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for DecodeConfig {}
}
