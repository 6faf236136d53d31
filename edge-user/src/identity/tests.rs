//! Answers of a controller that is not sound, and files that are not. Real connections are among
//! the tests of the controller.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, SanType,
};

use tempfile::TempDir;

use super::file::{Form, Place, path};
use super::*;

/// As a controller's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        // As every controller's is named.
        params.distinguished_name.push(DnType::CommonName, "Landfast controller");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("signed").der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate of this authority, from 1 to 4 January 2026.
    fn certify(&self, uri: &str, purpose: ExtendedKeyUsagePurpose, key: &KeyPair) -> Bytes {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 4);
        params.subject_alt_names =
            vec![SanType::URI(Ia5String::try_from(uri.to_owned()).expect("ASCII"))];
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(key, &self.issuer).expect("signed");
        Bytes::copy_from_slice(certificate.der())
    }

    fn answer(&self, node: u32, certificate: Bytes) -> message::Identity {
        let authority = Bytes::copy_from_slice(&self.certificate);
        message::Identity { node, chain: vec![certificate, authority.clone()], authority }
    }

    fn take(&self, answer: message::Identity, key: &KeyPair) -> Result<Identity, Unsound> {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Identity::answered(answer, key, |authority| *authority == self.certificate)
    }
}

const NODE_7: &str = "landfast:node:7";
const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;

fn identity() -> (Authority, Identity) {
    let (authority, key) = (Authority::new(), KeyPair::generate().expect("a key"));
    let answer = authority.answer(7, authority.certify(NODE_7, CLIENT, &key));
    let identity = authority.take(answer, &key).expect("sound");
    (authority, identity)
}

/// A state directory that is not there yet, and the one that it goes with.
fn directory() -> (PathBuf, TempDir) {
    let own = tempfile::tempdir().expect("made");
    (own.path().join("state"), own)
}

#[test]
fn an_identity_is_renewed_at_two_thirds_of_its_life_and_shows_no_key() {
    let (_, identity) = identity();
    assert_eq!(identity.node(), 7);
    let left = identity.ends_at().duration_since(identity.renew_at()).expect("before");
    assert_eq!(left, Duration::from_secs(24 * 3600), "a third of three days");
    assert_eq!(format!("{identity:?}"), "Identity { node: 7, .. }");
}

/// What a controller that is broken, or somebody who holds a certificate of another kind, could
/// hand out.
#[test]
fn an_answer_whose_parts_do_not_belong_together_is_no_identity() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (key, other_key) = (KeyPair::generate().expect("a"), KeyPair::generate().expect("b"));
    let certify = |by: &Authority, uri, key| by.certify(uri, CLIENT, key);
    let good = certify(&authority, NODE_7, &key);
    authority.take(authority.answer(7, good.clone()), &key).expect("sound");

    let refused = |answer| authority.take(answer, &key).expect_err("unsound");
    assert_eq!(refused(stranger.answer(7, good.clone())), Unsound::OtherAuthority);
    let forged = certify(&stranger, NODE_7, &key);
    assert_eq!(refused(authority.answer(7, forged)), Unsound::Signature, "of the same name");
    let foreign = certify(&authority, NODE_7, &other_key);
    assert_eq!(refused(authority.answer(7, foreign)), Unsound::Key);
    let servers = authority.certify(NODE_7, ExtendedKeyUsagePurpose::ServerAuth, &key);
    assert_eq!(refused(authority.answer(7, servers)), Unsound::Signature, "for servers");
    assert_eq!(refused(authority.answer(8, good.clone())), Unsound::OtherNode);
    for uri in ["landfast:node:4096", "landfast:node:-1", "landfast:node:", "https://a.example"] {
        let nobodys = certify(&authority, uri, &key);
        assert_eq!(refused(authority.answer(7, nobodys)), Unsound::NotANode, "{uri}");
    }
    let answer = |chain: &[&Bytes]| {
        let chain = chain.iter().copied().cloned().collect();
        message::Identity { chain, ..authority.answer(7, good.clone()) }
    };
    assert_eq!(refused(answer(&[])), Unsound::Empty);
    assert_eq!(refused(answer(&[&Bytes::from_static(b"none")])), Unsound::Certificate);
    assert_eq!(refused(answer(&[&good; 4])), Unsound::Long);
}

