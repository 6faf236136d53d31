//! How many stateless resets an engine may send.

use std::time::{Duration, Instant};

use crate::limits;

/// A token bucket, kept as the one instant at which it would be full again.
#[derive(Default)]
pub(super) struct ResetBudget {
    full_at: Option<Instant>,
}

impl ResetBudget {
    const EACH: Duration = Duration::from_nanos(1_000_000_000 / limits::RESETS_PER_SECOND as u64);
    const FULL: Duration = Duration::from_nanos(
        1_000_000_000 / limits::RESETS_PER_SECOND as u64 * limits::RESET_BURST as u64,
    );

    /// Spends one, where there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + Self::EACH;
        let spent = full_at.saturating_duration_since(now) <= Self::FULL;
        if spent {
            self.full_at = Some(full_at);
        }
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut budget = ResetBudget::default();
        let now = Instant::now();
        let taken = (0..limits::RESET_BURST * 2).filter(|_| budget.take(now)).count();
        assert_eq!(taken, limits::RESET_BURST as usize);
        let later = now + Duration::from_millis(100);
        let taken = (0..limits::RESET_BURST * 2).filter(|_| budget.take(later)).count();
        assert_eq!(taken, limits::RESETS_PER_SECOND as usize / 10);
    }
}
