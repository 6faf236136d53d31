use std::sync::Arc;

use super::*;
use crate::records::Challenge;
use crate::store::{Embedded, KeyFile, Sealed};

const LEASE: Duration = Duration::from_secs(10);

async fn ledger() -> (tempfile::TempDir, Arc<Ledger>) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Embedded::create(&directory.path().join("store")).expect("a store");
    let key = KeyFile::create(&directory.path().join("key")).expect("a key");
    let ledger = Ledger::open(Arc::new(Sealed::new(store, key))).await.expect("opened");
    (directory, Arc::new(ledger))
}

fn node(id: u16) -> Node {
    Node {
        id,
        name: format!("n{id}"),
        site: "s".into(),
        ipv4: None,
        ipv6: None,
        serves: Vec::new(),
        standing: NodeStanding::Joining,
        identities: Vec::new(),
        lost: None,
    }
}

fn challenge() -> Challenge {
    Challenge::Http01 { token: "t".into(), key_authorization: "t.k".into() }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_live_while_it_reports_and_said_what_it_has() {
    let (_directory, ledger) = ledger().await;
    let nodes = Nodes::new(ledger, LEASE);
    let (stream, _) = nodes.begin(1, "v", None, Vec::new(), Instant::now());
    assert!(nodes.live().is_empty(), "it has not said anything yet");
    nodes.applied(1, stream, 5, false, Vec::new());
    assert_eq!(nodes.live(), [1]);
    tokio::time::advance(LEASE - Duration::from_secs(1)).await;
    assert!(nodes.report(1, stream, Instant::now()));
    tokio::time::advance(LEASE - Duration::from_secs(1)).await;
    assert_eq!(nodes.live(), [1]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(nodes.live().is_empty());
    let (later, _) = nodes.begin(1, "v", Some(5), Vec::new(), Instant::now());
    assert_eq!(nodes.live(), [1], "it said what it has when it came back");
    assert!(!nodes.report(1, stream, Instant::now()), "the earlier stream is to end");
    assert!(nodes.report(1, later, Instant::now()));
}

#[tokio::test]
async fn what_a_node_refused_it_does_not_hold_until_it_takes_it() {
    let (_directory, ledger) = ledger().await;
    ledger.commit(Change::new().put(node(1)).put(challenge())).await.expect("kept");
    let nodes = Nodes::new(Arc::clone(&ledger), LEASE);
    let (key, other) = (challenge().key(), node(1).key());
    let (stream, _) = nodes.begin(1, "v", None, Vec::new(), Instant::now());
    assert!(nodes.holds(&key, 1).is_empty(), "not live yet");
    let refused = vec![(key.clone(), "no".to_owned())];
    nodes.applied(1, stream, 1, true, refused.clone());
    assert_eq!(nodes.holds(&key, 1), [(1, Holds::Refused("no".into()))]);
    assert_eq!(nodes.holds(&other, 1), [(1, Holds::Yes)]);
    assert_eq!(nodes.holds(&key, 2), [(1, Holds::NotYet)], "it was not asked about that one");
    ledger.commit(Change::new().put(node(1))).await.expect("kept");
    nodes.applied(1, stream, 2, false, Vec::new());
    assert_eq!(nodes.holds(&key, 1), [(1, Holds::Refused("no".into()))], "not sent again");
    ledger.commit(Change::new().put(challenge())).await.expect("kept");
    nodes.applied(1, stream, 2, false, Vec::new());
    assert_eq!(nodes.holds(&key, 1), [(1, Holds::Refused("no".into()))], "still under way");
    nodes.applied(1, stream, 3, false, Vec::new());
    assert_eq!(nodes.holds(&key, 3), [(1, Holds::Yes)]);

    nodes.applied(1, stream, 3, true, refused);
    assert_eq!(nodes.holds(&key, 3), [(1, Holds::Refused("no".into()))]);
    nodes.applied(1, stream, 3, true, Vec::new());
    assert_eq!(nodes.holds(&key, 3), [(1, Holds::Yes)], "taken where all is sent again");
}

/// What a node says costs memory for as long as it follows.
#[tokio::test]
async fn of_what_a_node_refuses_only_items_are_kept() {
    let (_directory, ledger) = ledger().await;
    ledger.commit(Change::new().put(node(1)).put(challenge())).await.expect("kept");
    let nodes = Nodes::new(Arc::clone(&ledger), LEASE);
    let key = challenge().key();
    let refused = || {
        let invented = (0..100).map(|number| format!("certificate/invented-{number}"));
        invented.chain([key.clone()]).map(|key| (key, "no".to_owned())).collect::<Vec<_>>()
    };
    let kept = || nodes.following()[&1].0.refused.keys().cloned().collect::<Vec<_>>();
    let (stream, _later) = nodes.begin(1, "v", Some(1), refused(), Instant::now());
    assert_eq!(kept(), std::slice::from_ref(&key));
    nodes.applied(1, stream, 1, true, refused());
    assert_eq!(kept(), std::slice::from_ref(&key));
}

#[tokio::test]
async fn a_stream_hears_that_its_node_has_a_later_one() {
    let (_directory, ledger) = ledger().await;
    let nodes = Nodes::new(ledger, LEASE);
    let begin = |node| nodes.begin(node, "v", None, Vec::new(), Instant::now()).1;
    let (mut first, mut other) = (begin(1), begin(2));
    let still = Err(oneshot::error::TryRecvError::Empty);
    assert_eq!((first.try_recv(), other.try_recv()), (still.clone(), still.clone()));
    let mut second = begin(1);
    first.await.expect_err("there is a later one");
    assert_eq!((second.try_recv(), other.try_recv()), (still.clone(), still));
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_traffic_once_every_live_node_knows_it() {
    let (_directory, ledger) = ledger().await;
    let nodes = Arc::new(Nodes::new(Arc::clone(&ledger), LEASE));
    let letting_in = Arc::clone(&nodes);
    let task = tokio::spawn(async move { letting_in.let_in().await });
    let mut moved = ledger.moved();
    ledger.commit(Change::new().put(node(1)).put(node(2))).await.expect("kept");
    let standing = |id: &str| ledger.get::<Node>(id).expect("it is there").value.standing;
    let (first, _) = nodes.begin(1, "v", None, Vec::new(), Instant::now());
    nodes.applied(1, first, 0, false, Vec::new());
    let (second, _) = nodes.begin(2, "v", None, Vec::new(), Instant::now());
    nodes.applied(2, second, 1, false, Vec::new());
    tokio::time::sleep(LEASE + LEASE / 4).await;
    let now = Instant::now();
    assert!(nodes.report(1, first, now) && nodes.report(2, second, now));
    tokio::time::sleep(LEASE / 4).await;
    assert_eq!(standing("2"), NodeStanding::Joining, "node 1 is live and does not know it");
    nodes.applied(1, first, 1, false, Vec::new());
    while [standing("1"), standing("2")] != [NodeStanding::Serving; 2] {
        moved.changed().await.expect("the ledger lives");
    }
    task.abort();
}
