//! The figures of `cargo xtask stickiness`, small.

use tests::stickiness::{Scenario, run};

#[test]
fn stickiness_holds_with_steering() {
    let outcome = run(Scenario::NodeAdded, true, 60).expect("a run");
    assert!(outcome.held(), "{outcome:?}");
    assert!(outcome.requests >= 600, "{outcome:?}");
    assert!(outcome.forwarded_percent > 0.0, "no flow moved, nothing was shown: {outcome:?}");
}

/// So that the case above can fail.
#[test]
fn stickiness_does_not_hold_without_steering() {
    let outcome = run(Scenario::NodeAdded, false, 60).expect("a run");
    assert!(outcome.survived < outcome.connections, "{outcome:?}");
}

/// A connection ID names a worker that exists only at its own node.
#[test]
fn nodes_may_have_different_numbers_of_workers() {
    let outcome = run(Scenario::UnevenWorkers, true, 60).expect("a run");
    assert!(outcome.held(), "{outcome:?}");
    assert!(outcome.forwarded_percent > 0.0, "no packet crossed, nothing was shown: {outcome:?}");
}

#[test]
fn good_clients_outlast_a_flood_of_initials() {
    let outcome = run(Scenario::FloodBeside, true, 50).expect("a run");
    assert!(outcome.held(), "{outcome:?}");
    let flood = outcome.flood.as_ref().expect("there was one");
    assert!(flood.most_in_progress >= u64::from(flood.retry_threshold), "{outcome:?}");
    let limited = flood.packets.iter().filter(|(name, _)| name.contains("initial_limited"));
    assert!(limited.map(|(_, packets)| packets).sum::<u64>() > 0, "{outcome:?}");
}
