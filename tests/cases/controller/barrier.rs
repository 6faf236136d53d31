//! The barrier and its ways out, with nodes over real streams and an authority that knocks.

mod bed;

use std::time::{SystemTime, UNIX_EPOCH};

use controller::acme::Deed;
use controller::acme::order::{Phase, State};
use controller::ledger::Change;
use controller::records::{Certificate, Challenge, NodeStanding, Order};
use tests::heard::Heard;
use tokio::time::Instant;

use super::orders::bed::PEBBLE;
use bed::{BARRIER, Bed};

const NAME: &str = "www.example.net";

#[tokio::test]
async fn the_authority_is_told_once_every_live_node_answers() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let mut nodes = Vec::new();
    for (id, site) in [(1, "a"), (2, "a"), (3, "b")] {
        nodes.push(bed.node(id, site, true).await);
    }
    bed.request(NAME).await;
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
    let said = heard.of("every node answers");
    assert!(said.len() == 1 && said[0].contains("nodes=3"), "{said:?}");
}

#[tokio::test]
async fn a_node_that_acknowledges_but_is_not_reached_is_drained_for_as_long_as_the_order_takes() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let (_a, _silent, _b) =
        (bed.node(1, "a", true).await, bed.node(2, "a", false).await, bed.node(3, "b", true).await);
    let began = Instant::now();
    bed.request(NAME).await;
    bed.until("it is drained", || bed.standing(2) == NodeStanding::Drained).await;
    assert!(began.elapsed() >= BARRIER, "the deadline was not waited for");
    assert!(bed.certificate(NAME).is_none());
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
    bed.until("it serves again", || bed.standing(2) == NodeStanding::Serving).await;
    assert_eq!([bed.standing(1), bed.standing(3)], [NodeStanding::Serving; 2]);
    let said = heard.of("late nodes are drained");
    assert!(said.len() == 1 && said[0].contains("node 2 at a: 127.0.0.2"), "{said:?}");
}

#[tokio::test]
async fn a_site_s_last_node_is_never_drained_and_the_order_waits_for_it_by_name() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let (_a, mut silent) = (bed.node(1, "a", true).await, bed.node(3, "b", false).await);
    bed.request(NAME).await;
    bed.until("it says for whom it waits", || {
        !heard.of("waits for nodes beyond its deadline").is_empty()
    })
    .await;
    let said = heard.of("waits for nodes beyond its deadline");
    assert!(said[0].contains("node 3 at b") && said[0].contains("late=1"), "{said:?}");
    assert_eq!(bed.observed.barrier_waits_for.get(), 1);
    assert_eq!(bed.standing(3), NodeStanding::Serving);
    assert!(bed.certificate(NAME).is_none());

    bed.answer(&mut silent, 3).await;
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
    let said = heard.of("every node answers");
    assert!(said.len() == 1 && said[0].contains("last=[3]"), "{said:?}");
    assert!(heard.of("drained").is_empty());
    assert_eq!(bed.observed.barrier_waits_for.get(), 0);
}

#[tokio::test]
async fn more_than_a_tenth_that_is_late_is_no_fault_of_nodes_and_the_order_waits() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let mut nodes = Vec::new();
    for id in 1..=12 {
        nodes.push(bed.node(id, "a", id <= 10).await);
    }
    bed.request(NAME).await;
    bed.until("it waits beyond its deadline", || {
        !heard.of("waits for nodes beyond its deadline").is_empty()
    })
    .await;
    assert!(heard.of("drained").is_empty(), "two of twelve");
    // One of them comes round: what is left is less than a tenth, and its site has others.
    bed.answer(&mut nodes[10], 11).await;
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
    let said = heard.of("late nodes are drained");
    assert!(said.len() == 1 && said[0].contains("node 12"), "{said:?}");
}

