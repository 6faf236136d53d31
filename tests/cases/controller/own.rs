//! Certificates of one's own, and names that must not be issued.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use controller::acme::Deed;
use controller::certificate::import::Files;
use controller::ledger::Change;
use controller::records::Certificate;
use tests::pebble::{Endpoint, PebbleOptions};

use super::orders::bed::{Bed, PEBBLE, UNRULY, request};

const LONG: Duration = Duration::from_secs(60);

struct Pair {
    chain: String,
    key: String,
}

fn pair(name: &str) -> Pair {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
    Pair { chain: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

/// As tools that renew do: whole, by its name.
fn put(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).expect("ours");
    fs::rename(beside, path).expect("in place");
}

#[tokio::test]
async fn renewed_files_are_picked_up_and_half_a_pair_is_not() {
    let place = tempfile::tempdir().expect("a directory");
    let (chain, key) = (place.path().join("chain"), place.path().join("key"));
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        issuers.times.look_at_files = Duration::from_millis(100);
        issuers.policy.deny = vec!["vault.example.net".into()];
        let (chain, key) = (chain.clone(), key.clone());
        issuers.imported = vec![Files { id: "shop".into(), chain, key }];
    })
    .await;
    let served = || bed.ledger.get::<Certificate>("shop").map(|stored| stored.value);
    let serves = |pair: &Pair| served().is_some_and(|served| served.chain == pair.chain);
    let (first, second, denied) =
        (pair("shop.example.net"), pair("shop.example.net"), pair("vault.example.net"));
    put(&key, &first.key);
    put(&chain, &first.chain);
    bed.until("it is imported", LONG, || serves(&first)).await;
    assert_eq!(served().expect("it is").source, "imported");

    put(&chain, &second.chain);
    // An order from beginning to end: several looks.
    bed.request("www.example.net").await;
    bed.certificate("www.example.net", LONG).await;
    assert!(serves(&first), "half of a pair changes nothing");
    put(&key, &second.key);
    bed.until("the renewed one is there", LONG, || serves(&second)).await;

    put(&key, &denied.key);
    put(&chain, &denied.chain);
    fs::remove_file(&key).expect("gone");
    bed.request("ftp.example.net").await;
    bed.certificate("ftp.example.net", LONG).await;
    assert!(serves(&second), "what must not be issued is not imported either");
}

#[tokio::test]
async fn a_name_that_must_not_be_issued_costs_the_authority_no_order() {
    let mut bed = Bed::new(PebbleOptions::default()).await;
    bed.request_at(UNRULY, &["www.example.net"]).await;
    let old = bed.certificate("www.example.net", LONG).await;
    bed.until_idle(LONG).await;
    let before = bed.unruly.requests(Endpoint::NewOrder);
    bed.tell(|issuers| issuers.policy.deny = vec!["example.net".into()]).await;

    let refused = bed.ask(Deed::Request(request(PEBBLE, &["a.example.net"]))).await;
    assert!(refused.expect_err("denied").contains("`deny` of [certificates]"));
    // What was requested before it was denied is not renewed, and says so.
    bed.ask(Deed::Renew("www.example.net".into())).await.expect("begun");
    bed.until("it has failed", LONG, || bed.failure("www.example.net").is_some()).await;
    let failure = bed.failure("www.example.net").expect("it has");
    assert!(failure.contains("must not be issued"), "{failure}");
    assert_eq!(bed.certificate("www.example.net", LONG).await, old);
    // Nor is what somebody has put into the store.
    let sly = request(UNRULY, &["sly.example.net"]);
    bed.ledger.commit(Change::new().put(sly)).await.expect("kept");
    bed.until("it has failed", LONG, || bed.failure("sly.example.net").is_some()).await;
    assert_eq!(bed.unruly.requests(Endpoint::NewOrder), before);
}
