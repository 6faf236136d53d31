//! The certificates that are served, and which of them a client gets.
//!
//! QUIC and TCP ask the same [`Live`]. A change makes a new table beside the one in force and then
//! swaps them: a handshake sees all of a change or nothing, and connections that are up keep what
//! they were made with.

mod table;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::candidate::{Candidate, Served, Unfit};
use super::x509::Name;
use crate::config::UnknownNames;
use crate::current::Current;
use crate::limits;
use table::{Key, Table};

/// Who gives us certificates. What one gives, the other does not take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The files that the configuration names.
    Files,
    /// The controller.
    Controller,
}

/// A candidate that is not served. The one with its ID that was in force still is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate {id}: {reason}")]
pub struct Refused {
    /// As its sender calls it.
    pub id: Arc<str>,
    /// Why.
    #[source]
    pub reason: Unfit,
}

/// A certificate in force, for those who report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// As its sender calls it.
    pub id: Arc<str>,
    /// SHA-256 of the server's own certificate.
    pub fingerprint: [u8; 32],
    /// Until when clients take it.
    pub not_after: SystemTime,
}

/// How the certificates in force stand, and what was refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Clients take them, for longer than [`limits::CERTIFICATE_ENDS_SOON`].
    pub good: u64,
    /// Clients take them, not for long.
    pub ends_soon: u64,
    /// Clients refuse them: they have ended.
    pub ended: u64,
    /// Clients refuse them: their time has not come.
    pub not_yet: u64,
    /// Until the first of them ends, in seconds; since then, where it is negative.
    pub seconds_to_first_end: Option<i64>,
    /// Candidates that were refused.
    pub candidates_refused: u64,
    /// Handshakes that were refused because we have no certificate for the name.
    pub names_unknown: u64,
    /// Handshakes that were refused because they named nobody.
    pub names_missing: u64,
}

/// What is to become of one ID.
enum Change {
    Put(Served),
    Remove(Arc<str>),
}

/// The certificates of a process, in force.
pub struct Live {
    table: Current<Table>,
    /// How often it was replaced.
    revision: AtomicU64,
    /// Held by whoever makes the next table.
    changing: Mutex<()>,
    unknown_names: UnknownNames,
    provider: Arc<CryptoProvider>,
    /// The time, for validity alone.
    clock: fn() -> SystemTime,
    candidates_refused: AtomicU64,
    names_unknown: AtomicU64,
    names_missing: AtomicU64,
}

impl Live {
    /// Without certificates. `unknown_names` says what becomes of clients that ask for a name that
    /// none of them has, or for none.
    #[must_use]
    pub fn new(unknown_names: UnknownNames) -> Self {
        Self::with_clock(unknown_names, SystemTime::now)
    }

    fn with_clock(unknown_names: UnknownNames, clock: fn() -> SystemTime) -> Self {
        Self {
            table: Current::new(Table::default()),
            revision: AtomicU64::new(0),
            changing: Mutex::new(()),
            unknown_names,
            provider: Arc::new(aws_lc_rs::default_provider()),
            clock,
            candidates_refused: AtomicU64::new(0),
            names_unknown: AtomicU64::new(0),
            names_missing: AtomicU64::new(0),
        }
    }

    /// Puts `candidates` in force in place of all that `source` gave before. One that is refused
    /// leaves the one with its ID in force; one that has not changed costs a hash.
    pub fn replace(
        &self,
        source: Source,
        candidates: Vec<Candidate>,
        now: SystemTime,
    ) -> Vec<Refused> {
        let turn = self.turn();
        let table = self.table.load();
        let named: std::collections::HashSet<_> =
            candidates.iter().map(|candidate| Arc::clone(&candidate.id)).collect();
        let gone = table.ids(source).filter(|id| !named.contains(*id));
        let gone: Vec<_> = gone.map(Arc::clone).map(Change::Remove).collect();
        self.change(turn, &table, source, gone, candidates, now)
    }

