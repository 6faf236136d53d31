//! Every way to show an authority that a name is ours, against an authority that looks.

use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use controller::acme::barrier::Answered;
use controller::acme::challenge::Answer;
use controller::acme::{Deed, Issuers, probe};
use controller::config::{ChallengeKind, Issuer};
use controller::ledger::Ledger;
use controller::records::{Account, Certificate, Challenge, KeyType};
use controller::store::Embedded;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tests::pebble::{Pebble, PebbleOptions};

use super::orders::bed::{Bed, PEBBLE, request};
use super::orders::edge::Edge;

const LONG: Duration = Duration::from_secs(60);

fn pebble(issuers: &mut Issuers) -> &mut Issuer {
    issuers.by_name.get_mut(PEBBLE).expect("it is there")
}

/// RFC 8737, by the edge's own port.
#[tokio::test]
async fn tls_alpn_01_is_answered_by_a_certificate_that_goes_afterwards() {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        pebble(issuers).challenge = ChallengeKind::TlsAlpn01;
    })
    .await;
    bed.request_at(PEBBLE, &["www.example.net", "example.net"]).await;
    let certificate = bed.certificate("www.example.net", LONG).await;
    assert_eq!(certificate.names.len(), 2);
    bed.until_idle(LONG).await;
    assert!(bed.ledger.all::<Challenge>().is_empty());
    let asked = bed.edge.challenges.asked();
    // Each name once by us, and once at least by the authority.
    assert!(asked.tls_alpn01_answered >= 4 && asked.http01_answered == 0, "{asked:?}");
}

/// RSA beside ECDSA: by TLS-ALPN-01 a name has one answer at a time.
#[tokio::test]
async fn two_certificates_for_one_name_take_turns() {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        pebble(issuers).challenge = ChallengeKind::TlsAlpn01;
    })
    .await;
    for (id, key_type) in [("ecdsa", KeyType::P256), ("rsa", KeyType::Rsa2048)] {
        let plain = request(PEBBLE, &["www.example.net"]);
        let wanted = controller::records::Request { id: id.into(), key_type, ..plain };
        bed.ask(Deed::Request(wanted)).await.expect("allowed");
    }
    bed.certificate("ecdsa", LONG).await;
    bed.certificate("rsa", LONG).await;
    bed.until_idle(LONG).await;
    assert_eq!(bed.orders(), 2, "none of them failed");
}

/// What a node shows instead of the answer is noticed before the authority is told.
#[tokio::test]
async fn a_node_that_shows_another_answer_is_not_ready() {
    let ledger = empty_ledger().await;
    let edge = Edge::start(&ledger);
    let ports = probe::Ports { http: edge.http_port, tls: edge.tls_port };
    let made = |digest: u8| {
        let name = "www.example.net".to_owned();
        let mut params = rcgen::CertificateParams::new(vec![name.clone()]).expect("a name");
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[digest; 32])];
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        let answer =
            Answer::TlsAlpn01 { name, certificate: certificate.pem(), key: key.serialize_pem() };
        (answer, certificate.der().to_vec(), key.serialize_der())
    };
    let ((right, der, key), (other, ..)) = (made(1), made(2));
    let ask = |answer: Answer| async move {
        probe::ask(Ipv4Addr::LOCALHOST.into(), ports, &answer).await
    };
    assert!(matches!(ask(right.clone()).await, Answered::Wrong(_)), "it has no answer yet");
    edge.challenges.set_tls_alpn01("www.example.net", vec![der], key).expect("good");
    assert_eq!(ask(right).await, Answered::Right);
    let Answered::Wrong(why) = ask(other).await else { panic!("it shows another certificate") };
    assert!(why.contains("another certificate"), "{why}");

    let (token, thumbprint) = ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDf", "A".repeat(43));
    let answer = |thumbprint: &str| Answer::Http01 {
        name: "www.example.net".into(),
        token: token.into(),
        key_authorization: format!("{token}.{thumbprint}"),
    };
    assert!(matches!(ask(answer(&thumbprint)).await, Answered::Wrong(_)));
    edge.challenges.set_http01(token, &format!("{token}.{thumbprint}")).expect("good");
    assert_eq!(ask(answer(&thumbprint)).await, Answered::Right);
    assert!(matches!(ask(answer(&"B".repeat(43))).await, Answered::Wrong(_)));
}

