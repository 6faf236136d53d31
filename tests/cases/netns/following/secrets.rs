//! Every kind of secret is rotated by the controller while clients talk and routes change.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use edge_wire::Reason;
use serde_json::Value;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, Following, FollowingOptions};

use super::talk::while_clients_talk;

/// Of the kinds: the last stage in which every node makes with the new key. What an old key of
/// connection IDs made is gone in seconds here, of the others it lives for hours.
const KINDS: [(&str, &[&str]); 4] = [
    ("tickets", &["aging"]),
    ("tokens", &["aging"]),
    ("connection-ids", &["aging", "resting"]),
    ("encapsulation", &["aging"]),
];
const OWNERS: [&str; 2] = ["a1", "a2"];
/// Two steps, each proved by every node, on a busy machine.
const ROTATED_WITHIN: Duration = Duration::from_secs(30);

fn options() -> FollowingOptions {
    let fleet = FleetOptions {
        retry_threshold: 0, // every newcomer is asked to prove its address
        quic: "connection_id_lifetime_seconds = 1",
        ..FollowingOptions::default().fleet
    };
    // In whole seconds: what the clock cuts off must not be missing.
    let tables = "[rotation]\nconnection_id_lifetime_seconds = 3\n";
    FollowingOptions { fleet, tables, ..FollowingOptions::default() }
}

/// For so long clients talk under the keys of a rotation before the next begins: longer than a
/// connection ID is used here, so that every connection has one of the new config.
const TALK: Duration = Duration::from_millis(1500);

/// Rotates each kind, and lets routes change under the connections meanwhile.
fn rotate(following: &Following) -> Result<()> {
    for (index, (kind, done)) in KINDS.into_iter().enumerate() {
        let rotations = |following: &Following| -> Result<u64> {
            let label = format!("kind=\"{kind}\"");
            Ok(following
                .controller
                .metrics()?
                .sum("landfast_controller_rotations_total", &[&label]))
        };
        let before = rotations(following)?;
        following.fleet.router().route_to(&[OWNERS[index % 2]])?;
        following.controller.run(&["secrets", "rotate", kind])?;
        let is_done = |list: &Value| {
            let all = list["secrets"].as_array();
            let of_kind = all.and_then(|all| all.iter().find(|secret| secret["kind"] == kind));
            let stage = of_kind.and_then(|secret| secret["stage"].as_str()).unwrap_or_default();
            done.contains(&stage) && rotations(following).is_ok_and(|count| count > before)
        };
        let what = format!("{kind} are rotated");
        following.controller.until(&what, ROTATED_WITHIN, &["secrets", "list"], is_done)?;
        std::thread::sleep(TALK);
    }
    following.fleet.router().route_to(&OWNERS)
}

/// Whether a client with this memory resumes its session at a node, and whether it must prove its
/// address there (RFC 9000 section 8.1.2).
fn visit(fleet: &Fleet, node: &str, memory: &Path) -> (bool, bool) {
    let retries = || {
        let metrics = fleet.node(node).metrics().expect("metrics");
        metrics.packets("edge", Reason::RetrySent)
    };
    fleet.router().route_to(&[node]).expect("routed");
    let before = retries();
    let client = fleet.client().aioquic_with_memory(ANYCAST[0], memory);
    let mut client = client.expect("started");
    let resumed = client.connected().expect("connected");
    assert_eq!(client.identity().expect("answered").name, node);
    (resumed, retries() > before)
}

#[test]
fn every_kind_of_secret_is_rotated_while_clients_talk_and_nodes_honour_each_others() {
    let following = Following::start(&options()).expect("a fleet");
    following.issue().expect("issued");
    let fleet = &following.fleet;
    let [old, new] = ["old", "new"].map(|name| fleet.client().directory().join(name));
    assert_eq!(visit(fleet, "a1", &old), (false, true), "a stranger");

    let crossings = fleet.crossings(&OWNERS, &OWNERS).expect("counters");
    let ((), talk) =
        while_clients_talk(fleet, &OWNERS, || rotate(&following)).expect("nobody notices");
    assert!(talk.newcomers > 5 && talk.requests.iter().all(|asked| *asked > 50), "{talk:?}");
    crossings.expect(50).expect("packets cross all the while");

    // What the old keys made is good at another node, and so is what the new ones make.
    assert_eq!(visit(fleet, "b1", &old), (true, false), "with a ticket and a token of before");
    assert_eq!(visit(fleet, "a2", &new), (false, true), "a stranger");
    assert_eq!(visit(fleet, "b1", &new), (true, false), "with what a2 gave it");
    ensure_nothing_was_lost(fleet).expect("no packet is lost");
}

fn ensure_nothing_was_lost(fleet: &Fleet) -> Result<()> {
    for node in fleet.nodes() {
        let metrics = node.metrics()?;
        for program in ["steer_node", "relay", "edge"] {
            for reason in [
                Reason::EncapsulationKey,
                Reason::EncapsulationForged,
                Reason::EncapsulationMalformed,
                Reason::OwnerUnknown,
                Reason::ResetSent,
            ] {
                let (name, count) = (node.place().name, metrics.packets(program, reason));
                ensure!(count == 0, "{name}: {count} packets ended as {reason:?} in {program}");
            }
        }
    }
    Ok(())
}
