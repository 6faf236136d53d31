//! Why there is no identity or no connection, and what to do. Nothing secret is in a message.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::CertificateError as Bad;
use tonic::{Code, Status};

use super::ControllerAddress;
use crate::limits;

/// Why there is no connection to a controller, or nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address led to it.
    #[error("no controller is reached: {}", Listed(.0))]
    Nowhere(Vec<(ControllerAddress, AttemptError)>),
    /// It says no. Asking again does not help; its words say what does.
    #[error("the controller refuses: {0}")]
    Refused(String),
    /// The connection broke, or the controller is in trouble. Asking again may help, but for an
    /// invitation: it may be used up.
    #[error("the controller gave no answer: {0}")]
    Failed(String),
    /// As above.
    #[error("the controller gave no answer within {} s", limits::CONTROLLER_RPC_WITHIN.as_secs())]
    Late,
    /// Its answer is no identity. A fault of the controller.
    #[error("the controller's answer is no identity: {0}")]
    Answer(#[from] Unsound),
    /// No key or no TLS to be had here.
    #[error("no key can be made or used: {0}")]
    Key(String),
}

impl ConnectError {
    /// Whether the controller has said no: trying again does not help.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl From<Status> for ConnectError {
    fn from(status: Status) -> Self {
        let words = words(&status);
        match status.code() {
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::Unimplemented => Self::Refused(words),
            _ => Self::Failed(words),
        }
    }
}

/// Why parts make no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// There is no certificate.
    #[error("there is no certificate")]
    Empty,
    /// More certificates than there is a use for.
    #[error("it has more than {} certificates", limits::MAX_IDENTITY_CHAIN)]
    Long,
    /// Not in form.
    #[error("a certificate is not one")]
    Certificate,
    /// A certificate for something else.
    #[error("the certificate names no node")]
    NotANode,
    /// A certificate for another key, or no key.
    #[error("certificate and key do not belong together")]
    Key,
    /// A certificate of another authority.
    #[error("the authority did not sign the certificate")]
    Signature,
    /// Another authority than was asked.
    #[error("it is of another authority")]
    OtherAuthority,
    /// Another node's.
    #[error("it is another node's")]
    OtherNode,
}

/// Why an address did not lead to the controller.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// A name.
    #[error("the name is not found: {0}")]
    Resolve(#[source] io::Error),
    /// TCP.
    #[error("{0}")]
    Tcp(#[source] io::Error),
    /// One of the steps.
    #[error("{step} took longer than {} s", .within.as_secs())]
    Late {
        /// Which one.
        step: &'static str,
        /// How long it may take.
        within: Duration,
    },
    /// Another controller, or somebody in between. It was shown nothing.
    #[error(
        "whoever answers there is not of our controller's authority: the address is wrong, or somebody answers in its place"
    )]
    Stranger,
    /// The controller has a certificate for other names.
    #[error(
        "the controller's certificate is for other names: add this one to `names` in its configuration"
    )]
    OtherName,
    /// Its certificate is not valid now, by our clock.
    #[error("the controller's certificate is not valid now: is this host's clock right?")]
    Clock,
    /// The controller does not take our certificate.
    #[error(
        "the controller does not take our identity: it has ended, or is of another controller. Invite the node anew"
    )]
    Rejected,
    /// Anything else of TLS.
    #[error("no TLS: {0}")]
    Tls(String),
    /// Above TLS.
    #[error("no HTTP/2: {0}")]
    Http(String),
}

impl AttemptError {
    /// What went wrong in a TLS handshake, or before the first byte after it.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())
        else {
            return Self::Tls(error.to_string());
        };
        match cause {
            rustls::Error::InvalidCertificate(bad) => match bad {
                // Every authority of a controller has the same name: only the key differs.
                Bad::UnknownIssuer | Bad::BadSignature => Self::Stranger,
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::OtherName,
                Bad::Expired
                | Bad::ExpiredContext { .. }
                | Bad::NotValidYet
                | Bad::NotValidYetContext { .. } => Self::Clock,
                _ => Self::Tls(cause.to_string()),
            },
            // It has our certificate before it sends any (RFC 8446 section 6.2).
            rustls::Error::AlertReceived(
                rustls::AlertDescription::BadCertificate
                | rustls::AlertDescription::CertificateExpired
                | rustls::AlertDescription::CertificateUnknown
                | rustls::AlertDescription::DecryptError
                | rustls::AlertDescription::UnknownCA,
            ) => Self::Rejected,
            other => Self::Tls(other.to_string()),
        }
    }
}

/// Addresses, and what each came to.
struct Listed<'a>(&'a [(ControllerAddress, AttemptError)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (address, error)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

/// What a status says: its causes where it came from no controller. One line, not all of it, and
/// nothing that a terminal would obey.
fn words(status: &Status) -> String {
    let mut words = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    let line = words.lines().next().unwrap_or_default();
    let line = &line[..line.floor_char_boundary(limits::MAX_CONTROLLER_WORDS_BYTES)];
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_controller_says_is_one_short_line() {
        let long = format!("no\x1b[2Jmore {}\nand more", "\u{e9}".repeat(1000));
        let error = ConnectError::from(Status::permission_denied(long));
        assert!(error.is_refusal());
        let words = error.to_string();
        assert!(words.starts_with("the controller refuses: no [2Jmore \u{e9}"), "{words}");
        assert!(words.len() < 2 * limits::MAX_CONTROLLER_WORDS_BYTES && !words.contains("and"));
        assert!(!ConnectError::from(Status::internal("its disk is full")).is_refusal());
    }
}
