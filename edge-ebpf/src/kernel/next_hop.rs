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
use edge_wire::maps::{Headers, Link, macs};
use edge_wire::tunnel;

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
    link: &Link,
    headers: Headers<'_>,
    length: usize,
) -> Result<NextHop, Reason> {
    if link.interface == 0 {
        let mut hop = NextHop { interface: 0, macs: [0; 12], vlan: 0 };
        return match from_routes(ctx, &headers, length as u32, &mut hop) {
            FOUND => Ok(hop),
            TOO_BIG => Err(Reason::TooBig),
            _ => Err(Reason::NoNextHop),
        };
    }
    if length > usize::from(link.mtu) {
        return Err(Reason::TooBig);
    }
    Ok(NextHop { interface: link.interface, macs: link.macs, vlan: link.vlan })
}

const FOUND: u32 = 0;
const NONE: u32 = 1;
const TOO_BIG: u32 = 2;

/// Asks the routing table, and says how it went. Never inlined, so that it has a stack of its own: the
/// program's is full.
#[inline(never)]
fn from_routes(ctx: &XdpContext, headers: &Headers<'_>, length: u32, hop: &mut NextHop) -> u32 {
    let Ok(length) = u16::try_from(length) else { return TOO_BIG };
    // SAFETY: numbers, arrays and unions of them: zeros are a value.
    let mut lookup: Lookup = unsafe { zeroed() };
    lookup.l4_protocol = UDP;
    lookup.__bindgen_anon_1.tot_len = length;
    lookup.ifindex = ctx.ingress_ifindex() as u32;
    match *headers {
        Headers::Ipv4([0, ..]) | Headers::Ipv6([0, ..]) => return NONE,
        Headers::Ipv4(headers) => {
            let [source, destination] = tunnel::ipv4_ends(headers);
            lookup.family = AF_INET;
            lookup.__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(source);
            lookup.__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(destination);
        }
        Headers::Ipv6(headers) => {
            let [source, destination] = tunnel::ipv6_ends(headers);
            lookup.family = AF_INET6;
            // SAFETY: of our own stack.
            unsafe {
                set(&raw mut lookup.__bindgen_anon_3.ipv6_src, source);
                set(&raw mut lookup.__bindgen_anon_4.ipv6_dst, destination);
            }
        }
    }
    // SAFETY: the context is the program's own, and the length is the buffer's.
    let result =
        unsafe { bpf_fib_lookup(ctx.as_ptr(), &raw mut lookup, size_of::<Lookup>() as i32, 0) };
    if result == i64::from(BPF_FIB_LKUP_RET_FRAG_NEEDED) {
        return TOO_BIG;
    }
    if result != i64::from(BPF_FIB_LKUP_RET_SUCCESS) {
        return NONE;
    }
    *hop = NextHop {
        interface: lookup.ifindex,
        macs: macs(&read(&lookup.dmac), &read(&lookup.smac)),
        vlan: 0,
    };
    FOUND
}

/// Reads a MAC address by the half word, which is how it is aligned on the stack; left to itself, the
/// compiler reads words across.
#[inline(always)]
fn read(mac: &[u8; 6]) -> [u8; 6] {
    // SAFETY: in bounds, and at an even place: 52 or 58 bytes into a structure of words.
    let half = |index| unsafe { mac.as_ptr().cast::<u16>().add(index).read_volatile() };
    let [[a, b], [c, d], [e, f]] = [half(0), half(1), half(2)].map(u16::to_ne_bytes);
    [a, b, c, d, e, f]
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
