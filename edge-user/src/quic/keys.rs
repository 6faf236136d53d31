//! Keys that the whole fleet shares: what one node promised a client, another one honours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::{aead, hkdf, hmac};
use quinn_proto::crypto::{AeadKey, CryptoError, HandshakeTokenKey, HmacKey};
use rustls::server::ProducesTickets;

use crate::current::Current;
use crate::quic::cid::{Mint, MintError, Owners};
use fleet_wire::secrets::{Rotating, Secrets};

/// What of the fleet's secrets is in an engine. quinn holds the other end of each, so that they
/// change while connections live.
pub(crate) struct EngineKeys {
    /// Makes connection IDs.
    pub(crate) mint: Mint,
    /// Makes stateless-reset tokens.
    pub(crate) resets: Arc<ResetKey>,
    /// Seals and opens tokens.
    pub(crate) tokens: Arc<TokenKey>,
}

impl EngineKeys {
    /// For the worker `owners.own()`, whose connection IDs are used for `lifetime`.
    pub(crate) fn new(
        secrets: &Secrets,
        owners: &Owners,
        lifetime: Duration,
    ) -> Result<Self, MintError> {
        Ok(Self {
            mint: Mint::new(secrets, owners.clone(), lifetime)?,
            resets: Arc::new(ResetKey::new(secrets)),
            tokens: Arc::new(TokenKey::new(&secrets.tokens)),
        })
    }

    /// Puts all of `secrets` in force. On an error nothing is changed.
    pub(crate) fn change(&self, secrets: &Secrets, owners: &Owners) -> Result<(), MintError> {
        self.mint.change(secrets, owners.clone())?;
        self.resets.change(secrets);
        self.tokens.change(&secrets.tokens);
        Ok(())
    }
}

/// Seals Retry and NEW_TOKEN tokens (RFC 9000 section 8.1) under the current key, and opens
/// what was sealed under the previous or the next one too.
pub struct TokenKey {
    /// The current key first.
    keys: Current<Vec<hkdf::Prk>>,
}

impl TokenKey {
    /// From the fleet's secrets.
    #[must_use]
    pub fn new(tokens: &Rotating) -> Self {
        Self { keys: Current::new(token_keys(tokens)) }
    }

    /// Puts other keys in force, also for tokens of connections that are there already.
    pub fn change(&self, tokens: &Rotating) {
        self.keys.replace(token_keys(tokens));
    }
}

fn token_keys(tokens: &Rotating) -> Vec<hkdf::Prk> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"landfast address tokens");
    tokens.all().map(|key| salt.extract(key)).collect()
}

impl HandshakeTokenKey for TokenKey {
    fn aead_from_hkdf(&self, random: &[u8]) -> Box<dyn AeadKey> {
        Box::new(TokenAead { keys: self.keys.load(), random: random.into() })
    }
}

/// The keys for one token, made from its own random bytes.
struct TokenAead {
    keys: Arc<Vec<hkdf::Prk>>,
    random: Vec<u8>,
}

impl TokenAead {
    fn key(&self, from: &hkdf::Prk) -> Result<aead::LessSafeKey, CryptoError> {
        let mut bytes = [0; 32];
        from.expand(&[&self.random], hkdf::HKDF_SHA256)?.fill(&mut bytes)?;
        Ok(aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &bytes)?))
    }
}

/// The key is as unique as the 128 random bits of the token, so that the nonce may be constant.
fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; 12])
}

impl AeadKey for TokenAead {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        let key = self.key(self.keys.first().ok_or(CryptoError)?)?;
        Ok(key.seal_in_place_append_tag(nonce(), aead::Aad::from(additional_data), data)?)
    }

    fn open<'a>(
        &self,
        data: &'a mut [u8],
        additional_data: &[u8],
    ) -> Result<&'a mut [u8], CryptoError> {
        let sealed = data.to_vec();
        for key in self.keys.iter() {
            let mut attempt = sealed.clone();
            let aad = aead::Aad::from(additional_data);
            if let Ok(opened) = self.key(key)?.open_in_place(nonce(), aad, &mut attempt) {
                let length = opened.len();
                data[..length].copy_from_slice(opened);
                return Ok(&mut data[..length]);
            }
        }
        Err(CryptoError)
    }
}

/// Makes stateless-reset tokens (RFC 9000 section 10.3.2): any node can reset what any other
/// node has forgotten. The config of the connection ID chooses the key, so that keys can rotate
/// while connections live.
pub struct ResetKey {
    keys: Current<ResetKeys>,
}

