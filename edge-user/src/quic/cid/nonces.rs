//! Nonces of connection IDs: never the same twice, and in clear nothing to tell their order by.

use aws_lc_rs::rand;
use edge_wire::siphash::{self, SipHash};

/// Rounds of the permutation: as many as FF1 has (NIST SP 800-38G), because a half may be as short
/// as 16 bits, where four would do for long ones.
const ROUNDS: u64 = 10;

/// The nonces of one server ID under one config: a counter from a random start, once around.
///
/// Random ones would not do: of four bytes two are likely equal after 65,000. Where IDs are
/// encrypted the cipher hides the counter. In clear it is sent through a permutation of all nonces
/// of that length under a key that nobody else has: as far from its neighbours as a random one,
/// and still met once only.
pub(super) struct Nonces {
    length: usize,
    counter: u128,
    left: u128,
    /// Of the permutation, where nonces stand in clear.
    shuffle: Option<siphash::Key>,
}

impl Nonces {
    /// For IDs that are encrypted. `length` is 4 to 15 bytes.
    pub(super) fn counted(length: usize) -> Self {
        let all = 1 << (8 * length);
        Self { length, counter: u128::from_be_bytes(random()) % all, left: all, shuffle: None }
    }

    /// For IDs in clear. `length` is 4 to 15 bytes.
    pub(super) fn shuffled(length: usize) -> Self {
        Self { shuffle: Some(siphash::key(random())), ..Self::counted(length) }
    }

    #[cfg(test)]
    pub(super) fn use_up(&mut self) {
        self.left = 0;
    }

    /// The next one, in the last bytes. `None`: all have been used.
    pub(super) fn next(&mut self) -> Option<[u8; 16]> {
        self.left = self.left.checked_sub(1)?;
        let all = 1 << (8 * self.length);
        self.counter = (self.counter + 1) % all;
        let nonce = match &self.shuffle {
            Some(key) => permute(key, 4 * self.length as u32, self.counter),
            None => self.counter,
        };
        Some(nonce.to_be_bytes())
    }
}

/// A permutation of the numbers below 2^(2 * `half_bits`): a Feistel network, which is one whatever
/// its function is.
fn permute(key: &siphash::Key, half_bits: u32, number: u128) -> u128 {
    let mask = (1u64 << half_bits) - 1;
    let (mut left, mut right) = ((number >> half_bits) as u64, number as u64 & mask);
    for round in 0..ROUNDS {
        let mut hash = SipHash::new(key);
        hash.word(right);
        let mixed = left ^ (hash.finish(9, round) & mask);
        (left, right) = (right, mixed);
    }
    (u128::from(left) << half_bits) | u128::from(right)
}

/// Random bytes of the operating system's generator.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    /// All of them, on a length that can be gone through: every nonce comes, none comes twice.
    #[test]
    fn every_nonce_comes_once() {
        for shuffle in [None, Some([3, 4])] {
            let mut nonces = Nonces { length: 2, counter: 65_000, left: 1 << 16, shuffle };
            let all: HashSet<_> = std::iter::from_fn(|| nonces.next()).collect();
            assert_eq!(all.len(), 1 << 16);
            assert!(all.iter().all(|nonce| nonce[..14] == [0; 14]));
            assert_eq!(nonces.next(), None, "and then no more");
        }
    }

    /// Half a million nonces of four bytes: random ones would have met some thirty times by then.
    #[test]
    fn the_shortest_nonces_do_not_repeat_as_random_ones_do() {
        let mut nonces = Nonces::shuffled(4);
        let mut seen = HashSet::new();
        assert!((0..500_000).all(|_| seen.insert(nonces.next().expect("far from all"))));
    }

    /// What follows one another differs in about half of the bits, and by no step that repeats.
    #[test]
    fn in_clear_neighbours_look_unrelated() {
        for length in 4..16 {
            let mut nonces = Nonces::shuffled(length);
            let all: Vec<_> = std::iter::from_fn(|| nonces.next()).take(2000).collect();
            let numbers = all.iter().map(|nonce| u128::from_be_bytes(*nonce));
            let steps: Vec<_> = numbers.clone().zip(numbers.skip(1)).collect();
            let flipped: u32 = steps.iter().map(|(a, b)| (a ^ b).count_ones()).sum();
            let mean = f64::from(flipped) / steps.len() as f64;
            let half = 4.0 * length as f64;
            assert!((mean - half).abs() < 0.1 * half, "{mean} of {half} bits at {length} bytes");
            let distinct: HashSet<_> = steps.iter().map(|(a, b)| b.wrapping_sub(*a)).collect();
            assert!(distinct.len() > 1990, "{} steps at {length} bytes", distinct.len());
        }
    }

    proptest! {
        #[test]
        fn two_numbers_never_become_one(
            key: [u64; 2], half_bits in 16u32..=60, a: u128, b: u128,
        ) {
            let below = |number: u128| number % (1 << (2 * half_bits));
            let (a, b) = (below(a), below(b));
            let (left, right) = (permute(&key, half_bits, a), permute(&key, half_bits, b));
            prop_assert!(left < 1 << (2 * half_bits));
            prop_assert_eq!(left == right, a == b);
        }
    }
}
