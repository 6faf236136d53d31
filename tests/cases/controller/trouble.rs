//! An authority that says no, that it is broken, nothing at all, or too much; and what becomes of
//! orders, old certificates, and other authorities meanwhile.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use controller::acme::{Deed as Command, Times};
use controller::records::Certificate;
use controller::renew::Limits;
use tests::pebble::{Deed, Endpoint, PebbleOptions};

use super::orders::bed::{Bed, PEBBLE, UNRULY};

const LONG: Duration = Duration::from_secs(60);
const OLD: &str = "old.example.net";

/// An authority that does not answer is given up after this.
const REQUEST: Duration = Duration::from_secs(2);

/// A bed with a certificate of the authority that will misbehave.
async fn bed(options: PebbleOptions) -> (Bed, Certificate) {
    let bed = Bed::with(options, |issuers, _| {
        issuers.times = Times { request: REQUEST, ..Times::default() };
    })
    .await;
    bed.request_at(UNRULY, &[OLD]).await;
    let old = bed.certificate(OLD, LONG).await;
    bed.until_idle(LONG).await;
    (bed, old)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[tokio::test]
async fn an_authority_that_says_500_leaves_the_old_certificate_and_is_not_asked_again_at_once() {
    let (bed, old) = bed(PebbleOptions::default()).await;
    let broken = Deed::Fail { status: 500, problem: None, retry_after_seconds: None };
    bed.unruly.always(Endpoint::NewOrder, broken);
    bed.ask(Command::Renew(OLD.into())).await.expect("begun");
    bed.until("it has failed", LONG, || bed.failure(OLD).is_some()).await;
    let failure = bed.failure(OLD).expect("it has");
    assert!(failure.contains("500"), "{failure}");

    // Nobody else is held up, and nothing was asked twice meanwhile.
    bed.request_at(PEBBLE, &["other.example.net"]).await;
    bed.certificate("other.example.net", LONG).await;
    assert_eq!(bed.certificate(OLD, LONG).await, old);
    assert_eq!(bed.unruly.requests(Endpoint::NewOrder), 2);

    bed.unruly.behave();
    bed.ask(Command::Renew(OLD.into())).await.expect("begun");
    let renewed = || bed.ledger.get::<Certificate>(OLD).is_some_and(|now| now.value != old);
    bed.until("it is renewed", LONG, renewed).await;
}

#[tokio::test]
async fn an_authority_that_hangs_is_given_up_in_time_and_holds_up_nobody_else() {
    let (bed, old) = bed(PebbleOptions::default()).await;
    for (number, endpoint) in
        [Endpoint::Directory, Endpoint::NewNonce, Endpoint::NewOrder, Endpoint::Finalize]
            .into_iter()
            .enumerate()
    {
        bed.unruly.always(endpoint, Deed::Hang);
        bed.ask(Command::Renew(OLD.into())).await.expect("begun");
        // Another authority issues while this one says nothing.
        let other = format!("{number}.example.net");
        bed.request_at(PEBBLE, &[&other]).await;
        bed.certificate(&other, LONG).await;
        bed.until("it is given up", LONG, || bed.failure(OLD).is_some()).await;
        let failure = bed.failure(OLD).expect("it is");
        assert!(failure.contains("no answer within 2 s"), "{endpoint:?}: {failure}");
        assert_eq!(bed.certificate(OLD, LONG).await, old);
        bed.unruly.behave();
        bed.ask(Command::Renew(OLD.into())).await.expect("begun");
        let renewed = || bed.failure(OLD).is_none();
        bed.until("it is asked for again", LONG, renewed).await;
        bed.until_idle(LONG).await;
        assert_ne!(bed.certificate(OLD, LONG).await, old);
        return_to(&bed, &old).await;
    }
}

#[tokio::test]
async fn an_order_that_gets_no_answer_holds_up_no_other_at_the_same_authority() {
    let bed = Bed::new(PebbleOptions::default()).await;
    bed.unruly.next(Endpoint::NewOrder, 1, Deed::Hang);
    bed.request_at(UNRULY, &["first.example.net"]).await;
    bed.until_asked(Endpoint::NewOrder, 1, LONG).await;
    bed.request_at(UNRULY, &["second.example.net"]).await;
    bed.certificate("second.example.net", LONG).await;
    assert!(bed.ledger.get::<Certificate>("first.example.net").is_none());
    bed.unruly.behave();
    bed.until("the other is given up", LONG, || bed.failure("first.example.net").is_some()).await;
}

/// So that the next turn of a loop begins as the first did.
async fn return_to(bed: &Bed, old: &Certificate) {
    let change = controller::ledger::Change::new().put(old.clone());
    bed.ledger.commit(change).await.expect("kept");
}

/// RFC 8555 section 6.6.
#[tokio::test]
async fn an_authority_whose_limit_is_reached_says_when_to_come_again() {
    let (bed, old) = bed(PebbleOptions::default()).await;
    let limited =
        Deed::Fail { status: 429, problem: Some("rateLimited"), retry_after_seconds: Some(1_000) };
    bed.unruly.always(Endpoint::NewOrder, limited);
    let before = now();
    bed.ask(Command::Renew(OLD.into())).await.expect("begun");
    bed.until("it has failed", LONG, || bed.failure(OLD).is_some()).await;
    let failure = bed.failure(OLD).expect("it has");
    assert!(failure.contains("the authority's limit is reached"), "{failure}");
    let not_before = bed.not_before(OLD).expect("a time");
    assert!((before + 1_000..=now() + 1_000).contains(&not_before), "{not_before}");
    let limited = bed.observed.orders.with_label_values(&[UNRULY, "rate_limited"]);
    assert_eq!(limited.get(), 1);
    assert_eq!(bed.certificate(OLD, LONG).await, old);
}

/// RFC 8555 section 7.5.1.
#[tokio::test]
async fn an_order_that_takes_its_time_is_looked_at_when_the_authority_says() {
    let validation_delay = Duration::from_secs(5);
    let bed = Bed::new(PebbleOptions { validation_delay, ..PebbleOptions::default() }).await;
    bed.unruly.always(Endpoint::Order, Deed::Delay { retry_after_seconds: 3 });
    bed.request_at(UNRULY, &["slow.example.net"]).await;
    bed.certificate("slow.example.net", LONG).await;
    // By itself it would have looked ten times in five seconds.
    let looks = bed.unruly.requests(Endpoint::Order);
    assert!(looks <= 6, "{looks}");
}

#[tokio::test]
async fn an_authority_that_answers_with_something_else_is_not_believed() {
    let (bed, old) = bed(PebbleOptions::default()).await;
    for endpoint in [Endpoint::NewOrder, Endpoint::Certificate] {
        bed.unruly.always(endpoint, Deed::Garble);
        bed.ask(Command::Renew(OLD.into())).await.expect("begun");
        bed.until("it has failed", LONG, || bed.failure(OLD).is_some()).await;
        assert_eq!(bed.certificate(OLD, LONG).await, old);
        bed.unruly.behave();
    }
}

#[tokio::test]
async fn a_failure_between_does_not_let_a_certificate_of_seconds_end() {
    let validity = Duration::from_secs(24);
    let (bed, old) = bed(PebbleOptions { validity, ..PebbleOptions::default() }).await;
    let broken = Deed::Fail { status: 503, problem: None, retry_after_seconds: Some(1) };
    bed.unruly.next(Endpoint::NewOrder, 1, broken);
    let renewed = || bed.ledger.get::<Certificate>(OLD).is_some_and(|now| now.value != old);
    bed.until("it is renewed", LONG, renewed).await;
    assert_eq!(bed.unruly.requests(Endpoint::NewOrder), 3, "one of them failed");
    assert!(bed.certificate(OLD, LONG).await.not_before < old.not_after, "the old one had ended");
}

#[tokio::test]
async fn orders_beyond_an_issuer_s_limit_wait_and_others_do_not() {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        let unruly = issuers.by_name.get_mut(UNRULY).expect("there");
        unruly.limits = Limits { concurrent: 1, an_hour: 2 };
    })
    .await;
    let names = ["a.example.net", "b.example.net", "c.example.net"];
    for name in names {
        bed.request_at(UNRULY, &[name]).await;
    }
    let issued =
        || names.iter().filter(|name| bed.ledger.get::<Certificate>(name).is_some()).count();
    bed.until("two are issued", LONG, || issued() == 2).await;
    bed.until_idle(LONG).await;
    for name in ["d.example.net", "e.example.net"] {
        bed.request(name).await;
        bed.certificate(name, LONG).await;
    }
    assert_eq!((issued(), bed.unruly.requests(Endpoint::NewOrder)), (2, 2));
}
