//! Anycast routes change under a connection, and its first node goes on answering.

use std::thread;

use tests::fleet::{ANYCAST, Fleet, FleetOptions, PLACES};

#[test]
fn a_connection_keeps_its_owner_when_the_route_goes_to_another_node_or_site() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    for anycast in ANYCAST {
        fleet.router().route_to(&["a1"]).expect("routed");
        let mut aioquic = fleet.client().aioquic(anycast).expect("started");
        aioquic.connected().expect("connected");
        let first = aioquic.identity().expect("answered");
        assert_eq!(first.name, "a1");
        for elsewhere in ["a2", "b1"] {
            let crossings = fleet.crossings(&[elsewhere], &["a1"]).expect("counters");
            fleet.router().route_to(&[elsewhere]).expect("routed");
            for _ in 0..5 {
                assert_eq!(aioquic.identity().expect("answered"), first);
            }
            crossings.expect(5).expect("packets cross to their owner");
        }
    }
}

#[test]
fn a_new_connection_stays_at_the_node_where_it_lands() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    for anycast in ANYCAST {
        for node in ["a3", "b1"] {
            fleet.router().route_to(&[node]).expect("routed");
            assert_eq!(fleet.client().pycurl(anycast).expect("answered").name, node);
        }
    }
    for node in fleet.nodes() {
        let forwarded = node.metrics().expect("metrics");
        let forwarded = forwarded.packets("steer_node", edge_wire::Reason::Forwarded);
        assert_eq!(forwarded, 0, "at {}", node.place().name);
    }
}

#[test]
fn downloads_are_whole_while_routes_flip() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let nodes = PLACES.map(|place| place.name);
    let paths = ["/bytes/20000000", "/bytes/20000001", "/bytes/20000002"];
    for anycast in ANYCAST {
        // The connection belongs to whichever node has the route when it begins.
        let crossings = fleet.crossings(&nodes, &nodes).expect("counters");
        let (contents, flips) = thread::scope(|scope| {
            let download = scope.spawn(|| fleet.client().gtlsclient(anycast, &[], &paths));
            let mut flips = 0;
            while !download.is_finished() {
                fleet.router().route_to(&[nodes[flips % nodes.len()]]).expect("routed");
                flips += 1;
            }
            let (_, contents) = download.join().expect("no panic").expect("downloaded");
            (contents, flips)
        });
        let lengths: Vec<_> = contents.iter().map(Vec::len).collect();
        assert_eq!(lengths, [20_000_000, 20_000_001, 20_000_002]);
        assert!(contents[2].starts_with(&contents[1]) && contents[1].starts_with(&contents[0]));
        assert!(flips >= 4, "only {flips} flips");
        crossings.expect(10).expect("packets cross to their owner");
    }
}
