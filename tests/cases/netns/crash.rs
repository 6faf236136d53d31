//! A node's process dies. What it received for others goes on, and what it owned is reset as soon
//! as somebody may say that it is gone, and not before.

use std::time::Duration;

use anyhow::{Result, ensure};
use edge_wire::Reason;
use quinn::ConnectionError;
use tests::fleet::{ANYCAST, Fleet, FleetOptions};
use tests::http3::Http3;
use tokio::time::timeout;

/// A reset is wanted well before any idle timeout.
const RESET_WITHIN: Duration = Duration::from_secs(4);

async fn connect(fleet: &Fleet, family: usize, node: &str) -> Result<Http3> {
    fleet.router().route_to(&[node])?;
    let connection = fleet.client().connect(ANYCAST[family]).await?;
    ensure!(connection.identity().await?.name == node, "not {node} answers");
    Ok(connection)
}

/// A request of `connection` is answered by a stateless reset (RFC 9000 section 10.3).
async fn expect_reset(connection: &Http3) -> Result<()> {
    let asked = timeout(RESET_WITHIN, connection.identity()).await;
    let reason = connection.connection().close_reason();
    ensure!(reason == Some(ConnectionError::Reset), "{asked:?}, ended by {reason:?}");
    Ok(())
}

#[test]
fn a_crashed_node_still_forwards_what_belongs_to_others() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let outcome = fleet.client().run(async || {
        for family in [0, 1] {
            let connection = connect(&fleet, family, "a1").await?;
            fleet.router().route_to(&["a2"])?;
            let first = connection.identity().await?;
            let a2 = fleet.node("a2");
            a2.kill()?;
            for _ in 0..5 {
                ensure!(connection.identity().await? == first, "another owner");
            }
            a2.start()?;
            a2.wait_until_ready()?;
            ensure!(connection.identity().await? == first, "another owner after the restart");
        }
        Ok(())
    });
    outcome.expect("the connection lives on");
}

#[test]
fn a_restarted_node_resets_its_old_connections_and_no_others() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let outcome = fleet.client().run(async || {
        for family in [0, 1] {
            let others = connect(&fleet, family, "a1").await?;
            let old = connect(&fleet, family, "a2").await?;
            let a2 = fleet.node("a2");
            a2.kill()?;
            a2.start()?;
            a2.wait_until_ready()?;
            expect_reset(&old).await?;
            others.identity().await?;
            let new = fleet.client().connect(ANYCAST[family]).await?.identity().await?;
            ensure!(new.name == "a2", "the restarted node takes new connections: {new:?}");
        }
        Ok(())
    });
    outcome.expect("old ones are reset, others live on");
}

#[test]
fn another_node_resets_the_connections_of_one_that_was_declared_dead() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let outcome = fleet.client().run(async || {
        let (ipv4, ipv6) = (connect(&fleet, 0, "a1").await?, connect(&fleet, 1, "a1").await?);
        fleet.node("a1").kill()?;
        fleet.router().route_to(&["a2"])?;
        fleet.node("a2").admin(&["dead", "1"])?;
        expect_reset(&ipv4).await?;
        expect_reset(&ipv6).await
    });
    outcome.expect("reset");
}

/// RFC 9000 section 21.11: who cannot know that a connection is gone must not reset it.
#[test]
fn connections_of_a_node_nobody_knows_about_meet_silence() {
    let options = FleetOptions { unknown: vec!["a1"], ..FleetOptions::pair() };
    let fleet = Fleet::start(&options).expect("a fleet");
    let outcome = fleet.client().run(async || {
        let connection = connect(&fleet, 0, "a1").await?;
        fleet.router().route_to(&["a2"])?;
        let answer = timeout(Duration::from_secs(2), connection.identity()).await;
        ensure!(answer.is_err(), "an answer: {answer:?}");
        let reason = connection.connection().close_reason();
        ensure!(reason.is_none(), "ended by {reason:?}");
        let metrics = fleet.node("a2").metrics()?;
        let unknown = metrics.packets("steer_node", Reason::OwnerUnknown);
        ensure!(unknown > 0, "no packet was seen to be of an unknown owner");
        // The route comes back, and with it the answers.
        fleet.router().route_to(&["a1"])?;
        connection.identity().await?;
        Ok(())
    });
    outcome.expect("silence, and no more");
}
