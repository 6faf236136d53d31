//! A client's address changes, and its connection stays with its worker.

use std::thread;
use std::time::Duration;

use tests::fleet::client::second_address;
use tests::fleet::{ANYCAST, Fleet, FleetOptions};
use tests::http3::Identity;

#[test]
fn aioquic_keeps_its_worker_when_its_port_and_its_address_change() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    for anycast in ANYCAST {
        let mut aioquic = fleet.client().aioquic(anycast).expect("started");
        aioquic.connected().expect("connected");
        let first = aioquic.identity().expect("answered");
        let mut client = first.client;
        for _ in 0..6 {
            // Each port is another flow, which the router may send to another node.
            aioquic.change_port().expect("another socket");
            let now = aioquic.identity().expect("answered");
            assert_eq!(now.owner, first.owner);
            assert_ne!(now.client.port(), client.port());
            client = now.client;
        }
        aioquic.change_address(second_address(anycast)).expect("another socket");
        let now = aioquic.identity().expect("answered");
        assert_eq!(now.owner, first.owner);
        assert_eq!(now.client.ip(), second_address(anycast));
    }
    let forwarded = fleet.nodes().iter().map(|node| {
        node.metrics().expect("metrics").packets("steer_node", edge_wire::Reason::Forwarded)
    });
    assert!(forwarded.sum::<u64>() > 0, "of 12 new flows none came to another node");
}

/// gtlsclient shakes hands with a1, waits until a2 has the route and its port has changed, and
/// only then sends its request.
fn request_after_move(options: &[&str]) {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    for anycast in ANYCAST {
        fleet.router().route_to(&["a1"]).expect("routed");
        let crossings = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        let options = [options, &["--change-local-addr=700ms", "--delay-stream=1200ms"]].concat();
        let contents = thread::scope(|scope| {
            let client = scope.spawn(|| fleet.client().gtlsclient(anycast, &options, &["/who"]));
            thread::sleep(Duration::from_millis(400));
            fleet.router().route_to(&["a2"]).expect("routed");
            let (_, contents) = client.join().expect("no panic").expect("answered");
            contents
        });
        let identity: Identity = serde_json::from_slice(&contents[0]).expect("JSON");
        assert_eq!(identity.name, "a1");
        crossings.expect(1).expect("packets cross to their owner");
        let metrics = fleet.node("a1").metrics().expect("metrics");
        let worker = format!("worker=\"{}\"", identity.worker);
        let labels = [worker.as_str(), "result=\"completed\""];
        assert!(metrics.sum("landfast_handshakes_total", &labels) > 0, "another worker answers");
    }
}

#[test]
fn gtlsclient_keeps_its_node_behind_a_nat_that_rebinds() {
    request_after_move(&["--nat-rebinding"]);
}

#[test]
fn gtlsclient_keeps_its_node_when_it_migrates() {
    request_after_move(&[]);
}
