//! Downloads end whole, whatever the network does.

use edge_wire::Reason;
use edge_wire::cid::ServerId;
use quinn_proto::ConnectionError;
use tests::credentials::Fleet;
use tests::net::{Conditions, Net};

use super::{AMPLE, MINUTE, SECOND, each_seed, node};

const BYTES: u64 = 300_000;

#[test]
fn a_download_survives_loss_and_reordering() {
    each_seed(30, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1]), &[node(1)], AMPLE);
        net.conditions = Conditions::FOUL;
        let download = net.download(BYTES);
        assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
    });
}

#[test]
fn a_download_survives_rebinding_in_foul_weather() {
    each_seed(30, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1]), &[node(1)], AMPLE);
        net.conditions = Conditions::FOUL;
        let download = net.download(BYTES);
        for part in 1..4 {
            let enough = BYTES * part / 4;
            assert!(net.run(MINUTE, |net| net.client.downloads[download].received >= enough));
            net.client.rebind();
            // A client behind a NAT that only downloads would wait for its next probe.
            net.client.ping(download);
        }
        assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
    });
}

/// Every quarter of the way anycast delivers to another node, in the middle of everything.
#[test]
fn a_download_survives_routes_that_change_node() {
    each_seed(30, |seed| {
        let nodes = [node(1), node(2), node(3)];
        let mut net = Net::new(seed, Fleet::new(&[1, 2, 3]), &nodes, AMPLE);
        net.conditions = Conditions::FOUL;
        let download = net.download(BYTES);
        for part in 1..4 {
            let enough = BYTES * part / 4;
            assert!(net.run(MINUTE, |net| net.client.downloads[download].received >= enough));
            net.route = (net.random.draw() % 3) as usize;
            net.client.rebind();
            net.client.ping(download);
        }
        assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
        assert_eq!(net.hosts[0].engine.counters().handshakes_completed, 1);
        for other in &net.hosts[1..] {
            assert_eq!(other.engine.counters().connections, 0, "it only forwards");
        }
    });
}

/// The same in the middle of the handshake: the client keeps the first server ID that it saw
/// (RFC 9000 section 7.2).
#[test]
fn a_handshake_survives_a_route_that_changes_in_its_middle() {
    each_seed(30, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1, 2]), &[node(1), node(2)], AMPLE);
        let download = net.download(1000);
        assert!(net.run(SECOND, |net| net.hosts[0].engine.counters().connections == 1));
        // Both Initials of the ClientHello have arrived; what follows goes the other way.
        assert!(net.run(SECOND, |net| net.hosts[0].counted(Reason::Local) >= 1));
        net.route = 1;
        assert!(net.run(SECOND * 5, |net| net.client.downloads[download].whole));
        assert!(net.hosts[1].counted(Reason::Forwarded) > 0);
    });
}

#[test]
fn what_reaches_another_worker_is_handed_over() {
    each_seed(20, |seed| {
        let workers = [0, 1].map(|worker| ServerId { worker, ..node(1) });
        let mut net = Net::new(seed, Fleet::new(&[1]), &workers, AMPLE);
        net.conditions = Conditions::FOUL;
        let download = net.download(BYTES);
        assert!(net.run(MINUTE, |net| net.client.downloads[download].received > BYTES / 3));
        net.route = 1;
        assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
        assert!(net.hosts[1].counted(Reason::HandedOver) > 0);
        assert_eq!(net.hosts[1].engine.counters().connections, 0);
    });
}

/// A ClientHello with a post-quantum key share spans two Initials (X25519MLKEM768: 1184 bytes),
/// in whichever order they come.
#[test]
fn a_client_hello_in_two_initials_is_one_connection() {
    each_seed(50, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1]), &[node(1)], AMPLE);
        net.conditions = Conditions { loss: 0, ..Conditions::FOUL };
        net.client.sent = Some(Vec::new());
        let download = net.download(1000);
        net.run(SECOND / 1000, |_| false);
        let initials = net.client.sent.take().expect("kept");
        assert!(initials.len() >= 2 && initials.iter().all(|bytes| bytes[0] & 0xb0 == 0x80));
        assert!(net.run(SECOND * 5, |net| net.client.downloads[download].whole));
        let counters = net.hosts[0].engine.counters();
        assert_eq!((counters.handshakes_completed, counters.handshakes_failed), (1, 0));
    });
}

/// A client learns of a close in the middle of its download, when the congestion window is full.
#[test]
fn a_close_arrives_however_much_is_in_flight() {
    each_seed(30, |seed| {
        let mut net = Net::new(seed, Fleet::new(&[1]), &[node(1)], AMPLE);
        net.conditions = Conditions::FOUL;
        let download = net.download(100 * BYTES);
        let some = BYTES + net.random.draw() % BYTES;
        assert!(net.run(MINUTE, |net| net.client.downloads[download].received > some));
        // The one datagram that says so is not lost itself.
        net.conditions.loss = 0;
        net.hosts[0].close_all(7);
        assert!(net.run(SECOND, |net| net.client.downloads[download].lost.is_some()));
        let lost = net.client.downloads[download].lost.take();
        let Some(ConnectionError::ApplicationClosed(close)) = lost else { panic!("{lost:?}") };
        assert_eq!(close.error_code, 7u32.into());
    });
}
