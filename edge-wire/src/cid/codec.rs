//! Encoder and decoder of any QUIC-LB config.

use super::four_pass::{self, Passes};
use super::{CONFIGS, ConnectionId, MAX_LEN, MIN_NONCE_LEN, SERVER_ID_LEN};
use crate::aes::{self, Block, RoundKeys};

/// Why a [`Codec`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// The config ID is above 6.
    ConfigId,
    /// The server ID is empty, the nonce shorter than 4, or both together longer than 19.
    Length,
}

impl core::fmt::Display for CodecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::ConfigId => "the config ID of a connection ID is 0 to 6",
            Self::Length => "server ID at least 1 byte, nonce at least 4, together at most 19",
        })
    }
}

impl core::error::Error for CodecError {}

/// Encoder and decoder of one QUIC-LB config.
#[derive(Clone)]
pub struct Codec {
    config_id: u8,
    server_id_len: u8,
    nonce_len: u8,
    cipher: Cipher,
}

#[derive(Clone)]
enum Cipher {
    None,
    SinglePass { encrypt: RoundKeys, decrypt: RoundKeys },
    FourPass { keys: RoundKeys, passes: Passes },
}

impl Codec {
    /// A codec for server IDs and nonces of the given lengths; in clear without a key.
    ///
    /// # Errors
    /// Where the draft does not allow the combination.
    pub fn new(
        config_id: u8,
        server_id_len: usize,
        nonce_len: usize,
        key: Option<&Block>,
    ) -> Result<Self, CodecError> {
        if u32::from(config_id) >= CONFIGS {
            return Err(CodecError::ConfigId);
        }
        let too_short = server_id_len == 0 || nonce_len < MIN_NONCE_LEN;
        if too_short || server_id_len.saturating_add(nonce_len) > MAX_LEN - 1 {
            return Err(CodecError::Length);
        }
        let cipher = match key {
            None => Cipher::None,
            Some(key) if server_id_len + nonce_len == size_of::<Block>() => Cipher::SinglePass {
                encrypt: aes::encryption_keys(key),
                decrypt: aes::decryption_keys(key),
            },
            Some(key) => {
                let keys = aes::encryption_keys(key);
                Cipher::FourPass { passes: Passes::new(&keys, server_id_len + nonce_len), keys }
            }
        };
        Ok(Self {
            config_id,
            server_id_len: server_id_len as u8,
            nonce_len: nonce_len as u8,
            cipher,
        })
    }

    /// A codec for Landfast's own IDs of `length` bytes, the first octet included.
    ///
    /// # Errors
    /// Where the config ID is above 6, or the length not from [`super::MIN_LEN`] to [`MAX_LEN`].
    pub fn landfast(config_id: u8, length: usize, key: Option<&Block>) -> Result<Self, CodecError> {
        let nonce_len = length.checked_sub(1 + SERVER_ID_LEN).ok_or(CodecError::Length)?;
        Self::new(config_id, SERVER_ID_LEN, nonce_len, key)
    }

    /// The length of the IDs that it makes and reads, in bytes.
    #[must_use]
    pub fn id_len(&self) -> usize {
        1 + self.text_len()
    }

    /// The length of the nonces that it takes, in bytes.
    #[must_use]
    pub fn nonce_len(&self) -> usize {
        usize::from(self.nonce_len)
    }

    fn text_len(&self) -> usize {
        usize::from(self.server_id_len + self.nonce_len)
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
        let mut bytes = [0; MAX_LEN];
        let [first, text @ ..] = &mut bytes;
        *first = (self.config_id << 5) | self.text_len() as u8;
        text[..server_id.len()].copy_from_slice(server_id);
        text[server_id.len()..self.text_len()].copy_from_slice(nonce);
        match &self.cipher {
            Cipher::None => {}
            Cipher::SinglePass { encrypt, .. } => {
                let block = text.first_chunk_mut().expect("longer than a block");
                *block = aes::encrypt(encrypt, block);
            }
            Cipher::FourPass { keys, passes } => {
                let sealed = passes.encrypt(keys, &four_pass::words(text));
                *text = four_pass::bytes(sealed);
            }
        }
        ConnectionId { bytes, length: self.id_len() as u8 }
    }

    /// Reads server ID and nonce; they stand in the answer one behind the other.
    /// `None`: the ID has another config or length.
    #[must_use]
    pub fn decode(&self, id: &[u8]) -> Option<ConnectionId> {
        let length = self.text_len();
        let (first, rest) = id.split_first()?;
        if *first != (self.config_id << 5) | length as u8 || rest.len() != length {
            return None;
        }
        let mut bytes = [0; MAX_LEN];
        bytes[..length].copy_from_slice(rest);
        match &self.cipher {
            Cipher::None => {}
            Cipher::SinglePass { decrypt, .. } => {
                let block = bytes.first_chunk_mut()?;
                *block = aes::decrypt(decrypt, block);
            }
            Cipher::FourPass { keys, passes } => {
                let text = bytes.first_chunk_mut()?;
                let clear = passes.decrypt(keys, &four_pass::words(text));
                *text = four_pass::bytes(clear);
            }
        }
        Some(ConnectionId { bytes, length: length as u8 })
    }
}
