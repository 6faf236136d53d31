//! Are handshakes in progress so many that budgets of Initials are enforced?
//!
//! The threshold is that of Retry, over all workers: a worker that has more than its share of them
//! answers with Retry by itself, but budgets hurt many clients behind one address, so they wait for
//! the sum. A worker tells its count only when it has moved by a part of its share, so nothing is
//! shared on the way of a packet. Whoever follows the workers takes the end of pressure for real
//! only when it has lasted.

use std::convert::Infallible;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::limits;

/// A worker's end: it watches its own count of handshakes in progress.
#[derive(Debug)]
pub struct Gauge {
    share: u64,
    told: u64,
    load: watch::Sender<u64>,
}

impl Gauge {
    /// For a worker with this share of the threshold, and the other end.
    #[must_use]
    pub fn new(share: u32) -> (Self, watch::Receiver<u64>) {
        let (load, follower) = watch::channel(0);
        (Self { share: u64::from(share), told: 0, load }, follower)
    }

    /// Notes how many handshakes are in progress. With a share of 0 none are told: then a Retry is
    /// always asked for, and says nothing of a flood.
    pub fn note(&mut self, handshakes: u64) {
        let part = (self.share / limits::PRESSURE_PARTS).max(1);
        // Retry holds a flooded worker at its share, so that it is told exactly.
        let reached = self.told < self.share && self.share <= handshakes;
        if self.share > 0 && (reached || handshakes.abs_diff(self.told) >= part) {
            self.told = handshakes;
            self.load.send_replace(handshakes);
        }
    }
}

/// Calls `tell` with the handshakes of all workers when they reach `threshold`, and with `None` when
/// they have been well below it for [`limits::PRESSURE_ENDS_AFTER`]. Where `tell` says that it could
/// not, it is asked again after [`limits::PRESSURE_AGAIN_AFTER`]. Never ends; to be dropped.
pub async fn follow(
    mut workers: Vec<watch::Receiver<u64>>,
    threshold: u32,
    mut tell: impl AsyncFnMut(Option<u64>) -> bool,
) -> Infallible {
    let threshold = u64::from(threshold);
    let mut on = false;
    let mut calm_since = None;
    loop {
        let handshakes = workers.iter_mut().map(|worker| *worker.borrow_and_update()).sum();
        let mut look_again = None;
        if is_high(handshakes, threshold, on) {
            calm_since = None;
            if !on {
                on = tell(Some(handshakes)).await;
                look_again = (!on).then(|| Instant::now() + limits::PRESSURE_AGAIN_AFTER);
            }
        } else if on {
            let until = *calm_since.get_or_insert_with(Instant::now) + limits::PRESSURE_ENDS_AFTER;
            if Instant::now() < until {
                look_again = Some(until);
            } else if tell(None).await {
                (on, calm_since) = (false, None);
            } else {
                look_again = Some(Instant::now() + limits::PRESSURE_AGAIN_AFTER);
            }
        }
        let again = async {
            match look_again {
                Some(when) => sleep_until(when).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = any_changed(&mut workers) => {}
            () = again => {}
        }
    }
}

fn is_high(handshakes: u64, threshold: u64, already: bool) -> bool {
    let ends_at = threshold * u64::from(limits::PRESSURE_ENDS_AT_PERCENT);
    if already { handshakes * 100 > ends_at } else { threshold > 0 && handshakes >= threshold }
}

/// Waits until one of them has something to tell. One that has ended has not.
async fn any_changed(workers: &mut Vec<watch::Receiver<u64>>) {
    loop {
        if workers.is_empty() {
            return std::future::pending().await;
        }
        let changes = workers.iter_mut().map(|worker| Box::pin(worker.changed()));
        let (changed, place, _) = futures_util::future::select_all(changes).await;
        match changed {
            Ok(()) => return,
            Err(_) => drop(workers.swap_remove(place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::time::Duration;

    #[test]
    fn a_worker_tells_when_its_count_has_moved_and_when_its_share_is_reached() {
        let (mut gauge, mut load) = Gauge::new(100);
        let mut told = |handshakes| {
            gauge.note(handshakes);
            let changed = load.has_changed().expect("it lives");
            changed.then(|| *load.borrow_and_update())
        };
        assert_eq!(told(11), None);
        assert_eq!(told(12), Some(12));
        assert_eq!(told(95), Some(95));
        assert_eq!(told(99), None);
        assert_eq!(told(100), Some(100), "its share, whatever was told before");
        for still_there in [101, 99, 100, 89, 111] {
            assert_eq!(told(still_there), None, "no flapping around the share");
        }
        assert_eq!(told(88), Some(88));
    }

    #[test]
    fn a_share_of_nothing_is_never_reached() {
        let (mut gauge, load) = Gauge::new(0);
        gauge.note(1000);
        assert!(!load.has_changed().expect("it lives"));
    }

    async fn pause(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_sum_of_the_workers_counts_and_the_end_must_last() {
        let told = RefCell::new(Vec::new());
        let [(mut first, a), (mut second, b)] = [Gauge::new(10), Gauge::new(10)];
        let script = async {
            second.note(19);
            pause(60).await;
            assert_eq!(told.borrow().len(), 0, "one worker is beyond its share, the node is not");
            first.note(1);
            pause(1).await;
            assert_eq!(*told.borrow(), [Some(20)]);
            second.note(15);
            pause(60).await;
            assert_eq!(told.borrow().len(), 1, "16 of 20 is not well below");
            second.note(0);
            pause(4).await;
            first.note(25); // a second wave
            pause(1).await;
            first.note(0);
            pause(4).await;
            assert_eq!(told.borrow().len(), 1, "not long enough");
            pause(2).await;
        };
        let tell = async |load| {
            told.borrow_mut().push(load);
            true
        };
        tokio::select! {
            biased;
            never = follow(vec![a, b], 20, tell) => match never {},
            () = script => {}
        }
        assert_eq!(*told.borrow(), [Some(20), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_switched_is_tried_again() {
        let told = RefCell::new(Vec::new());
        let (mut gauge, load) = Gauge::new(10);
        let script = async {
            gauge.note(10);
            pause(10).await;
            gauge.note(0);
            pause(20).await;
        };
        // The first of each two fails.
        let tell = async |load| {
            told.borrow_mut().push(load);
            told.borrow().len() % 2 == 0
        };
        tokio::select! {
            biased;
            never = follow(vec![load], 10, tell) => match never {},
            () = script => {}
        }
        assert_eq!(*told.borrow(), [Some(10), Some(10), None, None]);
    }
}
