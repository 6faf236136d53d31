//! The last good state on disk, so that a node starts and serves without the controller.
//!
//! It holds the fleet's secrets and private keys: the file is its owner's alone, and one that is
//! open to others is not believed. The hash finds what a disk did to it, not what an attacker who
//! can write there would do, who has the node anyway.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use fleet_wire::message::{Bundle, Item, Position, Refused};
use prost::Message;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::limits;
use crate::private_file::{self, Fresh, Unread};

/// What the file begins with: its kind, and the version of its form.
const HEADING: &[u8; 18] = b"landfast bundle 1\n";
const HASH_BYTES: usize = 32;

/// A state that was in force: where it stands, and its items.
#[derive(Clone, Debug, PartialEq)]
pub struct LastGood {
    /// Where the node stood.
    pub position: Position,
    /// What it held.
    pub items: Vec<Arc<Item>>,
    /// What it refused beside that.
    pub refused: Vec<Refused>,
    /// Of what it refused, what only a start may be able to take: other secrets, another address of
    /// its own, distributions with files and origins that a running process cannot reach.
    pub for_next_start: Vec<Arc<Item>>,
}

impl LastGood {
    /// The same, with what was kept for the next start in place of what it held, as far as
    /// `is_wanted`. Nothing, where nothing was.
    #[must_use]
    pub fn at_next_start(&self, is_wanted: impl Fn(&Item) -> bool) -> Option<Self> {
        let kept = self.for_next_start.iter().cloned();
        let (kept, rest): (Vec<_>, Vec<_>) = kept.partition(|item| is_wanted(item));
        if kept.is_empty() {
            return None;
        }
        let is_kept = |key: &str| kept.iter().any(|item| item.key == key);
        let items = self.items.iter().filter(|item| !is_kept(&item.key));
        Some(Self {
            position: self.position,
            items: items.chain(&kept).cloned().collect(),
            // That it was refused stays said: what the start makes of it, the controller is told by
            // being asked for everything.
            refused: self.refused.clone(),
            for_next_start: rest,
        })
    }
}

/// What the file holds behind its hash.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    /// The whole state, as the controller would send it.
    #[prost(message, optional, tag = "1")]
    bundle: Option<Bundle>,
    #[prost(message, repeated, tag = "2")]
    refused: Vec<Refused>,
    #[prost(message, repeated, tag = "3")]
    for_next_start: Vec<Item>,
}

/// Why there is no last good state. The node waits for the controller then.
#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    /// The file system.
    #[error("the last good bundle {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    /// Somebody else could have read or changed it.
    #[error("the last good bundle {0} is not its owner's alone: it is not believed")]
    Open(PathBuf),
    /// Cut off, changed, or of another version.
    #[error("the last good bundle {0} is not used: {1}")]
    Form(PathBuf, &'static str),
}

/// Where it is in the state directory.
#[must_use]
pub fn path(state_directory: &Path) -> PathBuf {
    state_directory.join("bundle")
}

/// The last good state in `state_directory`; nothing, where none was ever written.
///
/// # Errors
/// Where there is one that cannot be used.
pub fn load(state_directory: &Path) -> Result<Option<LastGood>, LastGoodError> {
    let path = path(state_directory);
    let bytes = match private_file::read(&path, file_bytes_at_most()) {
        Ok(None) => return Ok(None),
        Ok(Some(bytes)) => bytes,
        Err(Unread::Io(error)) => return Err(LastGoodError::Read(path, error)),
        Err(Unread::Open) => return Err(LastGoodError::Open(path)),
        Err(Unread::Long) => {
            return Err(LastGoodError::Form(path, "it is larger than any that is written"));
        }
    };
    parse(&bytes).map(Some).map_err(|reason| LastGoodError::Form(path, reason))
}

/// The frame of an item is far smaller than the least item.
const fn file_bytes_at_most() -> u64 {
    2 * limits::MAX_HELD_BYTES as u64
}

fn parse(bytes: &[u8]) -> Result<LastGood, &'static str> {
    let rest = bytes.strip_prefix(HEADING).ok_or("it is of another version, or no bundle")?;
    let (hash, body) = rest.split_at_checked(HASH_BYTES).ok_or("it is cut off")?;
    if digest::digest(&digest::SHA256, body).as_ref() != hash {
        return Err("its hash is another one: it is cut off or damaged");
    }
    let kept = Kept::decode(body).map_err(|_| "its hash is right, its form is not")?;
    let bundle = kept.bundle.ok_or("it has no state")?;
    let position = bundle.position.ok_or("it has no position")?;
    let shared = |items: Vec<Item>| items.into_iter().map(Arc::new).collect();
    Ok(LastGood {
        position,
        items: shared(bundle.items),
        refused: kept.refused,
        for_next_start: shared(kept.for_next_start),
    })
}

