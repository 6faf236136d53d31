//! A certificate authority for one fleet, and its certificate for [`NAME`].

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

/// The name every client asks for.
pub const NAME: &str = "landfast.test";

/// Files that nodes serve with, and that clients trust.
#[derive(Debug)]
pub struct Credentials {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// What clients trust, PEM.
    pub authority: PathBuf,
    /// The same, for clients in this process.
    pub authority_der: CertificateDer<'static>,
}

impl Credentials {
    /// Makes an authority and a certificate, and writes them to `directory`.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(directory: &Path) -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        // Another name than the certificate's, which would look like its own issuer.
        authority.distinguished_name.push(DnType::CommonName, "Landfast test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &authority)?;
        let credentials = Self {
            certificate: directory.join("certificate.pem"),
            key: directory.join("key.pem"),
            authority: directory.join("authority.pem"),
            authority_der: authority.der().clone(),
        };
        let files = [
            (&credentials.certificate, certificate.pem()),
            (&credentials.key, key.serialize_pem()),
            (&credentials.authority, authority.pem()),
        ];
        for (path, text) in files {
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(credentials)
    }
}
