//! Authorities that suggest when to renew (RFC 9773).

use std::time::{Duration, SystemTime};

use controller::acme::Times;
use controller::records::Certificate;
use tests::pebble::{Deed, Endpoint, PebbleOptions};

use super::orders::bed::{Bed, PEBBLE, UNRULY};

const LONG: Duration = Duration::from_secs(60);
const NAME: &str = "www.example.net";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn bed() -> Bed {
    Bed::with(PebbleOptions::default(), |issuers, _| {
        issuers.times = Times { request: Duration::from_secs(2), ..Times::default() };
    })
    .await
}

/// After an incident an authority wants what it issued renewed, though it is new.
#[tokio::test]
async fn a_window_that_has_begun_renews_a_certificate_once() {
    let mut bed = bed().await;
    let now = SystemTime::now();
    bed.unruly.suggest(now + 30 * DAY, now + 31 * DAY, 3_600);
    bed.request_at(UNRULY, &[NAME]).await;
    let first = bed.certificate(NAME, LONG).await;
    bed.until_idle(LONG).await;
    bed.until_asked(Endpoint::RenewalInfo, 1, LONG).await;

    // A controller that has just started does not wait for its own rest.
    bed.unruly.suggest(now - DAY, now - DAY / 2, 3_600);
    bed.die_and_return().await;
    let renewed = || bed.ledger.get::<Certificate>(NAME).is_some_and(|now| now.value != first);
    bed.until("it is renewed", LONG, renewed).await;
    bed.until_idle(LONG).await;
    // The window of the new one has begun, too: that is no loop.
    bed.until_asked(Endpoint::RenewalInfo, 3, LONG).await;
    bed.request_at(UNRULY, &["other.example.net"]).await;
    bed.certificate("other.example.net", LONG).await;
    bed.until_asked(Endpoint::RenewalInfo, 4, LONG).await;
    assert_eq!(bed.orders(), 3);
}

#[tokio::test]
async fn an_authority_is_asked_as_often_as_it_says_and_only_for_what_it_issued() {
    let bed = bed().await;
    let now = SystemTime::now();
    // Less than a minute is a minute (RFC 9773 section 4.3.2).
    bed.unruly.suggest(now + 30 * DAY, now + 31 * DAY, 1);
    bed.request_at(UNRULY, &[NAME]).await;
    bed.certificate(NAME, LONG).await;
    bed.until_asked(Endpoint::RenewalInfo, 1, LONG).await;
    for name in ["a.example.net", "b.example.net"] {
        bed.request_at(PEBBLE, &[name]).await;
        bed.certificate(name, LONG).await;
    }
    bed.until_idle(LONG).await;
    assert_eq!(bed.unruly.requests(Endpoint::RenewalInfo), 1);
}

#[tokio::test]
async fn an_authority_that_gives_no_window_holds_up_nothing() {
    let bed = bed().await;
    let now = SystemTime::now();
    bed.unruly.suggest(now - DAY, now, 60);
    for (number, deed) in [
        Deed::Fail { status: 500, problem: None, retry_after_seconds: Some(3_600) },
        Deed::Garble,
        Deed::Hang,
    ]
    .into_iter()
    .enumerate()
    {
        bed.unruly.always(Endpoint::RenewalInfo, deed);
        let name = format!("{number}.example.net");
        bed.request_at(UNRULY, &[&name]).await;
        let certificate = bed.certificate(&name, LONG).await;
        bed.until_idle(LONG).await;
        bed.until_asked(Endpoint::RenewalInfo, number + 1, LONG).await;
        assert_eq!(bed.certificate(&name, LONG).await, certificate, "nothing was suggested");
    }
    assert_eq!(bed.orders(), 3);
    bed.unruly.behave();
}
