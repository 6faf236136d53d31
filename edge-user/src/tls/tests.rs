use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::config::{TlsFiles, UnknownNames};

struct Files {
    /// Removed when it is dropped.
    _directory: TempDir,
    files: TlsFiles,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("made");
        let certified = rcgen::generate_simple_self_signed(["localhost".into()]).expect("signed");
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        let files = TlsFiles { certificate, key };
        std::fs::write(&files.certificate, certified.cert.pem()).expect("written");
        std::fs::write(&files.key, certified.signing_key.serialize_pem()).expect("written");
        Self { _directory: directory, files }
    }

    fn load(&self) -> Result<Tls, TlsError> {
        let config = TlsConfig {
            default: Some(self.files.clone()),
            more: Vec::new(),
            unknown_names: UnknownNames::Default,
        };
        load(&config, &Rotating { current: [1; 32], previous: None, next: None })
    }

    fn refusal(&self) -> String {
        self.load().expect_err("refused").to_string()
    }
}

#[test]
fn http3_alone_over_tls_13_with_a_hybrid_key_exchange_first() {
    let files = Files::new();
    let Tls { config, .. } = files.load().expect("good");
    assert_eq!(config.alpn_protocols, [b"h3"]);
    assert!(config.ticketer.enabled());
    assert_eq!(config.max_early_data_size, 0, "no 0-RTT");
    let groups = &config.crypto_provider().kx_groups;
    assert_eq!(groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
}

#[test]
fn a_file_that_does_not_serve_is_named_with_the_reason() {
    let files = Files::new();
    let (certificate, key) = (files.files.certificate.clone(), files.files.key.clone());
    let good_key = std::fs::read_to_string(&key).expect("written");
    let good_certificate = std::fs::read_to_string(&certificate).expect("written");
    let write = |path: &PathBuf, text: &str| std::fs::write(path, text).expect("written");

    write(&certificate, &good_key);
    assert!(files.refusal().contains("cert.pem holds no certificate"), "{}", files.refusal());
    write(&certificate, &good_certificate.repeat(11));
    assert!(files.refusal().contains("holds 11 certificates"), "{}", files.refusal());
    write(&certificate, &good_certificate.replace("-----END", "-----ENDE"));
    assert!(files.refusal().contains("cert.pem is not in PEM form"), "{}", files.refusal());
    write(&certificate, &good_certificate);

    write(&key, &good_certificate);
    assert!(files.refusal().contains("key.pem holds no private key"), "{}", files.refusal());
    write(&key, &rcgen::KeyPair::generate().expect("key").serialize_pem());
    assert!(files.refusal().contains("cannot be used together"), "{}", files.refusal());
    std::fs::remove_file(&key).expect("there");
    assert!(
        files.refusal().contains("key.pem cannot be read: No such file"),
        "{}",
        files.refusal()
    );
}

#[test]
fn a_key_that_every_user_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&files.files.key, permissions).expect("ours");
        let warnings = files.load().expect("served all the same").warnings;
        assert_eq!(warnings.len(), usize::from(warned), "{mode:o}: {warnings:?}");
        let cure = format!("run `chmod o= {}`", files.files.key.display());
        assert!(warnings.iter().all(|warning| warning.contains(&cure)), "{warnings:?}");
    }
}
