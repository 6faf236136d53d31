//! What the programs of `cargo xtask bench xdp` and the process that times them say to each other.
//! No part of the product.
//!
//! `BPF_PROG_TEST_RUN` gives each repetition the packet as the one before left it, so a program
//! that encapsulates would see its own output. The programs here steer and put the packet back.

/// The XDP program that passes: the floor of all.
pub const PASS: &str = "pass";
/// The XDP program that moves the packet's start and back.
pub const ADJUST_TWICE: &str = "adjust_twice";
/// As [`ADJUST_TWICE`], and puts the packet's first bytes back: all that [`RESTORED`] does besides
/// steering, and the one adjust_head that no steering can do without.
pub const HARNESS: &str = "harness";
/// The XDP program that steers and puts the packet back.
pub const RESTORED: &str = "restored";
/// As [`RESTORED`], and then the packet has the next of the [`IDS`].
pub const ROTATED: &str = "rotated";

/// Array of one [`Undo`].
pub const UNDO: &str = "UNDO";
/// Array of [`MAX_IDS`] connection IDs with what follows them in the packet.
pub const IDS: &str = "IDS";

/// Entries of [`IDS`]; a power of two.
pub const MAX_IDS: u32 = 4096;
/// A connection ID of any length, and padding up to whole words.
pub type Id = [u64; 3];
/// The first bytes of a packet: the longest Ethernet header, and padding up to whole words.
pub type Head = [u64; 3];

/// How a packet is put back.
///
/// A word each, so that the kernel sees no padding: how far its start moves (two's complement),
/// the place of its connection ID, and which of the [`IDS`] was the last one. Then what the first
/// bytes are: in front of an inner packet those of the Ethernet header, or of the encapsulation's
/// end, which the program overwrote.
pub type Undo = [u64; 6];

/// Makes an [`Undo`] that moves the packet's start by `by` bytes.
#[must_use]
pub fn undo(by: i32, id_at: u32, head: Head) -> Undo {
    let [a, b, c] = head;
    [i64::from(by) as u64, u64::from(id_at), 0, a, b, c]
}
