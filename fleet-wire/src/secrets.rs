//! The fleet file: the secrets that are the same on every node.
//!
//! Any node must be able to read a connection ID, a Retry token or a session ticket that another
//! node made, and to believe its encapsulation. [`init`] writes the file once; the operator
//! copies it to every node. It is read only where nobody but its owner can read it, and no
//! message, log line or `Debug` of ours shows a byte of a key.

mod catch_up;
mod change;
mod file;
mod write;

use std::fmt;
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_wire::cid::DecodeConfig;

pub use change::{Change, ChangeRefused};
pub use file::write as to_text;
pub use write::{init, write};

/// Config IDs of connection IDs: 0 and up.
pub const CONNECTION_ID_CONFIGS: u8 = edge_wire::cid::CONFIGS as u8;
/// Key IDs of the encapsulation: 0 and up.
pub const ENCAPSULATION_KEYS: u8 = edge_wire::maps::MAX_ENCAPSULATION_KEYS as u8;
/// Bytes that a connection ID may have.
pub const CONNECTION_ID_LENGTHS: RangeInclusive<u8> =
    edge_wire::cid::MIN_LEN as u8..=edge_wire::cid::MAX_LEN as u8;
/// Those that are decoded fastest.
pub const DEFAULT_CONNECTION_ID_LENGTH: u8 = edge_wire::cid::DEFAULT_LEN as u8;
/// For how long nodes take a session ticket, and so the key that made it is needed. Half a day
/// covers a client that comes back after work.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// For how long nodes take a NEW_TOKEN token (RFC 9000 section 8.1.3), which lives longest of all.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Bytes of a fleet file at most.
const MAX_BYTES: u64 = 64 << 10;

/// Everything the fleet shares, checked: the IDs differ, and what is named is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// How connection IDs are read: 1 to 7, by config ID.
    pub connection_ids: Vec<ConnectionIdConfig>,
    /// The config ID under which new connection IDs are made: one of `connection_ids`.
    pub mint: u8,
    /// Keys under which encapsulated packets are believed: 1 to 4.
    pub encapsulation_keys: Vec<EncapsulationSecret>,
    /// The key ID under which we encapsulate: one of `encapsulation_keys`.
    pub encapsulate_with: u8,
    /// Keys of TLS session tickets.
    pub tickets: Rotating,
    /// Keys of Retry and NEW_TOKEN tokens (RFC 9000 section 8.1).
    pub tokens: Rotating,
    /// Key of the hash that gives a new connection its worker.
    pub worker_hash: [u8; 16],
}

/// How connection IDs of one config are made and read, and reset.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionIdConfig {
    /// 0 to 6, the first three bits of the ID.
    pub config_id: u8,
    /// Bytes of the whole ID, [`edge_wire::cid::MIN_LEN`] to [`edge_wire::cid::MAX_LEN`].
    pub length: usize,
    /// Encrypted under this key, in a single pass or in four as the length has it; without one,
    /// in clear.
    pub key: Option<[u8; 16]>,
    /// Key of stateless reset tokens for IDs of this config (RFC 9000 section 10.3.2).
    pub reset_key: [u8; 32],
}

/// A key of the encapsulation between nodes.
#[derive(Clone, PartialEq, Eq)]
pub struct EncapsulationSecret {
    /// 0 to 3, carried in each encapsulated packet.
    pub key_id: u8,
    /// SipHash key.
    pub key: [u8; 16],
}

/// A key that rotates while what it made is still in use: the current one makes, all three read.
#[derive(Clone, PartialEq, Eq)]
pub struct Rotating {
    /// Makes and reads.
    pub current: [u8; 32],
    /// Reads what was made before the last rotation.
    pub previous: Option<[u8; 32]>,
    /// Reads what nodes make that are already past the next rotation.
    pub next: Option<[u8; 32]>,
}

/// Whether connection IDs show their owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdMode {
    /// Encrypted: outsiders can neither link IDs nor aim at a worker.
    Encrypted,
    /// In clear: for looking at packets, not for service.
    Plain,
}

