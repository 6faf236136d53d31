//! A session ticket of one node is taken by another.

use tests::fleet::{ANYCAST, Fleet, FleetOptions};

#[test]
fn aioquic_resumes_at_another_node() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let memory = fleet.client().directory().join("memory");
    for (anycast, nodes) in ANYCAST.into_iter().zip([["a1", "a2"], ["a3", "b1"]]) {
        let _ = std::fs::remove_file(&memory); // none at first
        for (node, resumes) in nodes.into_iter().zip([false, true]) {
            fleet.router().route_to(&[node]).expect("routed");
            let client = fleet.client();
            let mut aioquic = client.aioquic_with_memory(anycast, &memory).expect("started");
            assert_eq!(aioquic.connected().expect("connected"), resumes, "at {node}");
            assert_eq!(aioquic.identity().expect("answered").name, node);
        }
    }
}

#[test]
fn gtlsclient_resumes_at_another_node() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let file = |name| format!("--{name}-file={}/{name}", fleet.client().directory().display());
    let options = [file("session"), file("tp")];
    let options = [options[0].as_str(), options[1].as_str(), "--disable-early-data"];
    for (node, resumed) in [("a1", 0), ("a2", 1)] {
        fleet.router().route_to(&[node]).expect("routed");
        fleet.client().gtlsclient(ANYCAST[0], &options, &["/who"]).expect("answered");
        let metrics = fleet.node(node).metrics().expect("metrics");
        assert_eq!(metrics.sum("landfast_resumed_total", &[]), resumed, "at {node}");
    }
}