#[tokio::test]
async fn a_request_that_is_removed_while_its_order_waits_stays_removed() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let (_a, mut late) = (bed.node(1, "a", true).await, bed.node(3, "b", false).await);
    bed.request(NAME).await;
    bed.until("it waits", || !heard.of("waits for nodes").is_empty()).await;
    bed.ask(Deed::Remove(NAME.into())).await;
    bed.answer(&mut late, 3).await;
    let ledger = &bed.controller.ledger;
    bed.until("it is given up", || ledger.all::<Order>().is_empty()).await;
    assert!(bed.certificate(NAME).is_none() && ledger.all::<Challenge>().is_empty());
    assert!(heard.of("is stored").is_empty() && !heard.of("it is given up").is_empty());

    // And is ordered like any other when it is asked for again.
    bed.request(NAME).await;
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
}

/// A certificate of 10,000 s that ends in so many.
fn ending_in(seconds: u64) -> Certificate {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("made");
    Certificate {
        id: NAME.into(),
        names: vec![NAME.into()],
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        not_before: now + seconds - 10_000,
        not_after: now + seconds,
        source: PEBBLE.into(),
        fingerprint: "ending".into(),
    }
}

#[tokio::test]
async fn near_its_end_a_certificate_is_renewed_although_a_node_is_late() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let (_a, _silent) = (bed.node(1, "a", true).await, bed.node(3, "b", false).await);
    let old = ending_in(1_000); // less than a sixth
    bed.controller.ledger.commit(Change::new().put(old.clone())).await.expect("kept");
    bed.request(NAME).await;
    let renewed = || bed.certificate(NAME).is_some_and(|now| now.fingerprint != old.fingerprint);
    bed.until("it is renewed", renewed).await;
    let said = heard.of("the authority is told although nodes are late");
    assert!(said.len() == 1 && said[0].contains("node 3 at b"), "{said:?}");
    assert_eq!(bed.standing(3), NodeStanding::Serving);
}

/// Otherwise a sick node, or one that means ill, could keep every place of an issuer for days.
#[tokio::test]
async fn a_renewal_that_has_time_gives_up_its_place_when_nodes_stay_late() {
    let bed = Bed::new().await;
    let (_a, _silent) = (bed.node(1, "a", true).await, bed.node(3, "b", false).await);
    let old = ending_in(2_500); // less than a third
    let ledger = &bed.controller.ledger;
    ledger.commit(Change::new().put(old.clone())).await.expect("kept");
    bed.request(NAME).await;
    let failed = || {
        let state = State::of(&ledger.get::<Order>(NAME)?.value);
        state.failure.filter(|_| matches!(state.phase, Phase::Waiting { .. }))
    };
    bed.until("it has failed", || failed().is_some()).await;
    let why = failed().expect("it has").why;
    assert!(why.contains("do not answer") && why.contains("node 3 at b"), "{why}");
    assert!(ledger.all::<Challenge>().is_empty());
    assert_eq!(bed.certificate(NAME), Some(old));
    assert_eq!(bed.observed.barrier_waits_for.get(), 0);
}

#[tokio::test]
async fn a_node_whose_lease_is_over_is_not_waited_for_until_it_returns() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let (_a, gone) = (bed.node(1, "a", true).await, bed.node(3, "b", true).await);
    let enrolled = gone.enrolled.clone();
    drop(gone); // its lease goes on for a while
    bed.request(NAME).await;
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
    assert_eq!(bed.controller.nodes.live(), [1]);

    let mut back = bed.follow(enrolled).await;
    bed.request("two.example.net").await;
    bed.until("it says for whom it waits", || {
        heard.of("waits for nodes").iter().any(|line| line.contains("two.example.net"))
    })
    .await;
    assert!(bed.certificate("two.example.net").is_none());
    bed.answer(&mut back, 3).await;
    bed.until("it is issued", || bed.certificate("two.example.net").is_some()).await;
}

/// A node that joins is announced once every other knows it: until then nobody knocks there.
#[tokio::test]
async fn where_no_node_takes_traffic_no_authority_is_told() {
    let heard = Heard::here();
    let bed = Bed::new().await;
    let _joins = bed.node_as(1, "a", true, NodeStanding::Joining).await;
    bed.request(NAME).await;
    bed.until("it waits", || !heard.of("no node takes traffic").is_empty()).await;
    assert!(bed.certificate(NAME).is_none());
    bed.stand(1, NodeStanding::Serving).await;
    bed.until("it is issued", || bed.certificate(NAME).is_some()).await;
}
