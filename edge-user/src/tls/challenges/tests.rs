//! Answers that are taken, and those that are not.

use rcgen::{CertificateParams, CustomExtension, KeyPair};

use super::*;

const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const THUMBPRINT: &str = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

/// RFC 8555 section 8.3.
#[test]
fn a_token_is_answered_while_it_is_set() {
    let challenges = Challenges::new();
    let answer = format!("{TOKEN}.{THUMBPRINT}");
    challenges.set_http01(TOKEN, &answer).expect("good");
    assert_eq!(challenges.http01(TOKEN).as_deref(), Some(answer.as_str()));
    assert!(challenges.remove_http01(TOKEN));
    assert!(!challenges.remove_http01(TOKEN));
    assert_eq!(challenges.http01(TOKEN), None);
    let asked = challenges.asked();
    assert_eq!((asked.http01_answered, asked.http01_unknown), (1, 1));
}

/// RFC 8555 sections 8.1 and 8.3.
#[test]
fn what_is_no_token_or_no_answer_is_refused() {
    let challenges = Challenges::new();
    let long = "a".repeat(limits::MAX_TOKEN_BYTES + 1);
    for token in ["", "short", "../../etc/passwd/aaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaa=", &long] {
        let answer = format!("{token}.{THUMBPRINT}");
        assert_eq!(challenges.set_http01(token, &answer), Err(ChallengeRefused::Token), "{token}");
    }
    for answer in [TOKEN.to_owned(), format!("x.{THUMBPRINT}"), format!("{TOKEN}.short")] {
        let refused = challenges.set_http01(TOKEN, &answer);
        assert_eq!(refused, Err(ChallengeRefused::KeyAuthorization), "{answer}");
    }
}

#[test]
fn with_a_thumbprint_every_token_is_answered_and_nothing_else() {
    let challenges = Challenges::new();
    assert_eq!(challenges.set_thumbprint(Some("<b>")), Err(ChallengeRefused::Thumbprint));
    challenges.set_thumbprint(Some(THUMBPRINT)).expect("good");
    let answer = format!("{TOKEN}.{THUMBPRINT}");
    assert_eq!(challenges.http01(TOKEN).as_deref(), Some(answer.as_str()));
    assert_eq!(challenges.http01("<script>alert(1)</script>"), None);
    challenges.set_thumbprint(None).expect("good");
    assert_eq!(challenges.http01(TOKEN), None);
}

#[test]
fn the_table_is_bounded_and_what_is_in_it_may_change() {
    let challenges = Challenges::new();
    let set = |number: usize| {
        let token = format!("{number:043}");
        challenges.set_http01(&token, &format!("{token}.{THUMBPRINT}"))
    };
    for number in 0..limits::MAX_CHALLENGES {
        set(number).expect("room");
    }
    assert_eq!(set(limits::MAX_CHALLENGES), Err(ChallengeRefused::Full));
    set(0).expect("it has its place");
}

/// RFC 8737 section 3: for that name alone, with a critical acmeIdentifier.
#[test]
fn only_a_certificate_that_answers_is_taken() {
    let challenges = Challenges::new();
    let key = KeyPair::generate().expect("a key");
    let set = |names: &[&str], digest: Option<&[u8]>| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.custom_extensions =
            digest.map(CustomExtension::new_acme_identifier).into_iter().collect();
        let chain = vec![params.self_signed(&key).expect("signed").der().to_vec()];
        challenges.set_tls_alpn01("A.example", chain, key.serialize_der())
    };
    let digest = Some(&[7; 32][..]);
    assert_eq!(set(&["a.example"], None), Err(ChallengeRefused::NoIdentifier));
    for names in [&["b.example"][..], &["a.example", "b.example"], &["*.example"]] {
        assert_eq!(set(names, digest), Err(ChallengeRefused::OtherNames), "{names:?}");
    }
    assert!(challenges.tls_alpn01("a.example").is_none());
    set(&["a.example"], digest).expect("good");
    assert!(challenges.tls_alpn01("a.EXAMPLE").is_some());
    assert!(challenges.tls_alpn01("b.example").is_none());
    assert!(challenges.remove_tls_alpn01("a.example"));
    assert!(challenges.tls_alpn01("a.example").is_none());
}
