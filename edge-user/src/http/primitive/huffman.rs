//! The Huffman code of HPACK and QPACK (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and
//! shorter ones come before longer ones. So the lengths are all that has to be written down; the
//! tables are made of them when this is compiled.

use bytes::{BufMut as _, BytesMut};

/// The bytes are no Huffman code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct NoHuffman;

/// Lengths of codes, in bits, by symbol; the last one is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

const EOS: u16 = 256;
/// Bits of the longest code.
const LONGEST: usize = 30;
/// Bits that the first look takes: every character of most texts has a code no longer than that.
const FIRST: usize = 9;
/// Bits of the shortest code: so many bytes a string may grow to, at most, is 8/5 of its own.
const SHORTEST: usize = 5;

/// What the codes of one length are.
#[derive(Clone, Copy)]
struct OfLength {
    /// The first code of the next length, from the top of 32 bits: codes below it are this long or
    /// shorter.
    end: u64,
    /// The first code of this length.
    first: u32,
    /// Where its symbol is in [`Tables::symbols`].
    at: u16,
}

struct Tables {
    /// Codes by symbol, in the low bits.
    codes: [u32; 257],
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    lengths: [OfLength; LONGEST + 1],
    /// Symbol and length by the first [`FIRST`] bits; length 0 where the code is longer.
    first: [(u8, u8); 1 << FIRST],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut tables = Tables {
        codes: [0; 257],
        symbols: [0; 257],
        lengths: [OfLength { end: 0, first: 0, at: 0 }; LONGEST + 1],
        first: [(0, 0); 1 << FIRST],
    };
    let (mut code, mut at, mut length) = (0u32, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        tables.lengths[length].first = code;
        tables.lengths[length].at = at;
        let mut symbol = 0;
        while symbol <= EOS as usize {
            if LENGTHS[symbol] as usize == length {
                tables.codes[symbol] = code;
                tables.symbols[at as usize] = symbol as u16;
                if length <= FIRST {
                    let spare = FIRST - length;
                    let mut low = 0;
                    while low < 1 << spare {
                        tables.first[((code as usize) << spare) + low] =
                            (symbol as u8, length as u8);
                        low += 1;
                    }
                }
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        tables.lengths[length].end = (code as u64) << (32 - length);
        length += 1;
    }
    // The code is complete, so every sequence of bits is one of symbols (Kraft's equality).
    assert!(code == 1 << LONGEST && at == 257);
    tables
}

/// Bytes that `coded` bytes may decode to, at most.
pub(in crate::http) const fn decoded_most(coded: usize) -> usize {
    coded * 8 / SHORTEST
}

/// Appends what `coded` stands for.
///
/// # Errors
/// Where it has EOS, or ends otherwise than by less than 8 bits of EOS (RFC 7541 section 5.2).
pub(in crate::http) fn decode(coded: &[u8], out: &mut BytesMut) -> Result<(), NoHuffman> {
    out.reserve(decoded_most(coded.len()));
    each(coded, |byte| out.put_u8(byte))
}

/// Gives the bytes that `coded` stands for, one after the other.
///
/// # Errors
/// As [`decode`], when those before were given.
#[inline]
pub(in crate::http) fn each(coded: &[u8], mut give: impl FnMut(u8)) -> Result<(), NoHuffman> {
    // The next bits, from the top; how many of them are there.
    let (mut window, mut bits) = (0u64, 0);
    let mut rest = coded;
    loop {
        while bits <= 56
            && let Some((&byte, more)) = rest.split_first()
        {
            window |= u64::from(byte) << (56 - bits);
            bits += 8;
            rest = more;
        }
        let (symbol, length) = match TABLES.first[(window >> (64 - FIRST)) as usize] {
            (_, 0) => long(window),
            (symbol, length) => (u16::from(symbol), usize::from(length)),
        };
        if length > bits || symbol == EOS {
            return padding(window, bits);
        }
        give(symbol as u8);
        window <<= length;
        bits -= length;
    }
}

/// A code longer than [`FIRST`] bits.
fn long(window: u64) -> (u16, usize) {
    let next = window >> 32;
    let mut length = FIRST + 1;
    // The end of the longest length is 2^32.
    while next >= TABLES.lengths[length].end {
        length += 1;
    }
    let OfLength { first, at, .. } = TABLES.lengths[length];
    let nth = (next >> (32 - length)) as usize - first as usize;
    (TABLES.symbols[usize::from(at) + nth], length)
}

fn padding(window: u64, bits: usize) -> Result<(), NoHuffman> {
    // EOS is all ones.
    let is_padding = bits < 8 && (bits == 0 || window >> (64 - bits) == (1 << bits) - 1);
    if is_padding { Ok(()) } else { Err(NoHuffman) }
}

/// Bytes that `text` takes up when it is coded.
pub(in crate::http) fn coded_bytes(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`.
pub(in crate::http) fn encode(text: &[u8], out: &mut BytesMut) {
    // Bits that are not written yet, in the low ones of `window`: fewer than 32.
    let (mut window, mut bits) = (0u64, 0);
    for byte in text {
        let length = u32::from(LENGTHS[usize::from(*byte)]);
        window = (window << length) | u64::from(TABLES.codes[usize::from(*byte)]);
        bits += length;
        if bits >= 32 {
            bits -= 32;
            out.put_u32((window >> bits) as u32);
        }
    }
    while bits >= 8 {
        bits -= 8;
        out.put_u8((window >> bits) as u8);
    }
    if bits > 0 {
        out.put_u8((window << (8 - bits)) as u8 | (0xff >> bits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, NoHuffman> {
        let mut out = BytesMut::new();
        decode(coded, &mut out).map(|()| out.to_vec())
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(text, &mut out);
        out.to_vec()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |digit: u8| (digit as char).to_digit(16).expect("hexadecimal") as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    /// RFC 7541 appendix C.4 and C.6.
    #[test]
    fn the_examples_of_hpack_are_coded_and_decoded() {
        for (text, code) in [
            ("www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"),
            ("no-cache", "a8eb 1064 9cbf"),
            ("custom-key", "25a8 49e9 5ba9 7d7f"),
            ("custom-value", "25a8 49e9 5bb8 e8b4 bf"),
            ("302", "6402"),
            ("private", "aec3 771a 4b"),
            (
                "Mon, 21 Oct 2013 20:13:21 GMT",
                "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff",
            ),
            ("https://www.example.com", "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"),
            ("307", "640e ff"),
            ("gzip", "9bd9 ab"),
            (
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
                "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            ),
        ] {
            assert_eq!(encoded(text.as_bytes()), bytes(code), "{text}");
            assert_eq!(decoded(&bytes(code)), Ok(text.as_bytes().to_vec()));
        }
    }

    /// RFC 7541 appendix B: some rows of each length.
    #[test]
    fn codes_are_those_of_the_appendix() {
        for (symbol, code, length) in [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2d, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (b'?', 0x3fc, 10),
            (b'\'', 0x7fa, 11),
            (b'|', 0x7fc, 11),
            (b'#', 0xffa, 12),
            (b'>', 0xffb, 12),
            (0, 0x1ff8, 13),
            (b'~', 0x1ffd, 13),
            (b'^', 0x3ffc, 14),
            (b'}', 0x3ffd, 14),
            (b'<', 0x7ffc, 15),
            (b'{', 0x7ffe, 15),
            (b'\\', 0x7fff0, 19),
            (208, 0x7fff2, 19),
            (128, 0xfffe6, 20),
            (226, 0xfffed, 20),
            (153, 0x1fffdc, 21),
            (129, 0x3fffd2, 22),
            (1, 0x7fffd8, 23),
            (9, 0xffffea, 24),
            (199, 0x1ffffec, 25),
            (192, 0x3ffffe0, 26),
            (255, 0x3ffffee, 26),
            (203, 0x7ffffde, 27),
            (2, 0xfffffe2, 28),
            (249, 0xffffffe, 28),
            (10, 0x3ffffffc, 30),
            (22, 0x3ffffffe, 30),
        ] {
            let at = usize::from(symbol);
            assert_eq!((TABLES.codes[at], LENGTHS[at]), (code, length), "{symbol}");
        }
        assert_eq!((TABLES.codes[256], LENGTHS[256]), (0x3fff_ffff, 30));
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_as_it_was_coded(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let code = encoded(&text);
            prop_assert_eq!(code.len(), coded_bytes(&text));
            prop_assert!(text.len() <= decoded_most(code.len()));
            prop_assert_eq!(decoded(&code), Ok(text));
        }

        /// No two strings of bytes stand for the same text: what is taken is what we would write.
        #[test]
        fn what_is_decoded_is_coded_as_it_came(code in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decoded(&code) {
                prop_assert_eq!(encoded(&text), code);
            }
        }
    }

    /// RFC 7541 section 5.2.
    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        assert_eq!(decoded(&[]), Ok(vec![]));
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        for wrong in [&[0b0000_0110][..], &[0b0000_0111, 0xff], &[0xff], &[0xff; 4], &[0xff, 0xff]]
        {
            assert_eq!(decoded(wrong), Err(NoHuffman), "{wrong:x?}");
        }
        // EOS, and something behind it.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc, 0x07]), Err(NoHuffman));
    }
}
