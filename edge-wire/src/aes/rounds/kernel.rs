//! The rounds an instruction a line. The compiler loads a table's place anew for each look-up, masks a
//! byte before it makes an offset of it, and keeps columns in memory.
//!
//! Old and new columns, tables and keys are ten, which is all the registers that there are: `r0` holds
//! the tables and `r9` the keys, and a round goes from `r1` to `r4` to `r5` to `r8`, or back. A column
//! that was used up is where the next ones' bytes are taken out. Registers have names here because the
//! low half of one (`w`) has no other way to be named.

use core::mem::offset_of;

use crate::aes::{Prepared, RoundKeys, Tables, Words};

// Where the instructions below take the keys from.
const _: () = assert!(offset_of!(RoundKeys, middle) == 16 && size_of::<RoundKeys>() == 320);

/// Makes an offset into a table of the byte of this row.
#[rustfmt::skip] // an instruction a line
macro_rules! take_out {
    (0, $of:literal) => { concat!("r", $of, " >>= 53\n") };
    (1, $of:literal) => { concat!("w", $of, " >>= 21\n") };
    (2, $of:literal) => { concat!("r", $of, " &= 0x7f8\n") };
    (3, $of:literal) => { concat!("r", $of, " >>= 37\n", "r", $of, " &= 0x7f8\n") };
}

/// What the table of this row has at the offset that stands in `$at`.
#[rustfmt::skip] // an instruction a line
macro_rules! load {
    (0, $to:literal, $at:literal) => { load!(at "0", $to, $at) };
    (1, $to:literal, $at:literal) => { load!(at "2048", $to, $at) };
    (2, $to:literal, $at:literal) => { load!(at "4096", $to, $at) };
    (3, $to:literal, $at:literal) => { load!(at "6144", $to, $at) };
    (at $row:literal, $to:literal, $at:literal) => {
        concat!("r", $at, " += r0\n", "r", $to, " = *(u64 *)(r", $at, " + ", $row, ")\n")
    };
}

#[rustfmt::skip] // an instruction a line
macro_rules! copy {
    ($to:literal, $from:literal) => { concat!("r", $to, " = r", $from, "\n") };
}

#[rustfmt::skip] // an instruction a line
macro_rules! xor {
    ($to:literal, $from:literal) => { concat!("r", $to, " ^= r", $from, "\n") };
}

/// Adds what the byte of a row of `$from` gives to `$to`, by way of `$by`.
#[rustfmt::skip] // an instruction a line
macro_rules! add {
    ($row:tt, $from:literal, $by:literal, $to:literal) => {
        concat!(copy!($by, $from), take_out!($row, $by), load!($row, $by, $by), xor!($to, $by))
    };
}

/// As `add`, and `$from` is lost.
#[rustfmt::skip] // an instruction a line
macro_rules! add_last {
    ($row:tt, $from:literal, $to:literal) => {
        concat!(take_out!($row, $from), load!($row, $from, $from), xor!($to, $from))
    };
}

/// As `add`, where it is the first that `$to` gets.
#[rustfmt::skip] // an instruction a line
macro_rules! set {
    ($row:tt, $from:literal, $to:literal) => {
        concat!(copy!($to, $from), take_out!($row, $to), load!($row, $to, $to))
    };
}

/// As `set`, and `$from` is lost.
#[rustfmt::skip] // an instruction a line
macro_rules! set_last {
    ($row:tt, $from:literal, $to:literal) => {
        concat!(take_out!($row, $from), load!($row, $to, $from))
    };
}

/// Adds the key that stands so many bytes behind the first one, by way of `$by`.
#[rustfmt::skip] // an instruction a line
macro_rules! key {
    ($at:literal, $by:literal, $to:literal) => {
        concat!("r", $by, " = *(u64 *)(r9 + ", $at, ")\n", xor!($to, $by))
    };
}