struct ResetKeys {
    by_config: [Option<hmac::Key>; 8],
    /// For IDs of no config: nobody minted them, so nobody knows their token.
    other: hmac::Key,
}

impl ResetKey {
    /// From the fleet's secrets.
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        Self { keys: Current::new(ResetKeys::new(secrets)) }
    }

    /// Puts other keys in force.
    pub fn change(&self, secrets: &Secrets) {
        self.keys.replace(ResetKeys::new(secrets));
    }

    /// The token of `id`.
    #[must_use]
    pub fn token(&self, id: &[u8]) -> [u8; RESET_TOKEN_LEN] {
        let tag = hmac::sign(self.keys.load().of(id), id);
        *tag.as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
    }
}

/// The length of a stateless-reset token (RFC 9000 section 10.3).
pub const RESET_TOKEN_LEN: usize = 16;

impl ResetKeys {
    fn new(secrets: &Secrets) -> Self {
        let mut by_config = [const { None }; 8];
        for config in &secrets.connection_ids {
            by_config[usize::from(config.config_id & 7)] = Some(reset_key(&config.reset_key));
        }
        let other = by_config.iter().flatten().next().cloned();
        Self { other: other.unwrap_or_else(|| reset_key(&secrets.tokens.current)), by_config }
    }

    fn of(&self, id: &[u8]) -> &hmac::Key {
        let config = id.first().map_or(7, |first| edge_wire::cid::config_id(*first));
        self.by_config[config as usize].as_ref().unwrap_or(&self.other)
    }
}

fn reset_key(secret: &[u8; 32]) -> hmac::Key {
    let mut bytes = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"landfast stateless resets")
        .extract(secret)
        .expand(&[b"token"], hkdf::HKDF_SHA256)
        .and_then(|key| key.fill(&mut bytes))
        .expect("32 bytes are within the bounds of HKDF");
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

impl HmacKey for ResetKey {
    fn sign(&self, id: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(hmac::sign(self.keys.load().of(id), id).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, id: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        Ok(hmac::verify(self.keys.load().of(id), id, signature)?)
    }
}

/// A ticketer that counts the tickets it accepts. rustls tells QUIC nothing of resumption, so
/// each worker wraps the ticketer that all of them share.
#[derive(Debug)]
pub struct CountedTickets {
    inner: Arc<dyn ProducesTickets>,
    accepted: AtomicU64,
}

impl CountedTickets {
    /// The same TLS with a counted ticketer; `None` where it gives out no tickets.
    #[must_use]
    pub fn install(
        tls: &Arc<rustls::ServerConfig>,
    ) -> (Arc<rustls::ServerConfig>, Option<Arc<Self>>) {
        if !tls.ticketer.enabled() {
            return (tls.clone(), None);
        }
        let counted = Arc::new(Self { inner: tls.ticketer.clone(), accepted: AtomicU64::new(0) });
        let mut config = rustls::ServerConfig::clone(tls);
        config.ticketer = counted.clone();
        (Arc::new(config), Some(counted))
    }

    /// How many were accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl ProducesTickets for CountedTickets {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.inner.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.inner.decrypt(cipher)?;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];
    const RANDOM: &[u8] = &[7; 16];

    fn rotating(current: [u8; 32], previous: Option<[u8; 32]>, next: Option<[u8; 32]>) -> TokenKey {
        TokenKey::new(&Rotating { current, previous, next })
    }

    fn opens(sealer: &TokenKey, opener: &TokenKey) -> bool {
        let mut token = b"token".to_vec();
        sealer.aead_from_hkdf(RANDOM).seal(&mut token, b"").expect("sealed");
        let opener = opener.aead_from_hkdf(RANDOM);
        opener.open(&mut token, b"").is_ok_and(|clear| clear == b"token")
    }

    /// A rotation: every node learns the next key, then uses it, then forgets the old one. Nodes
    /// that are one step apart open each other's tokens at any time.
    #[test]
    fn tokens_open_across_each_step_of_a_rotation() {
        let steps = [
            rotating(OLD, None, None),
            rotating(OLD, None, Some(NEW)),
            rotating(NEW, Some(OLD), None),
            rotating(NEW, None, None),
        ];
        for pair in steps.windows(2).skip(1) {
            assert!(opens(&pair[0], &pair[1]) && opens(&pair[1], &pair[0]));
        }
        assert!(opens(&steps[0], &steps[1]), "nobody seals under the next key");
        assert!(!opens(&steps[0], &steps[3]), "a key that is gone opens nothing");
    }
}