async fn empty_ledger() -> Arc<Ledger> {
    let place = tempfile::tempdir().expect("a directory");
    let store = Embedded::create(&place.path().join("store")).expect("a store");
    Arc::new(Ledger::open(Arc::new(store)).await.expect("opened"))
}

/// A hook that tells pebble's DNS, and notes what it was asked. It is put in place by another
/// process: what this one wrote a moment ago could not be run yet.
pub(super) fn hook(place: &Path, authority: &Pebble) -> PathBuf {
    let (log, path) = (place.join("log"), place.join("hook"));
    let port = authority.dns_management().port();
    let script = format!(
        r#"#!/bin/bash
set -eu
echo "$*" >> {log}
case $1 in
    present) path=/set-txt ;;
    cleanup) path=/clear-txt ;;
esac
body="{{\"host\":\"$2.\",\"value\":\"$3\"}}"
exec 3<>/dev/tcp/127.0.0.1/{port}
printf 'POST %s HTTP/1.0\r\ncontent-length: %d\r\n\r\n%s' "$path" "${{#body}}" "$body" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
"#,
        log = log.display()
    );
    install(&script, path)
}

pub(super) fn install(script: &str, path: PathBuf) -> PathBuf {
    let draft = path.with_extension("draft");
    fs::write(&draft, script).expect("written");
    let done = Command::new("install").args(["-m", "755"]).arg(&draft).arg(&path).status();
    assert!(done.expect("it runs").success());
    path
}

fn by_dns(issuers: &mut Issuers, hook: PathBuf) {
    let issuer = pebble(issuers);
    (issuer.challenge, issuer.dns_hook) = (ChallengeKind::Dns01, Some(hook));
}

/// RFC 8555 section 8.4: a name and its wildcard have two records of one name.
#[tokio::test]
async fn a_wildcard_is_issued_by_a_hook_that_sets_and_removes_records() {
    let place = tempfile::tempdir().expect("a directory");
    let bed = Bed::with(PebbleOptions::default(), |issuers, authority| {
        by_dns(issuers, hook(place.path(), authority));
    })
    .await;
    bed.request_at(PEBBLE, &["*.example.net", "example.net"]).await;
    let certificate = bed.certificate("*.example.net", LONG).await;
    assert_eq!(certificate.names.len(), 2);
    bed.until_idle(LONG).await;
    let log = fs::read_to_string(place.path().join("log")).expect("it was asked");
    let mut lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    lines.sort_unstable();
    for (cleanup, present) in lines[..2].iter().zip(&lines[2..]) {
        let told = |line: &str, deed| line.strip_prefix(deed).map(str::to_owned).expect("so");
        assert_eq!(told(cleanup, "cleanup "), told(present, "present "), "{log}");
        assert!(present.starts_with("present _acme-challenge.example.net "), "{log}");
    }
    // No node was asked, and none was told anything.
    let asked = bed.edge.challenges.asked();
    assert_eq!(asked.http01_answered + asked.http01_unknown + asked.tls_alpn01_unknown, 0);
}

#[tokio::test]
async fn a_hook_that_dies_with_its_controller_is_called_again() {
    let place = tempfile::tempdir().expect("a directory");
    let mut bed = Bed::with(PebbleOptions::default(), |issuers, authority| {
        by_dns(issuers, hook(place.path(), authority));
    })
    .await;
    bed.request_at(PEBBLE, &["*.example.net"]).await;
    let mut deaths = 0;
    while bed.ledger.get::<Certificate>("*.example.net").is_none() {
        bed.until_it_moves(LONG).await;
        bed.die_and_return().await;
        deaths += 1;
        assert!(deaths < 60, "it does not come to its end");
    }
    bed.until_idle(LONG).await;
    assert_eq!(bed.orders(), 1, "after {deaths} deaths");
    let log = fs::read_to_string(place.path().join("log")).expect("it was asked");
    assert!(log.lines().last().expect("a line").starts_with("cleanup "), "{log}");
}

