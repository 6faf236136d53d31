//! The rounds of AES but the last, by table: SubBytes, ShiftRows, MixColumns and the key.

use super::{RoundKeys, Table};

/// Nine rounds over columns in the order in which ShiftRows moves them: row r of a column comes from
/// the r-th column behind it. The column at place i takes the word at byte `Ki` of a round's key.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub(super) fn nine<const K0: usize, const K1: usize, const K2: usize, const K3: usize>(
    table: &Table,
    mut columns: [u32; 4],
    keys: &RoundKeys,
) -> [u32; 4] {
    for key in &keys[1..10] {
        let [a, b, c, d] = columns;
        columns = [
            look_up(table, a, b, c, d) ^ key[K0 / 4],
            look_up(table, b, c, d, a) ^ key[K1 / 4],
            look_up(table, c, d, a, b) ^ key[K2 / 4],
            look_up(table, d, a, b, c) ^ key[K3 / 4],
        ];
    }
    columns
}

/// As [`nine`], of which only the first and the last column are asked for: the last round makes no
/// others.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub(super) fn nine_to_ends<const K0: usize, const K1: usize, const K2: usize, const K3: usize>(
    table: &Table,
    columns: [u32; 4],
    keys: &RoundKeys,
) -> [u32; 2] {
    let [first, _, _, last] = nine::<K0, K1, K2, K3>(table, columns, keys);
    [first, last]
}

#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
fn look_up(table: &Table, row0: u32, row1: u32, row2: u32, row3: u32) -> u32 {
    column::<0>(&table[(row0 >> 24) as usize])
        ^ column::<1>(&table[(row1 >> 16) as usize & 0xff])
        ^ column::<2>(&table[(row2 >> 8) as usize & 0xff])
        ^ column::<3>(&table[row3 as usize & 0xff])
}

/// The column of this row.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
fn column<const ROW: usize>(twice: &[u8; 8]) -> u32 {
    let t = twice;
    u32::from_le_bytes([t[ROW], t[ROW + 1], t[ROW + 2], t[ROW + 3]])
}

/// The table's column of row `$row` in `$to`, for the byte that `$shift` puts at its place: a column
/// takes eight bytes, so that is where the byte is eight times itself.
#[cfg(target_arch = "bpf")]
#[rustfmt::skip] // an instruction a line
macro_rules! look_up {
    ($to:literal, $shift:literal, $row:literal) => {
        concat!(
            $to, $shift, "\n",
            $to, " &= 0x7f8\n",
            $to, " += {table}\n",
            $to, " = *(u32 *)(", $to, " + ", $row, ")\n",
        )
    };
}

/// Adds what the four bytes of `$from` give to the columns that ShiftRows moves them to. With `sets`
/// it is the first that they get; else `$by` is where it is looked up, and `$from` is lost.
#[cfg(target_arch = "bpf")]
#[rustfmt::skip] // an instruction a line
macro_rules! spread {
    ($from:literal, sets $r0:literal, $r1:literal, $r2:literal, $r3:literal) => {
        concat!(
            $r0, " = ", $from, "\n", look_up!($r0, " >>= 21", "0"),
            $r1, " = ", $from, "\n", look_up!($r1, " >>= 13", "1"),
            $r2, " = ", $from, "\n", look_up!($r2, " >>= 5", "2"),
            $r3, " = ", $from, "\n", look_up!($r3, " <<= 3", "3"),
        )
    };
    ($from:literal, by $by:literal, $r0:literal, $r1:literal, $r2:literal, $r3:literal) => {
        concat!(
            $by, " = ", $from, "\n", look_up!($by, " >>= 21", "0"), $r0, " ^= ", $by, "\n",
            $by, " = ", $from, "\n", look_up!($by, " >>= 13", "1"), $r1, " ^= ", $by, "\n",
            $by, " = ", $from, "\n", look_up!($by, " >>= 5", "2"), $r2, " ^= ", $by, "\n",
            look_up!($from, " <<= 3", "3"), $r3, " ^= ", $from, "\n",
        )
    };
}

/// One round, from the first four registers to the other four.
#[cfg(target_arch = "bpf")]
#[rustfmt::skip] // an instruction a line
macro_rules! round {
    (
        $a:literal, $b:literal, $c:literal, $d:literal =>
        $e:literal, $f:literal, $g:literal, $h:literal
    ) => {
        concat!(
            spread!($a, sets $e, $h, $g, $f),
            spread!($b, by $a, $f, $e, $h, $g),
            spread!($c, by $a, $g, $f, $e, $h),
            spread!($d, by $a, $h, $g, $f, $e),
            "{key} += 16\n",
            $a, " = *(u32 *)({key} + {k0})\n", $e, " ^= ", $a, "\n",
            $b, " = *(u32 *)({key} + {k1})\n", $f, " ^= ", $b, "\n",
            $c, " = *(u32 *)({key} + {k2})\n", $g, " ^= ", $c, "\n",
            $d, " = *(u32 *)({key} + {k3})\n", $h, " ^= ", $d, "\n",
        )
    };
}

