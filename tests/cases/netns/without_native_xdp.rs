//! Nodes whose network driver, privilege or operator rules native XDP out: slower, never down.

use tests::fleet::{ANYCAST, Fleet, FleetOptions, Steering};

/// A connection of `owner` is kept while the route goes to `elsewhere`.
fn keeps_its_owner(fleet: &Fleet, owner: &str, elsewhere: &str) {
    for anycast in ANYCAST {
        fleet.router().route_to(&[owner]).expect("routed");
        let mut aioquic = fleet.client().aioquic(anycast).expect("started");
        aioquic.connected().expect("connected");
        let first = aioquic.identity().expect("answered");
        assert_eq!(first.name, owner);
        let crossings = fleet.crossings(&[elsewhere], &[owner]).expect("counters");
        fleet.router().route_to(&[elsewhere]).expect("routed");
        for _ in 0..5 {
            assert_eq!(aioquic.identity().expect("answered"), first);
        }
        crossings.expect(5).expect("packets cross to their owner");
    }
}

#[test]
fn a_node_without_xdp_forwards_and_receives() {
    let options =
        FleetOptions { exceptions: vec![("a2", Steering::UserSpace)], ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    keeps_its_owner(&fleet, "a1", "a2");
    keeps_its_owner(&fleet, "a2", "b1");
}

#[test]
fn a_fleet_without_xdp_holds_together() {
    let options = FleetOptions { steering: Steering::UserSpace, ..FleetOptions::default() };
    keeps_its_owner(&Fleet::start(&options).expect("a fleet"), "a1", "b1");
}

#[test]
fn generic_xdp_forwards_and_receives() {
    let options = FleetOptions { steering: Steering::Generic, ..FleetOptions::default() };
    keeps_its_owner(&Fleet::start(&options).expect("a fleet"), "a1", "b1");
}
