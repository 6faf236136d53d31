//! Certificates that live for minutes: renewed in time, while clients talk.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tests::fleet::{Following, FollowingOptions};
use tests::pebble::PebbleOptions;

use super::talk::while_clients_talk;

/// Renewed when two thirds of it are over.
const LIFE: Duration = Duration::from_secs(120);

#[test]
fn certificates_of_two_minutes_are_renewed_in_time_while_clients_talk() {
    let authority = PebbleOptions { validity: LIFE, ..PebbleOptions::default() };
    let options = FollowingOptions { authority, ..FollowingOptions::default() };
    let following = Following::start(&options).expect("a fleet");
    following.issue().expect("issued");
    let mut seen = BTreeSet::new();
    let (_, talk) = while_clients_talk(&following.fleet, &["a1", "a2"], || {
        while seen.len() < 2 {
            let is_new = |certificate: &Value| {
                certificate["fingerprint"].as_str().is_some_and(|it| !seen.contains(it))
            };
            let renewed = following.wait_for_certificate("it is renewed", LIFE, is_new)?;
            seen.insert(renewed["fingerprint"].to_string().replace('"', ""));
        }
        following.wait_until_served().context("the last one")
    })
    .expect("nobody notices");
    assert!(talk.newcomers > 20 && talk.requests.iter().all(|asked| *asked > 100), "{talk:?}");
}
