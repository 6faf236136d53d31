//! A node that is no more than its stream to the controller: it takes what it is sent, keeps names
//! and fingerprints, and acknowledges. A thousand of them fit into one process.

pub mod answers;
pub mod enrolled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};
use edge_user::tls::Challenges;
use fleet_wire::PROTOCOL;
use fleet_wire::message::fleet_client::FleetClient;
use fleet_wire::message::{
    Alive, Applied, Bundle, Hello, Item, Order, Position, Refused, Report, Welcome, item, order,
    report,
};
use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Channel;

/// Reports that wait for the stream: one for each bundle, of which the next is not read before.
const REPORTS: usize = 4;

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct Conduct {
    /// The protocol version that it says it speaks.
    pub protocol: u32,
    /// It acknowledges so long after it has everything.
    pub acknowledges_after: Duration,
    /// Keys of items that it refuses.
    pub refuses: BTreeSet<String>,
    /// Where it stands when it comes, as a node does that was away; it says so, no more.
    pub position: Option<Position>,
    /// It keeps no items, only where it stands: a thousand nodes with ten thousand items each
    /// would take gigabytes.
    pub forgets: bool,
    /// Where it keeps what authorities are answered, before it acknowledges it; a node without it
    /// answers none.
    pub answers: Option<Arc<Challenges>>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            protocol: PROTOCOL,
            acknowledges_after: Duration::ZERO,
            refuses: BTreeSet::new(),
            position: None,
            forgets: false,
            answers: None,
        }
    }
}

/// What a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// What it has acknowledged last.
    pub position: Option<Position>,
    /// Every item by its key. Of a certificate the SHA-256 of the first of its chain, of anything
    /// else nothing.
    pub items: BTreeMap<String, Vec<u8>>,
    /// Bundles, counted by their last part: those with the whole state, and those with changes.
    pub bundles: [u32; 2],
}

/// A node whose stream is open. Dropping it ends the stream.
#[derive(Debug)]
pub struct SimulatedNode {
    holding: watch::Receiver<Holding>,
    task: JoinHandle<Result<()>>,
}

impl SimulatedNode {
    /// Opens the stream. Inside a runtime.
    #[must_use]
    pub fn follow(channel: Channel, conduct: Conduct) -> Self {
        let (sender, holding) = watch::channel(Holding::default());
        Self { holding, task: tokio::spawn(follow(channel, conduct, sender)) }
    }

    /// What it has now.
    #[must_use]
    pub fn holding(&self) -> Holding {
        self.holding.borrow().clone()
    }

    /// Waits until what it has is as `wanted` wants it.
    ///
    /// # Errors
    /// Where its stream ends before, or breaks; with the reason.
    pub async fn until(&mut self, wanted: impl FnMut(&Holding) -> bool) -> Result<Holding> {
        if let Ok(holding) = self.holding.wait_for(wanted).await {
            return Ok(holding.clone());
        }
        (&mut self.task).await.context("the node's task panicked")??;
        bail!("the controller ended the stream")
    }
}

impl Drop for SimulatedNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(channel: Channel, conduct: Conduct, holding: watch::Sender<Holding>) -> Result<()> {
    let (reports, outgoing) = mpsc::channel(REPORTS);
    let hello = Hello {
        protocol: conduct.protocol,
        version: "simulated".to_owned(),
        position: conduct.position,
        refused: Vec::new(),
    };
    reports.send(said(report::Kind::Hello(hello))).await?;
    let outgoing = stream::unfold(outgoing, async |mut outgoing| {
        outgoing.recv().await.map(|report: Report| (report, outgoing))
    });
    let mut orders = FleetClient::new(channel)
        .max_decoding_message_size(fleet_wire::MAX_MESSAGE_BYTES)
        .follow(outgoing)
        .await?
        .into_inner();
    let welcome = match orders.message().await?.and_then(|order| order.kind) {
        Some(order::Kind::Welcome(welcome)) => welcome,
        other => bail!("the first order is no welcome: {other:?}"),
    };
    let keepalive = keepalive(&welcome);
    let mut taking = Taking::default();
    let mut next_report = Instant::now() + keepalive;
    loop {
        let order = tokio::select! {
            order = orders.message() => order?,
            () = sleep_until(next_report) => {
                reports.send(said(report::Kind::Alive(Alive {}))).await?;
                next_report = Instant::now() + keepalive;
                continue;
            }
        };
        let Some(Order { kind: Some(order::Kind::Bundle(bundle)) }) = order else {
            return Ok(()); // the end, or what a later controller has to say
        };
        let Some((held, applied)) = taking.take(bundle, &conduct, &holding.borrow()) else {
            continue;
        };
        sleep(conduct.acknowledges_after).await;
        reports.send(said(report::Kind::Applied(applied))).await?;
        next_report = Instant::now() + keepalive;
        holding.send_replace(held);
    }
}

fn said(kind: report::Kind) -> Report {
    Report { kind: Some(kind) }
}

