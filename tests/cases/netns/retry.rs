//! A client proves its address to one node, and the others believe it.

use std::thread;

use edge_wire::Reason;
use tests::fleet::interposer::{INTERPOSER, Interposer};
use tests::fleet::{ANYCAST, Fleet, FleetOptions};
use tests::http3::Identity;

#[test]
fn a_route_change_between_retry_and_answer_loses_no_client() {
    let options = FleetOptions { retry_threshold: 0, ..FleetOptions::pair() };
    let fleet = Fleet::start(&options).expect("a fleet");
    fleet.router().route_to(&["a1"]).expect("routed");
    let interposer = Interposer::beside(fleet.client()).expect("a port of its own namespace");
    let (said, contents) = thread::scope(|scope| {
        let client = scope.spawn(|| fleet.client().gtlsclient(INTERPOSER, &[], &["/who"]));
        let flip = || fleet.router().route_to(&["a2"]);
        interposer.pass(fleet.client(), flip).expect("passed on");
        client.join().expect("no panic").expect("answered")
    });
    let identity: Identity = serde_json::from_slice(&contents[0]).expect("JSON");
    // The connection ID of the Retry names the node that sent it (RFC 9000 section 17.2.5.1).
    assert_eq!(identity.name, "a1", "{said}");
    assert_eq!((retries(&fleet, "a1"), retries(&fleet, "a2")), (1, 0), "{said}");
}

/// RFC 9000 section 8.1.3.
#[test]
fn a_token_of_one_node_spares_the_retry_at_another() {
    let options = FleetOptions { retry_threshold: 0, ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    let memory = fleet.client().directory().join("memory");
    for (node, asked) in [("a1", 1), ("b1", 0)] {
        fleet.router().route_to(&[node]).expect("routed");
        let client = fleet.client().aioquic_with_memory(ANYCAST[1], &memory);
        let mut client = client.expect("started");
        client.connected().expect("connected");
        assert_eq!(client.identity().expect("answered").name, node);
        assert_eq!(retries(&fleet, node), asked, "at {node}");
    }
}

fn retries(fleet: &Fleet, node: &str) -> u64 {
    fleet.node(node).metrics().expect("metrics").packets("edge", Reason::RetrySent)
}
