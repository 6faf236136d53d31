//! What authorities are answered: the table of a real node, filled by what a simulated one takes.

use edge_user::tls::Challenges;
use edge_user::tls::challenges::ChallengeRefused;
use fleet_wire::key;
use fleet_wire::message::Item;
use fleet_wire::message::item::Body;

/// Takes an item, if it is one that authorities are answered from.
///
/// # Errors
/// As a real node refuses it.
pub fn take(challenges: &Challenges, item: &Item) -> Result<(), ChallengeRefused> {
    match &item.body {
        Some(Body::Http01(it)) => challenges.set_http01(&it.token, &it.key_authorization),
        Some(Body::TlsAlpn01(it)) => {
            let chain = vec![it.certificate.to_vec()];
            challenges.set_tls_alpn01(&it.name, chain, it.key.to_vec())
        }
        Some(Body::Account(account)) => challenges.set_thumbprint(Some(&account.thumbprint)),
        _ => Ok(()),
    }
}

/// Forgets what was taken under this key.
pub fn forget(challenges: &Challenges, of: &str) {
    if let Some(token) = of.strip_prefix(key::HTTP_01) {
        challenges.remove_http01(token);
    } else if let Some(name) = of.strip_prefix(key::TLS_ALPN_01) {
        challenges.remove_tls_alpn01(name);
    } else if of.starts_with(key::ACCOUNT) {
        challenges.set_thumbprint(None).expect("none is always good");
    }
}
