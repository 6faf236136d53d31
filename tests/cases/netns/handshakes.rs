//! A handshake whose packets do not all take one way.

use std::thread;

use edge_wire::Reason;
use futures_util::future::try_join_all;
use tests::fleet::interposer::{INTERPOSER, Interposer};
use tests::fleet::{ANYCAST, Fleet, FleetOptions};
use tests::http3::{Http3, Identity};

/// Connections that begin at the same time.
const CONNECTIONS: usize = 24;

/// A ClientHello with a post-quantum key share takes two Initials, both with the ID that the client
/// chose. At two workers they would be two beginnings of which neither is whole.
#[test]
fn both_initials_of_a_clienthello_reach_one_worker() {
    let fleet = Fleet::start(&FleetOptions { workers: 4, ..FleetOptions::pair() });
    let fleet = fleet.expect("a fleet");
    fleet.router().route_to(&["a1"]).expect("routed");
    let workers = fleet.client().run(async || {
        let mut workers = [0; 4];
        for anycast in ANYCAST {
            let connecting = (0..CONNECTIONS).map(async |_| {
                let connection = fleet.client().connect(anycast).await?;
                anyhow::Ok((connection.identity().await?, connection))
            });
            for (identity, _connection) in try_join_all(connecting).await? {
                workers[usize::from(identity.worker)] += 1;
            }
        }
        Ok(workers)
    });
    let workers = workers.expect("every client is answered");
    assert!(workers.iter().all(|connections| *connections > 0), "{workers:?}");
    let metrics = fleet.node("a1").metrics().expect("metrics");
    let connections = 2 * CONNECTIONS as u64;
    assert_eq!(metrics.packets("edge", Reason::NewConnection), connections, "one beginning each");
    let initials = metrics.packets("steer_worker", Reason::WorkerHash);
    assert!(initials >= 2 * connections, "the ClientHello fits into one Initial: {initials}");
    let ended = |result| metrics.sum("landfast_handshakes_total", &[result]);
    assert_eq!(ended("result=\"completed\""), connections);
    assert_eq!(ended("result=\"failed\""), 0);
}

/// RFC 9000 section 7.2: the client keeps the first connection ID that it was given.
#[test]
fn a_route_that_flips_in_mid_handshake_loses_no_client() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a1"]).expect("routed");
    let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
    let interposer = Interposer::beside(fleet.client()).expect("a port of its own namespace");
    let (said, contents) = thread::scope(|scope| {
        let client = scope.spawn(|| fleet.client().gtlsclient(INTERPOSER, &[], &["/who"]));
        let flip = || fleet.router().route_to(&["a2"]);
        interposer.pass(fleet.client(), flip).expect("passed on");
        client.join().expect("no panic").expect("answered")
    });
    let identity: Identity = serde_json::from_slice(&contents[0]).expect("JSON");
    assert_eq!(identity.name, "a1", "{said}");
    counted.expect(2).expect("the rest of the handshake, and the request, cross");
}

/// And where it flips before there was an answer, the new node begins anew.
#[test]
fn connections_begin_while_routes_flip() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let nodes = ["a1", "a2", "a3", "b1"];
    let outcome = fleet.client().run(async || {
        for anycast in ANYCAST.into_iter().cycle().take(8) {
            let endpoint = fleet.client().endpoint(anycast)?;
            let connecting = (0..6).map(|_| Http3::connect(&endpoint, anycast));
            let flipping = async {
                for node in nodes {
                    fleet.router().route_to(&[node])?;
                    tokio::task::yield_now().await;
                }
                anyhow::Ok(())
            };
            let (connections, flipped) = tokio::join!(try_join_all(connecting), flipping);
            flipped?;
            for connection in connections? {
                connection.identity().await?;
            }
        }
        Ok(())
    });
    outcome.expect("every client is answered");
}
