//! Sampled verdicts for whoever watches: one line of aya-log, `REASON SOURCE PORT > ADDRESS PORT`,
//! where REASON is the index of the Reason. User space turns it into its name: a program cannot
//! hold a table of strings.

use core::hint::black_box;

use aya_ebpf::helpers::bpf_get_prandom_u32;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::info;
use edge_wire::Reason;
use edge_wire::cursor::Cursor as _;
use edge_wire::dissect::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Family};
use edge_wire::tunnel;

use super::maps;
use super::packet::Packet;

/// Logs one packet in `Local::trace_one_in`. Costs one comparison where that is 0.
#[inline(always)]
pub(crate) fn sample(ctx: &XdpContext, reason: Reason) {
    let local = maps::local();
    if local.trace_one_in != 0 {
        maybe_log(ctx, reason, local.trace_one_in);
    }
}

#[inline(never)]
fn maybe_log(ctx: &XdpContext, reason: Reason, one_in: u32) {
    // SAFETY: takes nothing.
    if unsafe { bpf_get_prandom_u32() } % one_in != 0 {
        return;
    }
    let forwarded = reason == Reason::Forwarded;
    let reason = reason as u32;
    let mut cursor = Packet::frame(ctx);
    let ethertype = dissect::ethernet(&mut cursor).map_or(0, |(_, ethertype)| ethertype);
    let family = match (forwarded, ethertype) {
        (false, ETHERTYPE_IPV4) => Some(Family::Ipv4),
        (false, ETHERTYPE_IPV6) => Some(Family::Ipv6),
        (true, ETHERTYPE_IPV4) => inner_family(&mut cursor, Family::Ipv4),
        (true, ETHERTYPE_IPV6) => inner_family(&mut cursor, Family::Ipv6),
        _ => None,
    };
    let logged = match family {
        Some(Family::Ipv4) => log_ipv4(ctx, reason, cursor),
        Some(Family::Ipv6) => log_ipv6(ctx, reason, cursor),
        None => None,
    };
    if logged.is_none() {
        info!(ctx, "{}", reason);
    }
}

/// Goes behind the outer headers.
#[inline(always)]
fn inner_family(at: &mut Packet<'_>, outer: Family) -> Option<Family> {
    at.advance(tunnel::overhead(outer))?;
    { *at }.take_u8().and_then(Family::of)
}

#[inline(always)]
fn log_ipv4(ctx: &XdpContext, reason: u32, mut at: Packet<'_>) -> Option<()> {
    let udp = dissect::udp(&mut { at }, ETHERTYPE_IPV4).ok()?;
    at.advance(12)?;
    let source = u32::from_be_bytes(*at.take()?);
    let destination = u32::from_be_bytes(*at.take()?);
    let (from, to) = (udp.source_port, udp.destination_port);
    info!(ctx, "{} {:i} {} > {:i} {}", reason, source, from, destination, to);
    Some(())
}

#[inline(always)]
fn log_ipv6(ctx: &XdpContext, reason: u32, mut at: Packet<'_>) -> Option<()> {
    let udp = dissect::udp(&mut { at }, ETHERTYPE_IPV6).ok()?;
    at.advance(8)?;
    let source = on_the_stack(at.take()?);
    let destination = on_the_stack(at.take()?);
    let (from, to) = (udp.source_port, udp.destination_port);
    info!(ctx, "{} {:i} {} > {:i} {}", reason, source, from, destination, to);
    Some(())
}

/// An address that aya-log will take by reference. As bytes alone the compiler would keep it in
/// pieces that the verifier finds misaligned.
#[inline(always)]
fn on_the_stack(address: &[u8; 16]) -> [u8; 16] {
    black_box(u128::from_ne_bytes(*address)).to_ne_bytes()
}
