//! The fleet that the fixtures speak of, as node 1 of it sees it.

use std::net::{IpAddr, SocketAddr};

use edge_user::steering::tick_ns;
use edge_wire::admit::Limit;
use edge_wire::cid::{Codec, DEFAULT_LEN, ServerId};
use edge_wire::maps::{DecodeConfig, EncapsulationKey, Local, Node, NodeState, Path};
use tests::kernel::idle::{self, Borrowed};
use tests::packet::Packet;

/// The port of the encapsulation.
pub(super) const PORT: u16 = 7842;
/// The node that the program runs on.
pub(super) const OURSELVES: u16 = 1;
/// Live, by the device that test packets come by.
pub(super) const LIVE: u16 = 2;
/// Live, as [`LIVE`], in VLAN [`VLAN_ID`].
pub(super) const LIVE_IN_VLAN: u16 = 3;
/// Live, by another device.
pub(super) const LIVE_ELSEWHERE: u16 = 4;
/// Agreed dead.
pub(super) const DEAD: u16 = 5;
/// Of the fleet, but nobody knows how it fares.
pub(super) const UNKNOWN: u16 = 6;
/// Live, the next hop not known, and no route either.
pub(super) const WITHOUT_NEXT_HOP: u16 = 7;
/// Live, without an address.
pub(super) const WITHOUT_ADDRESS: u16 = 8;
/// Live, reached in IPv4 alone.
pub(super) const ONLY_IPV4: u16 = 9;
/// Live, reached in IPv6 alone.
pub(super) const ONLY_IPV6: u16 = 10;
/// The last ID that a node can have; live, as [`LIVE`].
pub(super) const LAST: u16 = 4095;

/// All of them; others are in no map.
pub(super) const NODES: [u16; 11] = [
    OURSELVES,
    LIVE,
    LIVE_IN_VLAN,
    LIVE_ELSEWHERE,
    DEAD,
    UNKNOWN,
    WITHOUT_NEXT_HOP,
    WITHOUT_ADDRESS,
    ONLY_IPV4,
    ONLY_IPV6,
    LAST,
];

/// The VLAN of [`LIVE_IN_VLAN`].
pub(super) const VLAN_ID: u16 = 77;
/// Largest IP packet on every way.
pub(super) const MTU: u16 = 1500;
/// Key IDs: 0 is the previous key, 1 the current one, the others are free.
pub(super) const KEYS: [[u64; 2]; 2] = [[11, 12], [21, 22]];
/// The key ID that we send with.
pub(super) const CURRENT: u8 = 1;

/// The device that test packets come by: the loopback device.
pub(super) const INGRESS: u32 = 1;

/// Key of a decode config; `None` is in clear. Config 5 is absent.
pub(super) fn config_key(config: u8) -> Option<[u8; 16]> {
    config.is_multiple_of(2).then_some([0x40 + config; 16])
}

/// The programs on node 1 of the fleet above.
pub(super) fn fleet() -> Borrowed {
    let mut kernel = idle::borrow();
    kernel.set_local(local());
    kernel.set_port(443);
    for (_, packet) in families() {
        kernel.set_anycast(packet.destination.ip());
    }
    for config in (0..7).filter(|config| *config != 5) {
        let key = config_key(config);
        kernel.set_config(u32::from(config), DecodeConfig::new(DEFAULT_LEN, key.as_ref()));
    }
    for (key_id, key) in KEYS.into_iter().enumerate() {
        kernel.set_key(key_id as u32, EncapsulationKey { key, present: 1 });
    }
    NODES.iter().for_each(|id| kernel.set_node(*id, node(*id)));
    kernel
}

/// What node 1 knows of itself.
pub(super) fn local() -> Local {
    Local {
        initials: Limit::NONE,
        forwards: Limit::NONE,
        tick_ns: tick_ns(),
        hash_key: [1, 2],
        ipv4: ipv4_of(OURSELVES),
        ipv6: ipv6_of(OURSELVES),
        node: OURSELVES,
        encapsulation_port: PORT,
        trace_one_in: 0,
        encapsulation_key: CURRENT,
        workers: 4,
        generation: 3,
        admission: 0,
    }
}

/// A node of the fleet by its ID.
pub(super) fn node(id: u16) -> Node {
    let state = match id {
        DEAD => NodeState::Dead,
        UNKNOWN => NodeState::Unknown,
        _ => NodeState::Live,
    };
    let path = |source, destination| Path {
        source,
        destination,
        interface: match id {
            WITHOUT_NEXT_HOP => 0,
            LIVE_ELSEWHERE => INGRESS + 1,
            _ => INGRESS,
        },
        source_mac: SOURCE_MAC,
        next_hop_mac: next_hop_mac(id),
        vlan: if id == LIVE_IN_VLAN { VLAN_ID } else { 0 },
        mtu: MTU,
    };
    let ipv4 = match id {
        ONLY_IPV6 | WITHOUT_ADDRESS => Path::UNKNOWN,
        _ => path(padded(ipv4_of(OURSELVES)), padded(ipv4_of(id))),
    };
    let ipv6 = match id {
        ONLY_IPV4 | WITHOUT_ADDRESS => Path::UNKNOWN,
        _ => path(ipv6_of(OURSELVES), ipv6_of(id)),
    };
    Node { state: state as u32, ipv4, ipv6 }
}

/// The MAC address that we send from.
pub(super) const SOURCE_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// The MAC address on the way to a node.
pub(super) fn next_hop_mac(id: u16) -> [u8; 6] {
    [2, 0, 0, 0, 2, id as u8]
}

/// A node's own address.
pub(super) fn ipv4_of(id: u16) -> [u8; 4] {
    [198, 51, 100, id as u8]
}

/// See [`ipv4_of`].
pub(super) fn ipv6_of(id: u16) -> [u8; 16] {
    let [high, low] = id.to_be_bytes();
    [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, high, low]
}

/// A node's own address, of the packet's family.
pub(super) fn address_of(id: u16, family_of: &Packet, port: u16) -> SocketAddr {
    let address: IpAddr = match family_of.source {
        SocketAddr::V4(_) => ipv4_of(id).into(),
        SocketAddr::V6(_) => ipv6_of(id).into(),
    };
    SocketAddr::new(address, port)
}

fn padded([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A connection ID of config 0 that names this node.
pub(super) fn id_of(node: u16) -> Vec<u8> {
    id(0, node)
}

/// A connection ID of a config that names this node, and a worker and generation that it has not.
pub(super) fn id(config: u8, node: u16) -> Vec<u8> {
    id_owned_by(config, ServerId { node, worker: 9, generation: 200 })
}

/// A connection ID of a config that names this owner.
pub(super) fn id_owned_by(config: u8, owner: ServerId) -> Vec<u8> {
    let key = config_key(config);
    let codec = Codec::landfast(config, DEFAULT_LEN, key.as_ref()).expect("a config ID");
    codec.encode(&owner.to_bytes(), &vec![0x5a; codec.nonce_len()]).as_slice().to_vec()
}

/// Both families, with their names.
pub(super) fn families() -> [(&'static str, Packet); 2] {
    [("IPv4", Packet::ipv4()), ("IPv6", Packet::ipv6())]
}
