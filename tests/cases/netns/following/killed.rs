//! The controller dies in the midst of an order, again and again.

use std::thread;
use std::time::Duration;

use tests::fleet::{Following, FollowingOptions};

/// From the request to each death; they meet every part of an order, which takes a second or two.
const LIVES: [u64; 8] = [20, 60, 120, 200, 300, 450, 700, 1_000];

#[test]
fn a_controller_that_is_killed_in_the_midst_ends_with_a_certificate() {
    let following = Following::start(&FollowingOptions::default()).expect("a fleet");
    let controller = &following.controller;
    following.request().expect("requested");
    for milliseconds in LIVES {
        thread::sleep(Duration::from_millis(milliseconds));
        controller.kill().expect("it ran");
        controller.start().expect("it serves again");
    }
    let listed = following.wait_until_served().expect("issued");
    following.wait_until_shown(&listed).expect("every node shows it");
    // Only the gap between the authority's making an order and our noting it can make another.
    let orders = following.authority.log().matches("Added order").count();
    assert!((1..=2).contains(&orders), "{orders} orders:\n{}", controller.log());
}
