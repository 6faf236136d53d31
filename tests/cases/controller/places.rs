//! Who finds a place at the listener of nodes, whatever one of them does.

use std::io::{ErrorKind, Read as _};
use std::time::Duration;

use controller::ledger::Change;
use controller::limits;
use controller::records::{Lost, Node};
use fleet_wire::message::RenewIdentityRequest;
use fleet_wire::message::fleet_client::FleetClient;
use tests::simulated_node::enrolled::Enrolled;
use tests::simulated_node::{Conduct, SimulatedNode};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;

use super::nodes::{Controller, HOUR};

/// Longer than anything here takes: who waits for it in vain fails.
const PATIENCE: Duration = Duration::from_secs(120);

async fn enrol(controller: &Controller, id: u16) -> Enrolled {
    let invitation = controller.invite(id, &[], HOUR).await;
    Enrolled::by(&invitation, controller.address).await.expect("enrolled")
}

/// How the controller answers on a connection, or that there is none.
async fn answer(channel: anyhow::Result<Channel>) -> Option<Code> {
    let mut fleet = FleetClient::new(channel.ok()?);
    let asked = fleet.renew_identity(RenewIdentityRequest::default()).await;
    let status = asked.expect_err("an empty request is none");
    [Code::Unauthenticated, Code::InvalidArgument].into_iter().find(|code| *code == status.code())
}

/// All that this host has, by a node that was removed.
async fn take_strangers_places(controller: &Controller, removed: &Enrolled) -> Vec<Channel> {
    let mut held = Vec::new();
    while held.len() <= limits::MAX_STRANGERS_OF_HOST {
        let channel = removed.connect(controller.address).await;
        let kept = channel.as_ref().ok().cloned();
        match answer(channel).await {
            Some(code) => {
                assert_eq!(code, Code::Unauthenticated, "a stranger is told that it is one")
            }
            None => break,
        }
        held.extend(kept);
    }
    assert!(held.len() <= limits::MAX_STRANGERS_OF_HOST, "its host has no more");
    held
}

#[tokio::test]
async fn who_was_removed_has_a_strangers_place_and_takes_none_of_a_nodes() {
    let controller = Controller::start().await;
    let (removed, good) = (enrol(&controller, 1).await, enrol(&controller, 2).await);
    let record = controller.ledger.get::<Node>("1").expect("enrolled");
    controller.ledger.commit(Change::new().delete(&record.value)).await.expect("removed");
    let _held = take_strangers_places(&controller, &removed).await;
    let channel = good.connect(controller.address).await;
    assert_eq!(answer(channel).await, Some(Code::InvalidArgument), "a node has its own");
}

/// In a restored store their records have other keys, and there may be more nodes than strangers'
/// places.
#[tokio::test]
async fn a_node_whose_identity_was_lost_with_a_store_has_a_nodes_place() {
    let controller = Controller::start().await;
    let (removed, node) = (enrol(&controller, 1).await, enrol(&controller, 2).await);
    let record = |id: &str| controller.ledger.get::<Node>(id).expect("enrolled").value;
    let lost = Some(Lost { from: 0, until: u64::MAX });
    let restored = Node { identities: vec!["of the backup".into()], lost, ..record("2") };
    let change = Change::new().delete(&record("1")).put(restored);
    controller.ledger.commit(change).await.expect("kept");
    let _held = take_strangers_places(&controller, &removed).await;
    let channel = node.connect(controller.address).await;
    assert_eq!(answer(channel).await, Some(Code::InvalidArgument), "it is known again");
}

/// A host that connects and says nothing, twice as often as there are places for handshakes.
#[tokio::test]
async fn a_host_that_begins_handshakes_and_ends_none_keeps_no_other_out() {
    let controller = Controller::start().await;
    let node = enrol(&controller, 1).await;
    let mut silent = Vec::new();
    for _ in 0..2 * limits::MAX_HANDSHAKES {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("bound");
        let tcp = socket.connect(controller.address).await.expect("connected");
        silent.push(tcp.into_std().expect("a socket"));
    }
    let channel = node.connect(controller.address).await;
    assert_eq!(answer(channel).await, Some(Code::InvalidArgument));
    // It came after all of them. Had it waited until these had used up their places and their time,
    // the controller would have closed them.
    let among_the_first = &mut silent[limits::MAX_HANDSHAKES / 2];
    let read = among_the_first.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::WouldBlock), "it is open, and is to wait for its own host");
}

#[tokio::test]
async fn a_node_that_connects_again_and_again_loses_its_own_oldest_connection() {
    let controller = Controller::start().await;
    let (many, other) = (enrol(&controller, 1).await, enrol(&controller, 2).await);
    let follow = async |node: &Enrolled| {
        let channel = node.connect(controller.address).await.expect("connected");
        let mut node = SimulatedNode::follow(channel, Conduct::default());
        node.until(|held| held.position.is_some()).await.expect("told");
        node
    };
    let mut other = follow(&other).await;
    let mut oldest = follow(&many).await;
    let mut held = Vec::new();
    for _ in 0..limits::MAX_CONNECTIONS_OF_NODE {
        let channel = many.connect(controller.address).await.expect("connected");
        assert_eq!(answer(Ok(channel.clone())).await, Some(Code::InvalidArgument));
        held.push(channel);
    }
    timeout(PATIENCE, oldest.until(|_| false)).await.expect("it ends").expect_err("cut off");
    for channel in held {
        assert_eq!(answer(Ok(channel)).await, Some(Code::InvalidArgument), "the later ones go on");
    }
    let record = controller.ledger.get::<Node>("1").expect("enrolled");
    let at = controller.ledger.commit(Change::new().put(record.value)).await.expect("kept");
    let told = other.until(|held| held.position.is_some_and(|it| it.serial >= at.serial));
    told.await.expect("another node's stays");
}
