//! Whose connection an ID names, as both programs ask it.

use edge_wire::cid::{Candidate, ServerId};

use super::maps;

/// The bit of [`decode`]'s answer that says that there is one; the owner stands in the low half.
const OURS: u64 = 1 << 32;

/// Who minted the ID; `None` where it is not of our making.
#[inline(always)]
pub(crate) fn owner(candidate: &Candidate) -> Option<ServerId> {
    let config = maps::decode_config(candidate.config_id());
    // Without a call, which costs as much as the rest of finding the owner of an ID in clear.
    if config.is_plain() {
        return config.owner_in_clear(candidate);
    }
    if config.is_single_pass() {
        return config.owner_in_single_pass(candidate);
    }
    in_four_passes(candidate)
}

/// The node of the owner: all that `steer_node` asks, at less cost than who the owner is. `None` as in
/// [`owner`].
#[inline(always)]
pub(crate) fn node(candidate: &Candidate) -> Option<u16> {
    let config = maps::decode_config(candidate.config_id());
    if config.is_plain() {
        return config.node_in_clear(candidate);
    }
    if config.is_single_pass() {
        return config.node_in_single_pass(candidate);
    }
    in_four_passes(candidate).map(|owner| owner.node)
}

#[inline(always)]
fn in_four_passes(candidate: &Candidate) -> Option<ServerId> {
    let [a, b, c] = candidate.text;
    let lengths = (u32::from(candidate.declared_len) << 8) | u32::from(candidate.first);
    match decode(lengths, a, b, c) {
        0 => None,
        owner => Some(ServerId::from_bytes((owner as u32).to_be_bytes())),
    }
}

/// A function of numbers with a symbol of its own: so the verifier follows it once, for all numbers,
/// and not again from every place in a packet at which an ID may stand; and it has a stack of its
/// own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn decode(lengths: u32, a: u64, b: u64, c: u64) -> u64 {
    let candidate =
        Candidate { first: lengths as u8, declared_len: (lengths >> 8) as u8, text: [a, b, c] };
    match maps::decode_config(candidate.config_id()).owner(&candidate) {
        Some(owner) => OURS | u64::from(u32::from_be_bytes(owner.to_bytes())),
        None => 0,
    }
}
