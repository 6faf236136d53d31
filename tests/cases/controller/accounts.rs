//! Accounts at an authority: bound to somebody's, given another key, and what only they can do.

use std::fs;
use std::time::Duration;

use controller::acme::{Deed as Command, RevocationReason};
use controller::certificate;
use controller::config::ExternalAccount;
use controller::records::{Account, Certificate};
use tests::pebble::{Deed, Endpoint, PebbleOptions};

use super::orders::bed::{Bed, PEBBLE, UNRULY};

const LONG: Duration = Duration::from_secs(60);

/// RFC 8555 section 7.3.4.
#[tokio::test]
async fn an_authority_that_binds_accounts_takes_those_with_the_right_key() {
    let place = tempfile::tempdir().expect("a directory");
    let right = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let wrong = right.replace('z', "y");
    let external_accounts = vec![("kid-1".to_owned(), right.to_owned())];
    let options = PebbleOptions { external_accounts, ..PebbleOptions::default() };
    let bed = Bed::with(options, |issuers, _| {
        let plain = issuers.by_name[PEBBLE].clone();
        for (name, key) in [("right", right), ("wrong", &wrong)] {
            let key_file = place.path().join(name);
            fs::write(&key_file, format!("{key}\n")).expect("written");
            let external = ExternalAccount { key_id: "kid-1".to_owned(), key_file };
            let mut issuer = plain.clone();
            issuer.external_account = Some(external);
            issuers.by_name.insert(name.to_owned(), issuer);
        }
    })
    .await;
    bed.request_at("right", &["right.example.net"]).await;
    bed.request_at("wrong", &["wrong.example.net"]).await;
    bed.request_at(PEBBLE, &["none.example.net"]).await;
    bed.certificate("right.example.net", LONG).await;
    bed.until("both have failed", LONG, || {
        ["wrong.example.net", "none.example.net"].iter().all(|id| bed.failure(id).is_some())
    })
    .await;
    let failure = bed.failure("none.example.net").expect("it has");
    assert!(failure.contains("set eab_key_id and eab_key_file"), "{failure}");
    assert!(bed.ledger.get::<Account>("wrong").is_none());
}

fn account(bed: &Bed) -> Account {
    bed.ledger.get::<Account>(UNRULY).expect("it is there").value
}

async fn bed_with_account() -> (Bed, Account) {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        issuers.times.request = Duration::from_secs(2);
    })
    .await;
    bed.request_at(UNRULY, &["before.example.net"]).await;
    bed.certificate("before.example.net", LONG).await;
    bed.until_idle(LONG).await;
    let account = account(&bed);
    (bed, account)
}

/// The same account under another key, and an order by it.
async fn has_a_new_key(bed: &Bed, before: &Account) {
    bed.request_at(UNRULY, &["after.example.net"]).await;
    bed.certificate("after.example.net", LONG).await;
    let after = account(bed);
    assert_eq!(after.next_key, None);
    assert_eq!(after.credentials["id"], before.credentials["id"], "it is the same account");
    assert_ne!(after.credentials["key_pkcs8"], before.credentials["key_pkcs8"]);
}

/// RFC 8555 section 7.3.5.
#[tokio::test]
async fn an_account_gets_another_key_and_stays_the_same_account() {
    let (bed, before) = bed_with_account().await;
    bed.ask(Command::RollAccount(UNRULY.into())).await.expect("rolled");
    has_a_new_key(&bed, &before).await;
    assert_eq!(bed.unruly.requests(Endpoint::KeyChange), 1);
    let error = bed.ask(Command::RollAccount(PEBBLE.into())).await.expect_err("nobody ordered");
    assert!(error.contains("no account at pebble yet"), "{error}");
}

