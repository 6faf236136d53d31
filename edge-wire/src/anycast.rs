//! The set of anycast addresses, as the kernel asks it: in an array, because a hash map's look-up
//! is a call, and costs more than all the rest of finding out where a packet belongs.
//!
//! An address has one bucket, and any place in it. There are twice as many buckets as there may be
//! addresses: that eight places are not enough happens to one in a million of the largest sets,
//! and to none of a few dozen.

use crate::dissect::Addresses;

/// Buckets of a set; a power of two.
pub const BUCKETS: u32 = 512;
/// Addresses that a bucket has place for.
pub const PLACES: usize = 8;

/// An address in two words, in network order; IPv4-mapped where it is IPv4. Zeros are none.
pub type Address = [u64; 2];
/// What the map holds; zeros where a place is free.
pub type Bucket = [Address; PLACES];

/// All of the set, by [`bucket`].
pub type Buckets = [Bucket; BUCKETS as usize];

/// No addresses.
pub const EMPTY: Bucket = [[0; 2]; PLACES];

/// The address of these bytes, IPv4-mapped where it is IPv4.
#[inline(always)]
#[must_use]
pub const fn address(bytes: &[u8; 16]) -> Address {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}

/// The receiver of a packet.
#[inline(always)]
#[must_use]
pub const fn destination(addresses: &Addresses<'_>) -> Address {
    match *addresses {
        Addresses::V4 { destination: &[a, b, c, d], .. } => {
            [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])]
        }
        Addresses::V6 { destination, .. } => address(destination),
    }
}

/// The bucket of an address, below [`BUCKETS`]. Operators choose the addresses, so it need not be
/// proof against those who would choose them to collide.
#[inline(always)]
#[must_use]
pub const fn bucket([high, low]: Address) -> u32 {
    // Fibonacci hashing: the top bits of a product depend on all bits of its factor.
    let mixed = high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.trailing_zeros())) as u32
}

/// Does the bucket of this address hold it?
///
/// Where an address has its bucket to itself, as nearly all have, it is the first: that costs one
/// comparison. The other places have no branch each: the kernel's verifier would follow every one to
/// the end of the program.
#[inline(always)]
#[must_use]
pub fn holds(bucket: &Bucket, address: Address) -> bool {
    // Zeros are in every bucket, and are no address.
    if address[0] | address[1] == 0 {
        return false;
    }
    let [first, others @ ..] = bucket;
    let difference = |[high, low]: &Address| (*high ^ address[0]) | (*low ^ address[1]);
    if difference(first) == 0 {
        return true;
    }
    // The top bit of `n | -n` says that `n` is not zero.
    let differs = others
        .iter()
        .map(difference)
        .fold(u64::MAX, |differs, difference| differs & (difference | difference.wrapping_neg()));
    differs >> 63 == 0
}

/// Puts an address into its bucket. `false` where that has no place left.
#[must_use]
pub fn add(bucket: &mut Bucket, address: Address) -> bool {
    match bucket.iter_mut().find(|place| **place == address || **place == [0; 2]) {
        Some(place) => {
            *place = address;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::MAX_ANYCAST;
    use std::vec;

    #[test]
    fn a_packet_finds_what_was_put_in() {
        let (source, v4, v6) = ([1; 4], [192, 0, 2, 1], [0x20; 16]);
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
        let to_v4 = Addresses::V4 { source: &source, destination: &v4 };
        let to_v6 = Addresses::V6 { source: &[1; 16], destination: &v6 };
        assert_eq!(destination(&to_v4), address(&mapped));
        assert_eq!(destination(&to_v6), address(&v6));
        let mut bucket = EMPTY;
        assert!(!holds(&bucket, address(&v6)));
        assert!(add(&mut bucket, address(&v6)));
        assert!(holds(&bucket, address(&v6)));
        assert!(!holds(&bucket, address(&mapped)));
        assert!(!holds(&bucket, [0; 2]), "a free place is no address");
    }

    #[test]
    fn an_address_takes_one_place_however_often_it_is_added() {
        let mut bucket = EMPTY;
        assert!((0..20).all(|_| add(&mut bucket, [1, 2])));
        for place in 1..PLACES as u64 {
            assert!(add(&mut bucket, [place, 9]));
        }
        assert!(!add(&mut bucket, [99, 9]), "a ninth");
        assert!(add(&mut bucket, [1, 2]), "there already");
    }

    /// Neighbours, as an operator gets them, in either family.
    #[test]
    fn the_most_addresses_find_places() {
        for prefix in [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2], [0x20; 15]] {
            let mut buckets = vec![EMPTY; BUCKETS as usize];
            for last in 0..MAX_ANYCAST {
                let mut bytes = [0; 16];
                bytes[..15].copy_from_slice(&prefix);
                bytes[15] = last as u8;
                let address = address(&bytes);
                assert!(add(&mut buckets[bucket(address) as usize], address), "{last}");
            }
        }
    }
}
