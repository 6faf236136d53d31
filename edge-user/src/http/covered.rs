//! For whom connections were found good: most requests of a connection are for one host, and most
//! connections of a worker are for few.

use std::cell::RefCell;

use ::distributions::limits::MAX_HOST_NAME_BYTES;

use crate::limits;

/// What a worker remembers of it.
#[derive(Debug, Default)]
pub struct Covered {
    /// The pair that was found last of those with this hash.
    pairs: RefCell<Box<[Option<Pair>]>>,
}

/// The name that a client asked for by SNI, and whom a request is for, as it was written.
#[derive(Debug)]
struct Pair {
    name: Option<Box<str>>,
    host: Box<str>,
    /// Of the certificates by which it was found.
    revision: u64,
}

impl Covered {
    /// Whether it was found by the certificates of this revision.
    pub(super) fn is_known(&self, revision: u64, name: Option<&str>, host: &str) -> bool {
        let pairs = self.pairs.borrow();
        let pair = pairs.get(slot(host)).and_then(Option::as_ref);
        pair.is_some_and(|pair| {
            pair.revision == revision && *pair.host == *host && pair.name.as_deref() == name
        })
    }

    /// Remembers that it was.
    pub(super) fn note(&self, revision: u64, name: Option<&str>, host: &str) {
        let mut pairs = self.pairs.borrow_mut();
        if pairs.is_empty() {
            *pairs = (0..limits::REMEMBERED_HOSTS).map(|_| None).collect();
        }
        if host.len() <= MAX_HOST_NAME_BYTES {
            pairs[slot(host)] =
                Some(Pair { name: name.map(Into::into), host: host.into(), revision });
        }
    }
}

/// FNV-1a: names are short, and a collision costs a look-up.
fn slot(host: &str) -> usize {
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    (host.bytes().fold(0xcbf2_9ce4_8422_2325, hash) % limits::REMEMBERED_HOSTS as u64) as usize
}
