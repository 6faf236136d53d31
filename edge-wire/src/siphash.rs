//! SipHash-2-4 (Aumasson and Bernstein, 2012): short-input MAC of the encapsulation, and the
//! keyed hash that spreads new connections over the workers.

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

    /// The reference implementation's vectors: key 00..0f, inputs 00.. of growing length
    /// (the paper's appendix A is length 15).
    #[test]
    fn published_vectors() {
        let key = key(core::array::from_fn(|i| i as u8));
        let input: [u8; 16] = core::array::from_fn(|i| i as u8);
        let expected: [(usize, [u8; 8]); 6] = [
            (0, [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]),
            (1, [0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]),
            (2, [0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d]),
            (7, [0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab]),
            (8, [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]),
            (15, [0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1]),
        ];
        for (length, output) in expected {
            assert_eq!(hash(&key, &input[..length]).to_le_bytes(), output, "length {length}");
        }
    }
}
