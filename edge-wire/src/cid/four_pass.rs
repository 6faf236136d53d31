//! The four-pass form: a Feistel network of AES-128 for server IDs and nonces that are not sixteen
//! bytes together.
//!
//! A half is up to ten bytes, held at the top of two words. Where the length is odd, both halves
//! take in the byte in the middle: the left one without its low four bits, the right one without
//! its high four.

use crate::aes::{self, RoundKeys};

/// The longest text: server ID and nonce together.
pub(super) const MAX_TEXT_LEN: usize = super::MAX_LEN - 1;

/// Half a text, from the most significant bit of the first word on.
pub(super) type Half = [u64; 2];

/// Where the halves of a text are, by its length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    left: Half,
    right: Half,
    /// In bits: where the right half begins.
    right_at: u32,
    /// In bytes, of the whole text.
    length: u32,
}

/// A text of up to [`MAX_TEXT_LEN`] bytes, from the most significant bit of the first word on.
pub type Text = [u64; 3];

impl Split {
    /// For no text at all.
    pub(super) const NONE: Self = Self { left: [0; 2], right: [0; 2], right_at: 0, length: 0 };

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
            right_at: 8 * (length - half_len) as u32,
            length: length as u32,
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
fn from_bit(at: u32, [a, b, c]: Text) -> Half {
    // In two steps, because a shift by 64 is none.
    [(a << at) | ((b >> 1) >> (63 - at)), (b << at) | ((c >> 1) >> (63 - at))]
}

/// The first four bytes of what `text` was before it was encrypted. They are in the left half, so
/// three passes are enough.
#[inline(always)]
pub(super) fn decrypt_first_four(keys: &RoundKeys, split: &Split, text: &Text) -> u32 {
    let ([high, _], _) = three_passes(keys, split, text);
    (high >> 32) as u32
}

/// What `text` was before it was encrypted.
pub(super) fn decrypt(keys: &RoundKeys, split: &Split, text: &Text) -> Text {
    let (left, right) = three_passes(keys, split, text);
    let right = xor(right, and(pass(keys, split, left, 1), split.right));
    split.text(left, right)
}

#[inline(always)]
fn three_passes(keys: &RoundKeys, split: &Split, text: &Text) -> (Half, Half) {
    let (left, right) = split.halves(text);
    let left = xor(left, and(pass(keys, split, right, 4), split.left));
    let right = xor(right, and(pass(keys, split, left, 3), split.right));
    let left = xor(left, and(pass(keys, split, right, 2), split.left));
    (left, right)
}

/// Encrypts `text`.
pub(super) fn encrypt(keys: &RoundKeys, split: &Split, text: &Text) -> Text {
    let (mut left, mut right) = split.halves(text);
    right = xor(right, and(pass(keys, split, left, 1), split.right));
    left = xor(left, and(pass(keys, split, right, 2), split.left));
    right = xor(right, and(pass(keys, split, left, 3), split.right));
    left = xor(left, and(pass(keys, split, right, 4), split.left));
    split.text(left, right)
}

/// AES over a half, filled up with zeros, the text's length and the number of the pass.
#[inline(always)]
fn pass(keys: &RoundKeys, split: &Split, half: Half, number: u32) -> Half {
    let [high, low] = half;
    let block =
        [(high >> 32) as u32, high as u32, (low >> 32) as u32, (split.length << 8) | number];
    let [a, b, c, d] = aes::encrypt_columns(keys, block);
    [(u64::from(a) << 32) | u64::from(b), (u64::from(c) << 32) | u64::from(d)]
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
