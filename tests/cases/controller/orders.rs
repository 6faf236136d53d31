//! Orders against a real authority, which knocks on the ports of an edge that answers from the
//! ledger's book.

pub(crate) mod bed;
pub(crate) mod edge;

use std::time::{Duration, Instant};

use controller::acme::Deed as Command;
use controller::records::{Certificate, Challenge, Order};

use tests::pebble::{Deed, Endpoint, PebbleOptions};

use bed::{Bed, UNRULY};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_order_reaches_every_node_and_leaves_nothing_behind() {
    let bed = Bed::new(PebbleOptions::default()).await;
    let began = Instant::now();
    bed.request("www.example.net").await;
    let certificate = bed.certificate("www.example.net", LONG).await;
    println!("order_to_served: {:.3} s", began.elapsed().as_secs_f64());
    assert_eq!(certificate.names, ["www.example.net"]);
    bed.until("nothing is left", LONG, || {
        bed.ledger.all::<Order>().is_empty() && bed.ledger.all::<Challenge>().is_empty()
    })
    .await;
    assert_eq!(bed.orders(), 1);
}

#[tokio::test]
async fn one_nonce_in_five_that_is_refused_holds_nothing_up() {
    let bed =
        Bed::new(PebbleOptions { nonce_rejections_percent: 20, ..PebbleOptions::default() }).await;
    for name in ["a.example.net", "b.example.net", "c.example.net"] {
        bed.request(name).await;
    }
    for name in ["a.example.net", "b.example.net", "c.example.net"] {
        bed.certificate(name, LONG).await;
    }
    assert_eq!(bed.orders(), 3);
}

#[tokio::test]
async fn a_controller_that_dies_after_each_step_goes_on_with_the_same_order() {
    let mut bed = Bed::new(PebbleOptions::default()).await;
    bed.request("www.example.net").await;
    let mut deaths = 0;
    while bed.ledger.get::<Certificate>("www.example.net").is_none() {
        bed.until_it_moves(LONG).await;
        bed.die_and_return().await;
        deaths += 1;
        assert!(deaths < 60, "it does not come to its end");
    }
    bed.certificate("www.example.net", LONG).await;
    assert!(deaths >= 5, "{deaths}");
    assert_eq!(bed.orders(), 1, "after {deaths} deaths");
}

/// The authority did what it was asked, and the controller died before it heard of it. Where that was
/// the order itself, it is in the account's list (RFC 8555 section 7.1.2.1).
#[tokio::test]
async fn a_controller_that_dies_before_it_hears_an_answer_goes_on_with_the_same_order() {
    let mut bed = Bed::new(PebbleOptions::default()).await;
    let mut orders = 0;
    for (path, endpoint) in [
        ("/order-plz", Endpoint::NewOrder),
        ("/authZ/", Endpoint::Authorization),
        ("/chalZ/", Endpoint::Challenge),
        ("/finalize-order/", Endpoint::Finalize),
        ("/certZ/", Endpoint::Certificate),
    ] {
        let heard = |bed: &Bed| bed.authority.log().matches(&format!("POST {path}")).count();
        let before = heard(&bed);
        bed.unruly.always(endpoint, Deed::Swallow);
        let name = format!("{orders}.example.net");
        bed.request_at(UNRULY, &[&name, &format!("www.{name}")]).await;
        let does = async {
            while heard(&bed) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, does).await.unwrap_or_else(|_| panic!("{endpoint:?}"));
        bed.die_and_return().await;
        bed.unruly.behave();
        bed.certificate(&name, LONG).await;
        bed.until_idle(LONG).await;
        orders += 1;
        assert_eq!(bed.orders(), orders, "{endpoint:?}");
    }
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_is_found_again_by_the_next_attempt() {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        issuers.times.request = Duration::from_secs(1);
    })
    .await;
    bed.unruly.next(Endpoint::NewOrder, 1, Deed::Swallow);
    bed.request_at(UNRULY, &["www.example.net"]).await;
    bed.until("it has failed", LONG, || bed.failure("www.example.net").is_some()).await;
    bed.ask(Command::Renew("www.example.net".into())).await.expect("begun");
    bed.certificate("www.example.net", LONG).await;
    assert_eq!(bed.orders(), 1);
}

/// RFC 8555 section 7.1.4: an authority that remembers asks for nothing.
#[tokio::test]
async fn where_the_authority_remembers_no_node_is_waited_for() {
    let options = PebbleOptions { authorization_reuse_percent: 100, ..PebbleOptions::default() };
    let bed = Bed::new(options).await;
    bed.request_at(UNRULY, &["www.example.net"]).await;
    let first = bed.certificate("www.example.net", LONG).await;
    bed.until_idle(LONG).await;
    let barriers = || bed.observed.barrier_seconds.get_sample_count();
    assert_eq!((barriers(), bed.unruly.requests(Endpoint::Challenge)), (1, 1));
    bed.ask(Command::Renew("www.example.net".into())).await.expect("begun");
    let renewed = || bed.certificate_now("www.example.net") != Some(first.clone());
    bed.until("it is renewed", LONG, renewed).await;
    assert_eq!((barriers(), bed.unruly.requests(Endpoint::Challenge)), (1, 1));
}

#[tokio::test]
async fn a_certificate_of_seconds_is_renewed_before_it_ends() {
    // Twenty seconds, so that it can be watched.
    let bed =
        Bed::new(PebbleOptions { validity: Duration::from_secs(20), ..PebbleOptions::default() })
            .await;
    bed.request("www.example.net").await;
    let first = bed.certificate("www.example.net", LONG).await;
    let renewed = || {
        let now = bed.ledger.get::<Certificate>("www.example.net");
        now.is_some_and(|now| now.value.fingerprint != first.fingerprint)
    };
    bed.until("it is renewed", LONG, renewed).await;
    let second = bed.certificate("www.example.net", LONG).await;
    assert!(second.not_before < first.not_after, "the old one had ended");
}

#[tokio::test]
async fn an_authority_that_says_no_is_not_asked_again_at_once() {
    let refused_names = vec!["blocked-domain.example".to_owned()];
    let bed = Bed::new(PebbleOptions { refused_names, ..PebbleOptions::default() }).await;
    bed.request("blocked-domain.example").await;
    let failed = || bed.failure("blocked-domain.example").is_some();
    bed.until("it has failed", LONG, failed).await;
    let failure = bed.failure("blocked-domain.example").expect("it has");
    assert!(failure.contains("does not issue for this name"), "{failure}");
    // Others are not held up, and the attempt was one.
    bed.request("www.example.net").await;
    bed.certificate("www.example.net", LONG).await;
    assert_eq!(bed.orders(), 1);
}
