//! How many bytes of answers a worker holds for its clients.
//!
//! What was written stays in memory until the client acknowledges it, so clients that ask and
//! then fall silent would each hold a whole send window. A worker has a budget for all of them.
//! While much of it is free a connection may fill its window, which a fast path needs; the less
//! is free, the less is new for anybody, so that it is never quite spent (this is how switches
//! share their buffers: A. Choudhury and E. Hahne, "Dynamic queue length thresholds for
//! shared-memory packet switches"). And every connection has a floor that nobody takes from it:
//! however many stall, others still get their answers, a floor's worth each round trip.
//!
//! So the worker holds at most its budget, and the floor of each of its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::limits;

/// The budget of a worker.
pub(super) struct SendBudget {
    worker: Arc<Worker>,
}

struct Worker {
    held_bytes: AtomicU64,
    budget_bytes: u64,
}

/// What one connection holds of it. Counters are atomic because [`Bytes`] may go to any thread;
/// these never do, so nobody ever waits for them.
#[derive(Clone)]
pub(super) struct Account {
    connection: Arc<Connection>,
}

struct Connection {
    worker: Arc<Worker>,
    held_bytes: AtomicU64,
}

impl SendBudget {
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self { worker: Arc::new(Worker { held_bytes: AtomicU64::new(0), budget_bytes }) }
    }

    /// An account for a new connection.
    pub(super) fn open(&self) -> Account {
        let (worker, held_bytes) = (self.worker.clone(), AtomicU64::new(0));
        Account { connection: Arc::new(Connection { worker, held_bytes }) }
    }

    /// Bytes that all connections hold now.
    pub(super) fn held_bytes(&self) -> u64 {
        self.worker.held_bytes.load(Ordering::Relaxed)
    }
}

impl Account {
    /// How many of `wanted` bytes may be written now; zero is to wait. Crumbs are not given: a
    /// packet for each would cost more than it carries.
    pub(super) fn grant(&self, wanted: usize) -> usize {
        let Connection { worker, held_bytes } = &*self.connection;
        let free = worker.budget_bytes.saturating_sub(worker.held_bytes.load(Ordering::Relaxed));
        let share = (free / limits::SEND_SHARE_DIVISOR).max(limits::SEND_FLOOR_BYTES);
        let more = share.saturating_sub(held_bytes.load(Ordering::Relaxed)) as usize;
        if more < wanted.min(limits::SEND_GRANT_MIN_BYTES) { 0 } else { more.min(wanted) }
    }

    /// Bytes that count until the last clone or slice of them is dropped.
    pub(super) fn hold(&self, bytes: Bytes) -> Bytes {
        let length = bytes.len() as u64;
        self.connection.held_bytes.fetch_add(length, Ordering::Relaxed);
        self.connection.worker.held_bytes.fetch_add(length, Ordering::Relaxed);
        Bytes::from_owner(Held { bytes, account: self.clone() })
    }
}

struct Held {
    bytes: Bytes,
    account: Account,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let length = self.bytes.len() as u64;
        let Connection { worker, held_bytes } = &*self.account.connection;
        held_bytes.fetch_sub(length, Ordering::Relaxed);
        worker.held_bytes.fetch_sub(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 64 << 20;

    fn fill(account: &Account, kept: &mut Vec<Bytes>) {
        loop {
            match account.grant(limits::BODY_CHUNK_BYTES) {
                0 => return,
                more => kept.push(account.hold(vec![0; more].into())),
            }
        }
    }

    #[test]
    fn one_connection_alone_has_a_share_that_fills_its_window() {
        let budget = SendBudget::new(limits::SEND_BUDGET_BYTES);
        let mut kept = Vec::new();
        fill(&budget.open(), &mut kept);
        assert!(budget.held_bytes() > limits::SEND_WINDOW_BYTES);
    }

    #[test]
    fn however_many_fill_theirs_the_next_has_its_floor_and_the_bound_holds() {
        let budget = SendBudget::new(BUDGET);
        let (mut kept, mut accounts) = (Vec::new(), Vec::new());
        for count in 1..1000 {
            let account = budget.open();
            assert!(account.grant(limits::BODY_CHUNK_BYTES) as u64 >= limits::SEND_FLOOR_BYTES);
            fill(&account, &mut kept);
            accounts.push(account);
            assert!(budget.held_bytes() <= BUDGET + count * limits::SEND_FLOOR_BYTES);
        }
    }

    #[test]
    fn what_is_dropped_is_free_again_when_its_last_part_is() {
        let budget = SendBudget::new(BUDGET);
        let account = budget.open();
        let whole = account.hold(Bytes::from_static(&[0; 1000]));
        let part = whole.slice(10..20);
        drop(whole);
        assert_eq!(budget.held_bytes(), 1000);
        drop(part);
        assert_eq!(budget.held_bytes(), 0);
    }
}
