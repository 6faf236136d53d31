//! Makes connection IDs that name their owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edge_wire::cid::{self, Codec, CodecError, MAX_LEN, ServerId};
use edge_wire::siphash;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

use super::nonces::{Nonces, random};
use super::{Owner, Owners};
use crate::limits;
use fleet_wire::secrets::{ConnectionIdConfig, Secrets};

/// The config ID that says nothing of the owner.
const UNROUTABLE: u8 = 0b111;

/// Mints the connection IDs of one worker. quinn holds one end and the engine another, by which
/// the config changes while connections live.
#[derive(Clone)]
pub struct Mint {
    state: Arc<Mutex<State>>,
    /// quinn reads short headers by it, so it stays.
    length: usize,
    lifetime: Duration,
}

/// Why a mint cannot be made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// Not a config of connection IDs.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Every ID of an engine has one length, for as long as it runs.
    #[error("connection IDs of {0} bytes are minted, and of {1} only by a new process")]
    Length(usize, usize),
}

struct State {
    owners: Owners,
    hash_key: siphash::Key,
    /// By config ID: those that minted once too, because their nonces must not come again.
    minters: [Option<Minter>; cid::CONFIGS as usize],
    minting: u8,
    exhausted: bool,
}

/// One config at work.
struct Minter {
    key: Option<[u8; 16]>,
    codec: Codec,
    nonces: Nonces,
}

impl Minter {
    fn new(config: &ConnectionIdConfig) -> Result<Self, CodecError> {
        let codec = Codec::landfast(config.config_id, config.length, config.key.as_ref())?;
        let nonces = match config.key {
            Some(_) => Nonces::counted(codec.nonce_len()),
            None => Nonces::shuffled(codec.nonce_len()),
        };
        Ok(Self { key: config.key, codec, nonces })
    }

    fn is_of(&self, config: &ConnectionIdConfig) -> bool {
        (self.key, self.codec.id_len()) == (config.key, config.length)
    }
}

impl Mint {
    /// Mints for `owners.own()` under the config that mints, IDs that are used for `lifetime`.
    ///
    /// # Errors
    /// Where that is no config of connection IDs.
    pub fn new(secrets: &Secrets, owners: Owners, lifetime: Duration) -> Result<Self, MintError> {
        let state = State {
            owners,
            hash_key: siphash::key(secrets.worker_hash),
            minters: Default::default(),
            minting: secrets.mint,
            exhausted: false,
        };
        let length = secrets.minting().length;
        let mint = Self { state: Arc::new(Mutex::new(state)), length, lifetime };
        mint.state().mint_under(secrets.minting())?;
        Ok(mint)
    }

    /// Mints under the config that mints by `secrets`, and tells owners by `owners`, from now on.
    /// IDs that are out live on.
    ///
    /// # Errors
    /// Where its IDs have another length; nothing is changed then.
    pub fn change(&self, secrets: &Secrets, owners: Owners) -> Result<(), MintError> {
        let config = secrets.minting();
        if config.length != self.length {
            return Err(MintError::Length(self.length, config.length));
        }
        let mut state = self.state();
        state.mint_under(config)?;
        state.owners = owners;
        Ok(())
    }

    /// The length of every ID, in bytes.
    #[must_use]
    pub fn id_len(&self) -> usize {
        self.length
    }

    /// Whether a datagram of no known connection with this ID may draw a stateless reset: only
    /// where nobody else could still hold the connection (RFC 9000 section 21.11).
    #[must_use]
    pub fn may_reset(&self, id: &[u8]) -> bool {
        match self.state().owners.of_id(id) {
            Owner::ThisWorker | Owner::Gone | Owner::DeadNode(_) => true,
            Owner::OtherWorker(_)
            | Owner::OtherNode(_)
            | Owner::Unknown
            | Owner::NewConnection
            | Owner::NotQuic => false,
        }
    }

    /// As after the last nonce of the config that mints.
    #[cfg(test)]
    pub(super) fn use_up(&self) {
        let mut state = self.state();
        let minting = usize::from(state.minting);
        state.minters[minting].as_mut().expect("it mints").nonces.use_up();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The worker's alone, so it is never waited for; nothing is half done in it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn mint_under(&mut self, config: &ConnectionIdConfig) -> Result<(), CodecError> {
        let place = self.minters.get_mut(usize::from(config.config_id));
        let place = place.ok_or(CodecError::ConfigId)?;
        if !place.as_ref().is_some_and(|minter| minter.is_of(config)) {
            *place = Some(Minter::new(config)?);
            self.exhausted = false;
        }
        self.minting = config.config_id;
        Ok(())
    }

    fn next(&mut self, length: usize) -> ConnectionId {
        let own = self.owners.own();
        let minter = self.minters[usize::from(self.minting)].as_mut();
        let Minter { codec, nonces, .. } = minter.expect("made when it began to mint");
        if let Some(nonce) = nonces.next() {
            let nonce = &nonce[nonce.len() - codec.nonce_len()..];
            return ConnectionId::new(codec.encode(&own.to_bytes(), nonce).as_slice());
        }
        if !self.exhausted {
            self.exhausted = true;
            let config = self.minting;
            tracing::error!(
                config,
                "all nonces are used: IDs name no owner until another config mints"
            );
        }
        self.unroutable(own, length)
    }

    /// An ID that names nobody, for a connection that would otherwise get none. On this node the
    /// hash gives it to this worker; no other node forwards it.
    fn unroutable(&self, own: ServerId, length: usize) -> ConnectionId {
        let mut id: [u8; MAX_LEN] = random();
        for _ in 0..limits::UNROUTABLE_ID_TRIES {
            id[0] = (UNROUTABLE << 5) | (length - 1) as u8;
            id[length..].fill(0);
            let workers = self.owners.workers();
            if cid::worker_by_hash(&self.hash_key, &id, length as u8, workers) == own.worker {
                break;
            }
            id = random();
        }
        ConnectionId::new(&id[..length])
    }
}

impl ConnectionIdGenerator for Mint {
    fn generate_cid(&mut self) -> ConnectionId {
        let length = self.length;
        self.state().next(length)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        if self.may_reset(id) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        self.length
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        Some(self.lifetime)
    }
}
