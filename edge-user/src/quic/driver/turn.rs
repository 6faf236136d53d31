//! One turn of a worker's loop after another.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use quinn_proto::Transmit;
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;

use super::arrivals::Arrivals;
use super::{ToWorker, WorkerReport};
use crate::admission::pressure::Gauge;
use crate::http::{self, Place};
use crate::limits;
use crate::quic::keys::CountedTickets;
use crate::quic::socket::Socket;
use crate::quic::streams::{Connection, SharedEngine};
use crate::tcp::listener::Reception;

/// Datagrams and bytes that left.
#[derive(Default)]
pub(super) struct Sent {
    bytes: u64,
    datagrams: u64,
}

/// A worker at work. Ends after a drain.
pub(super) struct Driver {
    pub(super) engine: SharedEngine,
    pub(super) arrivals: Arrivals,
    pub(super) socket: Socket,
    pub(super) inbox: mpsc::Receiver<ToWorker>,
    pub(super) place: Rc<Place>,
    pub(super) tickets: Option<std::sync::Arc<CountedTickets>>,
    pub(super) gauge: Gauge,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    /// The one send that the kernel had no room for; its bytes are in `buffer`. All else waits
    /// in the engine.
    pub(super) blocked: Option<Transmit>,
    pub(super) buffer: Vec<u8>,
    pub(super) sent: Sent,
    /// The deadline, once there is one.
    pub(super) drain: watch::Sender<Option<Instant>>,
    /// Those who come by TCP.
    pub(super) reception: Option<Rc<Reception>>,
}

impl Future for Driver {
    type Output = WorkerReport;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WorkerReport> {
        let this = self.get_mut();
        let now = Instant::now();
        this.engine.borrow_mut().register(None);
        this.engine.borrow_mut().handle_timeout(now);
        let writable = this.send(now, cx);
        let more = this.take_messages(now, cx) | this.receive(now, cx);
        this.serve_established();
        this.gauge.note(this.engine.borrow().counters().handshakes_in_progress);
        if this.is_done(now, cx) {
            return Poll::Ready(this.report());
        }
        let expired = this.arm_timer(cx);
        let mut engine = this.engine.borrow_mut();
        if more || expired || (writable && engine.has_pending()) {
            // After the tasks that this turn has woken.
            cx.waker().wake_by_ref();
        } else {
            engine.register(Some(cx.waker().clone()));
        }
        Poll::Pending
    }
}

impl Driver {
    /// Sends what there is, within the bound of a turn. Whether the socket takes more.
    fn send(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let segments = self.socket.max_segments();
        let mut engine = self.engine.borrow_mut();
        for _ in 0..limits::SENDS_PER_TURN {
            let next = self
                .blocked
                .take()
                .or_else(|| engine.poll_transmit(now, segments, &mut self.buffer));
            let Some(transmit) = next else { return true };
            match self.socket.send(&transmit, &self.buffer[..transmit.size]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    if !self.socket.poll_writable(cx) {
                        return false;
                    }
                }
                // Lost, as any datagram may be: an address without a route, a path MTU probe.
                Err(_) => {}
                Ok(()) => {
                    let size = transmit.segment_size.unwrap_or(transmit.size).max(1);
                    self.sent.bytes += transmit.size as u64;
                    self.sent.datagrams += transmit.size.div_ceil(size) as u64;
                }
            }
        }
        true
    }

    /// Whether there is more than a turn takes.
    fn receive(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        self.arrivals.new_turn();
        let port = self.socket.port();
        for _ in 0..limits::RECEIVE_BATCHES_PER_TURN {
            match self.socket.receive() {
                Ok(received) => {
                    for train in self.socket.trains(received) {
                        self.arrivals.train(now, port, &train);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.socket.poll_readable(cx) {
                        return false;
                    }
                }
                // An ICMP error for something sent earlier: the next call is free of it.
                Err(_) => {}
            }
        }
        true
    }

    /// Whether there is more than a turn takes.
    fn take_messages(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        for _ in 0..limits::INBOX_PER_TURN {
            match self.inbox.poll_recv(cx) {
                Poll::Ready(Some(ToWorker::Datagram(datagram))) => {
                    self.arrivals.datagram(now, datagram);
                }
                Poll::Ready(Some(ToWorker::Report(to))) => {
                    // Who asked may have gone.
                    let _ = to.send(self.report());
                }
                Poll::Ready(Some(ToWorker::Secrets(secrets, done))) => {
                    let _ = done.send(self.arrivals.change_secrets(&secrets));
                }
                Poll::Ready(Some(ToWorker::Drain { deadline })) => {
                    self.engine.borrow_mut().begin_drain();
                    self.drain.send_replace(Some(deadline));
                }
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        true
    }

    fn serve_established(&mut self) {
        loop {
            let Some(key) = self.engine.borrow_mut().poll_established() else { return };
            let connection = Connection::new(self.engine.clone(), key);
            let drain = self.drain.subscribe();
            tokio::task::spawn_local(http::h3::serve(connection, self.place.clone(), drain));
        }
    }

    fn is_done(&self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = *self.drain.borrow() else { return false };
        let connections = self.engine.borrow().counters().connections;
        // Looked at in any case, so that this is woken by the last of them.
        let tcp = self.reception.as_ref().is_none_or(|tcp| tcp.poll_over(cx).is_ready());
        connections == 0 && tcp || now >= deadline + limits::DRAIN_TAIL
    }

    /// Wakes this task when the next deadline comes. Whether it has come already.
    fn arm_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let end = self.drain.borrow().map(|deadline| deadline + limits::DRAIN_TAIL);
        let next = self.engine.borrow().poll_timeout();
        let Some(next) = next.into_iter().chain(end).min() else { return false };
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next.into())));
        if timer.deadline() != next.into() {
            timer.as_mut().reset(next.into());
        }
        timer.as_mut().poll(cx).is_ready()
    }

    fn report(&self) -> WorkerReport {
        let engine = self.engine.borrow();
        let counters = engine.counters();
        WorkerReport {
            worker: engine.own().worker,
            reasons: self.arrivals.reasons,
            connections: counters.connections,
            handshakes_completed: counters.handshakes_completed,
            handshakes_failed: counters.handshakes_failed,
            handshakes_in_progress: counters.handshakes_in_progress,
            bytes_received: self.arrivals.bytes,
            bytes_sent: self.sent.bytes,
            datagrams_received: self.arrivals.datagrams,
            datagrams_sent: self.sent.datagrams,
            requests: self.place.requests.get(),
            requests_cut: self.place.cut.get(),
            resumed: self.tickets.as_ref().map_or(0, |tickets| tickets.accepted()),
            frames_refused: counters.frames_refused,
            refused: self.place.refused.counts(),
            tcp: self.reception.as_ref().map(|tcp| tcp.report()).unwrap_or_default(),
            answered: self.place.distributions.report(),
            origins: self.place.distributions.origins(),
        }
    }
}
