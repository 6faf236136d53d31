//! By which device and to which MAC address a node is reached.
//!
//! The node's map entry says so, kept by user space from netlink. Only where it does not, the
//! kernel's routing table is asked, at the cost of all the rest of the program together; and it
//! answers only where forwarding is enabled on the device that the packet came by.

use core::mem::zeroed;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as Lookup,
};
use aya_ebpf::helpers::bpf_fib_lookup;
use aya_ebpf::programs::XdpContext;
use edge_wire::Reason;
use edge_wire::dissect::Family;
use edge_wire::maps::{Path, macs};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;

/// What the Ethernet header in front of the encapsulation says.
pub(crate) struct NextHop {
    /// Index of the device to send by.
    pub(crate) interface: u32,
    /// The neighbour's MAC address and the device's.
    pub(crate) macs: [u8; 12],
    /// VLAN ID of the tag, 0 for none.
    pub(crate) vlan: u16,
}

/// The way for an IP packet of `length` bytes, outer headers included.
///
/// # Errors
/// [`Reason::NoNextHop`], and [`Reason::TooBig`] where the packet does not fit through.
#[inline(always)]
pub(crate) fn to(
    ctx: &XdpContext,
    outer: Family,
    path: &Path,
    length: usize,
) -> Result<NextHop, Reason> {
    if path.interface == 0 {
        return from_routes(ctx, outer, path, length);
    }
    if length > usize::from(path.mtu) {
        return Err(Reason::TooBig);
    }
    Ok(NextHop { interface: path.interface, macs: path.macs(), vlan: path.vlan })
}

#[inline(always)]
fn from_routes(
    ctx: &XdpContext,
    outer: Family,
    path: &Path,
    length: usize,
) -> Result<NextHop, Reason> {
    let Ok(length) = u16::try_from(length) else { return Err(Reason::TooBig) };
    if u128::from_ne_bytes(path.destination) == 0 {
        return Err(Reason::NoNextHop);
    }
    // SAFETY: numbers, arrays and unions of them: zeros are a value.
    let mut lookup: Lookup = unsafe { zeroed() };
    lookup.l4_protocol = UDP;
    lookup.__bindgen_anon_1.tot_len = length;
    lookup.ifindex = ctx.ingress_ifindex() as u32;
    lookup.family = match outer {
        Family::Ipv4 => AF_INET,
        Family::Ipv6 => AF_INET6,
    };
    // SAFETY: both unions are sixteen bytes, of which IPv4 takes the first four.
    unsafe {
        set(&raw mut lookup.__bindgen_anon_3.ipv6_src, &path.source);
        set(&raw mut lookup.__bindgen_anon_4.ipv6_dst, &path.destination);
    }
    // SAFETY: the context is the program's own, and the length is the buffer's.
    let result =
        unsafe { bpf_fib_lookup(ctx.as_ptr(), &raw mut lookup, size_of::<Lookup>() as i32, 0) };
    if result == i64::from(BPF_FIB_LKUP_RET_FRAG_NEEDED) {
        return Err(Reason::TooBig);
    }
    if result != i64::from(BPF_FIB_LKUP_RET_SUCCESS) {
        return Err(Reason::NoNextHop);
    }
    Ok(NextHop { interface: lookup.ifindex, macs: macs(&lookup.dmac, &lookup.smac), vlan: 0 })
}

/// Writes an address word by word, which is how the verifier wants the stack written; left to
/// itself, the compiler joins words that are not aligned together.
///
/// # Safety
/// `to` can be written.
#[inline(always)]
unsafe fn set(to: *mut [u32; 4], address: &[u8; 16]) {
    let (words, _) = address.as_chunks::<4>();
    for (index, word) in words.iter().enumerate() {
        // SAFETY: the caller's promise, and there are four words in sixteen bytes.
        unsafe { to.cast::<u32>().add(index).write_volatile(u32::from_ne_bytes(*word)) }
    }
}
