//! The identity on disk: a heading, the key, the node's certificates, and its authority last; all
//! but the heading PEM (RFC 7468), so that `openssl x509` shows when it ends.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Identity, Unsound};
use crate::limits;
use crate::private_file::{self, Fresh, Unread};

/// What the file begins with: its kind, and the version of its form.
const HEADING: &str = "landfast identity 1\n";
/// Characters of a line (RFC 7468 section 2).
const LINE: usize = 64;

/// Why there is no identity, or none can be kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system, while it is read.
    #[error("the identity {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    /// Somebody else could have read or changed it.
    #[error(
        "the identity {0} is not its owner's alone (mode 0600): whoever could read it is this node, too. Have the node removed and invited anew"
    )]
    Open(PathBuf),
    /// Cut off, changed, or of another version.
    #[error("the identity {0} cannot be used: {1}. `landfast-edge enrol --force` makes another")]
    Form(PathBuf, Form),
    /// There is one already.
    #[error(
        "this node has an identity, {0}: enrolling gives it another one. Say so with `--force`"
    )]
    There(PathBuf),
    /// The file system, while it is written.
    #[error(
        "no identity can be kept in {0}: {1}; the directory must be writable (systemd: StateDirectory=)"
    )]
    Write(PathBuf, #[source] io::Error),
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Form {
    /// Another kind of file, or that of a later version.
    #[error("it is of another version, or no identity")]
    Heading,
    /// Far longer than one that is written.
    #[error("it is too long")]
    Long,
    /// Not the sections that it has.
    #[error("it is cut off or damaged")]
    Sections,
    /// Sections that do not belong together.
    #[error("{0}")]
    Unsound(#[from] Unsound),
}

/// Where it is in the state directory.
#[must_use]
pub fn path(state_directory: &Path) -> PathBuf {
    state_directory.join("identity")
}

pub(super) fn load(state_directory: &Path) -> Result<Option<Identity>, IdentityError> {
    let path = path(state_directory);
    let text = match private_file::read(&path, limits::MAX_IDENTITY_BYTES as u64) {
        Ok(None) => return Ok(None),
        Ok(Some(text)) => text,
        Err(Unread::Io(error)) => return Err(IdentityError::Read(path, error)),
        Err(Unread::Open) => return Err(IdentityError::Open(path)),
        Err(Unread::Long) => return Err(IdentityError::Form(path, Form::Long)),
    };
    parse(&text).map(Some).map_err(|form| IdentityError::Form(path, form))
}

fn parse(text: &[u8]) -> Result<Identity, Form> {
    let rest = text.strip_prefix(HEADING.as_bytes()).ok_or(Form::Heading)?;
    let (mut key, mut certificates) = (None, Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(rest) {
        match section.map_err(|_| Form::Sections)? {
            (SectionKind::PrivateKey, der) if key.is_none() => {
                key = Some(PrivatePkcs8KeyDer::from(der));
            }
            (SectionKind::Certificate, der) => certificates.push(CertificateDer::from(der)),
            _ => return Err(Form::Sections),
        }
    }
    let (Some(key), Some(authority)) = (key, certificates.pop()) else {
        return Err(Form::Sections);
    };
    Ok(Identity::new(certificates, key, authority)?)
}

fn text(identity: &Identity) -> String {
    let mut text = HEADING.to_owned();
    section(&mut text, "PRIVATE KEY", identity.key.secret_pkcs8_der());
    for certificate in identity.chain.iter().chain([&identity.authority]) {
        section(&mut text, "CERTIFICATE", certificate);
    }
    text
}

fn section(text: &mut String, label: &str, der: &[u8]) {
    let encoded = STANDARD.encode(der);
    let _ = writeln!(text, "-----BEGIN {label}-----");
    for line in encoded.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    let _ = writeln!(text, "-----END {label}-----");
}

/// A place for an identity on disk, there before an invitation is used up for one.
#[derive(Debug)]
pub struct Place {
    state_directory: PathBuf,
    file: Fresh,
}

impl Place {
    /// In `state_directory`, which is made where it is not there. `replaces`: there may be an
    /// identity, which stays until another one is kept.
    ///
    /// # Errors
    /// Where there is one and may not be, and where the file system refuses.
    pub fn take(state_directory: &Path, replaces: bool) -> Result<Self, IdentityError> {
        let failed = |error| IdentityError::Write(state_directory.to_owned(), error);
        let path = path(state_directory);
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(IdentityError::There(path));
        }
        std::fs::create_dir_all(state_directory).map_err(failed)?;
        let file = Fresh::beside(path).map_err(failed)?;
        Ok(Self { state_directory: state_directory.to_owned(), file })
    }

    /// Keeps `identity`, even where the power fails from then on. Waits for the disk.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn keep(self, identity: &Identity) -> Result<(), IdentityError> {
        let written = self.file.keep(&[text(identity).as_bytes()]);
        written.map_err(|error| IdentityError::Write(self.state_directory, error))
    }

    /// Gives it up: nothing is kept.
    pub fn give_up(self) {
        self.file.give_up();
    }
}
