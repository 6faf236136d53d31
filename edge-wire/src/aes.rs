//! AES-128 (FIPS-197), one block at a time, for connection IDs in the kernel, where no other
//! implementation can be called at an acceptable cost.
//!
//! It looks up tables, so its time depends on what is in the cache. Its key guards routing only:
//! whoever learnt it could link connection IDs and choose an owner, but reads no traffic.

mod rounds;

use rounds::{apart, row0, row1, row2, row3};

/// A block of 16 bytes.
pub type Block = [u8; 16];

/// A block as two words, the first byte the most significant one.
pub type Words = [u64; 2];

/// The keys of the eleven rounds, for one direction.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RoundKeys {
    first: Words,
    /// By round, and there by column in the order in which the rounds have them: the last one first
    /// to decrypt. The bytes of a column are apart.
    middle: [[u64; 4]; 9],
    last: Words,
}

/// What the first round makes of the key and of six bytes that are known beforehand: see [`prepare`].
pub type Prepared = [u64; 4];

const SBOX: [u8; 256] = sbox();
const INVERSE_SBOX: [u8; 256] = inverse_sbox();
static FORWARD: [u8; 256] = SBOX;
static INVERSE: [u8; 256] = INVERSE_SBOX;
/// MixColumns of the column that is `SBOX[i]` in one row.
static ENCRYPT: Tables = tables(&SBOX, [2, 1, 1, 3]);
/// InvMixColumns of the column that is `INVERSE_SBOX[i]` in one row.
static DECRYPT: Tables = tables(&INVERSE_SBOX, [14, 9, 13, 11]);

/// By row, and there by byte: a column whose bytes are apart. In one table for all rows the columns
/// would take a quarter of the room, but a byte more instructions to be taken out.
type Tables = [[u64; 256]; 4];

impl RoundKeys {
    /// No keys.
    pub const NONE: Self = Self { first: [0; 2], middle: [[0; 4]; 9], last: [0; 2] };

    fn new(keys: &[[u32; 4]; 11], order: [usize; 4]) -> Self {
        let words = |[a, b, c, d]: [u32; 4]| [joined(a, b), joined(c, d)];
        let mut middle = [[0; 4]; 9];
        for (to, from) in middle.iter_mut().zip(&keys[1..10]) {
            *to = order.map(|column| apart(from[column]));
        }
        Self { first: words(keys[0]), middle, last: words(keys[10]) }
    }
}

/// The round keys for [`encrypt`].
#[must_use]
pub fn encryption_keys(key: &Block) -> RoundKeys {
    RoundKeys::new(&schedule(key), [0, 1, 2, 3])
}

/// The round keys for [`decrypt`]: the equivalent inverse cipher's (FIPS-197 section 5.3.5).
#[must_use]
pub fn decryption_keys(key: &Block) -> RoundKeys {
    let mut keys = schedule(key);
    keys.reverse();
    for round in &mut keys[1..10] {
        for column in round {
            *column = circulant(*column, [14, 9, 13, 11]);
        }
    }
    RoundKeys::new(&keys, [3, 2, 1, 0])
}

/// The expanded key, by round and column (FIPS-197 section 5.2).
fn schedule(key: &Block) -> [[u32; 4]; 11] {
    let mut keys = [[0; 4]; 11];
    let (columns, _) = key.as_chunks::<4>();
    keys[0] = core::array::from_fn(|index| u32::from_be_bytes(columns[index]));
    let mut round_constant = 1;
    for round in 1..11 {
        let previous = keys[round - 1];
        let rotated = previous[3].rotate_left(8).to_be_bytes().map(|byte| SBOX[byte as usize]);
        let mut column = u32::from_be_bytes(rotated) ^ (u32::from(round_constant) << 24);
        for (index, word) in previous.into_iter().enumerate() {
            column ^= word;
            keys[round][index] = column;
        }
        round_constant = double(round_constant);
    }
    keys
}

/// Encrypts one block.
#[must_use]
pub fn encrypt(keys: &RoundKeys, block: &Block) -> Block {
    let [a, b, c, d] = rounds::encrypt(&ENCRYPT, xor(words(block), keys.first), keys);
    // ShiftRows: row r of column c comes from column c + r.
    let last = |a, b, c, d| last(&FORWARD, a, b, c, d);
    bytes(xor(
        [joined(last(a, b, c, d), last(b, c, d, a)), joined(last(c, d, a, b), last(d, a, b, c))],
        keys.last,
    ))
}

