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