/// One round, with the keys from these places on.
#[rustfmt::skip] // a column a line
macro_rules! round {
    (
        $a:literal $b:literal $c:literal $d:literal => $e:literal $f:literal $g:literal $h:literal,
        $k0:literal $k1:literal $k2:literal $k3:literal
    ) => {
        concat!(
            set!(0, $a, $e), set!(1, $a, $h), set!(2, $a, $g), set_last!(3, $a, $f),
            add!(0, $b, $a, $f), add!(1, $b, $a, $e), add!(2, $b, $a, $h), add_last!(3, $b, $g),
            add!(0, $c, $a, $g), add!(1, $c, $a, $f), add!(2, $c, $a, $e), add_last!(3, $c, $h),
            add!(0, $d, $a, $h), add!(1, $d, $a, $g), add!(2, $d, $a, $f), add_last!(3, $d, $e),
            key!($k0, $a, $e), key!($k1, $b, $f), key!($k2, $c, $g), key!($k3, $d, $h),
        )
    };
}

/// As `round`, only the first column and the last, in `$e` and `$h`.
#[rustfmt::skip] // a column a line
macro_rules! ends {
    (
        $a:literal $b:literal $c:literal $d:literal => $e:literal $h:literal,
        $k0:literal $k3:literal
    ) => {
        concat!(
            set!(0, $a, $e), set_last!(1, $a, $h),
            add!(1, $b, $a, $e), add_last!(2, $b, $h),
            add!(2, $c, $a, $e), add_last!(3, $c, $h),
            add!(0, $d, $a, $h), add_last!(3, $d, $e),
            key!($k0, $a, $e), key!($k3, $a, $h),
        )
    };
}

/// The second round to the eighth.
#[rustfmt::skip] // a round a line
macro_rules! second_to_eighth {
    () => {
        concat!(
            round!(5 6 7 8 => 1 2 3 4, 48 56 64 72),
            round!(1 2 3 4 => 5 6 7 8, 80 88 96 104),
            round!(5 6 7 8 => 1 2 3 4, 112 120 128 136),
            round!(1 2 3 4 => 5 6 7 8, 144 152 160 168),
            round!(5 6 7 8 => 1 2 3 4, 176 184 192 200),
            round!(1 2 3 4 => 5 6 7 8, 208 216 224 232),
            round!(5 6 7 8 => 1 2 3 4, 240 248 256 264),
        )
    };
}

/// Of the first round: adds what the byte at a place in `$from` gives to `$to`, by way of `r4`. Here
/// bytes stand as in a block.
#[rustfmt::skip] // an instruction a line
macro_rules! add_byte {
    ($row:tt, $from:literal, $shift:literal, $to:literal) => {
        concat!(
            copy!(4, $from), "r4", $shift, "\n", "r4 &= 0x7f8\n", load!($row, 4, 4), xor!($to, 4),
        )
    };
}

/// Of a word: its bytes, and where ShiftRows moves them to.
#[rustfmt::skip] // a column a line
macro_rules! add_word {
    ($from:literal => $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            add_byte!(0, $from, " >>= 53", $a), add_byte!(1, $from, " >>= 45", $d),
            add_byte!(2, $from, " >>= 37", $c), add_byte!(3, $from, " >>= 29", $b),
        )
    };
    (low $from:literal => $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            add_byte!(0, $from, " >>= 21", $a), add_byte!(1, $from, " >>= 13", $d),
            add_byte!(2, $from, " >>= 5", $c), add_byte!(3, $from, " <<= 3", $b),
        )
    };
}

/// Four words from `$from` on.
#[rustfmt::skip] // an instruction a line
macro_rules! columns {
    ($from:literal, $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "r5 = *(u64 *)(r", $from, " + ", $a, ")\n",
            "r6 = *(u64 *)(r", $from, " + ", $b, ")\n",
            "r7 = *(u64 *)(r", $from, " + ", $c, ")\n",
            "r8 = *(u64 *)(r", $from, " + ", $d, ")\n",
        )
    };
}

