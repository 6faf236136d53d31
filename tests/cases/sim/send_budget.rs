//! What clients can have a worker hold for them.

use edge_user::limits;
use tests::credentials::Fleet;
use tests::net::Net;

use super::{AMPLE, MINUTE, SECOND, each_seed, node};

const BUDGET: u64 = 2 << 20;

fn net(seed: u64, budget: u64) -> Net {
    Net::with_send_budget(seed, Fleet::new(&[1]), &[node(1)], AMPLE, budget)
}

/// Fifty of them would hold 60 MB by their windows alone.
#[test]
fn clients_that_fall_silent_hold_no_more_than_the_budget_and_their_floors() {
    each_seed(3, |seed| {
        let mut net = net(seed, BUDGET);
        let bound = |net: &Net| {
            let engine = &net.hosts[0].engine;
            let most = BUDGET + engine.counters().connections * limits::SEND_FLOOR_BYTES;
            assert!(engine.send_bytes_held() <= most, "{} bytes", engine.send_bytes_held());
        };
        for _ in 0..50 {
            let download = net.download(10_000_000);
            assert!(net.run(SECOND, |net| net.client.downloads[download].received > 0));
            net.client.downloads[download].silent = true;
            bound(&net);
        }
        assert!(net.hosts[0].engine.send_bytes_held() > BUDGET / 2, "they do hold much");

        // Somebody who means well gets a floor's worth each round trip.
        let bytes = 20 * limits::SEND_FLOOR_BYTES;
        let good = net.download(bytes);
        let began = net.now();
        assert!(net.run(MINUTE, |net| {
            bound(net);
            net.client.downloads[good].whole
        }));
        assert!(net.now() - began < 2 * SECOND, "{:?}", net.now() - began);

        // And nothing is left of the others when they are given up.
        net.run(2 * MINUTE, |_| false);
        assert_eq!(net.hosts[0].engine.send_bytes_held(), 0);
    });
}

/// Whoever waits for the budget is told when what he holds was acknowledged: nobody else tells.
#[test]
fn a_download_through_its_floor_alone_ends() {
    each_seed(10, |seed| {
        let mut net = net(seed, 0);
        let download = net.download(500_000);
        assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
    });
}

/// In peace it fills its window as if there were no budget.
#[test]
fn a_download_alone_has_its_whole_window() {
    let mut net = net(1, limits::SEND_BUDGET_BYTES);
    let download = net.download(20_000_000);
    let mut most = 0;
    assert!(net.run(MINUTE, |net| {
        most = most.max(net.hosts[0].engine.send_bytes_held());
        net.client.downloads[download].whole
    }));
    // The client's stream window is 1.25 MB.
    assert!(most > 1_000_000, "{most} bytes");
}
