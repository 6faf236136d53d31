//! Keys change under connections that live, and none of them notices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use edge_user::config::QuicConfig;
use edge_user::nodes::Liveness;
use edge_wire::Reason;
use edge_wire::cid::{DEFAULT_LEN, ServerId, config_id};
use fleet_wire::secrets::{Rotating, Secrets};
use quinn_proto::ConnectionError;
use tests::credentials::{Fleet, id_config, secrets};
use tests::net::Net;

use super::{AMPLE, MINUTE, SECOND, each_seed, node};

const LIFETIME: Duration = Duration::from_secs(60);
const SHORT_LIVED: QuicConfig = QuicConfig { connection_id_lifetime: LIFETIME, ..AMPLE };

/// Two nodes, and a client that is connected to the first.
fn connected(seed: u64, quic: QuicConfig) -> Net {
    let mut net = Net::new(seed, Fleet::new(&[1, 2]), &[node(1), node(2)], quic);
    let download = net.download(1000);
    assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
    net.run(SECOND, |_| false);
    net
}

/// Reloads both nodes, the second one a while later.
fn reload(net: &mut Net, secrets: &Secrets) {
    for host in 0..2 {
        net.hosts[host].change_secrets(secrets);
        talk(net, SECOND);
    }
}

/// The client says something every five seconds, by way of each node in turn. The short headers
/// that it sent.
fn talk(net: &mut Net, time: Duration) -> Vec<Vec<u8>> {
    net.client.sent = Some(Vec::new());
    let end = net.elapsed() + time;
    while net.elapsed() < end {
        net.route = (net.route + 1) % 2;
        net.client.ping(0);
        net.run((SECOND * 5).min(time), |_| false);
        assert_eq!(net.client.downloads[0].lost, None);
    }
    let mut sent = net.client.sent.take().expect("kept");
    sent.retain(|bytes| bytes[0] & 0x80 == 0);
    sent
}

fn configs(sent: &[Vec<u8>]) -> BTreeSet<u32> {
    sent.iter().map(|bytes| config_id(bytes[1])).collect()
}

/// RFC 9000 section 5.1.2: the lifetime makes clients give up old IDs, so that an old config can go.
#[test]
fn a_long_connection_moves_to_the_config_that_mints_and_its_old_ids_are_retired() {
    each_seed(10, |seed| {
        let mut net = connected(seed, SHORT_LIVED);
        let old = talk(&mut net, SECOND);
        assert_eq!(configs(&old), [2].into());
        let mut secrets = secrets(2);
        secrets.connection_ids.push(id_config(3, DEFAULT_LEN, Some([3; 16])));
        reload(&mut net, &secrets);
        secrets.mint = 3;
        reload(&mut net, &secrets);
        talk(&mut net, LIFETIME * 2);
        assert_eq!(configs(&talk(&mut net, LIFETIME)), [3].into());

        // The engine has forgotten them: what comes under one is no part of the connection.
        assert_eq!(net.misdeliver(0, &old[0]), Reason::ResetSent);
        secrets.connection_ids.retain(|config| config.config_id == 3);
        reload(&mut net, &secrets);
        assert_eq!(configs(&talk(&mut net, LIFETIME)), [3].into());
        assert_eq!(net.hosts[0].engine.counters().connections, 1);
        assert!(net.hosts[1].counted(Reason::Forwarded) > 0);
    });
}

/// As many configs as there may be at one time, each of which mints for a while.
#[test]
fn a_connection_lives_through_rotation_after_rotation() {
    let mut net = connected(1, SHORT_LIVED);
    let mut secrets = secrets(2);
    for config in [0, 3, 4, 5, 6] {
        secrets.connection_ids.push(id_config(config, DEFAULT_LEN, Some([config; 16])));
    }
    assert_eq!(secrets.connection_ids.len(), 7);
    reload(&mut net, &secrets);
    for config in [0, 3, 1, 4, 5, 6, 2, 0] {
        secrets.mint = config;
        reload(&mut net, &secrets);
        talk(&mut net, LIFETIME * 2);
        let used = configs(&talk(&mut net, SECOND * 10));
        assert_eq!(used, [u32::from(config)].into(), "the client uses config {config}");
    }
}

/// A step of the rotation of tickets and tokens: nodes know the next key, or use it already.
fn step(secrets: &Secrets, used: bool) -> Secrets {
    let rotate = |keys: &Rotating, next: [u8; 32]| match used {
        false => Rotating { next: Some(next), ..keys.clone() },
        true => Rotating { current: next, previous: Some(keys.current), next: None },
    };
    Secrets {
        tickets: rotate(&secrets.tickets, [0x77; 32]),
        tokens: rotate(&secrets.tokens, [0x88; 32]),
        ..secrets.clone()
    }
}

