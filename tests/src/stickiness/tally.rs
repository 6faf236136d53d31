//! What became of connections and their requests.

use std::ops::AddAssign;
use std::time::Duration;

/// Sums over connections. The aioquic client prints the same as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Tally {
    /// Connections whose handshake was completed.
    pub connections: u64,
    /// Those of them that ended only by the client, or by GOAWAY after every request finished. A
    /// client that gives up because a request is not answered in time has lost its connection.
    pub survived: u64,
    /// Requests sent.
    pub requests: u64,
    /// Those of them without a whole answer by the connection's first owner.
    pub requests_failed: u64,
    /// How long each request took that ended before the event, in microseconds.
    pub before_us: Vec<u64>,
    /// How long each request took that began after the event, in microseconds.
    pub after_us: Vec<u64>,
    /// The owner of each connection, as its first answer said it, and whether it survived.
    pub fates: Vec<(String, bool)>,
}

impl Tally {
    /// How much longer the median request took after the event than before, in microseconds.
    /// 0 where either has no request.
    #[must_use]
    pub fn added_p50_us(&self) -> i64 {
        match (percentile(&self.before_us, 50), percentile(&self.after_us, 50)) {
            (Some(before), Some(after)) => after.cast_signed() - before.cast_signed(),
            _ => 0,
        }
    }

    /// Of the connections that a node owns: how many there are, and how many of them survived.
    #[must_use]
    pub fn of_node(&self, node: u8) -> (usize, usize) {
        let owner = format!("{node}/");
        let own: Vec<_> = self.fates.iter().filter(|(of, _)| of.starts_with(&owner)).collect();
        (own.len(), own.iter().filter(|(_, survived)| *survived).count())
    }

    /// Notes a request that was answered.
    pub(super) fn answered(&mut self, began: Phase, ended: Phase, took: Duration) {
        let took = took.as_micros() as u64; // a minute at most
        match (began, ended) {
            (_, Phase::Before) => self.before_us.push(took),
            (Phase::After, _) => self.after_us.push(took),
            _ => {} // neither: it met the event
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.survived += other.survived;
        self.requests += other.requests;
        self.requests_failed += other.requests_failed;
        self.before_us.extend(other.before_us);
        self.after_us.extend(other.after_us);
        self.fates.extend(other.fates);
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connections are made and busy.
    Before,
    /// Routes or clients change.
    Event,
    /// They have changed.
    After,
    /// Every connection ends as soon as it has had its requests.
    Finish,
}

/// The value that `per_cent` of the values do not exceed.
pub(super) fn percentile(values: &[u64], per_cent: usize) -> Option<u64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() * per_cent / 100).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_compared() {
        let tally = Tally { before_us: vec![9, 1, 5], after_us: vec![7, 7], ..Tally::default() };
        assert_eq!(tally.added_p50_us(), 2);
        assert_eq!(Tally::default().added_p50_us(), 0);
        let hundred: Vec<_> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 99), Some(100));
        assert_eq!(percentile(&[7], 99), Some(7));
    }

    #[test]
    fn a_request_that_meets_the_event_counts_on_neither_side() {
        let mut tally = Tally::default();
        let took = Duration::from_micros(3);
        tally.answered(Phase::Before, Phase::Event, took);
        tally.answered(Phase::Event, Phase::After, took);
        assert_eq!(tally, Tally::default());
        tally.answered(Phase::Before, Phase::Before, took);
        tally.answered(Phase::After, Phase::Finish, took);
        assert_eq!((tally.before_us, tally.after_us), (vec![3], vec![3]));
    }
}
