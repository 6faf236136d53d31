//! So many at once, and then so many a second: what costs us and nobody needs much of.

use tokio::time::Instant;

/// So many at once, and then so many a second.
#[derive(Debug)]
pub(super) struct Bucket {
    left: u32,
    most: u32,
    per_second: u32,
    /// Until when it was filled.
    filled: Instant,
}

impl Bucket {
    pub(super) fn new((most, per_second): (u32, u32), now: Instant) -> Self {
        Self { left: most, most, per_second, filled: now }
    }

    pub(super) fn put(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.most);
    }

    /// Whether there was one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        // The clock matters to those alone who are at the end.
        if self.left == 0 {
            let since = now.saturating_duration_since(self.filled);
            let earned = since.as_millis() * u128::from(self.per_second) / 1000;
            self.filled = now;
            self.put(u32::try_from(earned).unwrap_or(u32::MAX));
        }
        let there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        there
    }
}
