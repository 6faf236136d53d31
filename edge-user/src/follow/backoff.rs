//! How long to wait before the controller is tried again.

use std::time::Duration;

use crate::limits;

/// Tries that failed, in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failed: u32,
}

impl Backoff {
    /// Another one failed: how long to wait, for a `random` number. Half of it is chance, so that
    /// the nodes of a controller that restarts do not come all at one time.
    pub(super) fn after_failure(&mut self, random: u32) -> Duration {
        let doubled = limits::RECONNECT_MIN.saturating_mul(1 << self.failed.min(16));
        self.failed = self.failed.saturating_add(1);
        let most = doubled.min(limits::RECONNECT_MAX);
        most / 2 + (most / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// From the operating system; where that has none, always the same wait.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_half_of_each_is_chance() {
        for random in [0, u32::MAX] {
            let mut backoff = Backoff::default();
            let mut expected = limits::RECONNECT_MIN;
            for _ in 0..100 {
                let wait = backoff.after_failure(random);
                let least = expected / 2;
                assert_eq!(wait, if random == 0 { least } else { least * 2 });
                expected = (expected * 2).min(limits::RECONNECT_MAX);
            }
        }
    }
}
