//! An authority that means ill, or whoever has taken it over. What it may not do: choose what the hook
//! is called with, stop other orders, fill the store, write lines of the log.

use std::path::Path;
use std::time::Duration;

use controller::config::ChallengeKind;
use controller::records::{Certificate, Challenge};
use controller::renew::Limits;
use tests::pebble::{Deed, Endpoint, PebbleOptions};

use super::challenges::install;
use super::orders::bed::{Bed, UNRULY};

const LONG: Duration = Duration::from_secs(60);
const NAME: &str = "www.example.net";

/// Until it has looked at an answer.
const SLOW: Duration = Duration::from_secs(4);

async fn bed() -> Bed {
    bed_of(Duration::ZERO).await
}

/// A bed whose issuer has room for one order.
async fn bed_of(validation_delay: Duration) -> Bed {
    Bed::with(PebbleOptions { validation_delay, ..PebbleOptions::default() }, |issuers, _| {
        let unruly = issuers.by_name.get_mut(UNRULY).expect("there");
        unruly.limits = Limits { concurrent: 1, an_hour: 50 };
    })
    .await
}

async fn failure(bed: &Bed) -> String {
    bed.request_at(UNRULY, &[NAME]).await;
    bed.until("it has failed", LONG, || bed.failure(NAME).is_some()).await;
    bed.failure(NAME).expect("it has")
}

/// Another order at the same authority, which behaves again, goes through.
async fn ensure_its_place_is_free(bed: &Bed) {
    bed.unruly.behave();
    bed.request_at(UNRULY, &["next.example.net"]).await;
    bed.certificate("next.example.net", LONG).await;
}

#[tokio::test]
async fn it_asks_about_no_name_that_was_not_ordered() {
    let place = tempfile::tempdir().expect("a directory");
    let log = place.path().join("called");
    let script = format!("#!/bin/bash\necho \"$*\" >> {}\n", log.display());
    let hook = install(&script, place.path().join("hook"));
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        let unruly = issuers.by_name.get_mut(UNRULY).expect("there");
        (unruly.challenge, unruly.dns_hook) = (ChallengeKind::Dns01, Some(hook));
    })
    .await;
    let zone = "a.example.org 60 TXT x\\nupdate delete example.net A\\nsend\\n;".to_owned();
    bed.unruly.always(Endpoint::Authorization, Deed::Replace(NAME, zone));
    let why = failure(&bed).await;
    assert!(why.contains("which was not ordered") && !why.contains('\n'), "{why:?}");
    assert!(!Path::exists(&log), "the hook was called");
}

#[tokio::test]
async fn its_tokens_are_tokens() {
    let bed = bed().await;
    let token = format!("\"token\": \"{}", "x".repeat(200));
    bed.unruly.always(Endpoint::Authorization, Deed::Replace("\"token\": \"", token));
    let why = failure(&bed).await;
    assert!(why.contains("RFC 8555 section 8.3"), "{why}");
    assert!(bed.ledger.all::<Challenge>().is_empty(), "nodes got it");
    ensure_its_place_is_free(&bed).await;
}

#[tokio::test]
async fn it_wants_no_more_authorizations_than_names() {
    let bed = bed().await;
    let more = "\"authorizations\": [\"https://127.0.0.1:1/a\",".to_owned();
    bed.unruly.always(Endpoint::NewOrder, Deed::Replace("\"authorizations\": [", more));
    let why = failure(&bed).await;
    assert!(why.contains("2 authorizations for 1 names"), "{why}");
    ensure_its_place_is_free(&bed).await;
}

/// The time at which to come again is beyond every clock's end.
#[tokio::test]
async fn it_cannot_end_an_order_by_a_wait_without_end() {
    let bed = bed_of(SLOW).await;
    bed.unruly.always(Endpoint::Order, Deed::Delay { retry_after_seconds: u64::MAX });
    let why = failure(&bed).await;
    assert!(why.contains("the order stays"), "{why}");
    ensure_its_place_is_free(&bed).await;
}

#[tokio::test]
async fn it_is_not_asked_without_pause_because_it_says_so() {
    let bed = bed_of(SLOW).await;
    bed.unruly.always(Endpoint::Order, Deed::Delay { retry_after_seconds: 0 });
    bed.request_at(UNRULY, &[NAME]).await;
    bed.certificate(NAME, LONG).await;
    let looks = bed.unruly.requests(Endpoint::Order);
    assert!(looks <= 30, "{looks}");
}

#[tokio::test]
async fn its_words_fill_no_store_write_no_log_and_are_no_reason_to_ask_again_at_once() {
    let bed = bed().await;
    let status = format!("\"status\": \"{}", "\\u001b[2JA\\n".repeat(60_000));
    bed.unruly.always(Endpoint::Order, Deed::Replace("\"status\": \"", status));
    let why = failure(&bed).await;
    assert!(why.len() <= controller::limits::MAX_TROUBLE_BYTES, "{}", why.len());
    assert!(!why.contains(char::is_control), "{why:?}");
    let asked = bed.unruly.requests(Endpoint::Order);
    ensure_its_place_is_free(&bed).await;
    assert!(bed.ledger.get::<Certificate>(NAME).is_none());
    assert!(asked < 5, "{asked}");
}
