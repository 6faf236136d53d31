//! AES-128 (FIPS-197), one block at a time, for connection IDs in the kernel, where no other
//! implementation can be called at an acceptable cost.
//!
//! It looks up tables, so its time depends on what is in the cache. Its key guards routing only:
//! whoever learnt it could link connection IDs and choose an owner, but reads no traffic.

mod rounds;

/// A block of 16 bytes.
pub type Block = [u8; 16];

/// Eleven round keys of four columns each.
pub type RoundKeys = [[u32; 4]; 11];

const SBOX: [u8; 256] = sbox();
const INVERSE_SBOX: [u8; 256] = inverse_sbox();
static FORWARD: [u8; 256] = SBOX;
static INVERSE: [u8; 256] = INVERSE_SBOX;
/// MixColumns of the column (SBOX[i], 0, 0, 0).
static ENCRYPT: Table = encrypt_table();
/// InvMixColumns of the column (INVERSE_SBOX[i], 0, 0, 0).
static DECRYPT: Table = decrypt_table();

/// A column for each byte. The columns of the other three rows are its rotations: it stands here
/// twice, one behind the other, so that a rotation is only another place to read from. The
/// kernel's instructions cannot rotate.
type Table = [[u8; 8]; 256];

/// The round keys for [`encrypt`] (FIPS-197 section 5.2).
#[must_use]
pub fn encryption_keys(key: &Block) -> RoundKeys {
    let mut keys = [[0; 4]; 11];
    keys[0] = columns(key);
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

/// The round keys for [`decrypt`]: the equivalent inverse cipher's (FIPS-197 section 5.3.5).
#[must_use]
pub fn decryption_keys(key: &Block) -> RoundKeys {
    let mut keys = encryption_keys(key);
    keys.reverse();
    for round in &mut keys[1..10] {
        for column in round {
            *column = inverse_mix(*column);
        }
    }
    keys
}

/// Encrypts one block.
#[inline(always)]
#[must_use]
pub fn encrypt(keys: &RoundKeys, block: &Block) -> Block {
    bytes(encrypt_columns(keys, columns(block)))
}

/// As [`encrypt`], the block as its four columns: four table look-ups a column and round.
#[inline(always)]
#[must_use]
pub fn encrypt_columns(keys: &RoundKeys, block: [u32; 4]) -> [u32; 4] {
    let state = xor(block, &keys[0]);
    // ShiftRows: row r of column c comes from column c + r.
    let [a, b, c, d] = rounds::nine::<0, 4, 8, 12>(&ENCRYPT, state, keys);
    let table = rounds::kept(&FORWARD);
    let last = |a, b, c, d| last(table, a, b, c, d);
    xor([last(a, b, c, d), last(b, c, d, a), last(c, d, a, b), last(d, a, b, c)], &keys[10])
}

/// Decrypts one block.
#[inline(always)]
#[must_use]
pub fn decrypt(keys: &RoundKeys, block: &Block) -> Block {
    bytes(decrypt_columns(keys, columns(block)))
}

/// As [`decrypt`], the block as its four columns: four table look-ups a column and round.
#[inline(always)]
#[must_use]
pub fn decrypt_columns(keys: &RoundKeys, block: [u32; 4]) -> [u32; 4] {
    let [a, b, c, d] = xor(block, &keys[0]);
    // InvShiftRows: row r of column c comes from column c - r. That is ShiftRows with the columns
    // in the opposite order.
    let [d, c, b, a] = rounds::nine::<12, 8, 4, 0>(&DECRYPT, [d, c, b, a], keys);
    let table = rounds::kept(&INVERSE);
    let last = |a, b, c, d| last(table, a, b, c, d);
    xor([last(a, d, c, b), last(b, a, d, c), last(c, b, a, d), last(d, c, b, a)], &keys[10])
}

/// The first two bytes of what [`decrypt_columns`] gives, for less: they need half of the last rounds.
#[inline(always)]
#[must_use]
pub fn decrypt_first_two(keys: &RoundKeys, block: [u32; 4]) -> u16 {
    let [a, b, c, d] = xor(block, &keys[0]);
    // As in `decrypt_columns`: the columns are in the opposite order.
    let [d, a] = rounds::nine_to_ends::<12, 8, 4, 0>(&DECRYPT, [d, c, b, a], keys);
    let table = rounds::kept(&INVERSE);
    let [high, low] = [(a >> 24) as usize, (d >> 16) as usize & 0xff].map(|at| table[at]);
    u16::from_be_bytes([high, low]) ^ (keys[10][0] >> 16) as u16
}

#[inline(always)]
fn last(table: &[u8; 256], row0: u32, row1: u32, row2: u32, row3: u32) -> u32 {
    (u32::from(table[(row0 >> 24) as usize]) << 24)
        | (u32::from(table[(row1 >> 16) as usize & 0xff]) << 16)
        | (u32::from(table[(row2 >> 8) as usize & 0xff]) << 8)
        | u32::from(table[row3 as usize & 0xff])
}

#[inline(always)]
fn columns(block: &Block) -> [u32; 4] {
    let b = block;
    [
        u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
        u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
        u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
        u32::from_be_bytes([b[12], b[13], b[14], b[15]]),
    ]
}

#[inline(always)]
fn bytes(state: [u32; 4]) -> Block {
    let [a, b, c, d] = state.map(u128::from);
    ((a << 96) | (b << 64) | (c << 32) | d).to_be_bytes()
}

#[inline(always)]
fn xor(state: [u32; 4], key: &[u32; 4]) -> [u32; 4] {
    [state[0] ^ key[0], state[1] ^ key[1], state[2] ^ key[2], state[3] ^ key[3]]
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

const fn mix(column: u32) -> u32 {
    circulant(column, [2, 1, 1, 3])
}

const fn inverse_mix(column: u32) -> u32 {
    circulant(column, [14, 9, 13, 11])
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

const fn twice(column: u32) -> [u8; 8] {
    let [a, b, c, d] = column.to_le_bytes();
    [a, b, c, d, a, b, c, d]
}

const fn encrypt_table() -> Table {
    let mut table = [[0; 8]; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = twice(mix((SBOX[index] as u32) << 24));
        index += 1;
    }
    table
}

const fn decrypt_table() -> Table {
    let mut table = [[0; 8]; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = twice(inverse_mix((INVERSE_SBOX[index] as u32) << 24));
        index += 1;
    }
    table
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
        assert_eq!(bytes(keys[10]), block("d014f9a8c9ee2589e13f0cc8b6630ca6"));
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
            let first_two = decrypt_first_two(&keys, columns(&cipher)).to_be_bytes();
            proptest::prop_assert_eq!(&first_two, &plain[..2]);
        }
    }
}