/// As `round`, only the first column and the last, in `$e` and `$h`.
#[cfg(target_arch = "bpf")]
#[rustfmt::skip] // an instruction a line
macro_rules! ends {
    ($a:literal, $b:literal, $c:literal, $d:literal => $e:literal, $h:literal) => {
        concat!(
            $e, " = ", $a, "\n", look_up!($e, " >>= 21", "0"),
            $h, " = ", $a, "\n", look_up!($h, " >>= 13", "1"),
            $a, " = ", $b, "\n", look_up!($a, " >>= 13", "1"), $e, " ^= ", $a, "\n",
            look_up!($b, " >>= 5", "2"), $h, " ^= ", $b, "\n",
            $a, " = ", $c, "\n", look_up!($a, " >>= 5", "2"), $e, " ^= ", $a, "\n",
            look_up!($c, " <<= 3", "3"), $h, " ^= ", $c, "\n",
            $a, " = ", $d, "\n", look_up!($a, " <<= 3", "3"), $e, " ^= ", $a, "\n",
            look_up!($d, " >>= 21", "0"), $h, " ^= ", $d, "\n",
            "{key} += 16\n",
            $a, " = *(u32 *)({key} + {k0})\n", $e, " ^= ", $a, "\n",
            $a, " = *(u32 *)({key} + {k3})\n", $h, " ^= ", $a, "\n",
        )
    };
}

/// The same, an instruction a line. The compiler loads the table's place anew for each look-up, masks
/// a byte before it makes an offset of it, and keeps columns in memory. Old and new columns,
/// table and key are ten, which is all the registers that there are: so a column that was used up
/// is where the next ones' bytes are taken apart.
#[cfg(target_arch = "bpf")]
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(super) fn nine<const K0: usize, const K1: usize, const K2: usize, const K3: usize>(
    table: &Table,
    [a, b, c, d]: [u32; 4],
    keys: &RoundKeys,
) -> [u32; 4] {
    let (e, f, g, h): (u64, u64, u64, u64);
    // SAFETY: changes the registers that it names. It reads ten of the eleven round keys, and of the
    // table at most four bytes from `0x7f8 + 3` on, which are its last but one.
    unsafe {
        core::arch::asm!(
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            a = inout(reg) u64::from(a) => _,
            b = inout(reg) u64::from(b) => _,
            c = inout(reg) u64::from(c) => _,
            d = inout(reg) u64::from(d) => _,
            e = out(reg) e,
            f = out(reg) f,
            g = out(reg) g,
            h = out(reg) h,
            table = in(reg) table,
            key = inout(reg) keys => _,
            k0 = const K0,
            k1 = const K1,
            k2 = const K2,
            k3 = const K3,
            options(pure, readonly, nostack),
        );
    }
    [e as u32, f as u32, g as u32, h as u32]
}

/// As [`nine`], of which only the first and the last column are asked for: the last round makes no
/// others.
#[cfg(target_arch = "bpf")]
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(super) fn nine_to_ends<const K0: usize, const K1: usize, const K2: usize, const K3: usize>(
    table: &Table,
    [a, b, c, d]: [u32; 4],
    keys: &RoundKeys,
) -> [u32; 2] {
    let (e, h): (u64, u64);
    // SAFETY: as in `nine`.
    unsafe {
        core::arch::asm!(
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            round!("{a}", "{b}", "{c}", "{d}" => "{e}", "{f}", "{g}", "{h}"),
            round!("{e}", "{f}", "{g}", "{h}" => "{a}", "{b}", "{c}", "{d}"),
            ends!("{a}", "{b}", "{c}", "{d}" => "{e}", "{h}"),
            a = inout(reg) u64::from(a) => _,
            b = inout(reg) u64::from(b) => _,
            c = inout(reg) u64::from(c) => _,
            d = inout(reg) u64::from(d) => _,
            e = out(reg) e,
            f = out(reg) _,
            g = out(reg) _,
            h = out(reg) h,
            table = in(reg) table,
            key = inout(reg) keys => _,
            k0 = const K0,
            k1 = const K1,
            k2 = const K2,
            k3 = const K3,
            options(pure, readonly, nostack),
        );
    }
    [e as u32, h as u32]
}

/// The same table, of which the compiler does not know any more which one it is: so it keeps its
/// place in a register instead of naming it for each look-up.
#[cfg(target_arch = "bpf")]
#[inline(always)]
#[allow(unsafe_code)] // reason: inline assembly is unsafe
pub(super) fn kept<T>(table: &T) -> &T {
    let mut at = core::ptr::from_ref(table);
    // SAFETY: moves a register to itself.
    unsafe { core::arch::asm!("{at} = {at}", at = inout(reg) at, options(pure, nomem, nostack)) };
    // SAFETY: it is what it was.
    unsafe { &*at }
}

/// The same table.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub(super) fn kept<T>(table: &T) -> &T {
    table
}
