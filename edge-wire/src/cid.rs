//! Connection IDs that name their owner: QUIC-LB (draft-ietf-quic-load-balancers), both ways.
//!
//! The first octet holds the config ID in its top three bits and the length of the rest in its
//! low five. Then follow server ID and nonce, in clear or as one AES-128 block (*single pass*).
//! Landfast's own form, which the kernel decodes, is always [`LEN`] bytes: a server ID of four
//! (node, worker, generation) and a nonce of twelve. [`Codec`] does the other lengths too.

use crate::aes::{self, RoundKeys};
use crate::siphash::{self, SipHash};

/// The length of Landfast's own connection IDs, the first octet included.
pub const LEN: usize = 17;
/// The longest connection ID of QUIC versions 1 and 2 (RFC 9000 section 17.2).
pub const MAX_LEN: usize = 20;
/// Config IDs are 0 to 6; `0b111` marks an ID that says nothing of its owner.
pub const CONFIGS: u32 = 7;
/// The length of Landfast's server ID.
pub const SERVER_ID_LEN: usize = 4;
/// The length of the nonce beside a server ID of ours.
pub const NONCE_LEN: usize = LEN - 1 - SERVER_ID_LEN;

/// Who owns a connection: what Landfast writes in the server ID of QUIC-LB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId {
    /// The host, 0 to 4095.
    pub node: u16,
    /// The thread on it.
    pub worker: u8,
    /// The process of the node: old and new differ during an upgrade, and after a crash.
    pub generation: u8,
}

impl ServerId {
    /// As it stands in a connection ID.
    #[inline(always)]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; SERVER_ID_LEN] {
        let [high, low] = self.node.to_be_bytes();
        [high, low, self.worker, self.generation]
    }

    /// From the bytes of a connection ID.
    #[inline(always)]
    #[must_use]
    pub const fn from_bytes([high, low, worker, generation]: [u8; SERVER_ID_LEN]) -> Self {
        Self { node: u16::from_be_bytes([high, low]), worker, generation }
    }
}

/// How IDs of one config are read; the value of the kernel's map, indexed by config ID.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DecodeConfig {
    mode: u32,
    round_keys: RoundKeys,
}

impl DecodeConfig {
    /// No such config: its IDs are not ours.
    pub const ABSENT: Self = Self { mode: 0, round_keys: [[0; 4]; 11] };
    /// Server ID and nonce in clear.
    pub const PLAIN: Self = Self { mode: 1, round_keys: [[0; 4]; 11] };

    /// Server ID and nonce as one block under `key`.
    #[must_use]
    pub fn single_pass(key: &aes::Block) -> Self {
        Self { mode: 2, round_keys: aes::decryption_keys(key) }
    }

    /// Reads the owner from an ID whose first octet chose this config. `None`: the ID is not
    /// of our making, which an honest client's first, random ID is not either.
    #[inline(always)]
    #[must_use]
    pub fn owner(&self, id: &[u8; LEN]) -> Option<ServerId> {
        let [first, rest @ ..] = id;
        if usize::from(*first & 0x1f) != LEN - 1 {
            return None;
        }
        let clear = match self.mode {
            1 => *rest,
            2 => aes::decrypt(&self.round_keys, rest),
            _ => return None,
        };
        let [a, b, c, d, ..] = clear;
        Some(ServerId::from_bytes([a, b, c, d]))
    }
}

/// The config ID in the first octet of a connection ID, 0 to 7.
#[inline(always)]
#[must_use]
pub const fn config_id(first: u8) -> u32 {
    (first >> 5) as u32
}

/// A worker for a connection ID that names none. Keyed, so that no client can aim at one worker,
/// and a function of the ID alone, so that both Initials of a long ClientHello land together.
/// Bytes of `id` from `length` on must be zero.
#[inline(always)]
#[must_use]
pub fn worker_by_hash(key: &siphash::Key, id: &[u8; MAX_LEN], length: u8, workers: u8) -> u8 {
    let i = id;
    let mut hash = SipHash::new(key);
    hash.word(u64::from_le_bytes([i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7]]));
    hash.word(u64::from_le_bytes([i[8], i[9], i[10], i[11], i[12], i[13], i[14], i[15]]));
    let tail = u64::from_le_bytes([i[16], i[17], i[18], i[19], length, 0, 0, 0]);
    let hash = hash.finish(MAX_LEN + 1, tail);
    // The high half scaled to the range: no division, and even to one part in 2^24.
    (((hash >> 32) * workers as u64) >> 32) as u8
}

