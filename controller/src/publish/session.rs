//! One node's stream.
//!
//! What the node lacks is a cursor into the book. A part is taken out of it when the stream has
//! room for one, so a slow node costs its cursor, and gets the latest state when it does read.

use std::convert::Infallible;

use fleet_wire::message::{
    Applied, Bundle, Item, Order, Position, Refused, Report, Welcome, order, report,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};

use super::{Publisher, removed};
use crate::foreign;
use crate::identity::Peer;
use crate::ledger::Stored;
use crate::ledger::book::Cursor;
use crate::limits;
use crate::nodes::StreamId;
use crate::records::Node;

/// A stream from its first report to its end.
pub(super) struct Session {
    publisher: Publisher,
    node: Node,
    /// When the node's own record changed last.
    changed: u64,
    peer: Peer,
    reports: Streaming<Report>,
}

/// What is kept of a Hello.
struct Begin {
    version: String,
    /// The serial up to which the node has everything, if that is of the history of this store.
    has: Option<u64>,
    /// What of that it refuses, and why.
    refused: Vec<(String, String)>,
}

/// What a session hears of beside its node's reports.
struct Hears {
    moved: watch::Receiver<Position>,
    /// Done once the node has a later stream.
    later: oneshot::Receiver<Infallible>,
}

/// What the node was sent.
struct Sent {
    cursor: Cursor,
    /// Whether all that there was is sent.
    complete: bool,
    /// The serial that acknowledges a whole state, while there is one that is not acknowledged.
    whole: Option<u64>,
}

impl Session {
    pub(super) fn new(
        publisher: Publisher,
        node: Stored<Node>,
        peer: Peer,
        reports: Streaming<Report>,
    ) -> Self {
        let Stored { value: node, revision: changed } = node;
        Self { publisher, node, changed, peer, reports }
    }

    pub(super) async fn run(mut self, orders: mpsc::Sender<Result<Order, Status>>) {
        let Begin { version, has, refused } = match self.hello().await {
            Ok(begin) => begin,
            Err(status) => return refuse(&orders, status).await,
        };
        // Before the record is looked at once more: the node may have been removed while its Hello
        // was waited for, and is told of what comes after.
        let moved = self.publisher.ledger.moved();
        let Some(known) = self.publisher.known(&self.peer) else {
            return refuse(&orders, removed()).await;
        };
        Stored { value: self.node, revision: self.changed } = known;
        let (node, name) = (self.node.id, self.node.name.clone());
        let nodes = std::sync::Arc::clone(&self.publisher.nodes);
        tracing::info!(node, name, version, "the node follows");
        let (stream, later) = nodes.begin(node, &version, has, refused, Instant::now());
        // The lease goes on by itself: a node that reconnects at once was never away.
        match self.follow(has, stream, Hears { moved, later }, &orders).await {
            Ok(why) => tracing::info!(node, name, why, "the node follows no more"),
            Err(status) => {
                let why = foreign::words(status.message(), limits::MAX_REASON_BYTES);
                tracing::warn!(node, name, why, "the node is cut off");
                refuse(&orders, status).await;
            }
        }
    }

    /// The first report, in time, of a protocol that we speak.
    async fn hello(&mut self) -> Result<Begin, Status> {
        let first = timeout(limits::HELLO_WITHIN, self.reports.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no Hello"))??;
        let Some(Report { kind: Some(report::Kind::Hello(hello)) }) = first else {
            return Err(Status::invalid_argument("the first report is not Hello"));
        };
        let ours = fleet_wire::PROTOCOL;
        let theirs = hello.protocol;
        if theirs < ours && theirs.abs_diff(ours) > 1 {
            return Err(Status::failed_precondition(format!(
                "the node speaks protocol {theirs} and this controller {ours}: update landfast-edge on the node"
            )));
        }
        if theirs.abs_diff(ours) > 1 {
            return Err(Status::failed_precondition(format!(
                "the node speaks protocol {theirs} and this controller {ours}: update landfast-controller"
            )));
        }
        let has = self.has(hello.position);
        let refused = named(&hello.refused)?;
        Ok(Begin {
            version: foreign::words(&hello.version, limits::MAX_VERSION_BYTES),
            has,
            refused: has.map(|_| refused).unwrap_or_default(),
        })
    }

    async fn follow(
        &mut self,
        has: Option<u64>,
        stream: StreamId,
        mut hears: Hears,
        orders: &mpsc::Sender<Result<Order, Status>>,
    ) -> Result<&'static str, Status> {
        if orders.send(Ok(self.welcome())).await.is_err() {
            return Ok("it hung up");
        }
        // Who serves other names than before lacks certificates that did not change since.
        let has = has.filter(|has| *has >= self.changed);
        let mut sent = Sent { cursor: self.cursor(has), complete: false, whole: None };
        let lease = self.publisher.times.lease;
        let mut heard = Instant::now();
        let mut whole_again = Instant::now() + self.resync_after();
        loop {
            tokio::select! {
                report = self.reports.message() => {
                    let Some(Report { kind }) = report? else { return Ok("it hung up") };
                    heard = Instant::now();
                    if !self.take(kind, stream, &mut sent)? {
                        return Ok("it follows by a later stream");
                    }
                }
                room = orders.reserve(), if !sent.complete => {
                    let Ok(room) = room else { return Ok("it hung up") };
                    room.send(Ok(self.next(&mut sent)?));
                }
                _ = hears.moved.changed() => {
                    let node = self.publisher.known(&self.peer).ok_or_else(removed)?.value;
                    if node.serves != self.node.serves {
                        // Other certificates are for it now: it gets everything again.
                        sent.cursor = self.cursor(None);
                    }
                    self.node = node;
                    sent.complete = false;
                }
                () = sleep_until(whole_again), if sent.complete => {
                    sent.cursor = self.cursor(None);
                    sent.complete = false;
                    whole_again = Instant::now() + self.resync_after();
                }
                _ = &mut hears.later => return Ok("it follows by a later stream"),
                () = sleep_until(heard + lease) => return Ok("its lease is over"),
            }
        }
    }

