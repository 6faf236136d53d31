//! The maps, filled for a node of a fleet of 4,000 with everything switched on.

use std::net::IpAddr;

use edge_user::steering::tick_ns;
use edge_wire::admit::{AMPLIFIER_PORTS, INITIALS, Limit, SMALL_INITIALS};
use edge_wire::cid::{DEFAULT_LEN, MAX_LEN};
use edge_wire::maps::{self, DecodeConfig, EncapsulationKey, Local, Node, NodeState};

use super::paths;
use crate::kernel::Kernel;

/// Nodes of the fleet: IDs 0 to 3999.
pub(super) const NODES: u16 = 4000;
/// The node that the program runs on.
pub(super) const OURSELVES: u16 = 1;
/// Another node.
pub(super) const ANOTHER: u16 = 2;
/// Another node, reached by another device than that of the test packets.
pub(super) const ELSEWHERE: u16 = 3;
/// The port of the encapsulation.
pub(super) const PORT: u16 = 7842;
/// The key of the encapsulation, and its ID.
pub(super) const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
pub(super) const KEY_ID: u8 = 1;

/// The device that test packets come by: the loopback device.
const INGRESS: u32 = 1;

/// Configs of connection IDs: in clear, in a single pass, in four passes.
pub(super) const PLAIN: u8 = 0;
pub(super) const ENCRYPTED: u8 = 1;
pub(super) const FOUR_PASS: u8 = 2;

/// The length of a config's connection IDs.
pub(super) fn id_len(config: u8) -> usize {
    if config == FOUR_PASS { MAX_LEN } else { DEFAULT_LEN }
}

/// The key of a config's connection IDs.
pub(super) fn config_key(config: u8) -> Option<[u8; 16]> {
    (config != PLAIN).then_some([0x40 + config; 16])
}

pub(super) fn fill(kernel: &mut Kernel) {
    kernel.set_local(local());
    kernel.set_port(443);
    for address in paths::anycast() {
        kernel.set_anycast(address);
    }
    for config in [PLAIN, ENCRYPTED, FOUR_PASS] {
        let decode = DecodeConfig::new(id_len(config), config_key(config).as_ref());
        kernel.set_config(u32::from(config), decode);
    }
    kernel.set_amplifier_port(53);
    kernel.set_key(u32::from(KEY_ID), EncapsulationKey { key: KEY, present: 1 });
    for id in 0..NODES {
        kernel.set_node(id, node(id));
    }
}

fn local() -> Local {
    Local {
        hash_key: [1, 2],
        // Far above what one core can do: they are counted, and refuse nothing.
        initials: Limit::per_second(1_000_000_000, 1_000_000_000),
        forwards: Limit::per_second(1_000_000_000, 1_000_000_000),
        tick_ns: tick_ns(),
        ipv4: ipv4_of(OURSELVES),
        ipv6: ipv6_of(OURSELVES),
        node: OURSELVES,
        encapsulation_port: PORT,
        trace_one_in: 0,
        encapsulation_key: KEY_ID,
        workers: 4,
        generation: 3,
        admission: AMPLIFIER_PORTS | SMALL_INITIALS | INITIALS,
    }
}

fn node(id: u16) -> Node {
    let [high, low] = id.to_be_bytes();
    let path = |source, destination| maps::Path {
        source,
        destination,
        interface: if id == ELSEWHERE { INGRESS + 1 } else { INGRESS },
        source_mac: [2, 0, 0, 0, 1, 1],
        next_hop_mac: [2, 0, 0, 1, high, low],
        vlan: 0,
        mtu: 1500,
    };
    Node {
        state: NodeState::Live as u32,
        ipv4: path(padded(ipv4_of(OURSELVES)), padded(ipv4_of(id))),
        ipv6: path(ipv6_of(OURSELVES), ipv6_of(id)),
    }
}

/// A node's own address, of the family of `like`.
pub(super) fn address_of(id: u16, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => ipv4_of(id).into(),
        IpAddr::V6(_) => ipv6_of(id).into(),
    }
}

fn ipv4_of(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [198, 18, high, low]
}

fn ipv6_of(id: u16) -> [u8; 16] {
    let [high, low] = id.to_be_bytes();
    [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, high, low]
}

fn padded([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}
