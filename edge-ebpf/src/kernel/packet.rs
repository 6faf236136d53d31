//! Packet pointers. The verifier follows a pointer into a packet only where it saw it compared
//! with the end of the packet, so [`Packet`] compares pointers, moves its start, and never keeps
//! a length.

use core::marker::PhantomData;

use aya_ebpf::programs::XdpContext;
use edge_wire::cursor::Cursor;

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
        // By the word: left to itself the compiler copies an array of bytes from the stack, one
        // by one.
        let (words, rest) = bytes.as_chunks::<4>();
        for (index, word) in words.iter().enumerate() {
            // SAFETY: `advance` compared `at + N` with the end of the packet, and the verifier
            // checked that it did. Of the N bytes these are the first.
            unsafe { (at as *mut u32).add(index).write_unaligned(u32::from_ne_bytes(*word)) }
        }
        for (index, byte) in (4 * words.len()..).zip(rest) {
            // SAFETY: as above, these are the last of the N bytes.
            unsafe { (at as *mut u8).add(index).write(*byte) }
        }
        Some(())
    }

    /// Lends the next `N` bytes to be overwritten, and goes behind them.
    #[inline(always)]
    pub(crate) fn claim<const N: usize>(&mut self) -> Option<&'packet mut [u8; N]> {
        let at = self.advance(N)?;
        // SAFETY: as in `take`. What was lent before is not read again, as the type says.
        Some(unsafe { &mut *(at as *mut [u8; N]) })
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
