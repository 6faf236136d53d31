//! Certificates of rcgen, and a table that a naive model checks.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::SignatureScheme;

use super::*;

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];
const BOTH: &[SignatureScheme] =
    &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];

fn day(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(number * 86_400)
}

/// Within 2031, which is when certificates of these tests are valid unless they say otherwise.
fn now() -> SystemTime {
    day(22_400)
}

fn candidate_of(id: &str, names: &[&str], key: &KeyPair, years: (i32, i32)) -> Candidate {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 12, 31);
    let certificate = params.self_signed(key).expect("signed");
    Candidate::new(id, vec![certificate.der().to_vec()], key.serialize_der())
}

fn candidate(id: &str, names: &[&str]) -> Candidate {
    candidate_of(id, names, &KeyPair::generate().expect("a key"), (2031, 2031))
}

fn rsa() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key")
}

fn live(candidates: Vec<Candidate>) -> Live {
    let live = Live::with_clock(UnknownNames::Default, now);
    assert_eq!(live.replace(Source::Controller, candidates, now()), []);
    live
}

fn served(live: &Live, name: &str, schemes: &[SignatureScheme]) -> Option<Arc<str>> {
    let table = live.table.load();
    table.by_name(name, Some(schemes), now()).map(|served| Arc::clone(&served.id))
}

fn is(live: &Live, name: &str, id: &str) {
    assert_eq!(served(live, name, BOTH).as_deref(), Some(id), "{name}");
}

/// RFC 9525 section 6.3.
#[test]
fn an_exact_name_comes_before_a_wildcard_which_stands_for_one_label() {
    let live = live(vec![
        candidate("wild", &["*.example.com"]),
        candidate("exact", &["www.Example.com", "example.com"]),
    ]);
    is(&live, "www.example.com", "exact");
    is(&live, "WWW.EXAMPLE.COM", "exact");
    is(&live, "example.com", "exact");
    is(&live, "a.example.com", "wild");
    for name in ["a.b.example.com", "com", "example.org", "*.example.com", ""] {
        assert_eq!(served(&live, name, BOTH), None, "{name}");
    }
    assert_eq!(live.remove(Source::Controller, &["exact", "nobody"]), 1);
    is(&live, "www.example.com", "wild");
    assert_eq!(served(&live, "example.com", BOTH), None);
}

#[test]
fn ecdsa_comes_before_rsa_where_the_client_takes_both() {
    let live = live(vec![
        candidate_of("rsa", &["a.example"], &rsa(), (2031, 2031)),
        candidate("ecdsa", &["a.example"]),
    ]);
    for (schemes, id) in [(BOTH, "ecdsa"), (ECDSA, "ecdsa"), (RSA, "rsa")] {
        assert_eq!(served(&live, "a.example", schemes).as_deref(), Some(id));
    }
}

#[test]
fn what_has_ended_is_shown_only_where_nothing_better_is() {
    let key = KeyPair::generate().expect("a key");
    let live = live(vec![
        candidate_of("ended", &["a.example"], &key, (2029, 2030)),
        candidate_of("rsa", &["a.example"], &rsa(), (2031, 2031)),
        candidate_of("alone", &["b.example"], &key, (2029, 2030)),
    ]);
    is(&live, "a.example", "rsa");
    is(&live, "b.example", "alone");
    let summary = live.summary(now());
    assert_eq!((summary.good, summary.ended), (1, 2));
    assert!(summary.seconds_to_first_end.is_some_and(|seconds| seconds < 0));
}

#[test]
fn one_that_is_refused_leaves_the_one_in_force() {
    let live = live(vec![candidate("a", &["a.example"]), candidate("b", &["b.example"])]);
    let before = live.in_force(Source::Controller);
    let other = KeyPair::generate().expect("a key");
    let ended = candidate_of("a", &["a.example"], &other, (2029, 2030));
    let not_yet = candidate_of("a", &["a.example"], &other, (2032, 2033));
    let mut of_another = candidate("a", &["a.example"]);
    of_another.key = other.serialize_der();
    let mut no_key = candidate("a", &["a.example"]);
    no_key.key = b"none".to_vec();
    let mut long = candidate("a", &["a.example"]);
    long.chain = vec![long.chain[0].clone(); limits::MAX_CHAIN_CERTIFICATES + 1];
    let mut no_order = candidate("a", &["a.example"]);
    let mut stranger = CertificateParams::new(Vec::new()).expect("no name");
    stranger.distinguished_name.push(rcgen::DnType::CommonName, "a stranger");
    no_order.chain.push(stranger.self_signed(&other).expect("signed").der().to_vec());
    let empty = Candidate::new("a", Vec::new(), Vec::new());
    for (candidate, reason) in [
        (ended, Unfit::Ended),
        (not_yet, Unfit::NotYet),
        (of_another, Unfit::KeyOfAnother),
        (no_key, Unfit::Key),
        (long, Unfit::LongChain(limits::MAX_CHAIN_CERTIFICATES + 1)),
        (no_order, Unfit::Order(1)),
        (candidate("a", &[]), Unfit::NoName),
        (empty, Unfit::NoCertificate),
    ] {
        // Others of the same change are taken.
        let other = self::candidate("b", &["b.example"]);
        let refused = live.replace(Source::Controller, vec![candidate, other], now());
        assert_eq!(refused, [Refused { id: "a".into(), reason }]);
        is(&live, "a.example", "a");
    }
    let of = |list: &[InForce], id: &str| {
        list.iter().find(|one| &*one.id == id).map(|one| one.fingerprint)
    };
    let after = live.in_force(Source::Controller);
    assert_eq!(of(&after, "a"), of(&before, "a"));
    assert_ne!(of(&after, "b"), of(&before, "b"));
    assert_eq!(live.summary(now()).candidates_refused, 8);
}