/// Twice as often as it is asked to report: half of the time is the network's.
fn keepalive(welcome: &Welcome) -> Duration {
    Duration::from_millis(u64::from(welcome.keepalive_milliseconds).max(2) / 2)
}

/// The parts of a bundle so far.
#[derive(Debug, Default)]
struct Taking {
    items: BTreeMap<String, Vec<u8>>,
    removed: BTreeSet<String>,
    refused: Vec<Refused>,
}

impl Taking {
    /// Takes a part; with the last one, what the node holds then and what it reports.
    fn take(
        &mut self,
        bundle: Bundle,
        conduct: &Conduct,
        before: &Holding,
    ) -> Option<(Holding, Applied)> {
        if let Some(challenges) = &conduct.answers {
            bundle.removed.iter().for_each(|key| answers::forget(challenges, key));
        }
        for item in bundle.items {
            if conduct.refuses.contains(&item.key) {
                let reason = "it was told to refuse this".to_owned();
                self.refused.push(Refused { key: item.key, reason });
            } else if let Some(Err(refused)) =
                conduct.answers.as_ref().map(|challenges| answers::take(challenges, &item))
            {
                self.refused.push(Refused { key: item.key, reason: refused.to_string() });
            } else {
                let fingerprint = fingerprint(&item);
                self.items.insert(item.key, fingerprint);
            }
        }
        self.removed.extend(bundle.removed);
        if !bundle.last {
            return None;
        }
        let Self { items, removed, refused } = std::mem::take(self);
        let applied = Applied { position: bundle.position, refused };

        let mut held = before.clone();
        held.position = bundle.position;
        held.bundles[usize::from(!bundle.whole)] += 1;
        if conduct.forgets {
            return Some((held, applied));
        }
        match bundle.whole {
            true => held.items = items,
            false => {
                held.items.retain(|key, _| !removed.contains(key));
                held.items.extend(items);
            }
        }
        Some((held, applied))
    }
}

fn fingerprint(item: &Item) -> Vec<u8> {
    match &item.body {
        Some(item::Body::Certificate(certificate)) => {
            let first = certificate.chain.first().map_or(&[][..], |der| der);
            digest(&SHA256, first).as_ref().to_vec()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_wire::message::Certificate;

    fn at(serial: u64) -> Option<Position> {
        Some(Position { epoch: 1, term: 1, serial })
    }

    fn certificate(name: &str, der: &'static [u8]) -> Item {
        let chain = vec![der.into()];
        let body = item::Body::Certificate(Certificate { chain, ..Certificate::default() });
        Item { key: format!("certificate/{name}"), body: Some(body) }
    }

    #[test]
    fn a_state_in_two_parts_replaces_everything_and_changes_replace_a_part() {
        let (mut taking, conduct) = (Taking::default(), Conduct::default());
        let part =
            |items, whole, last| Bundle { position: at(7), whole, last, items, removed: vec![] };
        let old = Holding { items: [("old".to_owned(), vec![])].into(), ..Holding::default() };
        let first = part(vec![certificate("a", b"a1")], true, false);
        assert!(taking.take(first, &conduct, &old).is_none());
        let second = part(vec![certificate("b", b"b1")], true, true);
        let (held, applied) = taking.take(second, &conduct, &old).expect("the last part");
        assert_eq!(held.items.keys().collect::<Vec<_>>(), ["certificate/a", "certificate/b"]);
        assert_eq!((held.position, held.bundles), (at(7), [1, 0]));
        assert_eq!(applied.position, at(7));
        assert_eq!(held.items["certificate/a"], digest(&SHA256, b"a1").as_ref());

        let mut change = part(vec![certificate("b", b"b2")], false, true);
        change.removed = vec!["certificate/a".to_owned()];
        let (held, applied) = taking.take(change, &conduct, &held).expect("the last part");
        assert_eq!(held.items.keys().collect::<Vec<_>>(), ["certificate/b"]);
        assert_eq!(held.bundles, [1, 1]);
        assert_eq!(applied.refused, []);
    }

    #[test]
    fn what_it_refuses_it_keeps_as_it_was_and_reports() {
        let refuses = ["certificate/a".to_owned()].into();
        let conduct = Conduct { refuses, ..Conduct::default() };
        let old =
            Holding { items: [("certificate/a".to_owned(), vec![1])].into(), ..Holding::default() };
        let items = vec![certificate("a", b"a2"), certificate("b", b"b1")];
        let change = Bundle { position: at(8), whole: false, last: true, items, removed: vec![] };
        let (held, applied) = Taking::default().take(change, &conduct, &old).expect("one part");
        assert_eq!(held.items["certificate/a"], [1]);
        assert_eq!(held.items["certificate/b"], digest(&SHA256, b"b1").as_ref());
        assert_eq!(applied.refused.len(), 1);
        assert_eq!(applied.refused[0].key, "certificate/a");
    }
}
