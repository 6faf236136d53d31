//! The middle of a rotation of every key: a2 and b1 use the next ones, which a1 and a3 know.

use std::time::Duration;

use anyhow::ensure;
use edge_wire::Reason;
use quinn::ConnectionError;
use tests::fleet::{ANYCAST, Fleet, FleetOptions};
use tokio::time::timeout;

fn fleet(retry_threshold: u32) -> Fleet {
    let options =
        FleetOptions { rotated: vec!["a2", "b1"], retry_threshold, ..FleetOptions::default() };
    Fleet::start(&options).expect("a fleet")
}

#[test]
fn connections_of_both_generations_of_keys_are_steered_and_reset() {
    let fleet = fleet(1000);
    for (owner, elsewhere) in [("a1", "a2"), ("a2", "a1")] {
        let id = fleet.node(owner).place().id.to_string();
        let outcome = fleet.client().run(async || {
            for anycast in ANYCAST {
                fleet.router().route_to(&[owner])?;
                let connection = fleet.client().connect(anycast).await?;
                let first = connection.identity().await?;
                ensure!(first.name == owner, "{first:?}");
                let counted = fleet.crossings(&[elsewhere], &[owner])?;
                fleet.router().route_to(&[elsewhere])?;
                ensure!(connection.identity().await? == first, "another owner");
                counted.expect(1)?;
                // The key of resets is chosen by the config of the ID.
                fleet.node(elsewhere).admin(&["dead", &id])?;
                let asked = timeout(Duration::from_secs(4), connection.identity()).await;
                let reason = connection.connection().close_reason();
                ensure!(reason == Some(ConnectionError::Reset), "{asked:?}, {reason:?}");
                fleet.node(elsewhere).admin(&["live", &id])?;
            }
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("of {owner}, by {elsewhere}: {error:#}"));
    }
}

#[test]
fn tickets_and_tokens_of_both_generations_of_keys_are_taken() {
    let fleet = fleet(0);
    let client = fleet.client();
    for (from, to) in [("a1", "a2"), ("b1", "a3")] {
        let memory = client.directory().join(format!("memory-of-{from}"));
        for (node, known) in [(from, false), (to, true)] {
            fleet.router().route_to(&[node]).expect("routed");
            let mut aioquic = client.aioquic_with_memory(ANYCAST[0], &memory).expect("started");
            assert_eq!(aioquic.connected().expect("connected"), known, "resumed at {node}");
            assert_eq!(aioquic.identity().expect("answered").name, node);
            let metrics = fleet.node(node).metrics().expect("metrics");
            assert_eq!(metrics.packets("edge", Reason::RetrySent), u64::from(!known), "at {node}");
        }
    }
}
