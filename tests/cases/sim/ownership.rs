//! Who may answer for a connection ID, and who must be silent (RFC 9000 section 21.11).

use std::time::Duration;

use edge_user::nodes::Liveness;
use edge_wire::Reason;
use edge_wire::cid::ServerId;
use quinn_proto::ConnectionError;
use tests::credentials::Fleet;
use tests::net::Net;

use super::{AMPLE, MINUTE, SECOND, each_seed, node};

/// Two hosts, and a client that is connected to the first.
fn connected(seed: u64, second: ServerId) -> Net {
    let mut net = Net::new(seed, Fleet::new(&[1, 2]), &[node(1), second], AMPLE);
    let download = net.download(1000);
    assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
    // Acknowledgements under way arrive.
    net.run(SECOND, |_| false);
    net
}

/// Has the client say something while the route leads to the second host.
fn ask_the_second(net: &mut Net) {
    net.route = 1;
    net.client.ping(0);
}

#[test]
fn a_live_nodes_connection_draws_silence_anywhere_else() {
    each_seed(20, |seed| {
        for second in [node(2), ServerId { worker: 1, ..node(1) }] {
            let mut net = connected(seed, second);
            net.client.sent = Some(Vec::new());
            net.steering = false;
            ask_the_second(&mut net);
            net.run(SECOND * 3, |_| false);
            for datagram in net.client.sent.take().expect("kept") {
                assert_eq!(net.misdeliver(1, &datagram), Reason::Ignored);
            }
            net.run(SECOND, |_| false);
            assert_eq!(net.hosts[1].bytes_sent, 0, "not one byte of an answer");
            assert!(net.client.downloads[0].lost.is_none());
            // The route comes back, and nothing has happened.
            net.route = 0;
            net.client.ping(0);
            net.run(SECOND * 3, |_| false);
            assert!(net.client.downloads[0].lost.is_none());
        }
    });
}

#[test]
fn a_dead_nodes_connection_is_reset_within_a_round_trip() {
    each_seed(20, |seed| {
        let mut net = connected(seed, node(2));
        net.fleet.nodes.set(1, Liveness::Dead).expect("a node");
        let before = net.elapsed();
        ask_the_second(&mut net);
        assert!(net.run(SECOND, |net| net.client.downloads[0].lost.is_some()));
        assert_eq!(net.client.downloads[0].lost, Some(ConnectionError::Reset));
        assert_eq!(net.elapsed() - before, 2 * net.conditions.delay);
        assert_eq!(net.hosts[1].counted(Reason::ResetSent), 1);
    });
}

/// Nodes with thousands of connections die too: the resets have a budget, not an interval.
#[test]
fn many_connections_of_a_dead_node_are_reset_at_once() {
    let mut net = Net::new(1, Fleet::new(&[1, 2]), &[node(1), node(2)], AMPLE);
    for _ in 0..200 {
        net.download(100);
    }
    assert!(net.run(MINUTE, |net| net.client.downloads.iter().all(|download| download.whole)));
    net.run(SECOND, |_| false);
    net.fleet.nodes.set(1, Liveness::Dead).expect("a node");
    net.route = 1;
    (0..200).for_each(|download| net.client.ping(download));
    let reset = |net: &mut Net| {
        let lost = |download: &tests::net::Download| download.lost.is_some();
        net.client.downloads.iter().all(lost)
    };
    assert!(net.run(Duration::from_millis(100), reset));
}

#[test]
fn an_unknown_nodes_connection_draws_silence() {
    each_seed(20, |seed| {
        let mut net = connected(seed, node(2));
        net.fleet.nodes.set(1, Liveness::Unknown).expect("a node");
        ask_the_second(&mut net);
        net.run(SECOND * 3, |_| false);
        assert_eq!(net.hosts[1].bytes_sent, 0);
        assert!(net.client.downloads[0].lost.is_none());
    });
}

#[test]
fn a_process_that_is_gone_is_reset_by_its_successor() {
    each_seed(20, |seed| {
        let mut net = connected(seed, ServerId { generation: 2, ..node(1) });
        ask_the_second(&mut net);
        assert!(net.run(SECOND, |net| net.client.downloads[0].lost.is_some()));
        assert_eq!(net.client.downloads[0].lost, Some(ConnectionError::Reset));
    });
}