/// Writes `state` whole or not at all, even where the power fails.
///
/// # Errors
/// Where the file system refuses. The one that was there still is.
pub fn write(state_directory: &Path, state: &LastGood) -> io::Result<()> {
    let owned = |items: &[Arc<Item>]| items.iter().map(|item| Item::clone(item)).collect();
    let bundle = Bundle {
        position: Some(state.position),
        whole: true,
        last: true,
        items: owned(&state.items),
        ..Bundle::default()
    };
    let kept = Kept {
        bundle: Some(bundle),
        refused: state.refused.clone(),
        for_next_start: owned(&state.for_next_start),
    };
    let body = kept.encode_to_vec();
    let hash = digest::digest(&digest::SHA256, &body);
    Fresh::beside(path(state_directory))?.keep(&[HEADING, hash.as_ref(), &body])
}

/// Writes every state that `states` shows, or a later one, for as long as somebody shows any: at
/// most one each [`limits::LAST_GOOD_EVERY`], and never on the thread that asks.
pub async fn keep(state_directory: PathBuf, mut states: watch::Receiver<Option<Arc<LastGood>>>) {
    while states.changed().await.is_ok() {
        let Some(state) = states.borrow_and_update().clone() else { continue };
        let directory = state_directory.clone();
        let written = tokio::task::spawn_blocking(move || write(&directory, &state)).await;
        // A panic in it is in the log already.
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the last good bundle cannot be written: the old one stays");
        }
        sleep(limits::LAST_GOOD_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use fleet_wire::message::{Http01, item::Body};

    use super::*;

    fn state(serial: u64) -> LastGood {
        let answer = Http01 { token: "a".into(), key_authorization: format!("a.{serial}") };
        let item = Item { key: "challenge/http-01/a".into(), body: Some(Body::Http01(answer)) };
        let position = Position { epoch: 1, term: 2, serial };
        let refused = Refused { key: "certificate/b".into(), reason: "its key".into() };
        let items = vec![Arc::new(item)];
        let for_next_start = items.clone();
        LastGood { position, items, refused: vec![refused], for_next_start }
    }

    #[test]
    fn what_is_written_is_read_and_is_its_owners_alone() {
        let own = tempfile::tempdir().expect("made");
        let directory = own.path();
        assert_eq!(load(directory).expect("no error"), None, "none was ever written");
        for serial in [1, 2] {
            // As a crash may have left it.
            std::fs::write(directory.join("bundle.new"), "half").expect("written");
            write(directory, &state(serial)).expect("written");
            assert_eq!(load(directory).expect("good"), Some(state(serial)));
        }
        let mode = std::fs::metadata(path(directory)).expect("there").mode();
        assert_eq!(mode & 0o7777, 0o600);
        std::fs::set_permissions(path(directory), Permissions::from_mode(0o640)).expect("set");
        let error = load(directory).expect_err("open to a group");
        assert!(matches!(error, LastGoodError::Open(_)), "{error}");
    }

    #[test]
    fn one_that_is_cut_off_or_damaged_anywhere_is_not_used() {
        let own = tempfile::tempdir().expect("made");
        let directory = own.path();
        write(directory, &state(7)).expect("written");
        let good = std::fs::read(path(directory)).expect("there");
        for place in 0..good.len() {
            parse(&good[..place]).expect_err("cut off");
            let mut damaged = good.clone();
            damaged[place] ^= 1;
            parse(&damaged).expect_err("damaged");
        }
        assert_eq!(parse(&good), Ok(state(7)));
        std::fs::write(path(directory), &good[..good.len() - 1]).expect("written");
        let error = load(directory).expect_err("cut off").to_string();
        assert!(error.ends_with("it is cut off or damaged"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_of_many_states_is_kept() {
        let own = tempfile::tempdir().expect("made");
        let directory = own.path();
        let (show, states) = watch::channel(None);
        let keeping = tokio::spawn(keep(directory.to_owned(), states));
        for serial in 1..=100 {
            show.send_replace(Some(Arc::new(state(serial))));
            tokio::task::yield_now().await;
        }
        drop(show);
        keeping.await.expect("ends with whoever shows");
        assert_eq!(load(directory).expect("good"), Some(state(100)));
    }
}
