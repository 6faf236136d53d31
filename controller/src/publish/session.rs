//! One node's stream.
//!
//! What the node lacks is a cursor into the book. A part is taken out of it when the stream has
//! room for one, so a slow node costs its cursor, and gets the latest state when it does read.

use fleet_wire::message::{
    Applied, Bundle, Hello, Item, Order, Position, Refused, Report, Welcome, order, report,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};

use super::{Publisher, removed};
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
        let hello = match self.hello().await {
            Ok(hello) => hello,
            Err(status) => return refuse(&orders, status).await,
        };
        let (node, name) = (self.node.id, self.node.name.clone());
        let nodes = std::sync::Arc::clone(&self.publisher.nodes);
        tracing::info!(node, name, version = hello.version, "the node follows");
        let has = self.has(hello.position);
        let refused = has.map(|_| named(&hello.refused)).unwrap_or_default();
        let stream = nodes.begin(node, &hello.version, has, refused, Instant::now());
        // The lease goes on by itself: a node that reconnects at once was never away.
        match self.follow(&hello, stream, &orders).await {
            Ok(why) => tracing::info!(node, name, why, "the node follows no more"),
            Err(status) => {
                tracing::warn!(node, name, why = status.message(), "the node is cut off");
                refuse(&orders, status).await;
            }
        }
    }

    /// The first report, in time, of a protocol that we speak.
    async fn hello(&mut self) -> Result<Hello, Status> {
        let first = timeout(limits::HELLO_WITHIN, self.reports.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no Hello"))??;
        let Some(Report { kind: Some(report::Kind::Hello(hello)) }) = first else {
            return Err(Status::invalid_argument("the first report is not Hello"));
        };
        let ours = fleet_wire::PROTOCOL;
        let theirs = hello.protocol;
        if theirs + 1 < ours {
            return Err(Status::failed_precondition(format!(
                "the node speaks protocol {theirs} and this controller {ours}: update landfast-edge on the node"
            )));
        }
        if theirs > ours + 1 {
            return Err(Status::failed_precondition(format!(
                "the node speaks protocol {theirs} and this controller {ours}: update landfast-controller"
            )));
        }
        Ok(hello)
    }

    async fn follow(
        &mut self,
        hello: &Hello,
        stream: StreamId,
        orders: &mpsc::Sender<Result<Order, Status>>,
    ) -> Result<&'static str, Status> {
        if orders.send(Ok(self.welcome())).await.is_err() {
            return Ok("it hung up");
        }
        let mut moved = self.publisher.ledger.moved();
        // Who serves other names than before lacks certificates that did not change since.
        let has = self.has(hello.position).filter(|has| *has >= self.changed);
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
                _ = moved.changed() => {
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
                if position > now {
                    return Err(Status::invalid_argument("it applied what was never sent"));
                }
                if refused.len() > fleet_wire::MAX_ITEMS {
                    return Err(Status::invalid_argument("it refused more than there is"));
                }
                for item in &refused {
                    tracing::warn!(
                        node,
                        item = item.key,
                        reason = shown(&item.reason),
                        "the node refuses an item"
                    );
                }
                let refused = named(&refused);
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

/// Keys of what is refused, and why.
fn named(refused: &[Refused]) -> Vec<(String, String)> {
    refused.iter().map(|item| (item.key.clone(), shown(&item.reason).to_owned())).collect()
}

/// What a node says goes into the log: one line, and not all of it.
fn shown(reason: &str) -> &str {
    let reason = reason.lines().next().unwrap_or_default();
    let end = reason.floor_char_boundary(limits::MAX_REASON_BYTES.min(reason.len()));
    &reason[..end]
}

async fn refuse(orders: &mpsc::Sender<Result<Order, Status>>, status: Status) {
    // A node that is cut off need not read why.
    let _ = timeout(limits::HELLO_WITHIN, orders.send(Err(status))).await;
}
