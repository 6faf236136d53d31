//! The tag of an encapsulation.

use core::hint::black_box;

use aya_ebpf::helpers::bpf_xdp_load_bytes;
use aya_ebpf::programs::XdpContext;
use edge_wire::cursor::Cursor as _;
use edge_wire::siphash::Key;
use edge_wire::tunnel::{self, COVERED, Covered, Header};

use crate::packet::Packet;

/// The tag that belongs to `header` around the packet that begins at `inner`, `offset` bytes into
/// the frame. `None` where the packet is not whole.
#[inline(always)]
pub(crate) fn of(
    ctx: &XdpContext,
    key: &Key,
    header: &Header,
    mut inner: Packet<'_>,
    offset: usize,
) -> Option<u64> {
    if usize::from(header.inner_len) >= COVERED {
        return inner.take::<COVERED>().map(|covered| hash(key, covered, header.tail()));
    }
    let mut tag = header.tail();
    of_short(ctx, key, &mut tag, offset as u32, u32::from(header.inner_len)).then_some(tag)
}

#[inline(always)]
fn hash(key: &Key, covered: &Covered, tail: u64) -> u64 {
    tunnel::tag(key, covered, tail)
}

/// Makes of the header's tail the tag; `false` where the packet is not whole. Never inlined, so that
/// it has a stack of its own: the program's is full. What returns can be no `Option`: a number it
/// has to be.
#[inline(never)]
fn of_short(ctx: &XdpContext, key: &Key, tag: &mut u64, offset: u32, length: u32) -> bool {
    // The verifier must see both bounds on the very number that it finds in the call. Linux 6.1
    // learns nothing from `length != 0`, so the bound is set on the length less one; 0 wraps.
    let below = black_box(length.wrapping_sub(1));
    if below >= COVERED as u32 - 1 {
        return false;
    }
    let mut words = [0_u64; COVERED / 8];
    // SAFETY: the buffer has `COVERED` bytes and the length is less. The helper itself checks that
    // the packet has as many.
    let result =
        unsafe { bpf_xdp_load_bytes(ctx.ctx, offset, words.as_mut_ptr().cast(), below + 1) };
    // SAFETY: as many bytes, which have no alignment.
    let covered = unsafe { &*words.as_ptr().cast::<Covered>() };
    *tag = hash(key, covered, *tag);
    result == 0
}
