//! What is sent to addresses that are not known to be the client's (RFC 9000 sections 8.1, 9.3).

use std::net::{IpAddr, SocketAddr};

use edge_user::limits;
use edge_wire::Reason;
use tests::credentials::Fleet;
use tests::net::{CLIENT, Conditions, Exchanged, Net};

use super::{AMPLE, MINUTE, SECOND, each_seed, node};

/// What a server may send for each byte that came.
const AMPLIFICATION: u64 = 3;
/// A datagram with a PATH_CHALLENGE has this size (RFC 9000 section 8.2.1).
const CHALLENGE: u64 = 1200;
/// The client's address at first.
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

fn net(seed: u64) -> Net {
    Net::new(seed, Fleet::new(&[1]), &[node(1)], AMPLE)
}

fn exchanged(net: &Net, address: impl Into<IpAddr>) -> Exchanged {
    net.exchanged.get(&address.into()).copied().unwrap_or_default()
}

/// At every moment until the handshake is done, however the weather is.
#[test]
fn an_address_gets_thrice_its_bytes_until_the_handshake_is_done() {
    each_seed(30, |seed| {
        let mut net = net(seed);
        net.conditions = Conditions::FOUL;
        net.download(1000);
        let done = net.run(MINUTE, |net| {
            let Exchanged { received, sent } = exchanged(net, HOME);
            let done = net.hosts[0].engine.counters().handshakes_completed == 1;
            assert!(done || sent <= AMPLIFICATION * received, "{sent} bytes for {received}");
            done
        });
        assert!(done);
    });
}

#[test]
fn an_address_that_says_nothing_more_is_not_flooded() {
    each_seed(20, |seed| {
        let mut net = net(seed);
        net.download(1000);
        assert!(net.run(SECOND, |net| net.hosts[0].counted(Reason::Local) >= 1));
        net.conditions.loss = 1000;
        net.run(limits::HANDSHAKE_TIMEOUT + 5 * SECOND, |_| false);
        let Exchanged { received, sent } = exchanged(&net, HOME);
        assert!(sent <= AMPLIFICATION * received, "{sent} bytes for {received}");
        let counters = net.hosts[0].engine.counters();
        assert_eq!((counters.connections, counters.handshakes_failed), (0, 1), "and forgotten");
    });
}

/// In the middle of a download, with all the data in flight that there may be.
#[test]
fn an_address_that_was_written_into_datagrams_gets_one_challenge() {
    each_seed(20, |seed| {
        let mut net = net(seed);
        let download = net.download(3_000_000);
        assert!(net.run(MINUTE, |net| net.client.downloads[download].received > 500_000));
        let victim = SocketAddr::from(([198, 51, 100, 7], 53));
        spoof(&mut net, download, victim);
        let limit = |net: &Net| {
            let Exchanged { received, sent } = exchanged(net, victim.ip());
            assert!(received < 200, "{received} bytes are no datagram with a response");
            assert!(sent <= CHALLENGE.max(AMPLIFICATION * received), "{sent} for {received}");
            sent
        };
        assert!(net.run(MINUTE, |net| {
            limit(net);
            net.client.downloads[download].whole
        }));
        assert!(limit(&net) > 0, "it was challenged");
    });
}

/// Who has a connection of his own can write as many addresses as he likes.
#[test]
fn a_client_that_writes_many_addresses_has_few_of_them_challenged() {
    let mut net = net(1);
    let download = net.download(3_000_000);
    assert!(net.run(MINUTE, |net| net.client.downloads[download].received > 500_000));
    for last in 0..100 {
        spoof(&mut net, download, SocketAddr::from(([198, 51, 100, last], 53)));
        net.run(SECOND / 50, |_| false);
    }
    let sent: u64 = (0..100).map(|last| exchanged(&net, [198, 51, 100, last]).sent).sum();
    assert!(sent <= CHALLENGE * u64::from(limits::ADDRESS_CHANGES_AT_ONCE), "{sent}");
    assert!(net.run(MINUTE, |net| net.client.downloads[download].whole), "and home is home");
}

/// The bound is kept until the client could have answered, and costs an honest one no download.
#[test]
fn a_client_that_moves_is_challenged_and_goes_on() {
    each_seed(30, |seed| {
        let mut net = net(seed);
        net.conditions = Conditions::FOUL;
        let download = net.download(600_000);
        for step in 1..4u8 {
            let enough = 150_000 * u64::from(step);
            assert!(net.run(MINUTE, |net| net.client.downloads[download].received >= enough));
            let there = [203, 0, 113, 100 + step];
            net.client.address = SocketAddr::from((there, 1024));
            net.client.ping(download);
            net.run(MINUTE, |net| {
                let Exchanged { received, sent } = exchanged(net, there);
                if received < CHALLENGE {
                    let most = CHALLENGE * limits::PATH_CHALLENGES_IN_ADVANCE;
                    assert!(sent <= most.max(AMPLIFICATION * received), "{sent} for {received}");
                }
                received >= CHALLENGE || net.client.downloads[download].whole
            });
        }
        assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
    });
}

/// Sends one small datagram as if it came from elsewhere. Nobody answers there.
fn spoof(net: &mut Net, download: usize, from: SocketAddr) {
    net.client.address = from;
    net.client.ping(download);
    // What is sent at once carries the address that the client has now.
    net.run(SECOND / 1_000_000, |_| true);
    net.client.address = CLIENT.into();
}
