//! From a command to certificates that every one of three real nodes shows its clients.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ::controller::operator::message::Import;
use ::controller::operator::socket;
use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::progress;
use crate::credentials::SERVER_NAME;
use crate::figure::{median, percentile};
use crate::fleet::client::first_address;
use crate::fleet::{Following, FollowingOptions, Node, PORT};
use crate::http3::{self, Http3};

/// Certificates of `served_by_3`: two of them are beyond the 99th percentile.
const ROUNDS: usize = 200;
/// Orders of `order_to_served`: an odd number, for the median.
const ORDERS: usize = 9;
/// A node that does not show it by then never will.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// The 99th percentile of milliseconds from the command that stores a certificate to the first TLS
/// handshake with it at the last of three nodes. Handshakes follow each other without a pause.
pub(super) fn by_three() -> Result<f64> {
    let following = Following::start(&FollowingOptions::default())?;
    let authority = authority()?;
    let socket = following.controller.socket();
    let rounds = following.fleet.client().namespace().enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut operator = socket::connect(&socket).await?;
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                let (import, sha256) = certificate(&authority)?;
                let began = Instant::now();
                let shown = following.fleet.nodes().iter().map(|node| {
                    // In the first rounds they have none at all.
                    until_shown(node, authority.der(), &sha256)
                });
                let import = async { Ok(operator.import_certificate(import).await?) };
                let all = async { tokio::try_join!(import, try_join_all(shown)) };
                timeout(SHOWN_WITHIN, all).await.context("not every node shows it")??;
                rounds.push(began.elapsed().as_secs_f64() * 1e3);
                if (round + 1) % 50 == 0 {
                    progress(format_args!("  {} certificates", round + 1));
                }
            }
            Ok::<_, anyhow::Error>(rounds)
        })
    })?;
    let of = |percent| percentile(rounds.iter().copied(), percent);
    progress(format_args!("  median {:.0} ms, 90 % {:.0} ms", of(50), of(90)));
    Ok(of(99))
}

/// The median of seconds from the command that orders a certificate at pebble to the first TLS
/// handshake with it at the last of three nodes.
pub(super) fn from_an_order() -> Result<f64> {
    let following = Following::start(&FollowingOptions::default())?;
    following.issue()?;
    let mut rounds = Vec::new();
    for _ in 0..ORDERS {
        let before = following.shown()?;
        let began = Instant::now();
        following.controller.run(&["certificates", "renew", SERVER_NAME])?;
        loop {
            let shown = following.shown()?;
            if shown.iter().all(|(node, sha256)| before.get(node) != Some(sha256)) {
                break;
            }
            ensure!(began.elapsed() < SHOWN_WITHIN, "{}", following.controller.log());
        }
        let took = began.elapsed();
        progress(format_args!("  served by all after {took:.2?}"));
        rounds.push(took.as_secs_f64());
        following.wait_until_served()?;
    }
    Ok(median(rounds.into_iter()))
}

/// Connects again and again, until the node shows this certificate.
async fn until_shown(node: &Node, trust: &CertificateDer<'static>, sha256: &str) -> Result<()> {
    let address = IpAddr::V4(node.place().ipv4());
    loop {
        // A client that remembers nothing, and so is shown a certificate each time.
        let endpoint = http3::endpoint(first_address(address), http3::client_config(trust)?)?;
        let connected = Http3::connect_to(&endpoint, SocketAddr::new(address, PORT)).await;
        if connected.is_ok_and(|connection| connection.fingerprint().is_ok_and(|it| it == sha256)) {
            return Ok(());
        }
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Landfast bench authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// One for the name that clients ask for, and its SHA-256 in hexadecimal.
fn certificate(authority: &Issuer<'_, KeyPair>) -> Result<(Import, String)> {
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec![SERVER_NAME.to_owned()])?.signed_by(&key, authority)?;
    let sha256 = http3::fingerprint(certificate.der());
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    Ok((Import { id: "imported".to_owned(), chain, key }, sha256))
}