#[tokio::test]
async fn a_controller_that_dies_while_it_changes_a_key_loses_no_account() {
    // The authority heard of it, or did not: the controller cannot know.
    for (deed, told) in [(Deed::Swallow, 1), (Deed::Hang, 2)] {
        let (mut bed, before) = bed_with_account().await;
        bed.unruly.always(Endpoint::KeyChange, deed.clone());
        let rolls = bed.begin(Command::RollAccount(UNRULY.into())).await;
        bed.until_asked(Endpoint::KeyChange, 1, LONG).await;
        if told == 1 {
            let changed = async {
                while !bed.authority.log().contains("rollover-account-key") {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(LONG, changed).await.expect("it heard");
        }
        drop(rolls);
        bed.die_and_return().await;
        assert!(account(&bed).next_key.is_some(), "the new key was kept before it was told");
        bed.unruly.behave();
        has_a_new_key(&bed, &before).await;
        assert_eq!(bed.unruly.requests(Endpoint::KeyChange), told, "{deed:?}");
    }
}

#[tokio::test]
async fn an_authority_that_refuses_a_key_or_is_away_leaves_the_account_as_it_was() {
    let (bed, before) = bed_with_account().await;
    let refuses =
        Deed::Fail { status: 403, problem: Some("unauthorized"), retry_after_seconds: None };
    bed.unruly.next(Endpoint::KeyChange, 1, refuses);
    bed.ask(Command::RollAccount(UNRULY.into())).await.expect_err("refused");
    assert!(account(&bed) == before);
    let away = Deed::Fail { status: 502, problem: None, retry_after_seconds: None };
    bed.unruly.next(Endpoint::KeyChange, 1, away);
    let error = bed.ask(Command::RollAccount(UNRULY.into())).await.expect_err("away");
    assert!(error.contains("finds out which key is in force"), "{error}");
    // The next one ends what was begun.
    let waiting = account(&bed).next_key;
    assert!(waiting.is_some());
    bed.ask(Command::RollAccount(UNRULY.into())).await.expect("rolled");
    assert_eq!(account(&bed).credentials["key_pkcs8"].as_str(), waiting.as_deref());
}

#[tokio::test]
async fn a_key_is_not_changed_under_an_order_in_progress() {
    let (bed, _) = bed_with_account().await;
    bed.unruly.always(Endpoint::Finalize, Deed::Hang);
    bed.request_at(UNRULY, &["during.example.net"]).await;
    bed.until_asked(Endpoint::Finalize, 2, LONG).await;
    let error = bed.ask(Command::RollAccount(UNRULY.into())).await.expect_err("refused");
    assert!(error.contains("in progress"), "{error}");
    assert_eq!(bed.unruly.requests(Endpoint::KeyChange), 0);
}

#[tokio::test]
async fn an_account_that_its_authority_has_lost_is_made_anew() {
    let (bed, before) = bed_with_account().await;
    let unknown =
        Deed::Fail { status: 400, problem: Some("accountDoesNotExist"), retry_after_seconds: None };
    bed.unruly.next(Endpoint::NewOrder, 1, unknown);
    bed.request_at(UNRULY, &["after.example.net"]).await;
    bed.until("it has failed", LONG, || bed.failure("after.example.net").is_some()).await;
    bed.ask(Command::Renew("after.example.net".into())).await.expect("begun");
    bed.certificate("after.example.net", LONG).await;
    assert_ne!(account(&bed).credentials["id"], before.credentials["id"]);
}

#[tokio::test]
async fn an_issuer_that_becomes_another_authority_gets_an_account_there() {
    let mut bed = Bed::new(PebbleOptions::default()).await;
    bed.request("before.example.net").await;
    bed.certificate("before.example.net", LONG).await;
    bed.until_idle(LONG).await;
    let elsewhere = bed.unruly.directory_url();
    bed.tell(|issuers| {
        issuers.by_name.get_mut(PEBBLE).expect("there").directory.clone_from(&elsewhere);
    })
    .await;
    bed.request("after.example.net").await;
    bed.certificate("after.example.net", LONG).await;
    let account = bed.ledger.get::<Account>(PEBBLE).expect("there").value;
    assert_eq!(account.credentials["directory"], elsewhere);
    let asked = |endpoint| bed.unruly.requests(endpoint);
    assert_eq!((asked(Endpoint::NewAccount), asked(Endpoint::NewOrder)), (1, 1));
}

/// RFC 8555 section 7.6, with a reason of RFC 5280 section 5.3.1.
#[tokio::test]
async fn a_certificate_is_revoked_with_a_reason_and_another_takes_its_place() {
    let bed = Bed::new(PebbleOptions::default()).await;
    bed.request("www.example.net").await;
    let first = bed.certificate("www.example.net", LONG).await;
    bed.until_idle(LONG).await;
    let serial = serial(&first);
    let status = || bed.authority.certificate_status(&serial).expect("it knows it");
    assert_eq!(status()["Status"], "Valid");
    let revoke =
        Command::Revoke { id: "www.example.net".into(), reason: RevocationReason::KeyCompromise };
    bed.ask(revoke).await.expect("revoked");
    assert_eq!((&status()["Status"], &status()["Reason"]), (&"Revoked".into(), &1.into()));
    let other = || {
        let there = bed.ledger.get::<Certificate>("www.example.net");
        there.is_some_and(|there| there.value.key != first.key)
    };
    bed.until("another takes its place", LONG, other).await;
}

/// In hexadecimal: what follows version 3 in a certificate (RFC 5280 section 4.1).
fn serial(certificate: &Certificate) -> String {
    let der = certificate::leaf(&certificate.chain).expect("it is good");
    let version = [0xa0, 3, 2, 1, 2, 2];
    let at = der.windows(version.len()).position(|bytes| bytes == version).expect("version 3");
    let (length, rest) = der[at + version.len()..].split_first().expect("a number");
    rest[..usize::from(*length)].iter().map(|byte| format!("{byte:02x}")).collect()
}
