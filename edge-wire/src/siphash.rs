//! SipHash-1-3: the tag of the encapsulation, and the keyed hash that spreads new connections over
//! the workers. The family is Aumasson and Bernstein's (2012); with one round a word and three at
//! the end it is what hash tables use. Why that is enough for a tag: `docs/decisions/0013`.

/// A 128-bit key as its two little-endian words.
pub type Key = [u64; 2];

/// The running state. Feed whole 8-byte words, then finish.
#[derive(Clone, Copy)]
pub struct SipHash {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipHash {
    /// Starts under `key`.
    #[inline(always)]
    #[must_use]
    pub const fn new(key: &Key) -> Self {
        Self {
            v0: key[0] ^ 0x736f_6d65_7073_6575,
            v1: key[1] ^ 0x646f_7261_6e64_6f6d,
            v2: key[0] ^ 0x6c79_6765_6e65_7261,
            v3: key[1] ^ 0x7465_6462_7974_6573,
        }
    }

    /// Takes the next 8 bytes of input, as a little-endian word.
    #[inline(always)]
    pub fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    /// Ends the input with its last `length % 8` bytes, in the low bytes of `tail`.
    #[inline(always)]
    #[must_use]
    pub fn finish(mut self, length: usize, tail: u64) -> u64 {
        self.word(((length as u64) << 56) | tail);
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[cfg(not(target_arch = "bpf"))]
    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    /// The same, an instruction a line. What the compiler makes of the Rust has five more copies a
    /// round and its rotations where they wait for each other, and takes a quarter longer: the
    /// kernel's instructions have no rotation.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    #[allow(unsafe_code)] // reason: inline assembly is unsafe
    fn round(&mut self) {
        // SAFETY: changes the registers that it names, and nothing else.
        unsafe {
            core::arch::asm!(
                "{v0} += {v1}",
                "{t} = {v1}", "{t} >>= 51", "{v1} <<= 13", "{v1} |= {t}",
                "{v1} ^= {v0}",
                "{t} = {v0}", "{t} >>= 32", "{v0} <<= 32", "{v0} |= {t}",
                "{v2} += {v3}",
                "{t} = {v3}", "{t} >>= 48", "{v3} <<= 16", "{v3} |= {t}",
                "{v3} ^= {v2}",
                "{v0} += {v3}",
                "{t} = {v3}", "{t} >>= 43", "{v3} <<= 21", "{v3} |= {t}",
                "{v3} ^= {v0}",
                "{v2} += {v1}",
                "{t} = {v1}", "{t} >>= 47", "{v1} <<= 17", "{v1} |= {t}",
                "{v1} ^= {v2}",
                "{t} = {v2}", "{t} >>= 32", "{v2} <<= 32", "{v2} |= {t}",
                v0 = inout(reg) self.v0,
                v1 = inout(reg) self.v1,
                v2 = inout(reg) self.v2,
                v3 = inout(reg) self.v3,
                t = out(reg) _,
                options(pure, nomem, nostack),
            );
        }
    }
}

/// The key as the two words that [`SipHash::new`] takes.
#[must_use]
pub const fn key(bytes: [u8; 16]) -> Key {
    let whole = u128::from_le_bytes(bytes);
    [whole as u64, (whole >> 64) as u64]
}

/// Hashes a whole slice.
#[must_use]
pub fn hash(key: &Key, input: &[u8]) -> u64 {
    let mut state = SipHash::new(key);
    let (words, tail) = input.as_chunks::<8>();
    for word in words {
        state.word(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    state.finish(input.len(), u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key 00..0f, inputs 00.. of growing length, as the reference implementation's vectors have
    /// them; its are of SipHash-2-4, so these come from the crate `siphasher`, which others wrote.
    #[test]
    fn vectors_of_another_implementation() {
        let key = key(core::array::from_fn(|i| i as u8));
        let input: [u8; 55] = core::array::from_fn(|i| i as u8);
        let expected: [(usize, [u8; 8]); 7] = [
            (0, [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab]),
            (1, [0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9]),
            (2, [0x4d, 0xd4, 0xc7, 0x4d, 0x02, 0x9b, 0xcb, 0x82]),
            (7, [0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3]),
            (8, [0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36]),
            (15, [0x56, 0x99, 0x51, 0x2a, 0x6d, 0xd8, 0x20, 0xd3]),
            (55, [0x80, 0xe9, 0xa7, 0x70, 0x36, 0xbf, 0x7a, 0xa2]),
        ];
        for (length, output) in expected {
            assert_eq!(hash(&key, &input[..length]).to_le_bytes(), output, "length {length}");
        }
    }
}
