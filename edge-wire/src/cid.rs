//! Connection IDs that name their owner: QUIC-LB (draft-ietf-quic-load-balancers), both ways.
//!
//! The first octet holds the config ID in its top three bits and the length of the rest in its
//! low five. Then follow server ID and nonce: in clear, as one AES-128 block (*single pass*), or
//! in four passes where they are not sixteen bytes together.
//!
//! The server ID of Landfast is four bytes: node, worker, generation. The cipher takes server ID
//! and nonce as one, so a balancer of somebody else's that is told of a server ID of two bytes
//! reads the node, and of all else that it is the nonce.
//!
//! | module | job |
//! |---|---|
//! | [`codec`] | encoder and decoder of any config; mints |
//! | [`decode`] | the owner of an ID; what the kernel's map holds |
//! | `four_pass` | the cipher for other lengths than sixteen |

mod codec;
mod decode;
mod four_pass;

pub use codec::{Codec, CodecError};
pub use decode::{Candidate, DecodeConfig, Text};

use crate::siphash::{self, SipHash};

/// The length of connection IDs where the fleet file names none, the first octet included.
pub const DEFAULT_LEN: usize = 17;
/// The shortest connection ID of ours: a server ID, and the shortest nonce that the draft allows.
pub const MIN_LEN: usize = 1 + SERVER_ID_LEN + MIN_NONCE_LEN;
/// The longest connection ID of QUIC versions 1 and 2 (RFC 9000 section 17.2).
pub const MAX_LEN: usize = 20;
/// The one length whose encrypted form is a single pass.
pub const SINGLE_PASS_LEN: usize = 1 + size_of::<crate::aes::Block>();
/// Config IDs are 0 to 6; `0b111` marks an ID that says nothing of its owner.
pub const CONFIGS: u32 = 7;
/// The length of Landfast's server ID.
pub const SERVER_ID_LEN: usize = 4;
/// The shortest nonce that the draft allows.
pub const MIN_NONCE_LEN: usize = 4;

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

/// The config ID in the first octet of a connection ID, 0 to 7.
#[inline(always)]
#[must_use]
pub const fn config_id(first: u8) -> u32 {
    (first >> 5) as u32
}

/// The length that the first octet of a connection ID of ours says it has, itself included: 1 to 32.
#[inline(always)]
#[must_use]
pub const fn self_encoded_len(first: u8) -> usize {
    1 + (first & 0x1f) as usize
}

/// A worker for a connection ID that names none. Keyed, so that a client that makes IDs up cannot aim
/// at one worker, and a function of the ID alone, so that both Initials of a long ClientHello land together.
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

#[cfg(test)]
mod tests;