    fn welcome(&self) -> Order {
        let milliseconds = |time: std::time::Duration| u32::try_from(time.as_millis());
        let times = self.publisher.times;
        let kind = order::Kind::Welcome(Welcome {
            protocol: fleet_wire::PROTOCOL,
            keepalive_milliseconds: milliseconds(times.keepalive).unwrap_or(u32::MAX),
            lease_milliseconds: milliseconds(times.lease).unwrap_or(u32::MAX),
        });
        Order { kind: Some(kind) }
    }

    /// The serial up to which the node has everything, if that is of the history of this store.
    fn has(&self, position: Option<Position>) -> Option<u64> {
        let now = self.publisher.ledger.position();
        let ours = |at: &Position| at.epoch == now.epoch && at.serial <= now.serial;
        position.filter(ours).map(|position| position.serial)
    }

    fn cursor(&self, has: Option<u64>) -> Cursor {
        let ledger = &self.publisher.ledger;
        let now = ledger.position().serial;
        ledger.book(|book| book.cursor(has, now, &self.node))
    }

    /// So that whatever went wrong unseen is right again some time; not all nodes at one time.
    fn resync_after(&self) -> std::time::Duration {
        limits::RESYNC + limits::RESYNC_SPREAD * u32::from(self.node.id % 64)
    }

    fn next(&self, sent: &mut Sent) -> Result<Order, Status> {
        let ledger = &self.publisher.ledger;
        // Before the book: what is in it is at least as late, and sent again at worst.
        let position = ledger.position();
        let part = ledger.book(|book| {
            let knows = book.knows(&sent.cursor);
            knows.then(|| book.part(&sent.cursor, &self.node, limits::PART_BYTES))
        });
        let late = || Status::aborted("it is so late that deletions are forgotten: begin again");
        let part = part.ok_or_else(late)?;
        let whole = sent.cursor.is_whole();
        let items: Vec<Item> = part.items.iter().map(|item| Item::clone(item)).collect();
        if whole && part.last {
            sent.whole = Some(position.serial);
        }
        sent.complete = part.last;
        sent.cursor = if part.last { Cursor::from_serial(position.serial) } else { part.cursor };
        let bundle = Bundle {
            position: Some(position),
            whole,
            last: part.last,
            items,
            removed: part.removed,
        };
        Ok(Order { kind: Some(order::Kind::Bundle(bundle)) })
    }

    /// `false`: the node has a later stream.
    fn take(
        &self,
        kind: Option<report::Kind>,
        stream: StreamId,
        sent: &mut Sent,
    ) -> Result<bool, Status> {
        let nodes = &self.publisher.nodes;
        let node = self.node.id;
        match kind {
            Some(report::Kind::Applied(Applied { position, refused, .. })) => {
                let now = self.publisher.ledger.position();
                let position = position.ok_or_else(|| Status::invalid_argument("no position"))?;
                // Of this store and under this controller: all that it was sent on this stream is.
                let ours = (position.epoch, position.term) == (now.epoch, now.term);
                if !ours || position.serial > now.serial {
                    return Err(Status::invalid_argument("it applied what was never sent"));
                }
                let refused = named(&refused)?;
                if let Some((item, reason)) = refused.first() {
                    // One line, however many they are: `status` has them all.
                    let refuses = refused.len();
                    let item = foreign::words(item, limits::MAX_KEY_BYTES);
                    tracing::warn!(node, refuses, item, reason, "the node refuses items");
                }
                let serial = position.serial;
                let whole = sent.whole.take_if(|whole| *whole <= serial).is_some();
                nodes.applied(node, stream, serial, whole, refused);
            }
            Some(report::Kind::Alive(_)) => {}
            Some(report::Kind::Hello(_)) => {
                return Err(Status::invalid_argument("Hello a second time"));
            }
            // A kind of a newer node: it says that the node lives.
            None => {}
        }
        Ok(nodes.report(node, stream, Instant::now()))
    }
}

/// Keys of what is refused, and why: reasons fit to be shown, keys as they were sent.
fn named(refused: &[Refused]) -> Result<Vec<(String, String)>, Status> {
    if refused.len() > fleet_wire::MAX_ITEMS {
        return Err(Status::invalid_argument("it refused more than there is"));
    }
    if refused.iter().any(|item| item.key.len() > limits::MAX_KEY_BYTES) {
        return Err(Status::invalid_argument("it refused what has no such key"));
    }
    let words = |item: &Refused| foreign::words(&item.reason, limits::MAX_REASON_BYTES);
    Ok(refused.iter().map(|item| (item.key.clone(), words(item))).collect())
}

async fn refuse(orders: &mpsc::Sender<Result<Order, Status>>, status: Status) {
    // A node that is cut off need not read why.
    let _ = timeout(limits::HELLO_WITHIN, orders.send(Err(status))).await;
}