#[test]
fn a_key_may_change_between_retry_and_answer() {
    let always_retry = QuicConfig { retry_threshold: 0, ..AMPLE };
    each_seed(10, |seed| {
        for (before, after) in [(false, true), (true, false)] {
            let mut net = Net::new(seed, Fleet::new(&[1, 2]), &[node(1), node(2)], always_retry);
            net.hosts[0].change_secrets(&step(&secrets(2), before));
            let download = net.download(1000);
            assert!(net.run(SECOND, |net| net.hosts[0].counted(Reason::RetrySent) >= 1));
            // It forwards nothing, so that the token alone tells.
            net.hosts[0].change_secrets(&step(&secrets(2), after));
            assert!(net.run(SECOND * 5, |net| net.client.downloads[download].whole));
            assert_eq!(net.hosts[0].engine.counters().handshakes_failed, 0);
        }
    });
}

#[test]
fn tickets_and_tokens_of_a_node_one_step_away_are_taken() {
    let always_retry = QuicConfig { retry_threshold: 0, ..AMPLE };
    for (from, to) in [(false, true), (true, false), (false, false), (true, true)] {
        let mut net = Net::new(1, Fleet::new(&[1, 2]), &[node(1), node(2)], always_retry);
        for (host, used) in [from, to].into_iter().enumerate() {
            net.hosts[host].change_secrets(&step(&secrets(2), used));
        }
        for host in 0..2 {
            net.route = host;
            let download = net.download(1000);
            assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
            net.run(SECOND, |_| false);
            let taken = net.hosts[host].tickets.accepted();
            assert_eq!(taken, host as u64, "tickets from {from} to {to}");
            let retries = net.hosts[host].counted(Reason::RetrySent);
            assert_eq!(retries > 0, host == 0, "tokens from {from} to {to}");
        }
    }
}

/// The config of the ID chooses the reset key, so a node that mints under the next config still
/// resets what a dead one minted under the last.
#[test]
fn a_dead_nodes_connection_is_reset_whichever_config_its_id_is_of() {
    each_seed(10, |seed| {
        let mut net = connected(seed, AMPLE);
        let mut secrets = secrets(2);
        secrets.connection_ids.push(id_config(3, DEFAULT_LEN, Some([3; 16])));
        secrets.mint = 3;
        net.hosts[1].change_secrets(&secrets);
        net.fleet.nodes.set(1, Liveness::Dead).expect("a node");
        net.route = 1;
        net.client.ping(0);
        assert!(net.run(SECOND, |net| net.client.downloads[0].lost.is_some()));
        assert_eq!(net.client.downloads[0].lost, Some(ConnectionError::Reset));
    });
}

/// The fleet rolls to another length, node by node: decision 10.
#[test]
fn a_node_that_mints_another_length_serves_beside_one_that_does_not() {
    each_seed(10, |seed| {
        for (length, key) in [(9, Some([7; 16])), (20, Some([7; 16])), (12, None)] {
            let mut net = connected(seed, AMPLE);
            let mut secrets = secrets(2);
            secrets.connection_ids.push(id_config(5, length, key));
            reload(&mut net, &secrets);
            // The second node starts anew.
            secrets.mint = 5;
            net.fleet.secrets = Arc::new(secrets);
            net.restart(1, ServerId { generation: 2, ..node(2) }, AMPLE);
            net.route = 1;
            let download = net.download(1000);
            assert!(net.run(MINUTE, |net| net.client.downloads[download].whole));
            // Each of both forwards what is the other's.
            for route in [0, 1] {
                net.client.sent = Some(Vec::new());
                net.route = route;
                for download in [0, download] {
                    net.client.ping(download);
                }
                net.run(SECOND * 2, |_| false);
                let sent = net.client.sent.take().expect("kept");
                assert_eq!(configs(&sent), [2, 5].into());
                assert!(net.hosts[route].counted(Reason::Forwarded) > 0);
            }
            assert!(net.client.downloads.iter().all(|download| download.lost.is_none()));
        }
    });
}

/// The successor cannot take the old connections over, but tells their clients at once.
#[test]
fn a_process_resets_its_predecessors_connections_of_another_length() {
    each_seed(10, |seed| {
        for length in [9, 12, 20] {
            let mut net = connected(seed, AMPLE);
            let mut secrets = secrets(2);
            secrets.connection_ids.push(id_config(5, length, Some([7; 16])));
            secrets.mint = 5;
            net.fleet.secrets = Arc::new(secrets);
            net.restart(0, ServerId { generation: 2, ..node(1) }, AMPLE);
            net.client.ping(0);
            assert!(net.run(SECOND, |net| net.client.downloads[0].lost.is_some()));
            assert_eq!(net.client.downloads[0].lost, Some(ConnectionError::Reset));
            assert_eq!(net.hosts[0].counted(Reason::ResetSent), 1);
        }
    });
}