/// What [`encrypt_ten`] needs of blocks that end with these six bytes: the first round's part of them,
/// with its key.
#[must_use]
pub fn prepare(keys: &RoundKeys, end: [u8; 6]) -> Prepared {
    let [a, b, c, d, e, f] = end;
    let end = u64::from_be_bytes([0, 0, a, b, c, d, e, f]) ^ (keys.first[1] & 0xffff_ffff_ffff);
    let at = |row: usize, shift: u32| ENCRYPT[row][(end >> shift) as usize & 0xff];
    let [first, second, third, fourth] = keys.middle[0];
    [
        first ^ at(2, 40) ^ at(3, 0),
        second ^ at(2, 8),
        third ^ at(1, 16),
        fourth ^ at(0, 24) ^ at(3, 32),
    ]
}

/// The first ten bytes of an encrypted block, and zeros. The block is the first ten bytes of `words`
/// and the six that it was [prepared](prepare) for.
#[inline(always)]
#[must_use]
pub fn encrypt_ten(keys: &RoundKeys, prepared: &Prepared, words: Words) -> Words {
    let [a, b, c, d] = rounds::encrypt_ten(&ENCRYPT, xor(words, keys.first), prepared, keys);
    let table = rounds::kept(&FORWARD);
    let last = |a, b, c, d| last(table, a, b, c, d);
    let high = joined(last(a, b, c, d), last(b, c, d, a));
    let low = (u64::from(table[row0(c)]) << 56) | (u64::from(table[row1(d)]) << 48);
    [high ^ keys.last[0], low ^ (keys.last[1] >> 48 << 48)]
}

/// The first two bytes of what [`encrypt_ten`] gives, for less: they need half of the last rounds.
#[inline(always)]
#[must_use]
pub fn encrypt_ten_to_two(keys: &RoundKeys, prepared: &Prepared, words: Words) -> u16 {
    let state = xor(words, keys.first);
    let [a, b] = rounds::encrypt_ten_to_two(&ENCRYPT, state, prepared, keys);
    let table = rounds::kept(&FORWARD);
    u16::from_be_bytes([table[row0(a)], table[row1(b)]]) ^ (keys.last[0] >> 48) as u16
}

/// Decrypts one block.
#[inline(always)]
#[must_use]
pub fn decrypt(keys: &RoundKeys, block: &Block) -> Block {
    bytes(decrypt_words(keys, words(block)))
}

/// As [`decrypt`], the block as words.
#[inline(always)]
#[must_use]
pub fn decrypt_words(keys: &RoundKeys, block: Words) -> Words {
    // InvShiftRows: row r of column c comes from column c - r. That is ShiftRows with the columns
    // in the opposite order.
    let [d, c, b, a] = rounds::decrypt(&DECRYPT, xor(block, keys.first), keys);
    let table = rounds::kept(&INVERSE);
    let last = |a, b, c, d| last(table, a, b, c, d);
    xor(
        [joined(last(a, d, c, b), last(b, a, d, c)), joined(last(c, b, a, d), last(d, c, b, a))],
        keys.last,
    )
}

/// The first two bytes of what [`decrypt_words`] gives, for less: they need half of the last rounds.
#[inline(always)]
#[must_use]
pub fn decrypt_to_two(keys: &RoundKeys, block: Words) -> u16 {
    let [d, a] = rounds::decrypt_to_two(&DECRYPT, xor(block, keys.first), keys);
    let table = rounds::kept(&INVERSE);
    u16::from_be_bytes([table[row0(a)], table[row1(d)]]) ^ (keys.last[0] >> 48) as u16
}

#[inline(always)]
fn last(table: &[u8; 256], a: u64, b: u64, c: u64, d: u64) -> u32 {
    (u32::from(table[row0(a)]) << 24)
        | (u32::from(table[row1(b)]) << 16)
        | (u32::from(table[row2(c)]) << 8)
        | u32::from(table[row3(d)])
}

#[inline(always)]
fn words(block: &Block) -> Words {
    let whole = u128::from_be_bytes(*block);
    [(whole >> 64) as u64, whole as u64]
}

