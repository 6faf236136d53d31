//! The rounds of AES but the last, by table: SubBytes, ShiftRows, MixColumns and the key.
//!
//! Rounds have their columns in the order in which ShiftRows moves them: row r of a column comes from
//! the r-th column behind it. That is the order of the block to encrypt, and the opposite one to
//! decrypt.
//!
//! | module | job |
//! |---|---|
//! | `kernel` | the same an instruction a line, for the kernel |

#[cfg(target_arch = "bpf")]
mod kernel;

#[cfg(target_arch = "bpf")]
pub(super) use kernel::{decrypt, decrypt_to_two, encrypt_ten, encrypt_ten_to_two, kept};

#[cfg(not(target_arch = "bpf"))]
use super::Prepared;
use super::{RoundKeys, Tables, Words};

/// A column with its bytes apart, each where the kernel's few instructions take it out in the fewest
/// steps as an offset into a table of words, which is eight times the byte: the topmost one by a shift,
/// since nothing is below it; the next one by a shift of the low half; one by a mask; and only the
/// last by a shift and a mask.
pub(super) const fn apart(column: u32) -> u64 {
    let [a, b, c, d] = column.to_be_bytes();
    ((a as u64) << 56) | ((b as u64) << 24) | ((c as u64) << 3) | ((d as u64) << 40)
}

#[inline(always)]
pub(super) const fn row0(column: u64) -> usize {
    (column >> 56) as usize
}

#[inline(always)]
pub(super) const fn row1(column: u64) -> usize {
    (column as u32 >> 24) as usize
}

#[inline(always)]
pub(super) const fn row2(column: u64) -> usize {
    (column >> 3) as usize & 0xff
}

#[inline(always)]
pub(super) const fn row3(column: u64) -> usize {
    (column >> 40) as usize & 0xff
}

/// Nine rounds over a block that has the first key in it; columns and keys in the block's order.
pub(super) fn encrypt(tables: &Tables, [high, low]: Words, keys: &RoundKeys) -> [u64; 4] {
    let state = [high >> 32, high, low >> 32, low].map(|column| apart(column as u32));
    keys.middle.iter().fold(state, |state, key| round(tables, state, key))
}

/// As [`encrypt`], in the opposite order.
#[cfg(not(target_arch = "bpf"))]
pub(super) fn decrypt(tables: &Tables, [high, low]: Words, keys: &RoundKeys) -> [u64; 4] {
    let state = [low, low >> 32, high, high >> 32].map(|column| apart(column as u32));
    keys.middle.iter().fold(state, |state, key| round(tables, state, key))
}

/// As [`decrypt`], only the first and the last column: in the kernel the last round makes no others.
#[cfg(not(target_arch = "bpf"))]
pub(super) fn decrypt_to_two(tables: &Tables, words: Words, keys: &RoundKeys) -> [u64; 2] {
    let [first, _, _, last] = decrypt(tables, words, keys);
    [first, last]
}

/// As [`encrypt`], only the first ten bytes of `words` looked at; the others' part is prepared.
#[cfg(not(target_arch = "bpf"))]
pub(super) fn encrypt_ten(
    tables: &Tables,
    [high, low]: Words,
    [first, second, third, fourth]: &Prepared,
    keys: &RoundKeys,
) -> [u64; 4] {
    let [t0, t1, t2, t3] = tables;
    let [a0, a1, a2, a3, b0, b1, b2, b3] = high.to_be_bytes().map(usize::from);
    let [c0, c1, ..] = low.to_be_bytes().map(usize::from);
    let state = [
        first ^ t0[a0] ^ t1[b1],
        second ^ t0[b0] ^ t1[c1] ^ t3[a3],
        third ^ t0[c0] ^ t2[a2] ^ t3[b3],
        fourth ^ t1[a1] ^ t2[b2],
    ];
    keys.middle[1..].iter().fold(state, |state, key| round(tables, state, key))
}

/// As [`encrypt_ten`], only the first two columns: in the kernel the last round makes no others.
#[cfg(not(target_arch = "bpf"))]
pub(super) fn encrypt_ten_to_two(
    tables: &Tables,
    words: Words,
    prepared: &Prepared,
    keys: &RoundKeys,
) -> [u64; 2] {
    let [first, second, ..] = encrypt_ten(tables, words, prepared, keys);
    [first, second]
}

fn round([t0, t1, t2, t3]: &Tables, [a, b, c, d]: [u64; 4], key: &[u64; 4]) -> [u64; 4] {
    let column = |a, b, c, d| t0[row0(a)] ^ t1[row1(b)] ^ t2[row2(c)] ^ t3[row3(d)];
    [
        column(a, b, c, d) ^ key[0],
        column(b, c, d, a) ^ key[1],
        column(c, d, a, b) ^ key[2],
        column(d, a, b, c) ^ key[3],
    ]
}

/// The same table. In the kernel it is kept in a register.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub(super) fn kept<T>(table: &T) -> &T {
    table
}
