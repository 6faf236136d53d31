//! The program itself against an authority: orders, accounts and revocations by an operator's
//! commands, and kill -9 at any moment. DNS-01 needs no node.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tests::fleet::controller::issuer;
use tests::fleet::{Controller, ControllerOptions};
use tests::pebble::{Pebble, PebbleOptions};

use super::challenges::hook;

/// A busy machine takes a while for everything.
const WITHIN: Duration = Duration::from_secs(60);
const LIST: [&str; 2] = ["certificates", "list"];

/// An issuer at a port where nobody listens.
const UNREACHABLE: &str = "[issuers.nowhere]\ndirectory = \"https://127.0.0.1:1/directory\"\n";

struct Bed {
    place: tempfile::TempDir,
    authority: Pebble,
    controller: Controller,
}

impl Bed {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let authority = Pebble::start(PebbleOptions::default()).expect("pebble");
        let hook = hook(place.path(), &authority);
        let more = format!("challenge = \"dns-01\"\ndns_hook = \"{}\"", hook.display());
        let tables = format!("{}{}", issuer(&authority, &more), UNREACHABLE);
        let options = ControllerOptions { tables, ..ControllerOptions::default() };
        let controller = Controller::create(place.path(), &options).expect("made");
        controller.start().expect("it serves");
        Self { place, authority, controller }
    }

    fn request(&self, name: &str) {
        let words = ["certificates", "request", name, "--issuer", "pebble"];
        self.controller.run(&words).expect("taken");
    }

    fn until_served(&self, fingerprint: impl Fn(&str) -> bool) -> String {
        let first = |list: &Value| list["certificates"][0]["fingerprint"].clone();
        let is_there = |list: &Value| first(list).as_str().is_some_and(&fingerprint);
        let list = self.controller.until("it is served", WITHIN, &LIST, is_there);
        first(&list.expect("served")).as_str().expect("text").to_owned()
    }
}

#[test]
fn a_program_that_is_killed_at_any_moment_goes_on_with_the_same_order() {
    let bed = Bed::new();
    bed.request("*.example.net");
    for kill in 0..20 {
        // From before the first step to after the last, whatever this machine makes of it.
        sleep(Duration::from_millis(7 * kill));
        bed.controller.kill().expect("it ran");
        bed.controller.start().expect("it serves again");
    }
    bed.until_served(|it| !it.is_empty());
    let orders = bed.authority.log().matches("Added order").count();
    assert_eq!(orders, 1, "{}", bed.controller.log());
    let idle = |status: &Value| status["orders"] == 0;
    bed.controller.until("it is idle", WITHIN, &["status"], idle).expect("idle");
    let hooked = std::fs::read_to_string(bed.place.path().join("log")).expect("it was asked");
    assert!(hooked.lines().last().expect("a line").starts_with("cleanup "), "{hooked}");
}

#[test]
fn an_operator_changes_the_key_of_an_account_and_revokes_a_certificate() {
    let bed = Bed::new();
    bed.request("www.example.net");
    let first = bed.until_served(|it| !it.is_empty());
    let accounts = || bed.controller.ask(&["accounts", "list"]).expect("answered");
    let before = accounts();
    assert_eq!(before["accounts"][0]["issuer"], "pebble");
    let idle = |status: &Value| status["orders"] == 0;
    bed.controller.until("it is idle", WITHIN, &["status"], idle).expect("idle");
    let said = bed.controller.run(&["accounts", "rollover", "pebble"]).expect("rolled");
    assert_eq!(said, "the account at pebble has a new key\n");
    assert_eq!(accounts(), before, "it is the same account");

    let revoke = ["certificates", "revoke", "www.example.net", "--reason", "key-compromise"];
    let said = bed.controller.run(&revoke).expect("revoked");
    assert!(said.contains("is revoked (key-compromise), and a new one ordered"), "{said}");
    bed.until_served(|it| !it.is_empty() && it != first);
}

/// By the commands that an operator has, not by what is in the store.
#[test]
fn an_operator_is_told_why_an_order_fails_and_what_cannot_be_done_about_it() {
    let bed = Bed::new();
    let controller = &bed.controller;
    let request = |name, issuer| ["certificates", "request", name, "--issuer", issuer];
    controller.run(&request("never.example.net", "nowhere")).expect("taken");
    let failed = |list: &Value| list["certificates"][0]["failure"] != "";
    let list = controller.until("it fails", WITHIN, &LIST, failed).expect("it fails");
    let entry = &list["certificates"][0];
    assert_eq!((&entry["state"], &entry["order"]), (&"waiting".into(), &"waiting".into()));
    let why = entry["failure"].as_str().expect("text");
    let status = controller.ask(&["status"]).expect("answered");
    assert_eq!((&status["orders"], &status["certificates_missing"]), (&0.into(), &1.into()));
    assert_eq!(status["troubles"][0], format!("the order for never.example.net fails: {why}"));
    let metrics = controller.metrics().expect("metrics");
    assert_eq!(metrics.sum("landfast_controller_certificates", &[r#"state="missing""#]), 1);

    controller.run(&request("own.example.net", "internal")).expect("taken");
    let own = |list: &Value| list.to_string().contains("\"state\":\"served\"");
    controller.until("it is served", WITHIN, &LIST, own).expect("it is");
    let refused = controller.run(&["certificates", "revoke", "own.example.net"]);
    let refused = refused.expect_err("no authority's").to_string();
    assert!(refused.contains("`certificates renew`"), "{refused}");
}
