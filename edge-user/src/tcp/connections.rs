//! The connections of a worker: how many there are, what each waits for, and who makes way.
//!
//! Where a worker is full, the connection that has been without a request for longest ends: whoever
//! keeps connections and asks for nothing keeps nobody out, and nobody loses an answer. Where each of
//! them is being answered, the new one is refused.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::tally::{Refusal, Tally};
use crate::limits;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections, those in their handshake included.
    pub connections: usize,
    /// Handshakes.
    pub handshakes: usize,
}

/// All of them.
pub(crate) struct Connections {
    bounds: Bounds,
    tally: Arc<Tally>,
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    open: BTreeMap<u64, Rc<Pulse>>,
    handshakes: usize,
    shaking: Order,
    idle: Order,
    /// Whether more may come.
    listening: bool,
    /// Who waits for the end of the last one.
    waker: Option<Waker>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds, tally: Arc<Tally>) -> Rc<Self> {
        Rc::new(Self { bounds, tally, inner: RefCell::default() })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.inner.borrow().open.len()
    }

    /// How many of them are in their handshake.
    pub(crate) fn handshakes(&self) -> usize {
        self.inner.borrow().handshakes
    }

    /// Says whether connections are taken.
    pub(crate) fn listens(&self, listening: bool) {
        self.inner.borrow_mut().listening = listening;
        self.wake_if_over();
    }

    /// Ready when there is none, and none can come.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.inner.borrow_mut();
        if inner.is_over() {
            return Poll::Ready(());
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake_if_over(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.is_over()
            && let Some(waker) = inner.waker.take()
        {
            waker.wake();
        }
    }

    /// A place for a connection that has just come, in its handshake.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Seat> {
        let mut inner = self.inner.borrow_mut();
        if inner.open.len() >= self.bounds.connections {
            if !inner.idle.tell_oldest(Told::Leave) {
                self.tally.count(Refusal::HttpsFull);
                return None;
            }
            self.tally.count(Refusal::HttpsCrowdedOut);
        }
        if inner.handshakes >= self.bounds.handshakes && inner.shaking.tell_oldest(Told::TooSlow) {
            self.tally.count(Refusal::TlsCrowdedOut);
        }
        let pulse = Rc::new(Pulse::new(Instant::now()));
        let id = inner.next;
        inner.next += 1;
        inner.handshakes += 1;
        inner.shaking.push(&pulse);
        inner.open.insert(id, Rc::clone(&pulse));
        drop(inner);
        Some(Seat { id, pulse, connections: Rc::clone(self) })
    }

    /// Ends what takes too long, for as long as it is polled.
    pub(crate) async fn watch(&self) {
        let mut ticks = interval(limits::TCP_LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.look(ticks.tick().await);
        }
    }

    fn look(&self, now: Instant) {
        for pulse in self.inner.borrow().open.values() {
            let Some((told, refusal)) = pulse.overdue(now) else { continue };
            if pulse.tell(told)
                && let Some(refusal) = refusal
            {
                self.tally.count(refusal);
            }
        }
    }
}

impl Inner {
    fn is_over(&self) -> bool {
        !self.listening && self.open.is_empty()
    }
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Without a request.
    Idle,
    /// With one.
    Busy,
}

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// End, but for requests that have come: it is not needed.
    Leave,
    /// End: it took too long.
    TooSlow,
}

/// What is known of a connection from outside.
pub(crate) struct Pulse {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Counts changes of phase.
    stamp: Cell<u64>,
    /// Since when the client owes the rest of a head.
    head: Cell<Option<Instant>>,
    /// Since when it takes nothing of what we have for it.
    blocked: Cell<Option<Instant>>,
    told: Cell<Option<Told>>,
    /// What it was told last, whether it has heard it or not.
    was_told: Cell<Option<Told>>,
    waker: Cell<Option<Waker>>,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Cell::new(Phase::Handshake),
            since: Cell::new(now),
            stamp: Cell::new(0),
            head: Cell::new(None),
            blocked: Cell::new(None),
            told: Cell::new(None),
            was_told: Cell::new(None),
            waker: Cell::new(None),
        }
    }

    /// Bytes came that are no frame of ours to look into: where no request is under way, a head has
    /// begun.
    pub(super) fn has_read(&self) {
        if self.phase.get() == Phase::Idle && self.head.get().is_none() {
            self.head.set(Some(Instant::now()));
        }
    }

    /// Since when the client owes the rest of a head, if it does.
    pub(super) fn owes_since(&self, since: Option<Instant>) {
        self.head.set(since);
    }

    /// The socket took something, and perhaps not all.
    pub(super) fn wrote(&self, blocked: bool, progress: bool) {
        let since = self.blocked.get().filter(|_| !progress);
        self.blocked.set(blocked.then(|| since.unwrap_or_else(Instant::now)));
    }

    /// What to tell it, and what that counts as.
    fn overdue(&self, now: Instant) -> Option<(Told, Option<Refusal>)> {
        let over = |since: Option<Instant>, within: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= within)
        };
        let since = |phase| Some(self.since.get()).filter(|_| self.phase.get() == phase);
        if over(since(Phase::Handshake), limits::TCP_HANDSHAKE_WITHIN) {
            return Some((Told::TooSlow, Some(Refusal::TlsSlow)));
        }
        if over(self.head.get(), limits::REQUEST_HEAD_WITHIN) {
            return Some((Told::TooSlow, Some(Refusal::HttpsSlow)));
        }
        if over(self.blocked.get(), limits::PROGRESS_WITHIN) {
            return Some((Told::TooSlow, Some(Refusal::HttpsStalled)));
        }
        over(since(Phase::Idle), limits::TCP_IDLE_WITHIN).then_some((Told::Leave, None))
    }

    /// Whether that is news to it. One that is to leave may take its time with an answer: it can
    /// still be too slow.
    fn tell(&self, told: Told) -> bool {
        match (self.was_told.get(), told) {
            (None, _) | (Some(Told::Leave), Told::TooSlow) => {}
            (Some(Told::TooSlow), _) | (Some(Told::Leave), Told::Leave) => return false,
        }
        self.was_told.set(Some(told));
        self.told.set(Some(told));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        true
    }
}