#[inline(always)]
fn bytes([high, low]: Words) -> Block {
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

/// Two columns as a word.
#[inline(always)]
fn joined(high: u32, low: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

#[inline(always)]
fn xor(words: Words, others: Words) -> Words {
    [words[0] ^ others[0], words[1] ^ others[1]]
}

/// Multiplication by x in GF(2^8) (FIPS-197 section 4.2.1).
const fn double(byte: u8) -> u8 {
    (byte << 1) ^ if byte & 0x80 != 0 { 0x1b } else { 0 }
}

const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// A column times the circulant matrix whose first column is `factors`.
const fn circulant(column: u32, factors: [u8; 4]) -> u32 {
    let input = column.to_be_bytes();
    let mut output = [0; 4];
    let mut row = 0;
    while row < 4 {
        let mut index = 0;
        while index < 4 {
            output[row] ^= multiply(input[index], factors[(4 + row - index) % 4]);
            index += 1;
        }
        row += 1;
    }
    u32::from_be_bytes(output)
}

const fn sbox() -> [u8; 256] {
    // 3 generates the field's multiplicative group and 0xf6 is its inverse: walking both at
    // once meets every number together with its inverse.
    let mut table = [0; 256];
    let (mut number, mut inverse) = (1u8, 1u8);
    loop {
        table[number as usize] = inverse
            ^ inverse.rotate_left(1)
            ^ inverse.rotate_left(2)
            ^ inverse.rotate_left(3)
            ^ inverse.rotate_left(4)
            ^ 0x63;
        number = multiply(number, 3);
        inverse = multiply(inverse, 0xf6);
        if number == 1 {
            break;
        }
    }
    table[0] = 0x63;
    table
}

const fn inverse_sbox() -> [u8; 256] {
    let forward = sbox();
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[forward[index] as usize] = index as u8;
        index += 1;
    }
    table
}

const fn tables(sbox: &[u8; 256], factors: [u8; 4]) -> Tables {
    let mut tables = [[0; 256]; 4];
    let mut row = 0;
    while row < 4 {
        let mut index = 0;
        while index < 256 {
            let column = (sbox[index] as u32) << (24 - 8 * row);
            tables[row][index] = apart(circulant(column, factors));
            index += 1;
        }
        row += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(hex: &str) -> Block {
        core::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
    }

    fn check(key: &str, plain: &str, cipher: &str) {
        let (key, plain, cipher) = (block(key), block(plain), block(cipher));
        assert_eq!(encrypt(&encryption_keys(&key), &plain), cipher);
        assert_eq!(decrypt(&decryption_keys(&key), &cipher), plain);
    }

    /// FIPS-197 appendices B and C.1.
    #[test]
    fn fips_197() {
        check(
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3243f6a8885a308d313198a2e0370734",
            "3925841d02dc09fbdc118597196a0b32",
        );
        check(
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        );
    }

    /// FIPS-197 appendix A.1: the last round key.
    #[test]
    fn fips_197_key_expansion() {
        let keys = encryption_keys(&block("2b7e151628aed2a6abf7158809cf4f3c"));
        assert_eq!(bytes(keys.last), block("d014f9a8c9ee2589e13f0cc8b6630ca6"));
    }

    /// SP 800-38A sections F.1.1 and F.1.2 (ECB-AES128).
    #[test]
    fn sp_800_38a() {
        for (plain, cipher) in [
            ("6bc1bee22e409f96e93d7e117393172a", "3ad77bb40d7a3660a89ecaf32466ef97"),
            ("ae2d8a571e03ac9c9eb76fac45af8e51", "f5d3d58503b9699de785895a96fdbaaf"),
            ("30c81c46a35ce411e5fbc1191a0a52ef", "43b1cd7f598ece23881b00e3ed030688"),
            ("f69f2445df4f9b17ad2b417be66c3710", "7b0c785e27e8ad3f8223207104725dd4"),
        ] {
            check("2b7e151628aed2a6abf7158809cf4f3c", plain, cipher);
        }
    }

    proptest::proptest! {
        #[test]
        fn decrypting_undoes_encrypting(key: Block, plain: Block) {
            let cipher = encrypt(&encryption_keys(&key), &plain);
            let keys = decryption_keys(&key);
            proptest::prop_assert_eq!(decrypt(&keys, &cipher), plain);
            let first_two = decrypt_to_two(&keys, words(&cipher)).to_be_bytes();
            proptest::prop_assert_eq!(&first_two, &plain[..2]);
        }

        /// Whatever stands in the place of the six bytes.
        #[test]
        fn a_prepared_end_gives_the_same_bytes(key: Block, plain: Block, instead: [u8; 6]) {
            let keys = encryption_keys(&key);
            let cipher = encrypt(&keys, &plain);
            let prepared = prepare(&keys, *plain.last_chunk().expect("16 bytes"));
            let mut without = plain;
            without[10..].copy_from_slice(&instead);
            let ten = bytes(encrypt_ten(&keys, &prepared, words(&without)));
            proptest::prop_assert_eq!(&ten[..10], &cipher[..10]);
            proptest::prop_assert_eq!(&ten[10..], &[0; 6]);
            let two = encrypt_ten_to_two(&keys, &prepared, words(&without)).to_be_bytes();
            proptest::prop_assert_eq!(&two, &cipher[..2]);
        }
    }
}
