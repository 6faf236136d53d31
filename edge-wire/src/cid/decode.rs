//! The owner of a connection ID.

use super::four_pass::Passes;
pub use super::four_pass::Text;
use super::{MAX_LEN, MIN_LEN, SINGLE_PASS_LEN, ServerId, self_encoded_len};
use crate::aes::{self, RoundKeys, Words};

const PLAIN: u32 = 1;
const SINGLE_PASS: u32 = 2;
const FOUR_PASS: u32 = 3;

/// What may be a connection ID of ours: its first octet, and the bytes behind it as words. A packet
/// of ours is never so short that [`MAX_LEN`] bytes were not there, however long the ID is: a short
/// header's packet has at least twenty bytes behind it (RFC 9001 section 5.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The first octet.
    pub first: u8,
    /// The ID's length by a long header; 0 where the header is short and does not say.
    pub declared_len: u8,
    /// The text behind the first octet, and what follows it in the packet: [`MAX_LEN`] bytes less
    /// one, from the most significant bit of the first word on.
    pub text: Text,
}

impl Candidate {
    /// From the packet's bytes.
    #[inline(always)]
    #[must_use]
    pub const fn new(bytes: &[u8; MAX_LEN], declared_len: u8) -> Self {
        // By name: the kernel's verifier wants each byte's place as a number.
        let b = bytes;
        let text = [
            u64::from_be_bytes([b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8]]),
            u64::from_be_bytes([b[9], b[10], b[11], b[12], b[13], b[14], b[15], b[16]]),
            u64::from_be_bytes([b[17], b[18], b[19], 0, 0, 0, 0, 0]),
        ];
        Self { first: b[0], declared_len, text }
    }

    /// An ID by itself. `None` where it is longer than [`MAX_LEN`].
    #[must_use]
    pub fn of_id(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_LEN];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self::new(&bytes, id.len() as u8))
    }

    /// The config ID, 0 to 7.
    #[inline(always)]
    #[must_use]
    pub const fn config_id(&self) -> u32 {
        super::config_id(self.first)
    }
}

/// How IDs of one config are read; the value of the kernel's map, indexed by config ID.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DecodeConfig {
    mode: u32,
    /// Of the whole ID; 0 where there is no such config.
    length: u32,
    passes: Passes,
    round_keys: RoundKeys,
}

impl DecodeConfig {
    /// No such config: its IDs are not ours.
    pub const ABSENT: Self =
        Self { mode: 0, length: 0, passes: Passes::NONE, round_keys: RoundKeys::NONE };

    /// IDs of `length` bytes in all, from [`MIN_LEN`] to [`MAX_LEN`]; in clear without a key.
    ///
    /// # Panics
    /// Where the length is another.
    #[must_use]
    pub fn new(length: usize, key: Option<&aes::Block>) -> Self {
        assert!((MIN_LEN..=MAX_LEN).contains(&length), "length of a connection ID");
        let config = Self { length: length as u32, ..Self::ABSENT };
        match key {
            None => Self { mode: PLAIN, ..config },
            Some(key) if length == SINGLE_PASS_LEN => {
                Self { mode: SINGLE_PASS, round_keys: aes::decryption_keys(key), ..config }
            }
            Some(key) => {
                let round_keys = aes::encryption_keys(key);
                let passes = Passes::new(&round_keys, length - 1);
                Self { mode: FOUR_PASS, passes, round_keys, ..config }
            }
        }
    }

    /// Are its IDs in clear?
    #[inline(always)]
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.mode == PLAIN
    }

    /// As [`DecodeConfig::owner`], of IDs in clear; `None` of all others.
    #[inline(always)]
    #[must_use]
    pub fn owner_in_clear(&self, candidate: &Candidate) -> Option<ServerId> {
        let is_plain = self.is_plain() && self.has_length(candidate);
        is_plain.then(|| ServerId::from_bytes(((candidate.text[0] >> 32) as u32).to_be_bytes()))
    }

    /// As [`DecodeConfig::owner_in_clear`], only the node.
    #[inline(always)]
    #[must_use]
    pub fn node_in_clear(&self, candidate: &Candidate) -> Option<u16> {
        let is_plain = self.is_plain() && self.has_length(candidate);
        is_plain.then_some((candidate.text[0] >> 48) as u16)
    }

    /// Are its IDs one block each?
    #[inline(always)]
    #[must_use]
    pub const fn is_single_pass(&self) -> bool {
        self.mode == SINGLE_PASS
    }

    /// As [`DecodeConfig::owner`], of IDs that are one block; `None` of all others.
    #[inline(always)]
    #[must_use]
    pub fn owner_in_single_pass(&self, candidate: &Candidate) -> Option<ServerId> {
        let is_single_pass = self.is_single_pass() && self.has_length(candidate);
        is_single_pass.then(|| ServerId::from_bytes(self.first_four(candidate).to_be_bytes()))
    }

    /// As [`DecodeConfig::owner_in_single_pass`], only the node, which costs less.
    #[inline(always)]
    #[must_use]
    pub fn node_in_single_pass(&self, candidate: &Candidate) -> Option<u16> {
        let is_single_pass = self.is_single_pass() && self.has_length(candidate);
        is_single_pass.then(|| aes::decrypt_to_two(&self.round_keys, Self::block(candidate)))
    }

    /// As [`DecodeConfig::owner`], of IDs in four passes; `None` of all others.
    #[inline(always)]
    #[must_use]
    pub fn owner_in_four_passes(&self, candidate: &Candidate) -> Option<ServerId> {
        let is_four_pass = self.mode == FOUR_PASS && self.has_length(candidate);
        let first_four = || self.passes.decrypt_first_four(&self.round_keys, &candidate.text);
        is_four_pass.then(|| ServerId::from_bytes(first_four().to_be_bytes()))
    }

    /// As [`DecodeConfig::owner_in_four_passes`], only the node, which costs less.
    #[inline(always)]
    #[must_use]
    pub fn node_in_four_passes(&self, candidate: &Candidate) -> Option<u16> {
        let is_four_pass = self.mode == FOUR_PASS && self.has_length(candidate);
        is_four_pass.then(|| self.passes.decrypt_first_two(&self.round_keys, &candidate.text))
    }

    /// Reads the owner from an ID whose first octet chose this config. `None`: the ID is not
    /// of our making, which an honest client's first, random ID is not either.
    #[must_use]
    pub fn owner(&self, candidate: &Candidate) -> Option<ServerId> {
        match self.mode {
            PLAIN => self.owner_in_clear(candidate),
            SINGLE_PASS => self.owner_in_single_pass(candidate),
            FOUR_PASS => self.owner_in_four_passes(candidate),
            _ => None,
        }
    }
}

impl DecodeConfig {
    /// Of the block that the text is, decrypted.
    #[inline(always)]
    fn first_four(&self, candidate: &Candidate) -> u32 {
        let [high, _] = aes::decrypt_words(&self.round_keys, Self::block(candidate));
        (high >> 32) as u32
    }

    /// The text as a block.
    #[inline(always)]
    const fn block(candidate: &Candidate) -> Words {
        let [high, low, _] = candidate.text;
        [high, low]
    }

    #[inline(always)]
    fn has_length(&self, candidate: &Candidate) -> bool {
        let declared = u32::from(candidate.declared_len);
        self_encoded_len(candidate.first) as u32 == self.length
            && (declared == 0 || declared == self.length)
    }
}

impl core::fmt::Debug for DecodeConfig {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DecodeConfig")
            .field("mode", &self.mode)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}
