//! Packet pointers. The verifier follows a pointer into a packet only where it saw it compared
//! with the end of the packet, so [`Packet`] compares pointers, moves its start, and never keeps
//! a length.

use core::hint::black_box;
use core::marker::PhantomData;

use aya_ebpf::helpers::bpf_xdp_load_bytes;
use aya_ebpf::programs::XdpContext;
use edge_wire::cursor::Cursor;
use edge_wire::tunnel::{COVERED, Covered, covered};

/// What is left of a packet. A copy is a place to come back to.
///
/// Neither it nor what it lent is kept across a helper that moves the packet's ends, where the
/// verifier would refuse its use, nor across [`Packet::put`], where nothing would.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'packet> {
    at: usize,
    end: usize,
    context: PhantomData<&'packet ()>,
}

impl<'packet> Packet<'packet> {
    /// The whole frame.
    #[inline(always)]
    pub(crate) fn frame(ctx: &'packet XdpContext) -> Self {
        Self { at: ctx.data(), end: ctx.data_end(), context: PhantomData }
    }

    /// Overwrites the next `N` bytes and goes behind them. `None`, and nothing done, where
    /// fewer are left.
    #[inline(always)]
    pub(crate) fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Option<()> {
        let at = self.advance(N)?;
        // SAFETY: `advance` compared `at + N` with the end of the packet, and the verifier
        // checked that it did. An array of bytes has no alignment.
        unsafe { (at as *mut [u8; N]).write(bytes) }
        Some(())
    }

    /// Goes `length` bytes on, which are then in bounds, and returns where it was.
    #[inline(always)]
    pub(crate) fn advance(&mut self, length: usize) -> Option<usize> {
        let at = self.at;
        if at + length > self.end {
            return None;
        }
        self.at = at + length;
        Some(at)
    }

    /// What the tag of an encapsulation covers of the packet of `length` bytes that begins here,
    /// `offset` bytes into the frame. `None` where it is not whole.
    #[inline(always)]
    pub(crate) fn covered(
        mut self,
        ctx: &XdpContext,
        offset: usize,
        length: u16,
    ) -> Option<Covered> {
        if usize::from(length) >= COVERED {
            return self.take::<COVERED>().map(covered);
        }
        // The verifier must see both bounds on the very number that it finds in the call. Linux 6.1
        // learns nothing from `length != 0`, so the bound is set on the length less one; 0 wraps.
        let below = black_box(u32::from(length).wrapping_sub(1));
        if below >= COVERED as u32 - 1 {
            return None;
        }
        let length = below + 1;
        let mut words: Covered = [0; _];
        // SAFETY: the buffer has `COVERED` bytes and `length` is less. The helper itself checks
        // that the packet has as many.
        let result = unsafe {
            bpf_xdp_load_bytes(ctx.ctx, offset as u32, words.as_mut_ptr().cast(), length)
        };
        (result == 0).then_some(words)
    }
}

impl<'packet> Cursor<'packet> for Packet<'packet> {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<&'packet [u8; N]> {
        let at = self.advance(N)?;
        // SAFETY: `advance` compared `at + N` with the end of the packet, and the verifier
        // checked that it did. An array of bytes has no alignment. Nothing is written while the
        // reference is held: see the type.
        Some(unsafe { &*(at as *const [u8; N]) })
    }

    #[inline(always)]
    fn remaining(&self) -> usize {
        self.end - self.at
    }
}
