//! Are handshakes in progress so many that budgets of Initials are enforced?
//!
//! The threshold is that of Retry. A worker tells when its share of it is reached, and when it is
//! well below again; it tells only then, so nothing is shared on the way of a packet. Whoever
//! follows the workers takes one of them for all, and the end of pressure for real only when it
//! has lasted.

use std::convert::Infallible;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::limits;

/// Handshakes in progress of one worker, as they were when its share was last crossed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Its share of the threshold is reached.
    pub is_high: bool,
    /// Handshakes in progress then.
    pub handshakes: u64,
}

/// A worker's end: it watches its own count.
#[derive(Debug)]
pub struct Gauge {
    share: u64,
    is_high: bool,
    load: watch::Sender<Load>,
}

impl Gauge {
    /// For a worker with this share of the threshold, and the other end.
    #[must_use]
    pub fn new(share: u32) -> (Self, watch::Receiver<Load>) {
        let (load, follower) = watch::channel(Load::default());
        (Self { share: u64::from(share), is_high: false, load }, follower)
    }

    /// Notes how many handshakes are in progress. A share of 0 is never reached: then a Retry is
    /// always asked for, and says nothing of a flood.
    pub fn note(&mut self, handshakes: u64) {
        let is_high = match self.is_high {
            false => self.share > 0 && handshakes >= self.share,
            true => handshakes * 100 > self.share * u64::from(limits::PRESSURE_ENDS_AT_PERCENT),
        };
        if is_high != self.is_high {
            self.is_high = is_high;
            self.load.send_replace(Load { is_high, handshakes });
        }
    }
}

/// Calls `tell` with the worker's load when pressure begins, and with `None` when it has ended for
/// [`limits::PRESSURE_ENDS_AFTER`]. Never ends; to be dropped.
pub async fn follow(
    mut workers: Vec<watch::Receiver<Load>>,
    mut tell: impl AsyncFnMut(Option<Load>),
) -> Infallible {
    let mut on = false;
    let mut calm_since = None;
    loop {
        let high = workers.iter_mut().find_map(|worker| {
            let load = *worker.borrow_and_update();
            load.is_high.then_some(load)
        });
        match high {
            Some(load) => {
                calm_since = None;
                if !on {
                    on = true;
                    tell(Some(load)).await;
                }
            }
            None if on => {
                let since = *calm_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= limits::PRESSURE_ENDS_AFTER {
                    on = false;
                    calm_since = None;
                    tell(None).await;
                }
            }
            None => {}
        }
        let calm = async {
            match calm_since {
                Some(since) => sleep_until(since + limits::PRESSURE_ENDS_AFTER).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = any_changed(&mut workers) => {}
            () = calm => {}
        }
    }
}

/// Waits until one of them has something to tell. One that has ended has not.
async fn any_changed(workers: &mut Vec<watch::Receiver<Load>>) {
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
    fn a_worker_tells_once_when_its_share_is_crossed() {
        let (mut gauge, mut load) = Gauge::new(100);
        let mut told = |handshakes| {
            gauge.note(handshakes);
            let changed = load.has_changed().expect("it lives");
            changed.then(|| *load.borrow_and_update())
        };
        assert_eq!(told(99), None);
        assert_eq!(told(100), Some(Load { is_high: true, handshakes: 100 }));
        for still_high in [101, 100, 99, 76] {
            assert_eq!(told(still_high), None, "no flapping around the threshold");
        }
        assert_eq!(told(75), Some(Load { is_high: false, handshakes: 75 }));
        assert_eq!(told(99), None);
    }

    #[test]
    fn a_share_of_nothing_is_never_reached() {
        let (mut gauge, load) = Gauge::new(0);
        gauge.note(1000);
        assert!(!load.has_changed().expect("it lives"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_worker_is_enough_and_the_end_must_last() {
        let told = RefCell::new(Vec::new());
        let [(mut first, a), (mut second, b)] = [Gauge::new(10), Gauge::new(10)];
        let script = async {
            let pause = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
            second.note(10);
            pause(1).await;
            assert_eq!(told.borrow().len(), 1);
            first.note(12); // already known
            second.note(0);
            pause(60).await;
            assert_eq!(told.borrow().len(), 1, "the first is still high");
            first.note(0);
            pause(4).await;
            first.note(11); // a second wave
            pause(1).await;
            first.note(0);
            pause(4).await;
            assert_eq!(told.borrow().len(), 1, "not long enough");
            pause(2).await;
        };
        tokio::select! {
            biased;
            never = follow(vec![a, b], async |load| told.borrow_mut().push(load)) => match never {},
            () = script => {}
        }
        assert_eq!(*told.borrow(), [Some(Load { is_high: true, handshakes: 10 }), None]);
    }
}
