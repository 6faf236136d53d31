//! What is due, and when to look again: pure.
//!
//! A certificate is renewed when two thirds of its life are over, or in the window that its
//! authority suggests (RFC 9773), so that those of two minutes, six days and ninety days all are
//! in time. Two clocks come in: the wall clock, which certificates are dated by and which may jump,
//! and ages, which were measured by one that does not. A jump makes certificates look due together;
//! the issuer's limits, which count by ages, keep that from becoming a storm.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::certificate::names;
use crate::limits::{
    CLOCKS_APART, FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_RETRY_AFTER, RENEWAL_LOOK,
    REST_IN_A_WINDOW, SHORTEST_BACKOFF,
};
use crate::records::{Certificate, Request};

/// What an issuer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Orders at a time.
    pub concurrent: usize,
    /// New orders in an hour.
    pub an_hour: usize,
}

/// When an authority suggests to renew (RFC 9773 section 4.2), in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From then on.
    pub start: u64,
    /// Until then.
    pub end: u64,
}

/// What has been tried for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// An order that can go on: nothing else is begun meanwhile.
    pub in_progress: bool,
    /// Not before then, after a failure: seconds since 1970.
    pub not_before: u64,
    /// When that failure was: where it is to come yet, our clock has jumped back.
    pub failed_at: u64,
    /// How long ago the last certificate was issued, by a clock that does not jump.
    pub issued_ago: Option<Duration>,
    /// An operator wants it now.
    pub asked: bool,
}

/// What an issuer does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Orders at this moment.
    pub orders: usize,
    /// How long ago new orders were made, by a clock that does not jump.
    pub made_ago: Vec<Duration>,
}

/// All that is known.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The wall clock: seconds since 1970.
    pub now: u64,
    /// What is wanted.
    pub requests: &'a [Request],
    /// What is there, by the request's ID.
    pub certificates: &'a BTreeMap<String, Certificate>,
    /// What has been tried, by the request's ID.
    pub attempts: &'a BTreeMap<String, Attempts>,
    /// What authorities suggest, by the request's ID.
    pub windows: &'a BTreeMap<String, Window>,
    /// What issuers allow, by name. A request of another issuer is never due.
    pub limits: &'a BTreeMap<String, Limits>,
    /// What issuers do, by name.
    pub busy: &'a BTreeMap<String, Busy>,
    /// So that nodes and certificates of one age do not all come at once.
    pub seed: u64,
}

/// Why something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// There is no certificate, or none that is valid any more.
    Missing,
    /// An operator wants it.
    Asked,
    /// The certificate is for other names, or by another issuer.
    Changed,
    /// Two thirds of its life are over, or its authority suggests it.
    Ageing,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// IDs of requests to begin with now, the most urgent first; within the limits of issuers.
    pub begin: Vec<(String, Why)>,
    /// When to look again, at the latest.
    pub look_again: Duration,
}

/// What is due.
#[must_use]
pub fn plan(known: &Known<'_>) -> Plan {
    let mut due = Vec::new();
    let mut look_again = RENEWAL_LOOK;
    for request in known.requests {
        match when(known, request) {
            When::Never => {}
            When::In(seconds) => look_again = look_again.min(Duration::from_secs(seconds)),
            When::Now(why) => due.push((why, expires(known, request), request)),
        }
    }
    due.sort_by_key(|(why, expires, _)| (*why, *expires));
    let mut rooms: BTreeMap<&str, Room> = BTreeMap::new();
    let mut begin = Vec::new();
    for (why, _, request) in due {
        let Some(limits) = known.limits.get(&request.issuer) else { continue };
        let room = rooms
            .entry(&request.issuer)
            .or_insert_with(|| Room::of(*limits, known.busy.get(&request.issuer)));
        if room.take() {
            begin.push((request.id.clone(), why));
        } else if let Some(wait) = room.opens_in {
            look_again = look_again.min(wait);
        }
    }
    // The clock of the limits has a finer grain than a second: never look again at once.
    Plan { begin, look_again: look_again.max(Duration::from_millis(500)) }
}

enum When {
    Never,
    /// Seconds.
    In(u64),
    Now(Why),
}