    /// Puts `candidates` in force beside what is, each in place of the one with its ID. To be
    /// called with many at once where there are many: each call copies the index.
    pub fn put(&self, source: Source, candidates: Vec<Candidate>, now: SystemTime) -> Vec<Refused> {
        let turn = self.turn();
        let table = self.table.load();
        self.change(turn, &table, source, Vec::new(), candidates, now)
    }

    /// Takes the certificates with these IDs away. Says how many there were.
    pub fn remove(&self, source: Source, ids: &[&str]) -> usize {
        let _turn = self.turn();
        let mut table = Table::clone(&self.table.load());
        let removed = ids.iter().filter(|id| table.remove(source, id)).count();
        self.swap(table);
        removed
    }

    /// Says which certificate clients get whose name nobody knows, where that is wished
    /// ([`UnknownNames::Default`]). It may come later than this.
    pub fn set_default(&self, default: Option<(Source, &str)>) {
        let _turn = self.turn();
        let mut table = Table::clone(&self.table.load());
        table.default = default.map(|(source, id)| Key { source, id: id.into() });
        self.swap(table);
    }

    /// What `source` has in force, in no order.
    #[must_use]
    pub fn in_force(&self, source: Source) -> Vec<InForce> {
        let table = self.table.load();
        let served = table.ids(source).filter_map(|id| table.get(source, id));
        let in_force = served.map(|served| InForce {
            id: Arc::clone(&served.id),
            fingerprint: served.fingerprint,
            not_after: served.validity.not_after,
        });
        in_force.collect()
    }

    /// Whether a client gets a certificate that asks for `name`, or for none.
    #[must_use]
    pub fn serves(&self, name: Option<&str>) -> bool {
        self.choose(&self.table.load(), name, None).is_some()
    }

    /// Whether a connection whose client asked for the certificate of `asked`, or named nobody, is
    /// good for requests to `host`, a name in lower case or what is none: an address (RFC 9110
    /// section 4.3.3). So it is for the name itself, and for those that the same certificate has and
    /// that we serve.
    #[must_use]
    pub fn covers(&self, asked: Option<&str>, host: Option<&str>) -> bool {
        let table = self.table.load();
        if self.choose(&table, host, None).is_none() {
            return false;
        }
        let Some(host) = host.filter(|_| asked != host) else { return asked == host };
        let mut shown = asked.map_or_else(Vec::new, |asked| table.all_by_name(asked));
        if shown.is_empty() {
            shown.extend(self.choose(&table, asked, None).map(Arc::as_ref));
        }
        shown.iter().any(|served| served.has(host))
    }

    /// The certificate that a client gets which asks for `asked`, or for none, and takes the one
    /// that we prefer, as all do that can check its signature.
    pub(crate) fn shown(&self, asked: Option<&str>) -> Option<Shown> {
        self.choose(&self.table.load(), asked, None).cloned().map(Shown)
    }