#[test]
fn what_one_source_gives_the_other_does_not_take_away() {
    let live = live(vec![candidate("a", &["a.example"])]);
    live.put(Source::Files, vec![candidate("a", &["b.example"])], now());
    live.replace(Source::Controller, Vec::new(), now());
    assert_eq!(served(&live, "a.example", BOTH), None);
    is(&live, "b.example", "a");
}

#[test]
fn no_key_is_shown() {
    let candidate = candidate("a", &["a.example"]);
    assert_eq!(format!("{candidate:?}"), "Candidate { id: \"a\", chain: 1, .. }");
}

const NAMES: [&str; 5] = ["a.example", "b.example", "*.example", "c.b.example", "*.b.example"];

/// A change of the certificate with this number: its names, or its end.
fn changes() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
    prop::collection::vec((0..4usize, prop::option::of(0..NAMES.len())), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_index_says_what_a_look_at_every_certificate_would(changes in changes()) {
        let key = KeyPair::generate().expect("a key");
        let live = live(Vec::new());
        let mut model: BTreeMap<usize, &str> = BTreeMap::new();
        for (number, name) in changes {
            let id = number.to_string();
            match name {
                Some(name) => {
                    let candidate = candidate_of(&id, &[NAMES[name]], &key, (2031, 2031));
                    prop_assert_eq!(live.put(Source::Controller, vec![candidate], now()), []);
                    model.insert(number, NAMES[name]);
                }
                None => {
                    let removed = live.remove(Source::Controller, &[&id]);
                    prop_assert_eq!(removed, usize::from(model.remove(&number).is_some()));
                }
            }
            for asked in ["a.example", "b.example", "c.b.example", "d.example", "d.b.example", "x"] {
                let wildcard = asked.split_once('.').map(|(_, parent)| format!("*.{parent}"));
                let having = |name: &str| model.iter().any(|(_, has)| *has == name);
                let expected = [Some(asked.to_owned()), wildcard]
                    .into_iter()
                    .flatten()
                    .find(|name| having(name));
                let got = served(&live, asked, BOTH);
                let got = got.map(|id| model[&id.parse().expect("a number")].to_owned());
                prop_assert_eq!(got, expected, "{}", asked);
            }
        }
    }
}

/// RFC 9110 section 4.3.3: a certificate is good for the names in it.
#[test]
fn a_connection_is_good_for_the_names_of_its_certificate_that_are_served() {
    let live = samples::live(
        UnknownNames::Refuse,
        &[&["a.example", "*.b.example"], &["c.example"], &["x.b.example", "d.example"]],
    );
    for (asked, host, good) in [
        (Some("a.example"), Some("a.example"), true),
        (Some("a.example"), Some("y.b.example"), true),
        (Some("a.example"), Some("y.y.b.example"), false),
        (Some("a.example"), Some("c.example"), false),
        (Some("x.b.example"), Some("a.example"), true),
        (Some("x.b.example"), Some("d.example"), true),
        (Some("y.b.example"), Some("d.example"), false),
        (Some("a.example"), None, false),
        (None, None, false),
    ] {
        assert_eq!(live.covers(asked, host), good, "{asked:?} {host:?}");
    }
    live.remove(Source::Files, &["2"]);
    assert!(!live.covers(Some("x.b.example"), Some("d.example")), "not served any more");
}

/// Whoever names nobody, or somebody whom we do not know, has the default certificate.
#[test]
fn by_default_a_connection_is_good_for_its_own_name_and_those_of_the_default_certificate() {
    let live = samples::live(UnknownNames::Default, &[&["a.example"], &["c.example"]]);
    for (asked, host, good) in [
        (None, None, true),
        (None, Some("a.example"), true),
        (None, Some("c.example"), false),
        (Some("z.example"), Some("z.example"), true),
        (Some("z.example"), Some("a.example"), true),
        (Some("z.example"), Some("y.example"), false),
        (Some("c.example"), Some("a.example"), false),
        (Some("c.example"), None, false),
    ] {
        assert_eq!(live.covers(asked, host), good, "{asked:?} {host:?}");
    }
}

#[test]
fn what_is_shown_is_the_certificate_that_most_get() {
    let key = rsa();
    let old =
        candidate_of("old", &["a.example"], &KeyPair::generate().expect("a key"), (2029, 2030));
    let live = live(vec![
        old,
        candidate_of("rsa", &["a.example", "b.example"], &key, (2031, 2031)),
        candidate("ecdsa", &["a.example", "c.example", "*.d.example"]),
    ]);
    let shown = |asked| live.shown(asked).map(|shown| shown.names().to_vec());
    let names = ["a.example", "c.example"].map(|name| Name::Exact(name.into()));
    let names = [&names[..], &[Name::Below("d.example".into())]].concat();
    assert_eq!(shown(Some("A.example")), Some(names.clone()));
    assert_eq!(shown(Some("x.d.example")), Some(names));
    assert_eq!(shown(Some("z.example")), None, "there is no default");
    live.set_default(Some((Source::Controller, "old")));
    let default = Some(vec![Name::Exact("a.example".into())]);
    assert_eq!((shown(Some("z.example")), shown(None)), (default.clone(), default));
}