#[test]
fn what_is_kept_is_read_and_is_its_owners_alone() {
    let (directory, _own) = directory();
    assert!(Identity::load(&directory).expect("no error").is_none(), "there never was one");
    let (_, first) = identity();
    // As a crash may have left it.
    fs::create_dir_all(&directory).expect("made");
    fs::write(directory.join("identity.new"), "half").expect("written");
    for identity in [first, identity().1] {
        identity.store(&directory).expect("kept");
        let read = Identity::load(&directory).expect("good").expect("kept");
        assert_eq!(read.chain, identity.chain);
        assert_eq!(read.key.secret_pkcs8_der(), identity.key.secret_pkcs8_der());
        assert_eq!((read.authority, read.facts), (identity.authority, identity.facts));
    }
    let mode = fs::metadata(path(&directory)).expect("there").mode();
    assert_eq!(mode & 0o7777, 0o600);
    fs::set_permissions(path(&directory), Permissions::from_mode(0o640)).expect("set");
    let error = Identity::load(&directory).expect_err("open to a group");
    assert!(matches!(error, IdentityError::Open(_)), "{error}");
}

#[test]
fn a_place_is_taken_before_an_invitation_is_used_up() {
    let (directory, _own) = directory();
    let (_, identity) = identity();
    Place::take(&directory, false).expect("free").give_up();
    assert_eq!(fs::read_dir(&directory).expect("made").count(), 0, "nothing is left");
    Place::take(&directory, false).expect("free still").keep(&identity).expect("kept");
    let error = Place::take(&directory, false).expect_err("there is one");
    assert!(error.to_string().contains("Say so with `--force`"), "{error}");
    Place::take(&directory, true).expect("said so").give_up();
    assert!(Identity::load(&directory).expect("good").is_some(), "it stays until then");
    let error = Place::take("/proc/landfast".as_ref(), false).expect_err("not writable");
    assert!(error.to_string().contains("must be writable"), "{error}");
}

#[test]
fn one_that_is_cut_off_damaged_or_patched_together_is_not_used() {
    let (directory, _own) = directory();
    let (_, identity) = identity();
    identity.store(&directory).expect("kept");
    let good = fs::read(path(&directory)).expect("there");
    let load = |bytes: &[u8]| {
        fs::write(path(&directory), bytes).expect("written");
        Identity::load(&directory)
    };
    let marks: Vec<_> = good.windows(5).enumerate().filter(|(_, five)| *five == b"-----").collect();
    for (place, _) in marks {
        assert!(load(&good[..place]).is_err(), "cut off at {place}");
    }
    let form = |bytes: &[u8]| match load(bytes) {
        Err(IdentityError::Form(_, form)) => form,
        other => panic!("{other:?}"),
    };
    assert_eq!(form(b""), Form::Heading);
    assert_eq!(form(&[&good[..], &[b' '; limits::MAX_IDENTITY_BYTES]].concat()), Form::Long);
    assert_eq!(form(&[&good[..], b"-----BEGIN X509 CRL-----\n"].concat()), Form::Sections);
    // The key of another, as where two files were mixed up.
    let text = String::from_utf8(good).expect("PEM");
    let key = |text: &str| text.split("-----").nth(2).expect("a key").to_owned();
    let others = KeyPair::generate().expect("a key").serialize_pem().replace('\r', "");
    let mixed = text.replace(&key(&text), &key(&others));
    assert_eq!(form(mixed.as_bytes()), Form::Unsound(Unsound::Key));
}
