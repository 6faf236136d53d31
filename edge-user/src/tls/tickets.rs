//! Session tickets that every node of the fleet opens (RFC 8446 section 4.6.1).
//!
//! ```text
//! key name (16) | nonce (12) | sealed: time of issue (8, seconds, big-endian), state | tag (16)
//! ```
//!
//! The key name is a hash of the key, and is authenticated. AES-256-GCM-SIV (RFC 8452) rather
//! than GCM: a whole fleet seals under one key with random nonces, and two equal ones, which at
//! 2^32 tickets are no longer improbable, must not give the key away.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

use crate::current::Current;
use crate::limits;
use fleet_wire::secrets::Rotating;

const NAME_LEN: usize = 16;
const TIME_LEN: usize = 8;

struct TicketKey {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl TicketKey {
    fn new(key: &[u8; 32]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"landfast ticket key name");
        hash.update(key);
        let mut name = [0; NAME_LEN];
        name.copy_from_slice(&hash.finish().as_ref()[..NAME_LEN]);
        let key = UnboundKey::new(&AES_256_GCM_SIV, key).expect("an AES-256 key is 32 bytes");
        Self { name, key: LessSafeKey::new(key) }
    }
}

/// Seals tickets under the current key, opens those of the current, previous and next.
pub struct FleetTickets {
    /// The current one first.
    keys: Current<Vec<TicketKey>>,
    /// The time, for the age of a ticket alone.
    clock: fn() -> UnixTime,
}

impl FleetTickets {
    /// A ticketer under `keys`.
    #[must_use]
    pub fn new(keys: &Rotating) -> Self {
        Self::with_clock(keys, UnixTime::now)
    }

    fn with_clock(keys: &Rotating, clock: fn() -> UnixTime) -> Self {
        Self { keys: Current::new(ticket_keys(keys)), clock }
    }

    /// Puts other keys in force.
    pub fn change(&self, keys: &Rotating) {
        self.keys.replace(ticket_keys(keys));
    }
}

fn ticket_keys(keys: &Rotating) -> Vec<TicketKey> {
    keys.all().map(TicketKey::new).collect()
}

impl ProducesTickets for FleetTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        limits::TICKET_LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let TicketKey { name, key } = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut sealed = (self.clock)().as_secs().to_be_bytes().to_vec();
        sealed.extend_from_slice(plain);
        let aad = Aad::from(name);
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()?;
        Some([&name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > limits::MAX_TICKET_BYTES {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        // The name is public, so the comparison may take the time it takes.
        let keys = self.keys.load();
        let TicketKey { key, .. } = keys.iter().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, Aad::from(name), &mut sealed).ok()?;
        let (issued, plain) = opened.split_first_chunk::<TIME_LEN>()?;
        // A node whose clock is ahead makes tickets of the future: young, not old.
        let age = (self.clock)().as_secs().saturating_sub(u64::from_be_bytes(*issued));
        (age <= limits::TICKET_LIFETIME.as_secs()).then(|| plain.to_vec())
    }
}

impl fmt::Debug for FleetTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetTickets")
            .field("keys", &self.keys.load().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ISSUED: u64 = 1_800_000_000;

    fn at(keys: &Rotating, clock: fn() -> UnixTime) -> FleetTickets {
        FleetTickets::with_clock(keys, clock)
    }

    fn issue() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(ISSUED))
    }

    fn at_the_end() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(ISSUED) + limits::TICKET_LIFETIME)
    }

    fn too_late() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(ISSUED + 1) + limits::TICKET_LIFETIME)
    }

    fn before() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(ISSUED - 60))
    }

    fn keys(current: u8, previous: Option<u8>, next: Option<u8>) -> Rotating {
        Rotating {
            current: [current; 32],
            previous: previous.map(|key| [key; 32]),
            next: next.map(|key| [key; 32]),
        }
    }

    #[test]
    fn what_one_node_seals_another_opens() {
        let (a, b) = (at(&keys(1, None, None), issue), at(&keys(1, None, None), at_the_end));
        let ticket = a.encrypt(b"session").expect("sealed");
        assert_eq!(b.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_ne!(a.encrypt(b"session").expect("sealed"), ticket, "a nonce each");
    }

    #[test]
    fn tickets_outlive_a_rotation_in_either_order_of_the_nodes() {
        let before = at(&keys(1, None, Some(2)), issue);
        let after = at(&keys(2, Some(1), None), issue);
        let unrelated = at(&keys(3, None, None), issue);
        let changed = at(&keys(1, None, Some(2)), issue);
        changed.change(&keys(2, Some(1), None));
        let pairs =
            [(&before, &after), (&after, &before), (&changed, &before), (&before, &changed)];
        for (sealer, opener) in pairs {
            let ticket = sealer.encrypt(b"session").expect("sealed");
            assert!(opener.decrypt(&ticket).is_some());
            assert_eq!(unrelated.decrypt(&ticket), None);
        }
    }

    #[test]
    fn old_tickets_are_refused_and_those_of_a_fast_clock_taken() {
        let keys = keys(1, None, None);
        let ticket = at(&keys, issue).encrypt(b"session").expect("sealed");
        assert!(at(&keys, at_the_end).decrypt(&ticket).is_some());
        assert!(at(&keys, before).decrypt(&ticket).is_some());
        assert_eq!(at(&keys, too_late).decrypt(&ticket), None);
    }

    #[test]
    fn a_changed_or_shortened_ticket_is_refused() {
        let tickets = at(&keys(1, None, None), issue);
        let ticket = tickets.encrypt(b"session").expect("sealed");
        for place in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..place]), None, "cut at {place}");
            let mut forged = ticket.clone();
            forged[place] ^= 1;
            assert_eq!(tickets.decrypt(&forged), None, "changed at {place}");
        }
        assert_eq!(tickets.decrypt(&vec![0; limits::MAX_TICKET_BYTES + 1]), None);
    }

    #[test]
    fn no_key_is_shown() {
        let tickets = at(&keys(0xab, None, None), issue);
        assert_eq!(format!("{tickets:?}"), "FleetTickets { keys: 1, .. }");
    }
}