/// A connection ID of up to [`MAX_LEN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    bytes: [u8; MAX_LEN],
    length: u8,
}

impl ConnectionId {
    /// The bytes in use.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Why a [`Codec`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The config ID is above 6.
    ConfigId,
    /// The server ID is empty, the nonce shorter than 4, or both together longer than 19.
    Length,
    /// Encrypted IDs whose server ID and nonce are not 16 bytes together need four passes.
    FourPass,
}

impl core::fmt::Display for CodecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::ConfigId => "the config ID of a connection ID is 0 to 6",
            Self::Length => "server ID at least 1 byte, nonce at least 4, together at most 19",
            Self::FourPass => "encrypted: server ID and nonce are 16 bytes together",
        })
    }
}

impl core::error::Error for CodecError {}

/// Encoder and decoder of one QUIC-LB config, for any lengths that need no more than one pass.
#[derive(Clone)]
pub struct Codec {
    config_id: u8,
    server_id_len: u8,
    nonce_len: u8,
    keys: Option<(RoundKeys, RoundKeys)>,
}

impl Codec {
    /// A codec for server IDs and nonces of the given lengths; in clear without a key.
    ///
    /// # Errors
    /// Where the draft does not allow the combination, or it needs four passes.
    pub fn new(
        config_id: u8,
        server_id_len: usize,
        nonce_len: usize,
        key: Option<&aes::Block>,
    ) -> Result<Self, CodecError> {
        if u32::from(config_id) >= CONFIGS {
            return Err(CodecError::ConfigId);
        }
        if server_id_len == 0 || nonce_len < 4 || server_id_len + nonce_len > MAX_LEN - 1 {
            return Err(CodecError::Length);
        }
        if key.is_some() && server_id_len + nonce_len != size_of::<aes::Block>() {
            return Err(CodecError::FourPass);
        }
        Ok(Self {
            config_id,
            server_id_len: server_id_len as u8,
            nonce_len: nonce_len as u8,
            keys: key.map(|key| (aes::encryption_keys(key), aes::decryption_keys(key))),
        })
    }

    /// A codec for Landfast's own form.
    ///
    /// # Errors
    /// Where the config ID is above 6.
    pub fn landfast(config_id: u8, key: Option<&aes::Block>) -> Result<Self, CodecError> {
        Self::new(config_id, SERVER_ID_LEN, NONCE_LEN, key)
    }

    /// Makes a connection ID. The caller never uses a nonce twice under a key, and in clear
    /// gives one that looks random.
    ///
    /// # Panics
    /// Where the lengths are not the codec's.
    #[must_use]
    pub fn encode(&self, server_id: &[u8], nonce: &[u8]) -> ConnectionId {
        assert_eq!(server_id.len(), usize::from(self.server_id_len), "length of the server ID");
        assert_eq!(nonce.len(), usize::from(self.nonce_len), "length of the nonce");
        let length = self.server_id_len + self.nonce_len;
        let (split, end) = (1 + server_id.len(), 1 + usize::from(length));
        let mut bytes = [0; MAX_LEN];
        bytes[0] = (self.config_id << 5) | length;
        bytes[1..split].copy_from_slice(server_id);
        bytes[split..end].copy_from_slice(nonce);
        if let (Some((encrypt, _)), Some(block)) = (&self.keys, bytes[1..].first_chunk_mut()) {
            *block = aes::encrypt(encrypt, block);
        }
        ConnectionId { bytes, length: length + 1 }
    }