#[tokio::test]
async fn a_hook_that_fails_says_why() {
    let place = tempfile::tempdir().expect("a directory");
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| {
        let script = "#!/bin/sh\necho the zone is locked >&2\nexit 3\n";
        by_dns(issuers, install(script, place.path().join("hook")));
    })
    .await;
    bed.request_at(PEBBLE, &["*.example.net"]).await;
    bed.until("it has failed", LONG, || bed.failure("*.example.net").is_some()).await;
    let failure = bed.failure("*.example.net").expect("it has");
    assert!(failure.contains("the zone is locked"), "{failure}");
}

/// Whether a challenge was in the ledger until the certificate came.
async fn had_challenge(bed: &Bed, id: &str) -> bool {
    let had = Cell::new(false);
    bed.until("it is issued", LONG, || {
        had.set(had.get() || !bed.ledger.all::<Challenge>().is_empty());
        bed.ledger.get::<Certificate>(id).is_some()
    })
    .await;
    had.get()
}

#[tokio::test]
async fn http_01_without_state_is_answered_from_the_account_alone() {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| pebble(issuers).stateless = true);
    let bed = bed.await;
    bed.request("www.example.net").await;
    assert!(!had_challenge(&bed, "www.example.net").await, "nodes need no token");
    assert!(bed.edge.challenges.asked().http01_answered >= 2);
}

#[tokio::test]
async fn nodes_answer_for_any_token_from_when_it_is_chosen_until_it_is_not() {
    let mut bed = Bed::new(PebbleOptions::default()).await;
    bed.request("first.example.net").await;
    assert!(had_challenge(&bed, "first.example.net").await);
    bed.until_idle(LONG).await;
    let thumbprint = |bed: &Bed| {
        bed.ledger.get::<Account>(PEBBLE).expect("there").value.stateless_thumbprint.is_some()
    };
    assert!(!thumbprint(&bed));

    // The account is there already, and is shown to nodes from now on.
    bed.tell(|issuers| pebble(issuers).stateless = true).await;
    bed.request("second.example.net").await;
    assert!(!had_challenge(&bed, "second.example.net").await);
    assert!(thumbprint(&bed));
    bed.until_idle(LONG).await;

    bed.tell(|issuers| pebble(issuers).stateless = false).await;
    bed.until("nodes answer no more", LONG, || !thumbprint(&bed)).await;
    bed.request("third.example.net").await;
    assert!(had_challenge(&bed, "third.example.net").await);
}

#[tokio::test]
async fn keys_are_of_the_kind_that_is_wanted_and_addresses_are_issued_by_choice() {
    let bed = Bed::with(PebbleOptions::default(), |issuers, _| issuers.policy.addresses = true);
    let bed = bed.await;
    let kinds = [KeyType::P256, KeyType::P384, KeyType::Rsa2048];
    // Of their keys in PKCS #8: 32 bytes of a number and 64 of a point, 48 and 96, and far more.
    for (kind, bytes) in kinds.into_iter().zip([100..170, 170..250, 1_000..1_400]) {
        let id = format!("{kind:?}.example.net").to_lowercase();
        let wanted = controller::records::Request { key_type: kind, ..request(PEBBLE, &[&id]) };
        bed.ask(Deed::Request(wanted)).await.expect("allowed");
        let certificate = bed.certificate(&id, LONG).await;
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("a key");
        assert!(bytes.contains(&key.secret_der().len()), "{kind:?}: {}", key.secret_der().len());
    }
    bed.request_at(PEBBLE, &["127.0.0.1"]).await;
    assert_eq!(bed.certificate("127.0.0.1", LONG).await.names, ["127.0.0.1"]);
}
