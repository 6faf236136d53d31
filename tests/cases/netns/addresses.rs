//! A node that serves several addresses, and one that is reached by several links.

use tests::fleet::{ANYCAST, Fleet, FleetOptions, MORE_ANYCAST, SECOND_LINK};

#[test]
fn each_anycast_address_is_served_and_steered() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
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
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
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
