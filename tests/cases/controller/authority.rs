//! The authority of these tests itself, before any controller asks it.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tests::pebble::account::Account;
use tests::pebble::{Deed, Endpoint, Pebble, PebbleOptions, Response, Unruly, dns};

/// A busy machine takes a while to start a thread.
const WITHIN: Duration = Duration::from_secs(20);

fn start(options: PebbleOptions) -> Pebble {
    Pebble::start(options).expect("pebble starts")
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("JSON")
}

#[test]
fn pebble_shows_its_directory_and_every_name_points_where_it_shall() {
    let (all, one) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 7));
    let options = PebbleOptions {
        names_at: vec![all.into()],
        nonce_rejections_percent: 20,
        validity: Duration::from_secs(120),
        alternate_roots: 1,
        ..PebbleOptions::default()
    };
    let pebble = start(options);
    let directory = json(&pebble.get(Endpoint::Directory).expect("answered"));
    let url = pebble.directory_url();
    let server = url.strip_suffix("/dir").expect("a directory");
    assert_eq!(directory["newOrder"], format!("{server}/order-plz"));
    assert!(directory["renewalInfo"].is_null(), "pebble has none");

    dns::expect("www.landfast.test", pebble.dns(), all).expect("as all names");
    pebble.point("one.landfast.test", one).expect("told");
    dns::expect("one.landfast.test", pebble.dns(), one).expect("as it was told");

    let roots = [pebble.root_pem(), pebble.alternate_root_pem(1)].map(|root| root.expect("a root"));
    assert_ne!(roots[0], roots[1]);
    assert!(roots.iter().all(|root| root.starts_with("-----BEGIN CERTIFICATE-----")));
    assert!(pebble.log().contains("Configured to reject 20% of good nonces"), "{}", pebble.log());
    assert!(pebble.log().contains("validity period of 120 seconds"), "{}", pebble.log());
}

#[test]
fn two_authorities_run_at_once_and_end_with_their_owners() {
    let (first, second) = (start(PebbleOptions::default()), start(PebbleOptions::default()));
    assert_ne!(first.root_pem().expect("a root"), second.root_pem().expect("a root"));
    let dns = first.dns();
    drop(first);
    dns::addresses_of("a.test", dns).expect_err("nobody is there");
    assert_eq!(second.get(Endpoint::Directory).expect("answered").status, 200);
}

#[test]
fn an_unruly_authority_passes_on_what_it_was_not_told_to_spoil() {
    let pebble = start(PebbleOptions::default());
    let unruly = Unruly::before(&pebble).expect("it listens");
    let get = |endpoint| unruly.get(endpoint).expect("answered");

    // Its URLs are those that pebble checks in signed requests.
    let url = unruly.directory_url();
    let server = url.strip_suffix("/dir").expect("a directory");
    let directory = json(&get(Endpoint::Directory));
    assert_eq!(directory["newAccount"], format!("{server}/sign-me-up"));
    assert!(get(Endpoint::NewNonce).header("replay-nonce").is_some());

    let busy =
        Deed::Fail { status: 503, problem: Some("rateLimited"), retry_after_seconds: Some(7) };
    unruly.next(Endpoint::NewNonce, 2, busy);
    for _ in 0..2 {
        let response = get(Endpoint::NewNonce);
        assert_eq!((response.status, response.header("retry-after")), (503, Some("7")));
        assert_eq!(json(&response)["type"], "urn:ietf:params:acme:error:rateLimited");
    }
    assert!(get(Endpoint::NewNonce).header("replay-nonce").is_some());
    assert_eq!(unruly.requests(Endpoint::NewNonce), 4);

    unruly.always(Endpoint::NewNonce, Deed::Delay { retry_after_seconds: 3 });
    assert_eq!(get(Endpoint::NewNonce).header("retry-after"), Some("3"));
    unruly.always(Endpoint::Directory, Deed::Garble);
    assert!(serde_json::from_slice::<Value>(&get(Endpoint::Directory).body).is_err());
    unruly.behave();
    assert_eq!(get(Endpoint::NewNonce).header("retry-after"), None);
}

/// RFC 8555 section 6.4: the server refuses a request that is signed for another URL.
#[test]
fn signed_requests_pass_an_unruly_authority_unchanged() {
    let refused_names = vec!["refused.test".to_owned()];
    let pebble = start(PebbleOptions { refused_names, ..PebbleOptions::default() });
    let unruly = Unruly::before(&pebble).expect("it listens");
    let send = |method: &str, path: &str, body| unruly.send(method, path, body);
    let account = Account::register(&unruly.directory_url(), &send).expect("registered");
    let order = account.order("www.landfast.test").expect("ordered");
    let url = unruly.directory_url();
    let server = url.strip_suffix("dir").expect("a directory");
    for url in [&order["finalize"], &order["authorizations"][0]] {
        assert!(url.as_str().is_some_and(|url| url.starts_with(server)), "{url}");
    }
    account.order("www.refused.test").expect_err("it must not be issued");
    assert_eq!(unruly.requests(Endpoint::NewOrder), 2);

    let elsewhere = Account::register(&pebble.directory_url(), &send);
    elsewhere.err().expect("signed for another URL than it was sent to");
}

#[test]
fn an_authority_that_hangs_answers_nobody_until_it_is_told_to_behave() {
    let pebble = start(PebbleOptions::default());
    let unruly = Unruly::before(&pebble).expect("it listens");
    for (deed, heard) in [(Deed::Hang, false), (Deed::Swallow, true)] {
        let before = pebble.log().matches("/nonce-plz").count();
        let already = unruly.requests(Endpoint::NewNonce);
        unruly.always(Endpoint::NewNonce, deed);
        thread::scope(|scope| {
            let client = scope.spawn(|| unruly.get(Endpoint::NewNonce));
            unruly.wait_for(Endpoint::NewNonce, already + 1, WITHIN).expect("it was asked");
            assert!(!client.is_finished(), "there is no answer");
            unruly.behave();
            client.join().expect("no panic").expect_err("the connection ends");
        });
        assert_eq!(pebble.log().matches("/nonce-plz").count() > before, heard);
    }
    assert_eq!(unruly.get(Endpoint::NewNonce).expect("answered").status, 204);
}

/// RFC 9773 sections 4.1 and 4.2.
#[test]
fn renewal_information_is_there_once_it_is_suggested() {
    let pebble = start(PebbleOptions::default());
    let unruly = Unruly::before(&pebble).expect("it listens");
    let get = |endpoint| unruly.get(endpoint).expect("answered");
    assert!(json(&get(Endpoint::Directory))["renewalInfo"].is_null());
    assert_eq!(get(Endpoint::RenewalInfo).status, 404);

    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(951_782_400);
    unruly.suggest(start, start + Duration::from_secs(3600), 60);
    let url = json(&get(Endpoint::Directory))["renewalInfo"].clone();
    assert!(url.as_str().is_some_and(|url| url.starts_with("https://127.0.0.1:")), "{url}");
    let response = get(Endpoint::RenewalInfo);
    assert_eq!(response.header("retry-after"), Some("60"));
    let window = &json(&response)["suggestedWindow"];
    assert_eq!(window["start"], "2000-02-29T00:00:00Z");
    assert_eq!(window["end"], "2000-02-29T01:00:00Z");
}
