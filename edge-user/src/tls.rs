//! TLS for QUIC: the certificate from its files, and the session tickets of the fleet.

pub mod tickets;
mod validity;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::TlsFiles;
use crate::limits;
use fleet_wire::secrets::Rotating;

pub use rustls::ServerConfig;
use tickets::FleetTickets;
use validity::Validity;

/// What a client that wants HTTP/3 offers (RFC 9114 section 3.1).
pub const ALPN_H3: &[u8] = b"h3";

/// Why there is no TLS, with the file that is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or cannot be read.
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    /// A file is not PEM.
    #[error("{0} is not in PEM form: {1}")]
    Pem(PathBuf, String),
    /// A file without certificate.
    #[error(
        "{0} holds no certificate (no BEGIN CERTIFICATE): give the chain, the server's own first"
    )]
    NoCertificate(PathBuf),
    /// A chain that clients refuse.
    #[error("{0} holds {1} certificates, more than the {most} that clients take: give the chain only", most = limits::MAX_CHAIN_CERTIFICATES)]
    LongChain(PathBuf, usize),
    /// A file without key.
    #[error("{0} holds no private key (no BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)")]
    NoKey(PathBuf),
    /// The two files do not belong together, or are of a kind that cannot be used.
    #[error("the certificate {certificate} and the key {key} cannot be used together: {reason}")]
    Unusable {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls says.
        reason: rustls::Error,
    },
}

/// TLS of a process: what every worker uses, and what a reload changes in it.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For HTTP/3 over QUIC: TLS 1.3 alone (RFC 9001 section 4.2), ALPN `h3`, tickets that every
    /// node of the fleet opens, no early data.
    pub config: Arc<ServerConfig>,
    /// The tickets in it.
    pub tickets: Arc<FleetTickets>,
    /// What is served, but not well.
    pub warnings: Vec<String>,
}

/// TLS with the certificate and key of these files. A certificate that clients will refuse because
/// of its time is warned of and served: it is worse than none only in their eyes.
///
/// # Errors
/// Where the files cannot be read, are not PEM, or do not belong together.
pub fn load(files: &TlsFiles, tickets: &Rotating) -> Result<Tls, TlsError> {
    let chain = chain(&files.certificate)?;
    let key = key(&files.key)?;
    let validity = chain.first().and_then(|certificate| Validity::of(certificate));
    let mut warnings = Vec::new();
    if let Some(validity) = validity {
        warnings.extend(validity.warning(&files.certificate, SystemTime::now()));
    }
    warnings.extend(open_to_others(&files.key));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |reason| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN_H3.to_vec()];
    let tickets = Arc::new(FleetTickets::new(tickets));
    config.ticketer = tickets.clone();
    // Tickets hold all there is to resume: nothing is stored, so that any node can.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Tls { config: Arc::new(config), tickets, warnings })
}

/// A warning where others than the owner may read the key. Its group may: keys are often shared
/// with one so that a service that is not root reads them.
fn open_to_others(key: &Path) -> Option<String> {
    let mode = std::fs::metadata(key).ok()?.mode() & 0o7777;
    let path = key.display();
    (mode & 0o007 != 0).then(|| {
        format!("the key {path} is open to every user of this host (mode {mode:04o}): run `chmod o= {path}`")
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem(path.to_owned(), error.to_string()))?;
    match chain.len() {
        0 => Err(TlsError::NoCertificate(path.to_owned())),
        length if length > limits::MAX_CHAIN_CERTIFICATES => {
            Err(TlsError::LongChain(path.to_owned(), length))
        }
        _ => Ok(chain),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        Error::NoItemsFound => TlsError::NoKey(path.to_owned()),
        // Not the reader's own words, which may quote a line of the key.
        _ => TlsError::Pem(path.to_owned(), "a section does not end, or is not base64".into()),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(limits::MAX_PEM_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| TlsError::Read(path.to_owned(), error))
}

#[cfg(test)]
mod tests;
