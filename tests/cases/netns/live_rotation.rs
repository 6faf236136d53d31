//! Keys change in a fleet that serves, node after node, and no client notices. One of its nodes
//! forwards without XDP.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edge_wire::Reason;
use edge_wire::cid::{config_id, self_encoded_len};
use fleet_wire::secrets::{ConnectionIdConfig, EncapsulationSecret, Rotating, Secrets, write};
use futures_util::future::try_join_all;
use quinn::ConnectionError;
use tests::fleet::tap::Heard;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, PORT, Steering, eventually};
use tests::http3::Http3;
use tokio::time::timeout;

/// The nodes whose clients talk: one with XDP and one without.
const OWNERS: [&str; 2] = ["a1", "a2"];

fn options() -> FleetOptions {
    FleetOptions {
        exceptions: vec![("a2", Steering::UserSpace)],
        quic: "connection_id_lifetime_seconds = 1",
        ..FleetOptions::default()
    }
}

fn id_config(config_id: u8, length: usize, key: u8) -> ConnectionIdConfig {
    ConnectionIdConfig { config_id, length, key: Some([key; 16]), reset_key: [key; 32] }
}

/// Changes the file that all nodes read, without telling them.
fn change_file(fleet: &Fleet, change: impl FnOnce(&mut Secrets)) -> Result<()> {
    let mut secrets = Secrets::load(&fleet.fleet_file())?;
    change(&mut secrets);
    Ok(write(&fleet.fleet_file(), &secrets, true)?)
}