    /// Another number whenever what is in force has changed: until then [`Self::covers`] says the same.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn swap(&self, table: Table) {
        self.table.replace(table);
        self.revision.fetch_add(1, Ordering::Release);
    }

    fn choose<'a>(
        &self,
        table: &'a Table,
        name: Option<&str>,
        schemes: Option<&[SignatureScheme]>,
    ) -> Option<&'a Arc<Served>> {
        let by_name = name.and_then(|name| table.by_name(name, schemes, (self.clock)()));
        by_name.or_else(|| match self.unknown_names {
            UnknownNames::Default => table.by_default(),
            UnknownNames::Refuse => None,
        })
    }

    /// How all of them stand at `now`.
    #[must_use]
    pub fn summary(&self, now: SystemTime) -> Summary {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut summary = Summary {
            candidates_refused: count(&self.candidates_refused),
            names_unknown: count(&self.names_unknown),
            names_missing: count(&self.names_missing),
            ..Summary::default()
        };
        for served in self.table.load().all() {
            let left = seconds_to(served.validity.not_after, now);
            let state = match served.validity.holds(now) {
                true if left >= limits::CERTIFICATE_ENDS_SOON.as_secs().cast_signed() => {
                    &mut summary.good
                }
                true => &mut summary.ends_soon,
                false if left < 0 => &mut summary.ended,
                false => &mut summary.not_yet,
            };
            *state += 1;
            let first = summary.seconds_to_first_end.unwrap_or(i64::MAX);
            summary.seconds_to_first_end = Some(first.min(left));
        }
        summary
    }

    /// Checks `candidates` as [`Self::put`] would, and changes nothing.
    pub(super) fn check(
        &self,
        source: Source,
        candidates: Vec<Candidate>,
        now: SystemTime,
    ) -> Result<Checked, Refused> {
        let table = self.table.load();
        let mut checked = Vec::new();
        for candidate in candidates {
            let Some(served) = self.admit(&table, source, candidate, now)? else { continue };
            checked.push(served);
        }
        Ok(Checked { source, checked })
    }

    /// Puts in force what was checked. Says which IDs have another certificate now.
    pub(super) fn put_checked(&self, Checked { source, checked }: Checked) -> Vec<Arc<str>> {
        let _turn = self.turn();
        let mut table = Table::clone(&self.table.load());
        let changed = checked.iter().map(|served| Arc::clone(&served.id)).collect();
        for served in checked {
            table.put(source, served);
        }
        self.swap(table);
        changed
    }

    /// Held by `turn`, so that no change is lost between reading a table and replacing it.
    fn change(
        &self,
        _turn: std::sync::MutexGuard<'_, ()>,
        table: &Table,
        source: Source,
        mut changes: Vec<Change>,
        candidates: Vec<Candidate>,
        now: SystemTime,
    ) -> Vec<Refused> {
        let mut refused = Vec::new();
        for candidate in candidates {
            match self.admit(table, source, candidate, now) {
                Ok(Some(served)) => changes.push(Change::Put(served)),
                Ok(None) => {}
                Err(error) => refused.push(error),
            }
        }
        if changes.is_empty() {
            return refused;
        }
        let mut next = table.clone();
        for change in changes {
            match change {
                Change::Put(served) if next.has_room(source, &served.id) => {
                    next.put(source, served);
                }
                Change::Put(Served { id, .. }) => refused.push(Refused { id, reason: Unfit::Full }),
                Change::Remove(id) => {
                    next.remove(source, &id);
                }
            }
        }
        self.swap(next);
        refused
    }

    /// Checks one. Nothing, where it is in force already.
    fn admit(
        &self,
        table: &Table,
        source: Source,
        candidate: Candidate,
        now: SystemTime,
    ) -> Result<Option<Served>, Refused> {
        let id = Arc::clone(&candidate.id);
        let old = table.get(source, &id);
        if old.is_some_and(|old| candidate.is(old)) {
            return Ok(None);
        }
        let admitted = candidate.admit(&self.provider);
        let fit = admitted.and_then(|served| served.may_follow(old, now).map(|()| served));
        fit.map(Some).map_err(|reason| {
            self.candidates_refused.fetch_add(1, Ordering::Relaxed);
            Refused { id, reason }
        })
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        // Whoever panicked has replaced a whole table or none.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A certificate that clients get.
pub(crate) struct Shown(Arc<Served>);

impl Shown {
    /// Whom it is for, in the order of the certificate. At most [`limits::MAX_CERTIFICATE_NAMES`].
    pub(crate) fn names(&self) -> &[Name] {
        &self.0.names
    }
}

/// Candidates of one source that are fit, not in force yet.
#[derive(Debug)]
pub(super) struct Checked {
    source: Source,
    pub(super) checked: Vec<Served>,
}

fn seconds_to(end: SystemTime, now: SystemTime) -> i64 {
    match end.duration_since(now) {
        Ok(left) => left.as_secs().cast_signed(),
        Err(past) => -past.duration().as_secs().cast_signed(),
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        // rustls takes an address for no name (RFC 6066 section 3 forbids it there).
        let name = hello.server_name();
        let chosen = self.choose(&table, name, Some(hello.signature_schemes()));
        if chosen.is_none() {
            let refused = if name.is_some() { &self.names_unknown } else { &self.names_missing };
            refused.fetch_add(1, Ordering::Relaxed);
        }
        chosen.map(|served| Arc::clone(&served.certified))
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.table.load().all().count();
        f.debug_struct("Live").field("certificates", &count).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