    /// Reads server ID and nonce; they stand in the answer one behind the other.
    /// `None`: the ID has another config or length.
    #[must_use]
    pub fn decode(&self, id: &[u8]) -> Option<ConnectionId> {
        let length = self.server_id_len + self.nonce_len;
        let (first, rest) = id.split_first()?;
        if *first != (self.config_id << 5) | length || rest.len() != usize::from(length) {
            return None;
        }
        let mut bytes = [0; MAX_LEN];
        bytes[..rest.len()].copy_from_slice(rest);
        if let (Some((_, decrypt)), Some(block)) = (&self.keys, bytes.first_chunk_mut()) {
            *block = aes::decrypt(decrypt, block);
        }
        Some(ConnectionId { bytes, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex"))
            .collect()
    }

    fn check(config_id: u8, key: Option<&str>, server_id: &str, nonce: &str, expected: &str) {
        let (server_id, nonce, expected) = (bytes(server_id), bytes(nonce), bytes(expected));
        let key = key.map(|key| bytes(key).try_into().expect("16 bytes"));
        let codec =
            Codec::new(config_id, server_id.len(), nonce.len(), key.as_ref()).expect("valid");
        assert_eq!(codec.encode(&server_id, &nonce).as_slice(), expected);
        let decoded = codec.decode(&expected).expect("of this config");
        assert_eq!(decoded.as_slice(), [server_id, nonce].concat());
    }

    /// draft-ietf-quic-load-balancers, appendix of test vectors, unencrypted.
    #[test]
    fn vectors_in_clear() {
        check(0, None, "c4605e", "4504cc4f", "07c4605e4504cc4f");
        check(1, None, "350d28b420", "03487d970b", "2a350d28b42003487d970b");
        check(0, None, "ed793a", "8049718a", "07ed793a8049718a");
        check(1, None, "ed793a51d49b8f5f", "8e9853fe93", "2ded793a51d49b8f5f8e9853fe93");
    }

    /// The same appendix, encrypted: the vector of 16 bytes is the single-pass one.
    #[test]
    fn vector_of_a_single_pass() {
        check(
            2,
            Some("8f95f09245765f80256934e50c66207f"),
            "ed793a51d49b8f5f",
            "ee080dbf48c0d1e5",
            "504dd2d05a7b0de9b2b9907afb5ecf8cc3",
        );
    }

    #[test]
    fn what_the_draft_does_not_allow_is_refused() {
        let error = |config, server_id, nonce, key| {
            Codec::new(config, server_id, nonce, key).err().expect("refused")
        };
        assert_eq!(error(7, 4, 12, None), CodecError::ConfigId);
        assert_eq!(error(0, 0, 12, None), CodecError::Length);
        assert_eq!(error(0, 4, 3, None), CodecError::Length);
        assert_eq!(error(0, 10, 10, None), CodecError::Length);
        assert_eq!(error(0, 4, 11, Some(&[0; 16])), CodecError::FourPass);
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(
            config_id in 0u8..7,
            (server_id, nonce) in (1usize..=15).prop_flat_map(|n| (
                prop::collection::vec(any::<u8>(), n),
                prop::collection::vec(any::<u8>(), 4..=19 - n),
            )),
        ) {
            let codec = Codec::new(config_id, server_id.len(), nonce.len(), None).expect("valid");
            let id = codec.encode(&server_id, &nonce);
            let decoded = codec.decode(id.as_slice()).expect("own");
            prop_assert_eq!(decoded.as_slice(), [server_id, nonce].concat());
        }

        /// What the encoder in user space mints, the decoder in the kernel's map reads.
        #[test]
        fn kernel_reads_what_the_worker_mints(
            config_id in 0u8..7, key: Option<[u8; 16]>, node: u16, worker: u8, generation: u8,
            nonce: [u8; NONCE_LEN],
        ) {
            let owner = ServerId { node, worker, generation };
            let codec = Codec::landfast(config_id, key.as_ref()).expect("valid");
            let id = codec.encode(&owner.to_bytes(), &nonce);
            let config = key.as_ref().map_or(DecodeConfig::PLAIN, DecodeConfig::single_pass);
            let id: &[u8; LEN] = id.as_slice().try_into().expect("our length");
            prop_assert_eq!(super::config_id(id[0]), u32::from(config_id));
            prop_assert_eq!(config.owner(id), Some(owner));
            prop_assert_eq!(DecodeConfig::ABSENT.owner(id), None);
        }

        /// An outsider cannot forge an owner: without the key an ID decodes to a random one.
        #[test]
        fn another_key_reads_another_owner(
            key: [u8; 16], other: [u8; 16], server_id: [u8; 4], nonce: [u8; NONCE_LEN],
        ) {
            prop_assume!(key != other);
            let id = Codec::landfast(0, Some(&key)).expect("valid").encode(&server_id, &nonce);
            let other = Codec::landfast(0, Some(&other)).expect("valid");
            let read = other.decode(id.as_slice()).expect("right length");
            prop_assert_ne!(read.as_slice(), [&server_id[..], &nonce].concat());
        }

        #[test]
        fn every_hash_names_a_worker(key: [u64; 2], id: [u8; MAX_LEN], workers in 1u8..) {
            prop_assert!(worker_by_hash(&key, &id, MAX_LEN as u8, workers) < workers);
        }
    }
}
