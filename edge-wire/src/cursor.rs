//! Bounded reading. Protocol code takes bytes only through [`Cursor`], which cannot pass the end.

/// A place in a packet from which bytes are taken in order.
///
/// There are two: a byte slice (user space, tests), and a pair of packet pointers in the kernel,
/// whose bounds the verifier must see as a comparison of pointers rather than of lengths.
///
/// Bytes are lent, not copied: an `Option` of an array would stand on the kernel's stack one byte
/// out of step, and the verifier refuses to read it there by the word.
pub trait Cursor<'packet>: Copy {
    /// Takes the next `N` bytes, or nothing at all where fewer are left.
    fn take<const N: usize>(&mut self) -> Option<&'packet [u8; N]>;

    /// How many bytes are left.
    fn remaining(&self) -> usize;

    /// Takes one byte.
    #[inline(always)]
    fn take_u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| *byte)
    }

    /// Takes a 16-bit number in network order.
    #[inline(always)]
    fn take_u16(&mut self) -> Option<u16> {
        self.take().map(|bytes| u16::from_be_bytes(*bytes))
    }
}

impl<'packet> Cursor<'packet> for &'packet [u8] {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Option<&'packet [u8; N]> {
        let (head, rest) = self.split_first_chunk::<N>()?;
        *self = rest;
        Some(head)
    }

    #[inline(always)]
    fn remaining(&self) -> usize {
        self.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_in_order_and_never_past_the_end() {
        let mut cursor: &[u8] = &[1, 2, 3];
        assert_eq!(cursor.take_u8(), Some(1));
        assert_eq!(cursor.take::<3>(), None);
        assert_eq!(cursor.remaining(), 2, "a refused take leaves the cursor where it was");
        assert_eq!(cursor.take_u16(), Some(0x0203));
        assert_eq!(cursor.take_u8(), None);
    }
}
