//! How long answers took, in buckets: a figure of fixed size, whatever comes.

use std::cell::Cell;
use std::time::Duration;

/// How many bounds there are.
pub const BOUNDS: usize = 9;
/// Upper bounds of the buckets, in milliseconds. What is at once; what a disk, a datacentre, a
/// country and an ocean take; what people wait for; what they do not wait for any more.
pub const BOUND_MILLISECONDS: [u64; BOUNDS] = [1, 5, 25, 100, 250, 500, 1_000, 2_500, 10_000];

/// How long answers took.
#[derive(Default)]
pub struct Durations {
    /// By bound, and beyond the last of them.
    buckets: [Cell<u64>; BOUNDS + 1],
    sum_microseconds: Cell<u64>,
}

/// How long answers took, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationsReport {
    /// Answers by the lowest bound that they kept, as in [`BOUND_MILLISECONDS`], and those that kept
    /// none.
    pub buckets: [u64; BOUNDS + 1],
    /// Of all of them.
    pub sum_microseconds: u64,
}

impl Durations {
    /// Notes one more.
    pub fn note(&self, took: Duration) {
        let kept = |bound: &u64| took <= Duration::from_millis(*bound);
        let bucket = BOUND_MILLISECONDS.iter().position(kept).unwrap_or(BOUNDS);
        self.buckets[bucket].set(self.buckets[bucket].get() + 1);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_microseconds.set(self.sum_microseconds.get().saturating_add(microseconds));
    }

    /// What was noted.
    #[must_use]
    pub fn report(&self) -> DurationsReport {
        let buckets = self.buckets.each_ref().map(Cell::get);
        DurationsReport { buckets, sum_microseconds: self.sum_microseconds.get() }
    }
}

impl DurationsReport {
    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *ours += theirs;
        }
        self.sum_microseconds = self.sum_microseconds.saturating_add(other.sum_microseconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_in_the_bucket_of_the_lowest_bound_that_it_kept() {
        let durations = Durations::default();
        for microseconds in [0, 1_000, 1_001, 10_000_000, 10_000_001] {
            durations.note(Duration::from_micros(microseconds));
        }
        let mut report = durations.report();
        assert_eq!(report.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(report.sum_microseconds, 20_002_002);
        report.add(&report.clone());
        assert_eq!((report.buckets[0], report.sum_microseconds), (4, 40_004_004));
    }
}
