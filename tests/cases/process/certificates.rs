//! Certificates change under a process that serves.

use std::fs;

use tests::credentials::Certificates;
use tests::http3;

use super::Edge;

impl Edge {
    /// Puts a new certificate, of an authority of its own, into the files.
    fn renew(&mut self) {
        let made = Certificates::make().and_then(|made| made.write(self.directory.path()));
        self.credentials = made.expect("written");
    }
}

#[tokio::test]
async fn a_connection_lives_through_a_change_of_the_certificate() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let owner = client.identity().await.expect("an answer").owner;
    let old = http3::client_config(&edge.credentials.authority_der).expect("trusted");

    edge.renew();
    let (code, said, _) = edge.reload();
    assert!(code == Some(0) && said.contains("is another one, valid for"), "{said}");
    assert_eq!(client.identity().await.expect("an answer").owner, owner);
    let new = edge.connect().await;
    new.identity().await.expect("an answer under the new certificate");
    let endpoint = http3::endpoint(std::net::Ipv4Addr::LOCALHOST.into(), old).expect("a socket");
    let address = (std::net::Ipv4Addr::LOCALHOST, edge.port).into();
    let refused = http3::Http3::connect_to(&endpoint, address).await;
    assert!(refused.is_err(), "who trusts the old one alone sees that it is gone");
    assert_eq!(edge.reload().1, "nothing has changed\n");
}

#[tokio::test]
async fn a_bad_certificate_file_is_refused_with_the_reason_and_changes_nothing() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let certificate = edge.credentials.certificate.clone();
    let key = edge.credentials.key.clone();
    let good = fs::read(&certificate).expect("there");
    let good_key = fs::read(&key).expect("there");

    let other =
        Certificates::make().and_then(|made| made.write(edge.directory.path())).expect("written");
    let key_of_other = fs::read(&other.key).expect("there");
    for (bytes, key_bytes, reason) in [
        (&b"no certificate"[..], &good_key[..], "holds no certificate"),
        (&good[..good.len() / 2], &good_key, "is not in PEM form"),
        (&good, &key_of_other, "its key belongs to another certificate"),
    ] {
        fs::write(&certificate, bytes).expect("written");
        fs::write(&key, key_bytes).expect("written");
        let (code, _, said) = edge.reload();
        let path = certificate.display().to_string();
        assert!(code == Some(1) && said.contains(reason) && said.contains(&path), "{said}");
        assert!(said.contains("nothing is changed"), "{said}");
        client.identity().await.expect("an answer");
        edge.connect().await.identity().await.expect("an answer under the certificate in force");
    }
    fs::write(&certificate, &good).expect("written");
    fs::write(&key, &good_key).expect("written");
    assert_eq!(edge.reload().1, "nothing has changed\n");
}
