//! Prefix integers (RFC 9204 section 4.1.1, RFC 7541 section 5.1).

use bytes::{BufMut as _, BytesMut};

use super::super::refusal::QpackRefusal;

/// The largest that must be read, and is (RFC 9204 section 4.1.1).
const MOST: u64 = (1 << 62) - 1;

/// Reads an integer whose first byte has `prefix` bits of it, and moves `at` behind it.
///
/// # Errors
/// Where the bytes end before it does, or it is too large.
pub(super) fn read(bytes: &[u8], at: &mut usize, prefix: u32) -> Result<u64, QpackRefusal> {
    let first = *bytes.get(*at).ok_or(QpackRefusal::Truncated)?;
    *at += 1;
    let most = (1u64 << prefix) - 1;
    let mut value = u64::from(first) & most;
    if value < most {
        return Ok(value);
    }
    // Nine groups of seven bits hold 62; zeros beyond them would be read without end.
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at).ok_or(QpackRefusal::Truncated)?;
        *at += 1;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if value <= MOST { Ok(value) } else { Err(QpackRefusal::Integer) };
        }
    }
    Err(QpackRefusal::Integer)
}

/// Writes `value` behind the high bits `flags` of a first byte, which leave it `prefix` bits.
pub(super) fn put(value: u64, flags: u8, prefix: u32, out: &mut BytesMut) {
    let most = (1u64 << prefix) - 1;
    if value < most {
        out.put_u8(flags | value as u8);
        return;
    }
    out.put_u8(flags | most as u8);
    let mut left = value - most;
    while left >= 0x80 {
        out.put_u8(left as u8 | 0x80);
        left >>= 7;
    }
    out.put_u8(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: u64, flags: u8, prefix: u32) -> Vec<u8> {
        let mut out = BytesMut::new();
        put(value, flags, prefix, &mut out);
        out.to_vec()
    }

    /// RFC 7541 appendix C.1.
    #[test]
    fn the_examples_of_hpack_are_written_and_read() {
        let examples: [(u64, u32, &[u8]); 3] =
            [(10, 5, &[0x0a]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])];
        for (value, prefix, bytes) in examples {
            assert_eq!(written(value, 0, prefix), bytes);
            let mut at = 0;
            assert_eq!(read(bytes, &mut at, prefix), Ok(value));
            assert_eq!(at, bytes.len());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in 0..=MOST, prefix in 3u32..=8, flags in any::<u8>()) {
            let flags = (u64::from(flags) << prefix) as u8;
            let bytes = written(value, flags, prefix);
            let mut at = 0;
            prop_assert_eq!(read(&bytes, &mut at, prefix), Ok(value));
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(u64::from(bytes[0]) >> prefix, u64::from(flags) >> prefix);
            let cut = read(&bytes[..bytes.len() - 1], &mut 0, prefix);
            prop_assert_eq!(cut, Err(QpackRefusal::Truncated));
        }
    }

    #[test]
    fn more_than_62_bits_are_refused_and_so_are_zeros_without_end() {
        assert_eq!(read(&written(MOST, 0, 7), &mut 0, 7), Ok(MOST));
        assert_eq!(read(&written(MOST + 1, 0, 7), &mut 0, 7), Err(QpackRefusal::Integer));
        assert_eq!(read(&written(u64::MAX, 0, 3), &mut 0, 3), Err(QpackRefusal::Integer));
        let zeros = [&[0xff][..], &[0x80; 20], &[0]].concat();
        assert_eq!(read(&zeros, &mut 0, 8), Err(QpackRefusal::Integer));
        assert_eq!(read(&[0xff; 20], &mut 0, 8), Err(QpackRefusal::Integer));
    }
}