/// A connection's place. It is free again when this is dropped.
pub(crate) struct Seat {
    id: u64,
    pulse: Rc<Pulse>,
    connections: Rc<Connections>,
}

impl Seat {
    /// For whoever reads and writes for the connection.
    pub(crate) fn pulse(&self) -> Rc<Pulse> {
        Rc::clone(&self.pulse)
    }

    /// From now on it is without a request.
    pub(crate) fn idle(&self) {
        if self.enter(Phase::Idle) {
            self.connections.inner.borrow_mut().idle.push(&self.pulse);
        }
    }

    /// From now on it has one.
    pub(crate) fn busy(&self) {
        self.enter(Phase::Busy);
    }

    /// The head of a request was read.
    pub(crate) fn has_head(&self) {
        self.pulse.head.set(None);
    }

    /// Its first bytes must come soon.
    pub(crate) fn expects_head(&self) {
        self.pulse.head.set(Some(Instant::now()));
    }

    /// Whether there is an answer that the client has not got.
    pub(crate) fn is_owing(&self) -> bool {
        self.pulse.phase.get() == Phase::Busy || self.pulse.blocked.get().is_some()
    }

    /// Whether it was another phase.
    fn enter(&self, phase: Phase) -> bool {
        let before = self.pulse.phase.replace(phase);
        if before == phase {
            return false;
        }
        if before == Phase::Handshake {
            self.connections.inner.borrow_mut().handshakes -= 1;
        }
        self.pulse.stamp.set(self.pulse.stamp.get() + 1);
        if phase == Phase::Idle {
            self.pulse.since.set(Instant::now());
        }
        true
    }

    /// What the connection is to do. It is woken for what comes after that, too.
    pub(crate) fn poll_told(&self, cx: &mut Context<'_>) -> Poll<Told> {
        let waker = self.pulse.waker.take().filter(|waker| waker.will_wake(cx.waker()));
        self.pulse.waker.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
        self.pulse.told.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.connections.inner.borrow_mut();
        inner.open.remove(&self.id);
        if self.pulse.phase.get() == Phase::Handshake {
            inner.handshakes -= 1;
        }
        // What is in an order is known for past by this.
        self.pulse.stamp.set(self.pulse.stamp.get() + 1);
        drop(inner);
        self.connections.wake_if_over();
    }
}

/// Connections by since when they are in a phase, the oldest first. Those that have left it are among
/// them until somebody comes across them.
#[derive(Default)]
struct Order {
    queue: VecDeque<(Rc<Pulse>, u64)>,
    /// Those that were still in their phase when it was last gone through.
    valid: usize,
}

impl Order {
    fn push(&mut self, pulse: &Rc<Pulse>) {
        // Twice as many as there were: each pays for going through one other.
        if self.queue.len() >= 2 * self.valid + 64 {
            self.queue.retain(is_valid);
            self.valid = self.queue.len();
        }
        self.queue.push_back((Rc::clone(pulse), pulse.stamp.get()));
    }

    /// Tells the oldest to whom that is news. Whether there was one.
    fn tell_oldest(&mut self, told: Told) -> bool {
        while let Some(entry) = self.queue.pop_front() {
            if is_valid(&entry) && entry.0.tell(told) {
                return true;
            }
        }
        false
    }
}

