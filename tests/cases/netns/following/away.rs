//! The controller is away, comes back, and comes back as what it was once.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::fleet::{Following, FollowingOptions, Node, eventually};

use super::talk::while_clients_talk;

/// A few leases, on a busy machine.
const WITHIN: Duration = Duration::from_secs(30);

/// What a node says of its controller.
fn followed(node: &Node) -> Result<Value> {
    let status: Value = serde_json::from_str(&node.ask(&["status", "--json"])?)?;
    Ok(status["controller"].clone())
}

/// Waits until every node follows, and has all that the controller has.
fn wait_until_followed(following: &Following) -> Result<()> {
    let controller = &following.controller;
    let has_all = || {
        let status = controller.ask(&["status"]).unwrap_or_default();
        let is_there = |node: &Node| {
            let node = followed(node).unwrap_or_default();
            let position = &node["position"];
            node["followed_seconds"].is_u64()
                && ["epoch", "term", "serial"].iter().all(|it| position[it] == status[it])
        };
        status["nodes_live"] == status["nodes"] && following.fleet.nodes().iter().all(is_there)
    };
    eventually("every node has everything", WITHIN, has_all).with_context(|| {
        let nodes: Vec<_> = following.fleet.nodes().iter().map(followed).collect();
        format!("{:?}\n{nodes:?}", controller.ask(&["status"]))
    })
}

fn damage(bundle: &std::path::Path) -> Result<()> {
    let mut bytes = fs::read(bundle)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(bundle, bytes)?)
}

#[test]
fn nodes_serve_and_start_while_the_controller_is_away() {
    let options = FollowingOptions::default();
    let following = Following::start(&options).expect("a fleet");
    let listed = following.issue().expect("issued");
    let (fleet, controller) = (&following.fleet, &following.controller);
    let ((), talk) = while_clients_talk(fleet, &["a1", "a2"], || {
        controller.kill()?;
        thread::sleep(options.lease * 3);
        fleet.nodes().iter().try_for_each(|node| {
            let (status, why) = node.ready()?;
            ensure!(status == 200, "{} withdraws: {why}", node.place().name);
            Ok(())
        })
    })
    .expect("nobody notices");
    assert!(talk.newcomers > 20 && talk.requests.iter().all(|asked| *asked > 100), "{talk:?}");

    // One starts anew with what it has on disk, and one whose disk has failed waits.
    let [starts, waits] = ["a2", "b1"].map(|name| fleet.node(name));
    starts.kill().expect("it ran");
    starts.start().expect("started");
    starts.wait_until_ready().expect("ready without the controller");
    waits.kill().expect("it ran");
    damage(&waits.state_directory().join("bundle")).expect("a file");
    waits.start().expect("started");
    let says_so = || waits.log().contains("there is no first bundle yet");
    eventually("it says what it waits for", WITHIN, says_so).expect("it waits");
    assert!(waits.ready().is_err(), "it serves what cannot be right: {}", waits.log());

    controller.start().expect("it serves again");
    waits.wait_until_ready().expect("ready with the controller");
    wait_until_followed(&following).expect("all are back");
    following.wait_until_shown(&listed).expect("every node shows the same");
}

#[test]
fn nodes_follow_a_restored_backup_into_its_new_epoch() {
    let following = Following::start(&FollowingOptions::default()).expect("a fleet");
    let (fleet, controller) = (&following.fleet, &following.controller);
    let listed = following.issue().expect("issued");
    let backup = fleet.client().directory().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    controller.run(&["backup", backup]).expect("written");
    // What came after it is lost with the store.
    let late = ["certificates", "request", "late.landfast.test", "--issuer", "internal"];
    controller.run(&late).expect("requested");
    let has_late = |list: &Value| {
        let all = list["certificates"].as_array();
        all.is_some_and(|all| all.iter().any(|it| it["nodes_serving"] == 3 && it["id"] == late[2]))
    };
    controller.until("it is served", WITHIN, &["certificates", "list"], has_late).expect("served");
    let before = controller.ask(&["status"]).expect("answered");

    let ((), talk) = while_clients_talk(fleet, &["a1", "a2"], || {
        controller.kill()?;
        fs::rename(controller.store(), controller.store().with_extension("old"))?;
        controller.run(&["restore", backup])?;
        controller.start()?;
        wait_until_followed(&following)
    })
    .expect("nobody notices");
    assert!(talk.newcomers > 0 && talk.requests.iter().all(|asked| *asked > 1), "{talk:?}");
    let after = controller.ask(&["status"]).expect("answered");
    assert!(after["epoch"].as_u64() > before["epoch"].as_u64(), "{after}");
    assert!(after["serial"].as_u64() < before["serial"].as_u64(), "{after}");
    following.wait_until_shown(&listed).expect("what was in it is served");
    for node in fleet.nodes() {
        let name = node.place().name;
        let count = node.metrics().expect("metrics").sum("landfast_certificates", &[]);
        assert_eq!(count, 1, "{name} has what the controller does not know");
        assert_eq!(followed(node).expect("answered")["refused"], serde_json::json!([]), "{name}");
    }
}
