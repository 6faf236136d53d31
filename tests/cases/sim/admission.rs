//! How new connections are let in: Retry, limits, tickets.

use edge_user::config::QuicConfig;
use edge_wire::Reason;
use quinn_proto::ConnectionError;
use tests::credentials::Fleet;
use tests::net::{Conditions, Net};

use super::{AMPLE, MINUTE, SECOND, each_seed, node};

const ALWAYS_RETRY: QuicConfig = QuicConfig { retry_threshold: 0, ..AMPLE };

/// The token, not the node, is what the client brings back.
#[test]
fn a_retry_of_one_node_is_honoured_by_another() {
    each_seed(30, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1, 2]), &[node(1), node(2)], ALWAYS_RETRY);
        let download = net.download(1000);
        assert!(net.run(SECOND, |net| net.hosts[0].counted(Reason::RetrySent) >= 1));
        // The first node is withdrawn and dies, and the client answers the second.
        net.route = 1;
        net.steering = false;
        net.fleet.nodes.set(1, edge_user::nodes::Liveness::Dead).expect("a node");
        assert!(net.run(SECOND * 5, |net| net.client.downloads[download].whole));
        assert_eq!(net.hosts[0].engine.counters().handshakes_completed, 0);
        assert_eq!(net.hosts[1].engine.counters().handshakes_completed, 1);
        assert_eq!(net.hosts[1].counted(Reason::RetrySent), 0);
    });
}

#[test]
fn clients_must_prove_their_address_only_above_the_threshold() {
    let bounds = QuicConfig { retry_threshold: 3, ..AMPLE };
    let mut net = Net::new(1, Fleet::new(&[1]), &[node(1)], bounds);
    for _ in 0..10 {
        net.download(1000);
    }
    assert!(net.run(MINUTE, |net| net.client.downloads.iter().all(|download| download.whole)));
    let counters = net.hosts[0].engine.counters();
    assert_eq!(counters.handshakes_completed, 10);
    assert!(net.hosts[0].counted(Reason::RetrySent) >= 7);
    let before = net.hosts[0].counted(Reason::RetrySent);
    let late = net.download(1000);
    assert!(net.run(MINUTE, |net| net.client.downloads[late].whole));
    assert_eq!(net.hosts[0].counted(Reason::RetrySent), before, "peace again");
}

/// The kernel counts Initials of the versions whose types it knows: an engine that spoke others
/// could be flooded past every budget.
#[test]
fn a_version_whose_initials_the_kernel_does_not_count_opens_no_connection() {
    for draft in 0xff00_001d..=0xff00_0022 {
        let mut net = Net::new(1, Fleet::new(&[1]), &[node(1)], AMPLE);
        net.client.speak(draft);
        let download = net.download(1000);
        assert!(net.run(SECOND, |net| net.client.downloads[download].lost.is_some()), "{draft:x}");
        let lost = net.client.downloads[download].lost.take();
        assert_eq!(lost, Some(ConnectionError::VersionMismatch), "{draft:x}");
        assert_eq!(net.hosts[0].engine.counters().handshakes_completed, 0, "{draft:x}");
    }
}

#[test]
fn a_connection_beyond_the_limit_is_refused_at_once() {
    let bounds = QuicConfig { max_connections: 5, ..AMPLE };
    let mut net = Net::new(1, Fleet::new(&[1]), &[node(1)], bounds);
    for _ in 0..8 {
        net.download(1000);
    }
    let settled = |net: &mut Net| {
        net.client.downloads.iter().all(|download| download.whole || download.lost.is_some())
    };
    assert!(net.run(SECOND, settled));
    let whole = net.client.downloads.iter().filter(|download| download.whole).count();
    assert_eq!(whole, 5);
    let refused = net.client.downloads.iter().filter_map(|download| download.lost.as_ref());
    for reason in refused {
        let ConnectionError::ConnectionClosed(close) = reason else { panic!("{reason}") };
        assert_eq!(close.error_code, quinn_proto::TransportErrorCode::CONNECTION_REFUSED);
    }
    assert!(net.hosts[0].counted(Reason::ConnectionLimit) >= 3);
}

#[test]
fn a_ticket_of_one_node_resumes_at_another() {
    each_seed(20, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1, 2]), &[node(1), node(2)], AMPLE);
        net.conditions = Conditions::FOUL;
        let first = net.download(1000);
        assert!(net.run(MINUTE, |net| net.client.downloads[first].whole));
        net.run(SECOND, |_| false);
        net.route = 1;
        let second = net.download(1000);
        assert!(net.run(MINUTE, |net| net.client.downloads[second].whole));
        assert_eq!(net.hosts[0].tickets.accepted(), 0);
        assert_eq!(net.hosts[1].tickets.accepted(), 1);
    });
}
