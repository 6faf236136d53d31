//! Whose connection an ID names, as both programs ask it.

use edge_wire::cid::{Candidate, ServerId, Text};

use super::maps;

/// The bit of an answer that says that there is one; the owner, or the node, stands in the low half.
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
    let [a, b, c] = candidate.text;
    match owner_in_four_passes(lengths(candidate), a, b, c) {
        0 => None,
        owner => Some(ServerId::from_bytes((owner as u32).to_be_bytes())),
    }
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
    let [a, b, c] = candidate.text;
    match node_in_four_passes(lengths(candidate), a, b, c) {
        0 => None,
        node => Some(node as u16),
    }
}

/// What a candidate says of lengths, and its config, as the functions below take it.
#[inline(always)]
fn lengths(candidate: &Candidate) -> u32 {
    (u32::from(candidate.declared_len) << 8) | u32::from(candidate.first)
}

#[inline(always)]
fn candidate(lengths: u32, text: Text) -> Candidate {
    Candidate { first: lengths as u8, declared_len: (lengths >> 8) as u8, text }
}

/// As [`owner`], of IDs in four passes. A function of numbers with a symbol of its own: so the verifier
/// follows it once, for all numbers, and not again from every place in a packet at which an ID may
/// stand; and it has a stack of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn owner_in_four_passes(lengths: u32, a: u64, b: u64, c: u64) -> u64 {
    let candidate = candidate(lengths, [a, b, c]);
    match maps::decode_config(candidate.config_id()).owner_in_four_passes(&candidate) {
        Some(owner) => OURS | u64::from(u32::from_be_bytes(owner.to_bytes())),
        None => 0,
    }
}

/// As [`node`], of IDs in four passes. See [`owner_in_four_passes`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn node_in_four_passes(lengths: u32, a: u64, b: u64, c: u64) -> u64 {
    let candidate = candidate(lengths, [a, b, c]);
    match maps::decode_config(candidate.config_id()).node_in_four_passes(&candidate) {
        Some(node) => OURS | u64::from(node),
        None => 0,
    }
}
