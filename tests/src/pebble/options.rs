//! Where an authority runs, and how it behaves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::place::Place;

/// In what an authority differs from one that is quick and never refuses.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// Where it runs.
    pub place: Place,
    /// Where every name points, at most one address of each family.
    pub names_at: Vec<IpAddr>,
    /// Where HTTP-01 is asked for: 80 outside of tests.
    pub http_port: u16,
    /// Where TLS-ALPN-01 is asked for: 443 outside of tests.
    pub tls_port: u16,
    /// How many of a hundred good nonces it refuses (RFC 8555 section 6.5: badNonce).
    pub nonce_rejections_percent: u8,
    /// For how long a certificate is valid.
    pub validity: Duration,
    /// It waits up to so long before it looks at a challenge; whole seconds.
    pub validation_delay: Duration,
    /// How many of a hundred authorisations that are valid it uses again.
    pub authorization_reuse_percent: u8,
    /// How many chains it offers beside the first.
    pub alternate_roots: u8,
    /// How many certificates of authorities are between one that is issued and the root.
    pub chain_length: u8,
    /// Names for which it refuses to issue, with what is below them.
    pub refused_names: Vec<String>,
    /// Accounts that somebody else keeps, by their keys' IDs with the keys in base64url. Where there
    /// is one, every new account must be bound to one (RFC 8555 section 7.3.4).
    pub external_accounts: Vec<(String, String)>,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            place: Place::Loopback,
            names_at: vec![Ipv4Addr::LOCALHOST.into()],
            http_port: 80,
            tls_port: 443,
            nonce_rejections_percent: 0,
            validity: Duration::from_secs(90 * 24 * 3600),
            validation_delay: Duration::ZERO,
            authorization_reuse_percent: 0,
            alternate_roots: 0,
            chain_length: 1,
            refused_names: Vec::new(),
            external_accounts: Vec::new(),
        }
    }
}

impl PebbleOptions {
    pub(super) fn config(&self, listen: &str, management: &str, directory: &Path) -> Value {
        let external: BTreeMap<_, _> = self.external_accounts.iter().cloned().collect();
        json!({ "pebble": {
            "listenAddress": listen,
            "managementListenAddress": management,
            "certificate": directory.join("certificate.pem"),
            "privateKey": directory.join("key.pem"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !external.is_empty(),
            "externalAccountMACKeys": external,
            "certificateValidityPeriod": self.validity.as_secs(),
            "domainBlocklist": self.refused_names,
        }})
    }

    /// What pebble is told by its environment. Whatever is not told here has a default that is
    /// drawn by lot, which a test does not want.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("PEBBLE_WFE_NONCEREJECT", self.nonce_rejections_percent.to_string()),
            ("PEBBLE_AUTHZREUSE", self.authorization_reuse_percent.to_string()),
            ("PEBBLE_ALTERNATE_ROOTS", self.alternate_roots.to_string()),
            ("PEBBLE_CHAIN_LENGTH", self.chain_length.to_string()),
        ];
        environment.push(match self.validation_delay {
            Duration::ZERO => ("PEBBLE_VA_NOSLEEP", "1".to_owned()),
            delay => ("PEBBLE_VA_SLEEPTIME", delay.as_secs().to_string()),
        });
        environment
    }

    /// The addresses of all names, as options of the DNS server: an empty one answers nothing.
    pub(super) fn default_addresses(&self) -> [(&'static str, String); 2] {
        let first = |wanted: fn(&IpAddr) -> bool| {
            let address = self.names_at.iter().find(|address| wanted(address));
            address.map(IpAddr::to_string).unwrap_or_default()
        };
        [("-defaultIPv4", first(IpAddr::is_ipv4)), ("-defaultIPv6", first(IpAddr::is_ipv6))]
    }
}