fn when(known: &Known<'_>, request: &Request) -> When {
    let attempts = known.attempts.get(&request.id).copied().unwrap_or_default();
    if attempts.in_progress || !known.limits.contains_key(&request.issuer) {
        return When::Never;
    }
    let held_back = attempts.not_before.saturating_sub(known.now);
    let is_planned_by_this_clock = held_back <= LONGEST_RETRY_AFTER.as_secs()
        && attempts.failed_at <= known.now + CLOCKS_APART.as_secs();
    if held_back > 0 && is_planned_by_this_clock {
        return When::In(held_back);
    }
    if attempts.asked {
        return When::Now(Why::Asked);
    }
    let Some(certificate) = known.certificates.get(&request.id) else {
        return When::Now(Why::Missing);
    };
    if !is_for(certificate, request) {
        return When::Now(Why::Changed);
    }
    // A certificate that is due as soon as it is issued is a clock that is wrong: ours. But where its
    // authority wants all of them renewed now, that is no matter of clocks.
    let third = life(certificate) / 3;
    let window = known.windows.get(&request.id);
    let rest = match window {
        Some(window) if window.start <= known.now => third.min(REST_IN_A_WINDOW),
        _ => third,
    };
    if let Some(wait) = attempts.issued_ago.and_then(|ago| rest.checked_sub(ago))
        && !wait.is_zero()
    {
        return When::In(wait.as_secs() + 1);
    }
    if certificate.not_before > known.now + CLOCKS_APART.as_secs() {
        // Our clock has jumped back; another would be no more valid than this one.
        return When::In(RENEWAL_LOOK.as_secs());
    }
    let at = renew_at(certificate, window, known.seed);
    match at.checked_sub(known.now) {
        _ if certificate.not_after <= known.now => When::Now(Why::Missing),
        Some(seconds) if seconds > 0 => When::In(seconds),
        _ => When::Now(Why::Ageing),
    }
}

/// Whether a certificate is what is requested, but for its age.
fn is_for(certificate: &Certificate, request: &Request) -> bool {
    certificate.source == request.issuer && names::same(&certificate.names, &request.names)
}

fn expires(known: &Known<'_>, request: &Request) -> u64 {
    known.certificates.get(&request.id).map_or(0, |certificate| certificate.not_after)
}

fn life(certificate: &Certificate) -> Duration {
    Duration::from_secs(certificate.not_after.saturating_sub(certificate.not_before))
}

/// When a certificate is renewed, in seconds since 1970: at a point of its own in its authority's
/// window, or between 62 and 66 hundredths of its life. Never in its last sixth: a window so late
/// would leave no time for a second attempt.
#[must_use]
pub fn renew_at(certificate: &Certificate, window: Option<&Window>, seed: u64) -> u64 {
    let draw = draw(seed, &certificate.fingerprint);
    let life = life(certificate).as_secs();
    let at = match window {
        Some(Window { start, end }) if start < end => start + draw % (end - start),
        Some(Window { start, .. }) => *start,
        None => certificate.not_before + life * 2 / 3 - draw % (life / 25).max(1),
    };
    at.min(certificate.not_after - life / 6)
}

/// How long nothing is tried after so many failures in a row: doubling from a minute, or from an
/// eighth of the certificate's life where it lives short, with a fifth of jitter, and at least for
/// as long as the authority said, a week at most.
#[must_use]
pub fn backoff(
    failures: u32,
    life: Option<Duration>,
    retry_after: Option<Duration>,
    seed: u64,
) -> Duration {
    let eighth = life.map_or(FIRST_BACKOFF, |life| life / 8);
    let first = FIRST_BACKOFF.min(eighth).max(SHORTEST_BACKOFF);
    // What lives short is not waited for until long after its end.
    let longest =
        life.map_or(LONGEST_BACKOFF, |_| LONGEST_BACKOFF.min(eighth.max(FIRST_BACKOFF * 8)));
    let wait = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let authority = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    let jitter = wait.mul_f64((draw(seed, &failures) % 1_000) as f64 / 5_000.0);
    (wait - jitter).max(SHORTEST_BACKOFF).max(authority)
}

fn draw(seed: u64, of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, of).hash(&mut hasher);
    hasher.finish()
}

/// What an issuer still takes.
struct Room {
    orders: usize,
    /// When it takes one more, where that is a matter of time.
    opens_in: Option<Duration>,
}

impl Room {
    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn of(limits: Limits, busy: Option<&Busy>) -> Self {
        let busy = busy.cloned().unwrap_or_default();
        let recent: Vec<_> = busy.made_ago.iter().filter(|ago| **ago < Self::HOUR).collect();
        let this_hour = limits.an_hour.saturating_sub(recent.len());
        let at_a_time = limits.concurrent.saturating_sub(busy.orders);
        let oldest = recent.into_iter().max();
        let opens_in =
            oldest.filter(|_| this_hour < at_a_time).map(|ago| Self::HOUR.saturating_sub(*ago));
        Self { orders: this_hour.min(at_a_time), opens_in }
    }

    fn take(&mut self) -> bool {
        let room = self.orders > 0;
        self.orders = self.orders.saturating_sub(1);
        room
    }
}

#[cfg(test)]
mod tests;
