//! Nodes announce themselves by BGP with BFD, to a router that runs BIRD: both programs' packets
//! pass the edge's XDP, and connections live through what routers do with routes.

use std::thread::sleep;
use std::time::Duration;

use edge_wire::Reason;
use tests::fleet::{ANYCAST, Bgp, Fleet, FleetOptions};
use tests::stickiness::Clients;
use tests::stickiness::tally::Phase;

/// Connections of a case: the flows of several nodes over both families among them.
const CONNECTIONS: usize = 45;
/// Every connection asks about three times meanwhile.
const BUSY: Duration = Duration::from_secs(2);

#[test]
fn new_connections_follow_what_nodes_announce() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let bgp = Bgp::start(&fleet, &["a1"]).expect("announced");
    for node in ["a1", "b1"] {
        bgp.announce(node).expect("told");
        bgp.wait_until_routed_to(&[node]).expect("routed");
        for anycast in ANYCAST {
            assert_eq!(fleet.client().pycurl(anycast).expect("answered").name, node);
        }
        bgp.withdraw(node).expect("told");
    }
}

#[test]
fn connections_survive_a_withdraw_and_a_node_more() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let bgp = Bgp::start(&fleet, &["a1", "a2", "a3"]).expect("announced");
    let mut clients = Clients::connect(&fleet, CONNECTIONS).expect("connected");
    let crossings = fleet.crossings(&["a1", "a2", "a3"], &["a1", "a2", "a3"]).expect("counters");
    clients.set_phase(Phase::Event).expect("told");
    bgp.withdraw("a1").expect("told");
    bgp.wait_until_routed_to(&["a2", "a3"]).expect("withdrawn");
    sleep(BUSY);
    bgp.announce("a1").expect("told");
    bgp.wait_until_routed_to(&["a1", "a2", "a3"]).expect("announced anew");
    clients.set_phase(Phase::After).expect("told");
    sleep(BUSY);
    let tally = clients.finish().expect("a tally");
    assert_eq!((tally.survived, tally.requests_failed), (CONNECTIONS as u64, 0), "{tally:?}");
    assert!([1, 2, 3].iter().all(|node| tally.of_node(*node).0 > 0), "{tally:?}");
    crossings.expect(1).expect("packets cross to their owner");
}

/// The link looks well and swallows everything, as behind a switch whose other port died: only
/// BFD can tell. (BGP would after the hold time, and would give another reason.)
#[test]
fn a_node_that_vanishes_costs_its_own_connections_only() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let bgp = Bgp::start(&fleet, &["a1", "a2", "a3"]).expect("announced");
    let mut clients = Clients::connect(&fleet, CONNECTIONS).expect("connected");
    clients.set_phase(Phase::Event).expect("told");
    fleet.cut_link("a3").expect("cut");
    bgp.wait_until_routed_to(&["a1", "a2"]).expect("detected");
    let errors = bgp.last_errors("a3").expect("bird answers");
    assert!(errors.iter().any(|error| error.contains("BFD session down")), "{errors:?}");
    // Nobody answers for it, until it is known to be dead: then its connections are reset.
    assert_eq!(resets(&fleet), 0);
    for node in ["a1", "a2"] {
        fleet.node(node).admin(&["dead", "3"]).expect("told");
    }
    clients.set_phase(Phase::After).expect("told");
    sleep(BUSY);
    let tally = clients.finish().expect("a tally");
    for node in [1, 2] {
        let (connections, survived) = tally.of_node(node);
        assert!(connections > 0 && survived == connections, "{tally:?}");
    }
    let (connections, survived) = tally.of_node(3);
    assert!(connections > 0 && survived == 0, "{tally:?}");
    assert!(resets(&fleet) > 0, "nobody was told that the node is gone");
}

fn resets(fleet: &Fleet) -> u64 {
    let of = |node: &str| {
        let metrics = fleet.node(node).metrics().expect("metrics");
        metrics.packets("edge", Reason::ResetSent)
    };
    of("a1") + of("a2")
}
