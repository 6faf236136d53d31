//! What a node's stream may say, and what the controller makes of one that says anything else.

use std::time::Duration;

use controller::config::NodeTimes;
use controller::ledger::Change;
use controller::limits;
use controller::records::{Certificate, Kind as _, Node};
use fleet_wire::message::fleet_client::FleetClient;
use fleet_wire::message::{
    Applied, Bundle, Hello, Order, Position, Refused, Report, order, report,
};
use fleet_wire::{MAX_ITEMS, PROTOCOL};
use futures_util::stream;
use tests::simulated_node::enrolled::Enrolled;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::nodes::{Controller, HOUR};

/// Longer than anything here takes: who waits for it in vain fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A stream whose node says what a test wants it to.
struct Raw {
    reports: mpsc::Sender<Report>,
    orders: Streaming<Order>,
}

impl Raw {
    /// Before its Hello.
    async fn open(node: &Enrolled, controller: &Controller) -> Self {
        let channel = node.connect(controller.address).await.expect("connected");
        let (reports, outgoing) = mpsc::channel(4);
        let outgoing = stream::unfold(outgoing, async |mut outgoing| {
            outgoing.recv().await.map(|report: Report| (report, outgoing))
        });
        let orders = FleetClient::new(channel).follow(outgoing).await.expect("known").into_inner();
        Self { reports, orders }
    }

    /// With all that the controller holds.
    async fn follow(node: &Enrolled, controller: &Controller) -> Self {
        let mut raw = Self::open(node, controller).await;
        raw.say(report::Kind::Hello(hello())).await;
        assert!(raw.next().await.expect("Welcome").is_some());
        assert!(raw.bundle().await.last);
        raw
    }

    async fn say(&self, kind: report::Kind) {
        self.reports.send(Report { kind: Some(kind) }).await.expect("the stream is open");
    }

    async fn next(&mut self) -> Result<Option<Order>, Status> {
        timeout(PATIENCE, self.orders.message()).await.expect("the controller says something")
    }

    async fn bundle(&mut self) -> Bundle {
        match self.next().await.expect("no end").and_then(|order| order.kind) {
            Some(order::Kind::Bundle(bundle)) => bundle,
            other => panic!("{other:?}"),
        }
    }

    /// Why the controller ends it.
    async fn end(&mut self) -> Result<(), Status> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}

fn hello() -> Hello {
    Hello { protocol: PROTOCOL, version: "test".into(), position: None, refused: Vec::new() }
}

async fn enrol(controller: &Controller, id: u16, serves: &[&str]) -> Enrolled {
    let invitation = controller.invite(id, serves, HOUR).await;
    Enrolled::by(&invitation, controller.address).await.expect("enrolled")
}

fn certificate(name: &str) -> Certificate {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
    Certificate {
        id: name.into(),
        names: vec![name.into()],
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        not_before: 0,
        not_after: u64::MAX / 4,
        source: "imported".into(),
        fingerprint: String::new(),
    }
}

#[tokio::test]
async fn who_is_removed_while_its_hello_is_waited_for_gets_nothing() {
    let controller = Controller::start().await;
    let node = enrol(&controller, 1, &[]).await;
    let mut raw = Raw::open(&node, &controller).await;
    let record = controller.ledger.get::<Node>("1").expect("enrolled");
    controller.ledger.commit(Change::new().delete(&record.value)).await.expect("removed");
    raw.say(report::Kind::Hello(hello())).await;
    let error = raw.next().await.expect_err("not even Welcome");
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(controller.nodes.following().is_empty(), "nobody waits for it");
}

#[tokio::test]
async fn a_hello_that_refuses_more_than_there_is_begins_nothing() {
    let controller = Controller::start().await;
    let node = enrol(&controller, 1, &[]).await;
    let position = Some(controller.ledger.position());
    let long = Refused { key: "k".repeat(limits::MAX_KEY_BYTES + 1), reason: String::new() };
    for refused in [vec![Refused::default(); MAX_ITEMS + 1], vec![long]] {
        // What it refuses counts only with a position; it is not to be read without one, either.
        for position in [position, None] {
            let mut raw = Raw::open(&node, &controller).await;
            let refused = refused.clone();
            raw.say(report::Kind::Hello(Hello { position, refused, ..hello() })).await;
            let error = raw.next().await.expect_err("it is refused");
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        }
    }
    assert!(controller.nodes.following().is_empty());
}

