//! Prefix integers (RFC 9204 section 4.1.1, RFC 7541 section 5.1).

use bytes::{BufMut as _, BytesMut};

/// The largest that QPACK must read, and is (RFC 9204 section 4.1.1).
const MOST: u64 = (1 << 62) - 1;
/// Groups of seven bits that hold it.
const GROUPS: u32 = 9;
/// Groups that h2 reads of an integer of HPACK (RFC 7541 section 5.1 leaves the bound to us).
const SHORT_GROUPS: u32 = 4;

/// Why an integer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum NoInteger {
    /// The bytes end before it does.
    Cut,
    /// It is too large, or too long: zeros would be read without end.
    TooLong,
}

/// Reads an integer of QPACK whose first byte has `prefix` bits of it, and moves `at` behind it.
///
/// # Errors
/// Where the bytes end before it does, or it has more than 62 bits.
pub(in crate::http) fn read(bytes: &[u8], at: &mut usize, prefix: u32) -> Result<u64, NoInteger> {
    let value = read_groups(bytes, at, prefix, GROUPS)?;
    if value <= MOST { Ok(value) } else { Err(NoInteger::TooLong) }
}

/// As [`read`], of HPACK: five bytes at most.
///
/// # Errors
/// Where the bytes end before it does, or it is longer.
pub(in crate::http) fn read_short(
    bytes: &[u8],
    at: &mut usize,
    prefix: u32,
) -> Result<usize, NoInteger> {
    let value = read_groups(bytes, at, prefix, SHORT_GROUPS)?;
    usize::try_from(value).map_err(|_| NoInteger::TooLong)
}

fn read_groups(bytes: &[u8], at: &mut usize, prefix: u32, groups: u32) -> Result<u64, NoInteger> {
    let first = *bytes.get(*at).ok_or(NoInteger::Cut)?;
    *at += 1;
    let most = (1u64 << prefix) - 1;
    let mut value = u64::from(first) & most;
    if value < most {
        return Ok(value);
    }
    for group in 0..groups {
        let byte = *bytes.get(*at).ok_or(NoInteger::Cut)?;
        *at += 1;
        value += u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(NoInteger::TooLong)
}

/// Writes `value` behind the high bits `flags` of a first byte, which leave it `prefix` bits.
pub(in crate::http) fn put(value: u64, flags: u8, prefix: u32, out: &mut BytesMut) {
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
            prop_assert_eq!(cut, Err(NoInteger::Cut));
        }
    }

    #[test]
    fn more_than_62_bits_are_refused_and_so_are_zeros_without_end() {
        assert_eq!(read(&written(MOST, 0, 7), &mut 0, 7), Ok(MOST));
        assert_eq!(read(&written(MOST + 1, 0, 7), &mut 0, 7), Err(NoInteger::TooLong));
        assert_eq!(read(&written(u64::MAX, 0, 3), &mut 0, 3), Err(NoInteger::TooLong));
        let zeros = [&[0xff][..], &[0x80; 20], &[0]].concat();
        assert_eq!(read(&zeros, &mut 0, 8), Err(NoInteger::TooLong));
        assert_eq!(read(&[0xff; 20], &mut 0, 8), Err(NoInteger::TooLong));
    }

    #[test]
    fn a_short_one_has_five_bytes_at_most() {
        let most = 127 + (1 << 28) - 1;
        assert_eq!(read_short(&written(most, 0, 7), &mut 0, 7), Ok(most as usize));
        assert_eq!(read_short(&written(most + 1, 0, 7), &mut 0, 7), Err(NoInteger::TooLong));
        let zeros = [0x7f, 0x80, 0x80, 0x80, 0x80];
        assert_eq!(read_short(&zeros, &mut 0, 7), Err(NoInteger::TooLong), "whatever follows");
        assert_eq!(read_short(&zeros[..4], &mut 0, 7), Err(NoInteger::Cut));
    }
}
