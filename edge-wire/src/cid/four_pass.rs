//! The four-pass form: a Feistel network of AES-128 for server IDs and nonces that are not sixteen
//! bytes together.
//!
//! A half is up to ten bytes, held at the top of two words. Where the length is odd, both halves
//! take in the byte in the middle: the left one without its low four bits, the right one without
//! its high four.

use crate::aes::{self, Prepared, RoundKeys, Words};

/// The longest text: server ID and nonce together.
pub(super) const MAX_TEXT_LEN: usize = super::MAX_LEN - 1;

/// Half a text, from the most significant bit of the first word on.
pub(super) type Half = Words;

/// Where the halves of a text are, by its length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    left: Half,
    right: Half,
    /// In bits: where the right half begins.
    right_at: u64,
}

/// A text of up to [`MAX_TEXT_LEN`] bytes, from the most significant bit of the first word on.
pub type Text = [u64; 3];

/// The passes of one config, made ready: in every block of a pass the last six bytes are the same.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Passes {
    split: Split,
    /// By pass, the first one first.
    prepared: [Prepared; 4],
}

impl Split {
    /// For no text at all.
    pub(super) const NONE: Self = Self { left: [0; 2], right: [0; 2], right_at: 0 };

    /// For texts of `length` bytes, up to [`MAX_TEXT_LEN`].
    pub(super) const fn of(length: usize) -> Self {
        let half_len = length.div_ceil(2);
        let (mut left, mut right) =
            (!(u128::MAX >> (8 * half_len)), !(u128::MAX >> (8 * half_len)));
        if length % 2 == 1 {
            left &= left << 4;
            right &= u128::MAX >> 4;
        }
        Self {
            left: [(left >> 64) as u64, left as u64],
            right: [(right >> 64) as u64, right as u64],
            right_at: 8 * (length - half_len) as u64,
        }
    }

    #[inline(always)]
    fn halves(&self, text: &Text) -> (Half, Half) {
        let [a, b, c] = *text;
        let right = match self.right_at {
            64.. => from_bit(self.right_at - 64, [b, c, 0]),
            bits => from_bit(bits, [a, b, c]),
        };
        (and([a, b], self.left), and(right, self.right))
    }

    fn text(&self, [a, b]: Half, [high, low]: Half) -> Text {
        let bits = self.right_at % 64;
        // In two steps, because a shift by 64 is none.
        let carried = |word: u64| (word << 1) << (63 - bits);
        let right = [high >> bits, (low >> bits) | carried(high), carried(low)];
        if self.right_at < 64 {
            [a | right[0], b | right[1], right[2]]
        } else {
            [a, b | right[0], right[1]]
        }
    }
}

/// The first 128 bits from bit `at` on, which is below 64.
#[inline(always)]
fn from_bit(at: u64, [a, b, c]: Text) -> Half {
    // In two steps, because a shift by 64 is none.
    [(a << at) | ((b >> 1) >> (63 - at)), (b << at) | ((c >> 1) >> (63 - at))]
}

impl Passes {
    /// For no text at all.
    pub(super) const NONE: Self = Self { split: Split::NONE, prepared: [[0; 4]; 4] };

    /// Under these keys to encrypt, for texts of `length` bytes, up to [`MAX_TEXT_LEN`].
    pub(super) fn new(keys: &RoundKeys, length: usize) -> Self {
        // Zeros, the text's length, and the number of the pass.
        let prepare = |number| aes::prepare(keys, [0, 0, 0, 0, length as u8, number]);
        Self { split: Split::of(length), prepared: [1, 2, 3, 4].map(prepare) }
    }

    /// The first four bytes of what `text` was before it was encrypted. They are in the left half, so
    /// three passes are enough.
    #[inline(always)]
    pub(super) fn decrypt_first_four(&self, keys: &RoundKeys, text: &Text) -> u32 {
        let ([high, _], _) = self.three_passes(keys, text);
        (high >> 32) as u32
    }

    /// The first two bytes of what [`Passes::decrypt_first_four`] gives, for less.
    #[inline(always)]
    pub(super) fn decrypt_first_two(&self, keys: &RoundKeys, text: &Text) -> u16 {
        let ([high, _], right) = self.two_passes(keys, text);
        let [_, second, ..] = &self.prepared;
        // Both bytes are in every left half.
        (high >> 48) as u16 ^ aes::encrypt_ten_to_two(keys, second, right)
    }

    /// What `text` was before it was encrypted.
    pub(super) fn decrypt(&self, keys: &RoundKeys, text: &Text) -> Text {
        let (left, right) = self.three_passes(keys, text);
        let [first, ..] = &self.prepared;
        let right = xor(right, and(aes::encrypt_ten(keys, first, left), self.split.right));
        self.split.text(left, right)
    }

    #[inline(always)]
    fn three_passes(&self, keys: &RoundKeys, text: &Text) -> (Half, Half) {
        let (left, right) = self.two_passes(keys, text);
        let [_, second, ..] = &self.prepared;
        let left = xor(left, and(aes::encrypt_ten(keys, second, right), self.split.left));
        (left, right)
    }

    #[inline(always)]
    fn two_passes(&self, keys: &RoundKeys, text: &Text) -> (Half, Half) {
        let [_, _, third, fourth] = &self.prepared;
        let (left, right) = self.split.halves(text);
        let left = xor(left, and(aes::encrypt_ten(keys, fourth, right), self.split.left));
        let right = xor(right, and(aes::encrypt_ten(keys, third, left), self.split.right));
        (left, right)
    }

    /// Encrypts `text`.
    pub(super) fn encrypt(&self, keys: &RoundKeys, text: &Text) -> Text {
        let Self { split, prepared } = self;
        let (mut left, mut right) = split.halves(text);
        for [odd, even] in prepared.as_chunks::<2>().0 {
            right = xor(right, and(aes::encrypt_ten(keys, odd, left), split.right));
            left = xor(left, and(aes::encrypt_ten(keys, even, right), split.left));
        }
        split.text(left, right)
    }
}

#[inline(always)]
fn and(half: Half, mask: Half) -> Half {
    [half[0] & mask[0], half[1] & mask[1]]
}

#[inline(always)]
fn xor(half: Half, other: Half) -> Half {
    [half[0] ^ other[0], half[1] ^ other[1]]
}

/// A text as its words.
pub(super) fn words(bytes: &[u8; MAX_TEXT_LEN]) -> Text {
    let mut padded = [0; 24];
    padded[..MAX_TEXT_LEN].copy_from_slice(bytes);
    let (words, _) = padded.as_chunks::<8>();
    core::array::from_fn(|index| u64::from_be_bytes(words[index]))
}

/// The first bytes of a text.
pub(super) fn bytes(text: Text) -> [u8; MAX_TEXT_LEN] {
    let mut bytes = [0; MAX_TEXT_LEN];
    let words = text.iter().flat_map(|word| word.to_be_bytes());
    bytes.iter_mut().zip(words).for_each(|(byte, value)| *byte = value);
    bytes
}
