//! Keys of records, who gets what, and what is shown of them.

use super::*;

#[test]
fn an_item_has_the_key_of_its_record() {
    let challenge = Challenge::Http01 { token: "abc".into(), key_authorization: "abc.def".into() };
    assert_eq!(challenge.key(), format!("{}abc", fleet_wire::key::HTTP_01));
    let key = String::new();
    let challenge =
        Challenge::TlsAlpn01 { name: "a.example".into(), certificate: key.clone(), key };
    assert_eq!(challenge.key(), format!("{}a.example", fleet_wire::key::TLS_ALPN_01));
}

#[test]
fn a_wildcard_covers_one_label() {
    assert!(covers("*.example.com", "www.EXAMPLE.com") && covers("a.example", "A.example"));
    assert!(covers("*.example.com", "*.example.com"));
    assert!(!covers("*.example.com", "example.com"));
    assert!(!covers("*.example.com", "a.b.example.com"));
    assert!(!covers("*.example.com", "wwwexample.com"));
}

#[test]
fn no_key_is_shown() {
    let secret = || "SECRET".to_owned();
    let shown = [
        format!("{:?}", Authority { certificate: secret(), key: secret() }),
        format!("{:?}", Secrets { fleet_file: secret(), rotations: Default::default() }),
        format!("{:?}", Distributions { file: secret() }),
        format!("{:?}", Order { id: "a".into(), state: secret().into() }),
        format!(
            "{:?}",
            Account {
                issuer: "a".into(),
                credentials: secret().into(),
                stateless_thumbprint: None,
                next_key: Some(secret()),
            }
        ),
    ];
    for shown in shown {
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}