/// The same, and has one node after the other read it, with time between them.
fn change(fleet: &Fleet, change: impl FnOnce(&mut Secrets)) -> Result<()> {
    change_file(fleet, change)?;
    for node in fleet.nodes() {
        let said = node.ask(&["reload"])?;
        ensure!(!said.contains("nothing has changed"), "{}: {said}", node.place().name);
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A connection to each of [`OWNERS`] in each family.
async fn connect(fleet: &Fleet) -> Result<Vec<Http3>> {
    let mut connections = Vec::new();
    for owner in OWNERS {
        fleet.router().route_to(&[owner])?;
        for anycast in ANYCAST {
            connections.push(fleet.client().connect(anycast).await?);
        }
    }
    fleet.router().route_to(&OWNERS)?;
    Ok(connections)
}

/// Asks again and again, until `stop`. How often; each answer is of the same worker.
async fn talk(connection: &Http3, stop: &AtomicBool) -> Result<usize> {
    let first = connection.identity().await?;
    let mut asked = 1;
    while !stop.load(Ordering::Relaxed) {
        ensure!(connection.identity().await? == first, "another owner after {asked} requests");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(asked)
}

/// A packet of a connection that is up, on its way from a client.
fn is_short_to_anycast(heard: &Heard) -> bool {
    let to = heard.destination;
    ANYCAST.contains(&to.ip()) && to.port() == PORT && heard.payload[0] & 0x80 == 0
}

/// The configs of the IDs that clients use now, as it is heard at the router.
fn in_use(fleet: &Fleet) -> Result<BTreeSet<u32>> {
    let tap = fleet.tap()?;
    thread::sleep(Duration::from_millis(300));
    let heard = tap.heard().into_iter().filter(is_short_to_anycast);
    Ok(heard.map(|heard| config_id(heard.payload[1])).collect())
}

/// Nothing of what nodes sent to nodes was dropped, and no ID was of an unknown owner.
fn ensure_nothing_was_lost(fleet: &Fleet) -> Result<()> {
    for node in fleet.nodes() {
        let metrics = node.metrics()?;
        for program in ["steer_node", "relay", "edge"] {
            for reason in [
                Reason::EncapsulationKey,
                Reason::EncapsulationForged,
                Reason::EncapsulationMalformed,
                Reason::OwnerUnknown,
                Reason::OwnerElsewhere,
                Reason::ResetSent,
            ] {
                let count = metrics.packets(program, reason);
                let name = node.place().name;
                ensure!(count == 0, "{name}: {count} packets ended as {reason:?} in {program}");
            }
        }
    }
    Ok(())
}

/// Seven configs at a time, of every length; three of them mint in turn, the last one under an ID
/// that another key had before, while keys of the other sorts change with them.
fn rotate(fleet: &Fleet) -> Result<()> {
    change(fleet, |secrets| {
        for (config, length) in [(1, 17), (2, 17), (3, 17), (4, 9), (5, 12), (6, 20)] {
            secrets.connection_ids.push(id_config(config, length, config));
        }
    })?;
    for (step, (left, id)) in (1u8..).zip([(0, 1), (1, 2), (2, 0)]) {
        let next = [step; 32];
        change(fleet, |secrets| {
            let key = EncapsulationSecret { key_id: id, key: [step; 16] };
            secrets.encapsulation_keys.push(key);
            secrets.tickets.next = Some(next);
            secrets.tokens.next = Some(next);
        })?;
        change(fleet, |secrets| {
            secrets.mint = id;
            secrets.encapsulate_with = id;
            for keys in [&mut secrets.tickets, &mut secrets.tokens] {
                *keys = Rotating { current: next, previous: Some(keys.current), next: None };
            }
        })?;
        let moved = || in_use(fleet).is_ok_and(|configs| configs == [u32::from(id)].into());
        eventually("clients use the new config", Duration::from_secs(15), moved)?;
        // The ID that is left is free again, for another key.
        change(fleet, |secrets| {
            secrets.connection_ids.retain(|config| config.config_id != left);
            secrets.encapsulation_keys.retain(|key| key.key_id != left);
            (secrets.tickets.previous, secrets.tokens.previous) = (None, None);
        })?;
        change(fleet, |secrets| {
            secrets.connection_ids.push(id_config(left, 17, 100 + left));
        })?;
        fleet.router().route_to(&[OWNERS[usize::from(step % 2)]])?;
    }
    Ok(())
}

#[test]
fn no_request_fails_while_every_key_changes_again_and_again() {
    let fleet = Fleet::start(&options()).expect("a fleet");
    let crossings = fleet.crossings(&OWNERS, &OWNERS).expect("counters");
    let stop = AtomicBool::new(false);
    let (asked, rotated) = thread::scope(|scope| {
        let rotation = scope.spawn(|| {
            let rotated = rotate(&fleet);
            stop.store(true, Ordering::Relaxed);
            rotated
        });
        let asked = fleet.client().run(async || {
            let connections = connect(&fleet).await?;
            try_join_all(connections.iter().map(|connection| talk(connection, &stop))).await
        });
        (asked, rotation.join().expect("no panic"))
    });
    let asked = asked.expect("every request is answered");
    rotated.expect("every node follows");
    assert!(asked.iter().all(|asked| *asked > 100), "{asked:?}");
    crossings.expect(100).expect("packets cross all the while");
    ensure_nothing_was_lost(&fleet).expect("no packet is lost");
}

/// A client that nobody here wrote gives up its IDs when it is asked to (RFC 9000 section 5.1.2).
#[test]
fn aioquic_moves_to_the_config_that_mints() {
    let fleet = Fleet::start(&options()).expect("a fleet");
    for (config, anycast) in (1..).zip(ANYCAST) {
        fleet.router().route_to(&["a1"]).expect("routed");
        let mut client = fleet.client().aioquic(anycast).expect("started");
        client.connected().expect("connected");
        let first = client.identity().expect("answered");
        fleet.router().route_to(&["a2"]).expect("routed");
        change(&fleet, |secrets| secrets.connection_ids.push(id_config(config, 17, config)))
            .expect("known everywhere");
        change(&fleet, |secrets| secrets.mint = config).expect("used everywhere");
        let mut moved = || {
            let tap = fleet.tap().expect("a tap");
            for _ in 0..3 {
                assert_eq!(client.identity().expect("answered"), first);
            }
            let heard = tap.heard().into_iter().filter(is_short_to_anycast);
            let used: BTreeSet<_> = heard.map(|heard| config_id(heard.payload[1])).collect();
            used == [u32::from(config)].into()
        };
        eventually("it uses the new config", Duration::from_secs(15), &mut moved).expect("moved");
        change(&fleet, |secrets| {
            secrets.connection_ids.retain(|old| old.config_id == config);
        })
        .expect("the old one goes");
        assert_eq!(client.identity().expect("answered"), first);
    }
    ensure_nothing_was_lost(&fleet).expect("no packet is lost");
}

/// The fleet rolls to another length: one node has begun anew, the others not yet.
#[test]
fn nodes_of_two_lengths_forward_to_each_other() {
    let fleet = Fleet::start(&options()).expect("a fleet");
    change(&fleet, |secrets| secrets.connection_ids.push(id_config(1, 12, 1))).expect("followed");
    let outcome = fleet.client().run(async || {
        fleet.router().route_to(&["a2"])?;
        let before = fleet.client().connect(ANYCAST[0]).await?;
        ensure!(before.identity().await?.name == "a2");
        change_file(&fleet, |secrets| secrets.mint = 1)?;
        let refused = fleet.node("a1").ask(&["reload"]).err().context("it was not refused")?;
        ensure!(format!("{refused:#}").contains("restart it to change the length"), "{refused:#}");
        let a2 = fleet.node("a2");
        a2.kill()?;
        a2.start()?;
        a2.wait_until_ready()?;

        // It says so to those who were connected to its earlier process, with IDs of the old length.
        let asked = timeout(Duration::from_secs(4), before.identity()).await;
        let reason = before.connection().close_reason();
        ensure!(reason == Some(ConnectionError::Reset), "{asked:?}, {reason:?}");

        let tap = fleet.tap()?;
        let connections = connect(&fleet).await?;
        for route in OWNERS {
            fleet.router().route_to(&[route])?;
            for (connection, owner) in connections.iter().zip(["a1", "a1", "a2", "a2"]) {
                for _ in 0..10 {
                    let name = connection.identity().await?.name;
                    ensure!(name == owner, "{name} answers for {owner}");
                }
            }
        }
        let heard = tap.heard().into_iter().filter(is_short_to_anycast);
        let lengths: BTreeSet<_> = heard.map(|heard| self_encoded_len(heard.payload[1])).collect();
        ensure!(lengths == [12, 17].into(), "IDs of {lengths:?} bytes");
        Ok(())
    });
    outcome.expect("each reaches its owner");
}
