//! The program itself: started, killed and stopped, while nodes follow it.

use std::net::Ipv4Addr;
use std::time::Duration;

use fleet_wire::invitation::Invitation;
use tests::fleet::topology::Place;
use tests::fleet::{Controller, ControllerOptions, eventually};
use tests::simulated_node::enrolled::Enrolled;
use tests::simulated_node::{Conduct, SimulatedNode};

/// A busy machine takes a while for everything.
const WITHIN: Duration = Duration::from_secs(30);
/// So that a node is let in soon after the start.
const LEASE: Duration = Duration::from_secs(1);
const KEEPALIVE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_back_to_a_controller_that_was_killed_with_what_it_had() {
    let directory = tempfile::tempdir().expect("a directory");
    let options =
        ControllerOptions { lease: LEASE, keepalive: KEEPALIVE, ..ControllerOptions::default() };
    let controller = Controller::create(directory.path(), &options).expect("made");
    controller.start().expect("it serves");
    assert_eq!(controller.address().ip(), Ipv4Addr::LOCALHOST);

    let token = controller.invite(Place::named("a1")).expect("invited");
    let invitation: Invitation = token.parse().expect("a token");
    let enrolled = Enrolled::by(&invitation, controller.address()).await.expect("enrolled");
    let channel = enrolled.connect(controller.address()).await.expect("connected");
    let mut node = SimulatedNode::follow(channel, Conduct::default());
    node.until(|held| held.items.contains_key("node/1")).await.expect("it gets what there is");
    let is_serving = |list: &serde_json::Value| list["nodes"][0]["standing"] == "serving";
    controller.until("it is let in", WITHIN, &["nodes", "list"], is_serving).expect("let in");
    let before = controller.ask(&["status"]).expect("answered");
    let serial = before["serial"].as_u64().expect("a number");
    let held = node
        .until(|held| held.position.is_some_and(|position| position.serial >= serial))
        .await
        .expect("it gets every change");

    controller.kill().expect("it ran");
    node.until(|_| false).await.expect_err("the stream ends");
    controller.start().expect("it serves again");
    let after = controller.ask(&["status"]).expect("answered");
    assert_eq!(after["serial"], before["serial"]);
    assert_eq!(after["term"].as_u64(), before["term"].as_u64().map(|term| term + 1));
    let channel = enrolled.connect(controller.address()).await.expect("connected");
    let conduct = Conduct { position: held.position, ..Conduct::default() };
    let _node = SimulatedNode::follow(channel, conduct);
    let is_live = |list: &serde_json::Value| list["nodes"][0]["live"] == true;
    controller.until("it lives", WITHIN, &["nodes", "list"], is_live).expect("it is known");

    let ended = controller.stop().expect("it stops");
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_rotation_is_counted_once_every_node_makes_with_the_new_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = ControllerOptions::default();
    let controller = Controller::create(directory.path(), &options).expect("made");
    controller.start().expect("it serves");
    let count = |name: &str, labels: &[&str]| {
        controller.metrics().expect("answered").sum(&format!("landfast_controller_{name}"), labels)
    };
    let tickets = r#"kind="tickets""#;
    assert_eq!(count("rotation_stage", &[tickets, r#"stage="resting""#]), 1);
    assert_eq!(count("rotations_total", &[tickets]), 0);
    controller.run(&["secrets", "rotate", "tickets"]).expect("begun");
    // Nobody lives whose proof it would wait for.
    let is_counted = || count("rotations_total", &[tickets]) == 1;
    eventually("it is counted", WITHIN, is_counted).expect("counted");
    assert_eq!(count("rotation_stage", &[tickets, r#"stage="aging""#]), 1);
    assert_eq!(count("rotation_stage", &[r#"stage="aging""#]), 1, "of one kind only");
    assert_eq!(count("rotation_stage", &[]), 4, "each kind is in one stage");
}
