//! Items that nodes cannot take, and identities that are not theirs.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tests::fleet::{Following, FollowingOptions, Node, eventually, programs};

/// On a busy machine.
const WITHIN: Duration = Duration::from_secs(30);

/// Invites a node whose own address is an anycast address, and enrols it by a host that never
/// serves: the controller does not know which addresses are anycast, every node does. The token.
fn enrol_an_impossible_node(following: &Following) -> Result<String> {
    let invite = ["nodes", "invite", "--name", "odd", "--site", "ams", "--ipv4", "192.0.2.1"];
    let invited = following.controller.ask(&invite)?;
    let token = invited["token"].as_str().context("no token")?.to_owned();
    enrol(following, "odd", &token)?;
    Ok(token)
}

/// Shows a token from where clients are.
fn enrol(following: &Following, name: &str, token: &str) -> Result<String> {
    let client = following.fleet.client();
    let directory = client.directory().join(name);
    fs::create_dir_all(&directory)?;
    let invitation = directory.join("invitation");
    fs::write(&invitation, token)?;
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let controller = following.controller.address().to_string();
    let enrol = ["enrol", "--controller", &controller, "--state-directory", &path(&directory)];
    let invitation = path(&invitation);
    let enrol = [&enrol[..], &["--invitation-file", &invitation]].concat();
    client.namespace().output(&path(programs::edge()), &enrol)
}

#[test]
fn an_item_that_no_node_takes_holds_up_nothing_else_and_a_token_works_once() {
    let following = Following::start(&FollowingOptions::default()).expect("a fleet");
    let controller = &following.controller;
    let token = enrol_an_impossible_node(&following).expect("enrolled");
    let again = enrol(&following, "again", &token).expect_err("it was used");
    assert!(format!("{again:#}").contains("used already"), "{again:#}");

    let refuse = |list: &Value| {
        let nodes = list["nodes"].as_array().into_iter().flatten();
        let refusals = nodes.filter_map(|node| node["refused"][0]["key"].as_str());
        refusals.filter(|key| key.starts_with("node/")).count() == 3
    };
    let what = "every node says that it cannot take it";
    controller.until(what, WITHIN, &["nodes", "list"], refuse).expect("refused");
    let refused =
        || controller.metrics().expect("metrics").sum("landfast_controller_refused_items", &[]);
    assert_eq!(refused(), 3);

    // Certificates and rotations go on, and the operator is told.
    let listed = following.issue().expect("issued");
    following.wait_until_shown(&listed).expect("every node shows it");
    controller.run(&["secrets", "rotate", "tickets"]).expect("begun");
    let rotated = || {
        let metrics = controller.metrics().expect("metrics");
        metrics.sum("landfast_controller_rotations_total", &[]) == 1
    };
    eventually("the tickets' key is rotated", WITHIN, rotated).expect("rotated");
    let status = controller.ask(&["status"]).expect("answered");
    let troubles = status["troubles"].to_string();
    assert!(troubles.contains("refuses node/"), "{troubles}");
    controller.run(&["nodes", "remove", "odd"]).expect("removed");
    eventually("nobody refuses anything", WITHIN, || refused() == 0).expect("it is gone");
}

#[test]
fn a_nodes_identity_is_worth_nothing_on_another_host_nor_after_its_removal() {
    let following = Following::start(&FollowingOptions::default()).expect("a fleet");
    let (fleet, controller) = (&following.fleet, &following.controller);
    let [owner, other] = ["a1", "a2"].map(|name| fleet.node(name));
    other.kill().expect("it ran");
    let _ = fs::remove_file(other.state_directory().join("bundle")); // it may have had none
    let identity = |node: &Node| node.state_directory().join("identity");
    fs::copy(identity(owner), identity(other)).expect("copied");
    other.start().expect("started");
    let ended = other.wait_until_ended().expect("it does not serve");
    assert!(!ended.success(), "{ended}");
    let log = other.log();
    assert!(log.contains("of node 1, is not an address of this host"), "{log}");

    controller.run(&["nodes", "remove", "a1"]).expect("removed");
    let is_a_stranger = || owner.log().contains("this identity is not known");
    eventually("its identity opens nothing", WITHIN, is_a_stranger).expect("a stranger");
    let list = controller.ask(&["nodes", "list"]).expect("answered");
    let nodes = list["nodes"].as_array().expect("a list");
    assert!(nodes.iter().all(|node| node["name"] != "a1"), "{list}");
    // That the controller wants no more of it is no reason to drop its clients: the operator stops
    // the process.
    assert_eq!(owner.ready().expect("answered").0, 200);
}