#[tokio::test]
async fn the_earlier_stream_of_a_node_ends_when_a_later_one_begins() {
    // No lease ends it.
    let times = NodeTimes { lease: limits::MAX_LEASE, keepalive: limits::DEFAULT_KEEPALIVE };
    let controller = Controller::start_with(times).await;
    let node = enrol(&controller, 1, &[]).await;
    let mut earlier = Raw::follow(&node, &controller).await;
    let mut later = Raw::follow(&node, &controller).await;
    earlier.end().await.expect("it ends without an error");
    let record = controller.ledger.get::<Node>("1").expect("enrolled");
    controller.ledger.commit(Change::new().put(record.value)).await.expect("kept");
    assert_eq!(later.bundle().await.items.len(), 1, "the later one goes on");
}

#[tokio::test]
async fn what_is_applied_of_another_store_or_controller_counts_for_nothing() {
    let controller = Controller::start().await;
    let node = enrol(&controller, 1, &[]).await;
    let now = controller.ledger.position();
    for position in [
        Position { epoch: 0, term: 0, serial: u64::MAX },
        Position { epoch: now.epoch - 1, ..now },
        Position { term: now.term - 1, ..now },
        Position { term: now.term - 1, serial: u64::MAX, ..now },
        Position { term: now.term + 1, ..now },
        Position { serial: now.serial + 1, ..now },
    ] {
        let mut raw = Raw::follow(&node, &controller).await;
        let applied = Applied { position: Some(position), refused: Vec::new() };
        raw.say(report::Kind::Applied(applied)).await;
        let error = raw.end().await.expect_err("it is cut off");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert_eq!(controller.nodes.everywhere(), None, "{position:?}");
    }
}

#[tokio::test]
async fn a_node_hears_no_name_of_what_was_never_for_it() {
    let controller = Controller::start().await;
    let node = enrol(&controller, 1, &["a.example"]).await;
    let mut raw = Raw::follow(&node, &controller).await;
    let secret = certificate("secret-project.example");
    controller.ledger.commit(Change::new().put(secret.clone())).await.expect("kept");
    let told = raw.bundle().await;
    assert_eq!((told.items.len(), told.removed), (0, Vec::new()));
    controller.ledger.commit(Change::new().delete(&secret)).await.expect("kept");
    let told = raw.bundle().await;
    assert_eq!((told.items.len(), told.removed), (0, Vec::new()));
    let own = certificate("a.example");
    controller.ledger.commit(Change::new().put(own.clone())).await.expect("kept");
    assert_eq!(raw.bundle().await.items.len(), 1);
    controller.ledger.commit(Change::new().delete(&own)).await.expect("kept");
    assert_eq!(raw.bundle().await.removed, [own.key()]);
}

#[tokio::test]
async fn what_a_node_says_is_kept_fit_to_be_shown() {
    let controller = Controller::start().await;
    let node = enrol(&controller, 1, &[]).await;
    let key = controller.ledger.get::<Node>("1").expect("enrolled").value.key();
    let foul = "no\n2026-11-30T00:00:00Z  INFO node 7 has enrolled\x1b[2J";
    let refused = |key: &str, reason: &str| Refused { key: key.into(), reason: reason.into() };
    let mut raw = Raw::open(&node, &controller).await;
    let hello = Hello { version: foul.repeat(100), ..hello() };
    raw.say(report::Kind::Hello(hello)).await;
    assert!(raw.next().await.expect("Welcome").is_some());
    let bundle = raw.bundle().await;
    let refused = vec![refused(&key, &foul.repeat(1_000)), refused(foul, foul)];
    raw.say(report::Kind::Applied(Applied { position: bundle.position, refused })).await;
    let mut changed = controller.nodes.changed();
    while controller.nodes.everywhere().is_none() {
        timeout(PATIENCE, changed.changed()).await.expect("it applies").expect("it lives");
    }
    let following = controller.nodes.following().remove(&1).expect("it follows").0;
    assert_eq!(following.refused.keys().collect::<Vec<_>>(), [&key], "the other is no item");
    let reason = &following.refused[&key].1;
    for (shown, most) in
        [(&following.version, limits::MAX_VERSION_BYTES), (reason, limits::MAX_REASON_BYTES)]
    {
        assert!(shown.starts_with("no\u{fffd}2026") && shown.ends_with('…'), "{shown}");
        assert!(shown.len() <= most && !shown.contains(char::is_control), "{shown:?}");
    }
}
