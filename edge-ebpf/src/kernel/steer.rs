//! `steer_node`: parse, decode the connection ID, and pass, take in or send on.
//!
//! In doubt a packet is passed. It is dropped only for the Reasons that say so: what came to the
//! encapsulation port and was not made by a node of ours, and the early drops that are switched on.

use aya_ebpf::bindings::xdp_action::{self, XDP_DROP, XDP_PASS};
use aya_ebpf::programs::XdpContext;
use edge_wire::Reason;
use edge_wire::dissect::{self, Addresses, Udp};
use edge_wire::maps::{Local, NodeState};
use edge_wire::reason::Verdict;

use super::admit;
use super::maps::{self, NODE_REASONS, NODES};
use super::packet::Packet;
use super::{owner, trace, tunnel};

/// A UDP datagram in a frame.
pub(crate) struct Datagram<'packet> {
    /// Length of the Ethernet header with its tags.
    pub(crate) link_len: usize,
    /// At the IP header.
    pub(crate) network: Packet<'packet>,
    /// At the UDP payload.
    pub(crate) payload: Packet<'packet>,
    /// What the headers say.
    pub(crate) udp: Udp<'packet>,
}

/// What the driver is to do with the packet, and why: that is counted, and shown to whoever
/// watches.
#[inline(always)]
pub(crate) fn steer(ctx: &XdpContext) -> (Reason, xdp_action::Type) {
    let (reason, action) = match decide(ctx) {
        Ok(decided) => decided,
        Err(reason) if reason.verdict() == Verdict::Drop => (reason, XDP_DROP),
        Err(reason) => (reason, XDP_PASS),
    };
    maps::count(&NODE_REASONS, reason);
    trace::sample(ctx, reason);
    (reason, action)
}

/// `Err` leaves the packet as it came.
#[inline(always)]
fn decide(ctx: &XdpContext) -> Result<(Reason, xdp_action::Type), Reason> {
    let datagram = datagram(ctx)?;
    let udp = &datagram.udp;
    let local = maps::local();
    if udp.destination_port == local.encapsulation_port && is_to_us(local, &udp.addresses) {
        // Taken in, whoever owns it: a packet that came from a node is never sent to a node.
        return tunnel::take_in(ctx, local, datagram).map(|()| (Reason::Stripped, XDP_PASS));
    }
    if !maps::is_ours(udp.destination_port) {
        return Err(Reason::OtherPort);
    }
    admit::sender(local, udp)?;
    let mut cursor = datagram.payload;
    let quic = dissect::quic_in(&mut cursor, udp)?;
    admit::initial(local, udp, &quic)?;
    let candidate = dissect::candidate_in(&mut cursor, &quic, udp)?;
    let node = owner::node(&candidate).ok_or(Reason::NewConnection)?;
    if node == local.node {
        return Err(Reason::Local);
    }
    let at = NODES.get_ptr_mut(u32::from(node)).ok_or(Reason::OwnerUnknown)?;
    // SAFETY: the map keeps its values for as long as the program runs.
    let entry = unsafe { &*at };
    if entry.state == NodeState::Live as u32 {
        if !maps::is_anycast(&udp.addresses) {
            return Err(Reason::OtherAddress);
        }
        // SAFETY: it is one.
        if !unsafe { admit::forward(local, at) } {
            return Err(Reason::ForwardLimited);
        }
        let action = tunnel::send(ctx, local, node, entry, datagram)?;
        return Ok((Reason::Forwarded, action));
    }
    Err(if entry.state == NodeState::Dead as u32 {
        Reason::OwnerDead
    } else {
        Reason::OwnerUnknown
    })
}

#[inline(always)]
fn datagram(ctx: &XdpContext) -> Result<Datagram<'_>, Reason> {
    let mut cursor = Packet::frame(ctx);
    let (link_len, ethertype) = dissect::ethernet(&mut cursor)?;
    let network = cursor;
    let udp = dissect::udp(&mut cursor, ethertype)?;
    Ok(Datagram { link_len, network, payload: cursor, udp })
}

/// Is the destination the address to which other nodes encapsulate? Zeros are no address.
#[inline(always)]
fn is_to_us(local: &Local, addresses: &Addresses<'_>) -> bool {
    match addresses {
        Addresses::V4 { destination, .. } => {
            **destination == local.ipv4 && u32::from_ne_bytes(local.ipv4) != 0
        }
        Addresses::V6 { destination, .. } => {
            **destination == local.ipv6 && u128::from_ne_bytes(local.ipv6) != 0
        }
    }
}