fn is_valid((pulse, stamp): &(Rc<Pulse>, u64)) -> bool {
    pulse.stamp.get() == *stamp
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn connections(connections: usize, handshakes: usize) -> (Rc<Connections>, Arc<Tally>) {
        let tally = Arc::<Tally>::default();
        (Connections::new(Bounds { connections, handshakes }, Arc::clone(&tally)), tally)
    }

    fn told(seat: &Seat) -> Option<Told> {
        match seat.poll_told(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(told) => Some(told),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn whoever_is_idle_for_longest_makes_way_and_nobody_who_is_answered() {
        let (connections, tally) = connections(3, 9);
        let seats: Vec<_> = (0..3).map(|_| connections.admit().expect("room")).collect();
        for seat in &seats {
            seat.idle();
        }
        // A request and its answer: the second is the oldest now, but for the third's request.
        seats[0].busy();
        seats[0].idle();
        seats[1].busy();
        let fourth = connections.admit().expect("the third makes way");
        assert_eq!(told(&seats[2]), Some(Told::Leave));
        assert_eq!((told(&seats[0]), told(&seats[1])), (None, None));
        fourth.busy();
        drop(connections.admit().expect("the first makes way"));
        assert_eq!(told(&seats[0]), Some(Told::Leave));
        assert!(connections.admit().is_none(), "all others are answered");
        assert_eq!(tally.refused(Refusal::HttpsCrowdedOut), 2);
        assert_eq!(tally.refused(Refusal::HttpsFull), 1);
        drop(seats);
        assert_eq!((connections.count(), connections.handshakes()), (1, 0));
    }

    /// Asked to leave, it got a request in first, and is done with it: it makes way only once.
    #[tokio::test]
    async fn nobody_gets_the_place_of_one_who_was_asked_to_leave_before() {
        let (connections, tally) = connections(1, 9);
        let first = connections.admit().expect("room");
        first.idle();
        let second = connections.admit().expect("the first makes way");
        second.busy();
        assert_eq!(told(&first), Some(Told::Leave));
        first.busy();
        first.idle();
        assert!(connections.admit().is_none(), "one who leaves, and one who is answered");
        assert_eq!(tally.refused(Refusal::HttpsCrowdedOut), 1);
        assert_eq!(tally.refused(Refusal::HttpsFull), 1);
    }

    #[tokio::test]
    async fn the_oldest_handshake_makes_way() {
        let (connections, tally) = connections(9, 2);
        let seats: Vec<_> = (0..3).map(|_| connections.admit().expect("room")).collect();
        assert_eq!(told(&seats[0]), Some(Told::TooSlow));
        assert_eq!((told(&seats[1]), told(&seats[2])), (None, None));
        assert_eq!(tally.refused(Refusal::TlsCrowdedOut), 1);
        seats[1].idle();
        assert_eq!(connections.handshakes(), 2);
        drop(seats);
        assert_eq!((connections.count(), connections.handshakes()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_end() {
        let (connections, tally) = connections(9, 9);
        let seat = || connections.admit().expect("room");
        let (shaking, idle, head, blocked, busy) = (seat(), seat(), seat(), seat(), seat());
        for seat in [&idle, &head] {
            seat.idle();
        }
        for seat in [&blocked, &busy] {
            seat.busy();
        }
        head.pulse.has_read();
        blocked.pulse.wrote(true, true);
        let now = Instant::now();
        for (seat, within, counted) in [
            (&shaking, limits::TCP_HANDSHAKE_WITHIN, Some(Refusal::TlsSlow)),
            (&head, limits::REQUEST_HEAD_WITHIN, Some(Refusal::HttpsSlow)),
            (&blocked, limits::PROGRESS_WITHIN, Some(Refusal::HttpsStalled)),
            (&idle, limits::TCP_IDLE_WITHIN, None),
        ] {
            connections.look(now + within - Duration::from_millis(1));
            assert_eq!(told(seat), None);
            connections.look(now + within);
            connections.look(now + within);
            assert!(told(seat).is_some());
            if let Some(counted) = counted {
                assert_eq!(tally.refused(counted), 1);
            }
        }
        connections.look(now + Duration::from_secs(3600));
        assert_eq!(told(&busy), None, "an answer may take long where it is taken");
    }

    #[tokio::test]
    async fn the_end_of_the_last_one_is_heard_of() {
        let (connections, _) = connections(9, 9);
        connections.listens(true);
        let seat = connections.admit().expect("room");
        let over = || connections.poll_over(&mut Context::from_waker(Waker::noop()));
        assert!(over().is_pending());
        drop(seat);
        assert!(over().is_pending(), "more may come");
        let waits = poll_fn(|cx| connections.poll_over(cx));
        tokio::join!(waits, async { connections.listens(false) });
    }

    /// Requests one after the other leave nothing behind.
    #[tokio::test]
    async fn orders_do_not_grow() {
        let (connections, _) = connections(9, 9);
        let seat = connections.admit().expect("room");
        for _ in 0..10_000 {
            seat.idle();
            seat.busy();
        }
        assert!(connections.inner.borrow().idle.queue.len() <= 64);
    }
}