/// The first round to decrypt, of the words in `r1` and `r2`: its columns are in the opposite order,
/// so `r8` gets the first one's first byte.
macro_rules! first_to_decrypt {
    () => {
        concat!(
            columns!(9, 16 24 32 40),
            add_word!(1 => 8 5 6 7),
            add_word!(low 1 => 7 8 5 6),
            add_word!(2 => 6 7 8 5),
            add_word!(low 2 => 5 6 7 8),
        )
    };
}

/// The first round to encrypt, of ten bytes in `r1` and `r2`; `r3` holds the place of what is prepared.
macro_rules! first_of_ten {
    () => {
        concat!(
            columns!(3, 0 8 16 24),
            add_word!(1 => 5 6 7 8),
            add_word!(low 1 => 6 7 8 5),
            add_byte!(0, 2, " >>= 53", 7),
            add_byte!(1, 2, " >>= 45", 6),
        )
    };
}

/// What `$code` makes of the words and the numbers that it is given.
macro_rules! run {
    ($code:expr, $tables:ident, $words:ident, $keys:ident, $r3:expr) => {{
        let (a, b, c, d): (u64, u64, u64, u64);
        // SAFETY: changes the registers that it names. It reads the keys and, where it is given them,
        // the prepared columns; and of each table a word at `0x7f8` at most, but `0x7ff` of the first
        // two, behind which are others.
        unsafe {
            core::arch::asm!(
                $code,
                in("r0") $tables,
                inout("r1") $words[0] => _,
                inout("r2") $words[1] => _,
                inout("r3") $r3 => _,
                out("r4") _,
                out("r5") a,
                out("r6") b,
                out("r7") c,
                out("r8") d,
                in("r9") $keys,
                options(pure, readonly, nostack),
            );
        }
        [a, b, c, d]
    }};
}

/// See the host's.
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(in crate::aes) fn decrypt(tables: &Tables, words: Words, keys: &RoundKeys) -> [u64; 4] {
    run!(
        concat!(
            first_to_decrypt!(),
            second_to_eighth!(),
            round!(1 2 3 4 => 5 6 7 8, 272 280 288 296),
        ),
        tables,
        words,
        keys,
        0u64
    )
}

/// See the host's.
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(in crate::aes) fn decrypt_to_two(tables: &Tables, words: Words, keys: &RoundKeys) -> [u64; 2] {
    let [first, _, _, last] = run!(
        concat!(first_to_decrypt!(), second_to_eighth!(), ends!(1 2 3 4 => 5 8, 272 296)),
        tables,
        words,
        keys,
        0u64
    );
    [first, last]
}

/// See the host's.
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(in crate::aes) fn encrypt_ten(
    tables: &Tables,
    words: Words,
    prepared: &Prepared,
    keys: &RoundKeys,
) -> [u64; 4] {
    run!(
        concat!(first_of_ten!(), second_to_eighth!(), round!(1 2 3 4 => 5 6 7 8, 272 280 288 296),),
        tables,
        words,
        keys,
        prepared
    )
}

/// See the host's. The second column is the first of the order that begins with it, and the first one
/// is the last.
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(in crate::aes) fn encrypt_ten_to_two(
    tables: &Tables,
    words: Words,
    prepared: &Prepared,
    keys: &RoundKeys,
) -> [u64; 2] {
    let [first, second, ..] = run!(
        concat!(first_of_ten!(), second_to_eighth!(), ends!(2 3 4 1 => 6 5, 280 272)),
        tables,
        words,
        keys,
        prepared
    );
    [first, second]
}

/// The same table, of which the compiler does not know any more which one it is: so it keeps its
/// place in a register instead of naming it for each look-up.
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(in crate::aes) fn kept<T>(table: &T) -> &T {
    let mut at = core::ptr::from_ref(table);
    // SAFETY: moves a register to itself.
    unsafe { core::arch::asm!("{at} = {at}", at = inout(reg) at, options(pure, nomem, nostack)) };
    // SAFETY: it is what it was.
    unsafe { &*at }
}
