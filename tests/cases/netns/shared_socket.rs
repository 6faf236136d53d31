//! Connections that share a client socket: receive offload merges their datagrams into trains,
//! which reach one worker, whoever owns what is in them.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use tests::fleet::{ANYCAST, Fleet, FleetOptions};
use tests::http3::Http3;

#[test]
fn connections_on_one_socket_each_keep_their_worker() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    for anycast in ANYCAST {
        let owners = fleet.client().run(async || {
            let endpoint = fleet.client().endpoint(anycast)?;
            let connecting = (0..12).map(|_| Http3::connect(&endpoint, anycast));
            let connections = try_join_all(connecting).await?;
            let first = try_join_all(connections.iter().map(Http3::identity)).await?;
            for _ in 0..20 {
                let again = try_join_all(connections.iter().map(Http3::identity)).await?;
                assert_eq!(again, first);
            }
            Ok(first.into_iter().map(|identity| identity.owner).collect::<BTreeSet<_>>())
        });
        let owners = owners.expect("every request is answered");
        assert_eq!(owners.len(), 2, "one flow reaches one node, and both its workers: {owners:?}");
    }
}
