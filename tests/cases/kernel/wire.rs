//! What stands on the wire between nodes, built without the code under test.

use std::net::SocketAddr;

use edge_wire::Reason::{Forwarded, Stripped};
use tests::kernel::Action;
use tests::packet::{Encapsulation, Packet, VLAN};

use super::fixture::Fixture;
use super::fleet::{
    CURRENT, KEYS, LIVE_ELSEWHERE, LIVE_IN_VLAN, OURSELVES, PORT, SOURCE_MAC, VLAN_ID, address_of,
    next_hop_mac,
};

/// A packet that is sent to `owner`, and what stands on the wire then.
pub(super) fn sent(
    sentence: impl Into<String>,
    variant: impl Into<String>,
    packet: &Packet,
    owner: u16,
) -> Fixture {
    sent_in(packet, sentence, variant, packet, owner)
}

/// As [`sent`], the outer headers of the family of `way`.
pub(super) fn sent_in(
    way: &Packet,
    sentence: impl Into<String>,
    variant: impl Into<String>,
    packet: &Packet,
    owner: u16,
) -> Fixture {
    let out = encapsulated(way, packet, owner).frame();
    let action = if owner == LIVE_ELSEWHERE { Action::Redirect } else { Action::Tx };
    let (sentence, variant) = (sentence.into(), variant.into());
    Fixture {
        sentence,
        variant,
        metadata_len: 0,
        frame: packet.frame(),
        action,
        out,
        reason: Forwarded,
    }
}

/// What we send to `owner` for this packet of a client's.
pub(super) fn encapsulated(way: &Packet, packet: &Packet, owner: u16) -> Packet {
    let mut outer = packet.clone();
    outer.macs = (next_hop_mac(owner), SOURCE_MAC);
    outer.tags = if owner == LIVE_IN_VLAN { vec![(VLAN, VLAN_ID)] } else { Vec::new() };
    outer.source = address_of(OURSELVES, way, source_port(packet.source));
    outer.destination = address_of(owner, way, PORT);
    outer.traffic_class = packet.traffic_class & 0xfc;
    outer.hops = 64;
    outer.fragment = [0, 0, 0x40, 0]; // don't fragment
    outer.protocol = tests::packet::UDP;
    outer.checksum = false;
    let encapsulation = Encapsulation::by(OURSELVES, CURRENT);
    outer.payload = encapsulation.around(&packet.ip(), KEYS[usize::from(CURRENT)]);
    outer
}

/// The outer source port, as `edge_wire::tunnel` documents it.
fn source_port(client: SocketAddr) -> u16 {
    let words = match client {
        SocketAddr::V4(client) => vec![u32::from_le_bytes(client.ip().octets())],
        SocketAddr::V6(client) => {
            let octets = client.ip().octets();
            octets.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("4"))).collect()
        }
    };
    let folded = words.into_iter().fold(u32::from(client.port()) << 8, |all, word| all ^ word);
    0xc000 | (folded.wrapping_mul(0x9e37_79b1) >> 18) as u16
}

/// What encapsulation adds where the outer headers are of the family of `way`.
pub(super) fn overhead(way: &Packet) -> usize {
    if way.source.is_ipv4() { 20 + 8 + 16 } else { 40 + 8 + 16 }
}

/// A packet that `from` encapsulated for us, under one of the keys, and how it is passed.
pub(super) fn taken_in(
    sentence: impl Into<String>,
    variant: impl Into<String>,
    inner: &Packet,
    from: u16,
    key: u8,
) -> Fixture {
    taken_in_by(inner, sentence, variant, inner, from, key)
}

/// As [`taken_in`], the outer headers of the family of `way`.
pub(super) fn taken_in_by(
    way: &Packet,
    sentence: impl Into<String>,
    variant: impl Into<String>,
    inner: &Packet,
    from: u16,
    key: u8,
) -> Fixture {
    let payload = Encapsulation::by(from, key).around(&inner.ip(), KEYS[usize::from(key)]);
    let mut outer = to_us(way, from, payload);
    (outer.macs, outer.tags) = (inner.macs, inner.tags.clone());
    Fixture {
        sentence: sentence.into(),
        variant: variant.into(),
        metadata_len: 0,
        frame: outer.frame(),
        action: Action::Pass,
        out: inner.frame(),
        reason: Stripped,
    }
}

/// From a node's address to ours, over the family of `like`, to the port of the encapsulation.
pub(super) fn to_us(like: &Packet, from: u16, payload: Vec<u8>) -> Packet {
    let mut outer = like.clone().payload(payload);
    outer.source = address_of(from, like, 50_000);
    outer.destination = address_of(OURSELVES, like, PORT);
    outer.traffic_class = 0;
    outer.hops = 60;
    outer.checksum = false;
    outer
}
