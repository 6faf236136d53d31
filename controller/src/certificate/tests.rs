use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::import::{Files, ImportError, Watched};
use super::*;

/// An authority and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own: rcgen gives all the same.
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, key.serialize_pem());
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

fn signed(by: &Authority, names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &by.issuer).unwrap();
    (leaf.pem(), key.serialize_pem())
}

fn look(chain: &str, key: &str, names: &[&str], now: u64) -> Result<Certificate, Unfit> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let policy = Policy { allow: vec!["example.com".into()], ..Policy::default() };
    let wanted = Wanted { id: "a", names: Some(&names), policy: &policy, source: "acme", now };
    examine(chain, key, &wanted)
}

const NOW: u64 = 1_800_000_000;

#[test]
fn a_certificate_that_is_what_was_wanted_is_taken() {
    let authority = authority();
    let (leaf, key) = signed(&authority, &["a.example.com", "*.b.example.com"]);
    let chain = format!("{leaf}{}", authority.pem);
    let certificate =
        look(&chain, &key, &["*.b.example.com", "A.example.com"], NOW).expect("it is");
    assert_eq!(certificate.fingerprint.len(), 64);
    assert!(look(&leaf, &key, &["a.example.com", "*.b.example.com"], NOW).is_ok());
}

#[test]
fn one_that_is_not_is_refused_with_the_reason() {
    let (authority, stranger) = (authority(), self::authority());
    let (leaf, key) = signed(&authority, &["a.example.com"]);
    let (other, other_key) = signed(&authority, &["a.example.com", "evil.example.com"]);
    let chain = format!("{leaf}{}", authority.pem);
    let names = ["a.example.com"];
    assert_eq!(look(&chain, &other_key, &names, NOW), Err(Unfit::OtherKey));
    assert!(matches!(look(&other, &other_key, &names, NOW), Err(Unfit::OtherNames { .. })));
    assert_eq!(look(&format!("{leaf}{}", stranger.pem), &key, &names, NOW), Err(Unfit::Link(0)));
    assert_eq!(look(&chain, "", &names, NOW), Err(Unfit::Key));
    assert!(matches!(look("", &key, &names, NOW), Err(Unfit::Chain(_))));
    assert!(matches!(look(&chain, &key, &names, 1), Err(Unfit::Dates { .. })));
    let (bad, bad_key) = signed(&authority, &["example.org"]);
    assert!(matches!(look(&bad, &bad_key, &["example.org"], NOW), Err(Unfit::Name(_))));
}

#[test]
fn files_are_read_again_when_they_change_and_a_key_open_to_others_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let files = Files {
        id: "own".into(),
        chain: directory.path().join("chain.pem"),
        key: directory.path().join("key.pem"),
    };
    let policy = Policy::default();
    let wanted = Wanted { id: "", names: None, policy: &policy, source: "", now: NOW };
    let mut watched = Watched::new(files.clone());
    let authority = authority();
    let write = |names: &[&str], mode| {
        let (leaf, key) = signed(&authority, names);
        for (path, text) in [(&files.chain, leaf), (&files.key, key)] {
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, text).unwrap();
            std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode)).unwrap();
            std::fs::rename(fresh, path).unwrap();
        }
    };
    write(&["a.example.com"], 0o600);
    assert_eq!(watched.look(&wanted).unwrap().unwrap().names, ["a.example.com"]);
    assert!(watched.look(&wanted).is_none(), "nothing is new");
    write(&["b.example.com"], 0o600);
    assert_eq!(watched.look(&wanted).unwrap().unwrap().names, ["b.example.com"]);
    write(&["b.example.com"], 0o644);
    assert!(matches!(watched.look(&wanted), Some(Err(ImportError::Open(_)))));
}
