//! Nodes that serve several addresses, are reached by several links, or have one family only.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use tests::fleet::tap::Crossing;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, MORE_ANYCAST, Place, SECOND_LINK, Steering};

#[test]
fn each_anycast_address_is_served_and_steered() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let outcome = fleet.client().run(async || {
        for anycast in ANYCAST.into_iter().chain(MORE_ANYCAST) {
            fleet.router().route_to(&["a1"])?;
            let connection = fleet.client().connect(anycast).await?;
            let first = connection.identity().await?;
            assert_eq!(first.name, "a1");
            let counted = fleet.crossings(&["a2"], &["a1"])?;
            fleet.router().route_to(&["a2"])?;
            for _ in 0..5 {
                assert_eq!(connection.identity().await?, first);
            }
            counted.expect(5)?;
            assert_eq!(connection.connection().remote_address().ip(), anycast);
        }
        Ok(())
    });
    outcome.expect("answered");
}

/// The second link's packets come by another interface, whose program is the same: packets of one
/// connection may come by both, and what belongs to another node leaves by the first.
#[test]
fn packets_of_one_connection_come_by_two_links() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    for anycast in ANYCAST {
        fleet.router().route_to(&["a1"]).expect("routed");
        let mut of_a1 = fleet.client().aioquic(anycast).expect("started");
        of_a1.connected().expect("connected");
        fleet.router().route_to(&["a2"]).expect("routed");
        let mut of_a2 = fleet.client().aioquic(anycast).expect("started");
        of_a2.connected().expect("connected");
        let owners = [of_a1.identity().expect("answered"), of_a2.identity().expect("answered")];
        assert_eq!([owners[0].name.as_str(), owners[1].name.as_str()], ["a1", "a2"]);

        let counted = fleet.crossings(&["a1"], &["a2"]).expect("counters");
        for links in [[SECOND_LINK].as_slice(), &["a1"], &["a1", SECOND_LINK], &[SECOND_LINK]] {
            fleet.router().route_to(links).expect("routed");
            for _ in 0..3 {
                assert_eq!(of_a1.identity().expect("answered"), owners[0]);
                assert_eq!(of_a2.identity().expect("answered"), owners[1]);
            }
        }
        counted.expect(12).expect("from one interface to the other, and from one to itself");
    }
}

/// A packet of either family crosses in whichever the two nodes have in common. a1 sends on by
/// XDP, a2 without it, and the same on the other side.
fn packets_of_both_families_cross(options: FleetOptions, owner: &str) {
    let options = FleetOptions { exceptions: vec![("a2", Steering::UserSpace)], ..options };
    let fleet = Fleet::start(&options).expect("a fleet");
    let tap = fleet.tap().expect("a tap");
    let outcome = fleet.client().run(async || {
        for (owner, elsewhere) in [(owner, "a1"), (owner, "a2"), ("a1", owner), ("a2", owner)] {
            for anycast in ANYCAST {
                fleet.router().route_to(&[owner])?;
                let connection = fleet.client().connect(anycast).await?;
                let first = connection.identity().await?;
                ensure!(first.name == owner, "{first:?}");
                let counted = fleet.crossings(&[elsewhere], &[owner])?;
                fleet.router().route_to(&[elsewhere])?;
                for _ in 0..5 {
                    ensure!(connection.identity().await? == first, "another owner");
                }
                counted.expect(5).with_context(|| format!("{anycast}: {elsewhere} to {owner}"))?;
            }
        }
        Ok(())
    });
    outcome.expect("answered");
    let mut crossings = tap.crossings();
    // The last packets of connections that ended may cross between a1 and a2.
    let place = Place::named(owner);
    let ends: [IpAddr; 2] = [place.ipv4().into(), place.ipv6().into()];
    crossings.retain(|Crossing { outer, .. }| {
        ends.contains(&outer.source.ip()) || ends.contains(&outer.destination.ip())
    });
    let outer = crossings.iter().map(|crossing| crossing.outer.source.is_ipv4());
    assert_eq!(outer.collect::<BTreeSet<_>>().len(), 1, "in the one family");
    let inner = crossings.iter().map(|crossing| crossing.inner.source.is_ipv4());
    assert_eq!(inner.collect::<BTreeSet<_>>().len(), 2, "of both families");
}

#[test]
fn a_node_with_ipv4_only_shares_both_families() {
    let options = FleetOptions { ipv4_only: vec!["a3"], ..FleetOptions::default() };
    packets_of_both_families_cross(options, "a3");
}

#[test]
fn a_node_with_ipv6_only_shares_both_families() {
    let options = FleetOptions { ipv6_only: vec!["b1"], ..FleetOptions::default() };
    packets_of_both_families_cross(options, "b1");
}
