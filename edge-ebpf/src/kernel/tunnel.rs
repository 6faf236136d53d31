//! From node to node: what is put in front of a packet, and taken off again.
//!
//! The tag is checked, or made, before anything is moved: afterwards a failure would leave half
//! a packet.

use aya_ebpf::bindings::xdp_action::{self, XDP_TX};
use aya_ebpf::helpers::{bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use edge_wire::Reason;
use edge_wire::cursor::Cursor as _;
use edge_wire::dissect::{self, Addresses, ETHERNET_LEN, Family, VLAN_LEN};
use edge_wire::maps::{Headers, Local, NodeEntry};
use edge_wire::tunnel::{self, Covered, Header, Outer};

use super::maps::{self, NODES, NODES_IPV6};
use super::next_hop::{self, NextHop};
use super::packet::Packet;
use super::steer::Datagram;

/// The bits of the traffic class that are the DSCP; the outer ECN field is 00.
const DSCP: u8 = 0xfc;

/// Checks that a node of ours made this encapsulation for us, and takes its headers off. The
/// Ethernet header stays, with its tags; it names the family of the inner packet afterwards.
///
/// # Errors
/// One of the four Reasons to drop, the packet untouched.
#[inline(always)]
pub(crate) fn take_in(ctx: &XdpContext, local: &Local, outer: Datagram<'_>) -> Result<(), Reason> {
    let mut cursor = outer.payload;
    let header =
        cursor.take().and_then(Header::from_bytes).ok_or(Reason::EncapsulationMalformed)?;
    if u32::from(outer.udp.payload_len) != tunnel::LEN as u32 + u32::from(header.inner_len) {
        return Err(Reason::EncapsulationMalformed);
    }
    let key = maps::encapsulation_key(header.key_id).ok_or(Reason::EncapsulationKey)?;
    if header.source_node == local.node || !is_from(header.source_node, &outer.udp.addresses) {
        return Err(Reason::EncapsulationSender);
    }
    let overhead = tunnel::overhead(outer.udp.addresses.family());
    let family = { cursor }.take_u8().and_then(Family::of).ok_or(Reason::EncapsulationMalformed)?;
    let covered = Covered::take(cursor, family).ok_or(Reason::EncapsulationMalformed)?;
    if header.tag != header.expected_tag(&key.key, covered) {
        return Err(Reason::EncapsulationForged);
    }
    let ethertype = family.ethertype();
    match dissect::udp(&mut cursor, ethertype) {
        Ok(inner)
            if inner.ip_len == header.inner_len
                && maps::is_ours(inner.destination_port)
                && maps::is_anycast(&inner.addresses) => {}
        _ => return Err(Reason::EncapsulationMalformed),
    }
    move_link_header(ctx, outer.link_len, overhead, ethertype)
        .ok_or(Reason::EncapsulationMalformed)?;
    // SAFETY: the context is the program's own; the verifier forbids the use of older pointers
    // into the packet.
    match unsafe { bpf_xdp_adjust_head(ctx.ctx, overhead as i32) } {
        0 => Ok(()),
        _ => Err(Reason::EncapsulationMalformed),
    }
}

/// Is the sender's address this node's? How the node fares does not matter: what it sends on is
/// ours all the same. Who is no node has no address, and a tag to match it cannot be made.
#[inline(always)]
fn is_from(node: u16, addresses: &Addresses<'_>) -> bool {
    let node = u32::from(node);
    match addresses {
        Addresses::V4 { source, .. } => NODES
            .get(node)
            .is_some_and(|entry| **source == tunnel::ipv4_ends(&entry.ipv4_headers)[1]),
        Addresses::V6 { source, .. } => NODES_IPV6
            .get(node)
            .is_some_and(|entry| *source == tunnel::ipv6_ends(&entry.headers)[1]),
    }
}

/// Copies the Ethernet header `by` bytes further into the frame, where it says `ethertype`. The two
/// places do not overlap: it is shorter than any encapsulation.
#[inline(always)]
fn move_link_header(ctx: &XdpContext, length: usize, by: usize, ethertype: u16) -> Option<()> {
    const ONE_TAG: usize = ETHERNET_LEN + VLAN_LEN;
    const TWO_TAGS: usize = ONE_TAG + VLAN_LEN;
    const _: () = assert!(TWO_TAGS < tunnel::OVERHEAD_IPV4);
    let mut from = Packet::frame(ctx);
    let mut to = from;
    to.advance(by)?;
    match length {
        ETHERNET_LEN => to.put(*from.take::<{ ETHERNET_LEN - 2 }>()?)?,
        ONE_TAG => to.put(*from.take::<{ ONE_TAG - 2 }>()?)?,
        _ => to.put(*from.take::<{ TWO_TAGS - 2 }>()?)?,
    }
    to.put(ethertype.to_be_bytes())
}

/// Encapsulates the packet and sends it to the live node of this ID and entry. Its own bytes stay as
/// they are.
///
/// # Errors
/// The Reason why the packet is passed instead.
#[inline(always)]
pub(crate) fn send(
    ctx: &XdpContext,
    local: &Local,
    node: u16,
    entry: &NodeEntry,
    inner: Datagram<'_>,
) -> Result<xdp_action::Type, Reason> {
    let ipv6 = || NODES_IPV6.get(u32::from(node));
    let way = entry.way(ipv6, inner.udp.addresses.family());
    let (link, headers) = way.ok_or(Reason::NoNextHop)?;
    let ip_len = inner.udp.ip_len;
    let overhead = tunnel::overhead(match headers {
        Headers::Ipv4(_) => Family::Ipv4,
        Headers::Ipv6(_) => Family::Ipv6,
    });
    let hop = next_hop::to(ctx, link, headers, usize::from(ip_len) + overhead)?;
    // A node without the key it should send with is not set up to send: it passes.
    let key = maps::encapsulation_key(local.encapsulation_key).ok_or(Reason::NoNextHop)?;
    // Whatever can name an owner is long enough.
    let family = inner.udp.addresses.family();
    let covered = Covered::take(inner.network, family).ok_or(Reason::Malformed)?;
    let header = Header::sealed(&key.key, local.encapsulation_key, local.node, ip_len, covered);

    // Before the packet moves, and its addresses with it.
    let source_port = tunnel::source_port(&inner.udp.addresses, inner.udp.source_port);
    let ports = (source_port, local.encapsulation_port);
    let new_link_len = if hop.vlan == 0 { ETHERNET_LEN } else { ETHERNET_LEN + VLAN_LEN };
    cut_padding(ctx, &inner)?;
    // SAFETY: as in `take_in`.
    let moved = unsafe {
        bpf_xdp_adjust_head(ctx.ctx, inner.link_len as i32 - (new_link_len + overhead) as i32)
    };
    if moved != 0 {
        return Err(Reason::NoHeadroom);
    }
    let outer = Outer { traffic_class: inner.udp.traffic_class & DSCP, ports, header: &header };
    write(ctx, &hop, headers, &outer).ok_or(Reason::NoHeadroom)?;
    if hop.interface == ctx.ingress_ifindex() as u32 {
        return Ok(XDP_TX);
    }
    // SAFETY: takes two numbers.
    Ok(unsafe { bpf_redirect(hop.interface, 0) } as xdp_action::Type)
}

/// Cuts what the frame has behind the packet, so that the MTU speaks of all that is sent.
#[inline(always)]
fn cut_padding(ctx: &XdpContext, inner: &Datagram<'_>) -> Result<(), Reason> {
    let padding = inner.network.remaining() - usize::from(inner.udp.ip_len);
    if padding == 0 {
        return Ok(());
    }
    // SAFETY: as in `take_in`.
    match unsafe { bpf_xdp_adjust_tail(ctx.ctx, -(padding as i32)) } {
        0 => Ok(()),
        _ => Err(Reason::Malformed),
    }
}

/// Writes the outer headers in front of the packet.
#[inline(always)]
fn write(ctx: &XdpContext, hop: &NextHop, headers: Headers<'_>, outer: &Outer<'_>) -> Option<()> {
    let mut cursor = Packet::frame(ctx);
    cursor.put(hop.macs)?;
    if hop.vlan != 0 {
        cursor.put(dissect::ETHERTYPE_VLAN.to_be_bytes())?;
        cursor.put(hop.vlan.to_be_bytes())?;
    }
    match headers {
        Headers::Ipv4(headers) => tunnel::write_ipv4(cursor.claim()?, headers, outer),
        Headers::Ipv6(headers) => tunnel::write_ipv6(cursor.claim()?, headers, outer),
    }
    Some(())
}