/// Why there are no secrets. No message holds a byte of a key.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file is not there or cannot be read.
    #[error("the fleet file {0} cannot be read: {1}; `landfast-edge fleet init` writes one")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is a directory, a device or a pipe.
    #[error("the fleet file {0} is not a regular file")]
    NotRegular(PathBuf),
    /// Somebody else could read it.
    #[error("the fleet file {} is open to others (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else could change it.
    #[error("the fleet file {} belongs to user {owner}: run `chown {us} {}`", path.display(), path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// The user it belongs to.
        owner: u32,
        /// The user we run as.
        us: u32,
    },
    /// It is not in the form of a fleet file, or says what cannot be.
    #[error("the fleet file {}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Form {
        /// Which file.
        path: PathBuf,
        /// Where, from 1, if that is one place.
        line: Option<usize>,
        /// Why.
        reason: String,
    },
    /// [`init`] does not replace a file unasked.
    #[error("{0} exists: every node would need the new keys; --force replaces it")]
    Exists(PathBuf),
    /// [`init`] cannot write it.
    #[error("the fleet file {0} cannot be written: {1}")]
    Write(PathBuf, #[source] std::io::Error),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
}

impl Secrets {
    /// How connection IDs are read, by config ID: for the kernel, the workers and the relay alike.
    /// The eighth is never one of ours.
    #[must_use]
    pub fn decode_configs(&self) -> [DecodeConfig; 8] {
        let mut configs = [DecodeConfig::ABSENT; 8];
        for secret in &self.connection_ids {
            if let Some(entry) = configs[..7].get_mut(usize::from(secret.config_id)) {
                *entry = DecodeConfig::new(secret.length, secret.key.as_ref());
            }
        }
        configs
    }

    /// Reads the fleet file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, is not ours alone, or is not in its form.
    pub fn load(path: &Path) -> Result<Self, FleetError> {
        let read_error = |error| FleetError::Read(path.to_owned(), error);
        // Without blocking: the path may be a pipe that nobody writes to.
        let mut options = File::options();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        if !metadata.is_file() {
            return Err(FleetError::NotRegular(path.to_owned()));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(FleetError::Mode { path: path.to_owned(), mode });
        }
        let (owner, us) = (metadata.uid(), nix::unistd::geteuid().as_raw());
        if owner != us && owner != 0 {
            return Err(FleetError::Owner { path: path.to_owned(), owner, us });
        }
        Self::parse(path, &read_bounded(file).map_err(read_error)?)
    }

    /// Reads `text` as if it stood in the fleet file at `path`.
    ///
    /// # Errors
    /// Where it is not in the form of a fleet file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, FleetError> {
        file::parse(text).map_err(|file::Refused { line, reason }| FleetError::Form {
            path: path.to_owned(),
            line,
            reason,
        })
    }

    /// The config under which new connection IDs are made.
    ///
    /// # Panics
    /// Where `mint` is not the ID of one of `connection_ids`.
    #[must_use]
    pub fn minting(&self) -> &ConnectionIdConfig {
        let minting = self.connection_ids.iter().find(|config| config.config_id == self.mint);
        minting.expect("one of them mints")
    }

    /// Fresh secrets from the operating system's random numbers, for connection IDs of `length`
    /// bytes, [`edge_wire::cid::MIN_LEN`] to [`edge_wire::cid::MAX_LEN`].
    ///
    /// # Errors
    /// [`FleetError::Random`].
    pub fn generate(mode: IdMode, length: usize) -> Result<Self, FleetError> {
        let key = match mode {
            IdMode::Encrypted => Some(random()?),
            IdMode::Plain => None,
        };
        let rotating = || Ok(Rotating { current: random()?, previous: None, next: None });
        Ok(Self {
            connection_ids: vec![ConnectionIdConfig {
                config_id: 0,
                length,
                key,
                reset_key: random()?,
            }],
            mint: 0,
            encapsulation_keys: vec![EncapsulationSecret { key_id: 0, key: random()? }],
            encapsulate_with: 0,
            tickets: rotating()?,
            tokens: rotating()?,
            worker_hash: random()?,
        })
    }
}

/// Reads a fleet file: seven configs and four keys are a few KiB.
fn read_bounded(file: File) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::FileTooLarge, "it is larger than 64 KiB"));
    }
    Ok(text)
}

fn random<const N: usize>() -> Result<[u8; N], FleetError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| FleetError::Random)?;
    Ok(bytes)
}

impl Rotating {
    /// Every key that reads: current, previous, next.
    pub fn all(&self) -> impl Iterator<Item = &[u8; 32]> {
        std::iter::once(&self.current).chain(&self.previous).chain(&self.next)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("connection_ids", &self.connection_ids)
            .field("mint", &self.mint)
            .field("encapsulation_keys", &self.encapsulation_keys)
            .field("encapsulate_with", &self.encapsulate_with)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ConnectionIdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionIdConfig")
            .field("config_id", &self.config_id)
            .field("length", &self.length)
            .field("encrypted", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EncapsulationSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncapsulationSecret").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rotating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotating")
            .field("previous", &self.previous.is_some())
            .field("next", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
