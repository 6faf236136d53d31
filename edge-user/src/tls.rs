//! TLS: the certificates that are served, the answers to authorities, and the session tickets of
//! the fleet.
//!
//! | module | job |
//! |---|---|
//! | [`live`] | the certificates in force, and which of them a client gets |
//! | [`challenges`] | what certificate authorities are answered |
//! | [`accept`] | handshakes of TLS over TCP |
//! | [`alpn01`] | those of authorities |
//! | [`files`] | certificates and keys from PEM files |
//! | [`origin`] | TLS to the servers of origins |
//! | [`tickets`] | session tickets that every node of the fleet opens |
//! | `candidate` | what it takes to be served |
//! | `x509` | what a certificate says |

pub mod accept;
pub mod alpn01;
mod candidate;
pub mod challenges;
pub mod files;
pub mod live;
pub mod origin;
pub mod tickets;
mod x509;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;

use crate::config::TlsConfig;
use fleet_wire::secrets::Rotating;

pub use accept::Acceptor;
pub use candidate::{Candidate, Unfit};
pub use challenges::Challenges;
pub use files::TlsError;
pub use live::{Live, Source};
pub use rustls::ServerConfig;
use tickets::FleetTickets;
pub(crate) use x509::{Name, host_name};

/// What a client that wants HTTP/3 offers (RFC 9114 section 3.1).
pub const ALPN_H3: &[u8] = b"h3";

/// TLS of a process: what every worker uses, and what changes in it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For HTTP/3 over QUIC.
    pub config: Arc<ServerConfig>,
    /// The tickets in it.
    pub tickets: Arc<FleetTickets>,
    /// The certificates in it.
    pub certificates: Arc<Live>,
    /// What authorities are answered, by HTTP and by TLS.
    pub challenges: Arc<Challenges>,
    /// What is served, but not well.
    pub warnings: Vec<String>,
}

/// TLS with the certificates of the files that `config` names.
///
/// # Errors
/// Where the files cannot be read, are not PEM, or do not belong together.
pub fn load(config: &TlsConfig, tickets: &Rotating) -> Result<Tls, TlsError> {
    let now = SystemTime::now();
    let certificates = Arc::new(Live::new(config.unknown_names));
    let read = files::read(config, &certificates, now)?;
    let warnings = read.put_in_force(&certificates, now).warnings;
    let default = config.default.as_ref().map(files::id);
    certificates.set_default(default.as_deref().map(|id| (Source::Files, id)));
    let tickets = Arc::new(FleetTickets::new(tickets));
    Ok(Tls {
        config: Arc::new(for_quic(&certificates, &tickets)),
        tickets,
        certificates,
        challenges: Arc::new(Challenges::new()),
        warnings,
    })
}

/// For HTTP/3 over QUIC: TLS 1.3 alone (RFC 9001 section 4.2), ALPN `h3`, tickets that every node
/// of the fleet opens, no early data. X25519MLKEM768 is preferred.
///
/// A ticket is taken for the name that it was issued for and no other (RFC 6066 section 3), which
/// rustls sees to; and rustls asks for a certificate before it looks at the ticket, so that a name
/// that is refused is not resumed either.
#[must_use]
pub fn for_quic(certificates: &Arc<Live>, tickets: &Arc<FleetTickets>) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificates.clone());
    config.alpn_protocols = vec![ALPN_H3.to_vec()];
    config.ticketer = tickets.clone();
    // Tickets hold all there is to resume: nothing is stored, so that any node can.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config
}

#[cfg(test)]
mod tests;
