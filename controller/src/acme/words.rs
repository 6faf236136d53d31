//! What an authority's error means, in words that say what to do.

use std::time::Duration;

use instant_acme::{Error, Problem};

use super::client::Said;
use crate::{foreign, limits};

/// Why an order does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What to do about it.
    pub kind: Kind,
    /// For people, without a secret.
    pub why: String,
    /// For how long the authority wants not to be asked.
    pub retry_after: Option<Duration>,
}

/// What to do about trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The nonce was used up: the same once more, at once.
    BadNonce,
    /// The authority knows our account no more: a new one.
    NoAccount,
    /// Too much was asked: later.
    RateLimited,
    /// The authority says no.
    Refused,
    /// It does not answer, or not as it should.
    Unavailable,
    /// On this side.
    Ours,
}

impl Kind {
    /// For metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadNonce => "bad_nonce",
            Self::NoAccount => "no_account",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Ours => "ours",
        }
    }
}

impl Trouble {
    /// Words of an authority, of nodes or of a hook may be in `why`: whoever they are, they write no
    /// lines of our log, and fill no store.
    fn new(kind: Kind, why: &str) -> Self {
        let why = foreign::words(why, limits::MAX_TROUBLE_BYTES);
        Self { kind, why, retry_after: None }
    }

    /// Of this side.
    pub(super) fn ours(why: impl std::fmt::Display) -> Self {
        Self::new(Kind::Ours, &why.to_string())
    }

    /// What the authority decided.
    pub(super) fn refused(why: impl AsRef<str>) -> Self {
        Self::new(Kind::Refused, why.as_ref())
    }

    /// An authority that takes too long.
    pub(super) fn slow(why: impl AsRef<str>) -> Self {
        Self::new(Kind::Unavailable, why.as_ref())
    }

    /// The same, said of `whom`.
    pub(super) fn of_whom(self, whom: &str) -> Self {
        Self {
            why: foreign::words(&format!("{whom}: {}", self.why), limits::MAX_TROUBLE_BYTES),
            ..self
        }
    }

    /// Of an error of the ACME library.
    pub(super) fn of(error: &Error, said: &Said) -> Self {
        let retry_after = said.retry_after();
        match error {
            Error::Api(problem) => {
                let (kind, why) = explain(problem);
                Self { retry_after, ..Self::new(kind, &why) }
            }
            Error::Timeout(_) => Self::slow("the authority did not come to an end"),
            error => {
                let mut why = format!("the authority does not answer as it should: {error}");
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    why = format!("{why}: {cause}");
                    source = cause.source();
                }
                Self { retry_after, ..Self::new(Kind::Unavailable, &why) }
            }
        }
    }
}

/// RFC 8555 section 6.7.
fn explain(problem: &Problem) -> (Kind, String) {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    let (what, hint) = match kind {
        "badNonce" => (Kind::BadNonce, "a nonce was used up"),
        "accountDoesNotExist" => (Kind::NoAccount, "the authority does not know our account"),
        "rateLimited" => (Kind::RateLimited, "the authority's limit is reached"),
        "unauthorized" | "incorrectResponse" => (
            Kind::Refused,
            "the authority got a wrong answer: does the name point at this fleet, and nothing in front of it answer?",
        ),
        "connection" | "tls" => (
            Kind::Refused,
            "the authority reaches no node under this name: is port 80 (or 443, for tls-alpn-01) open to it?",
        ),
        "dns" => (Kind::Refused, "the authority finds no address or record for the name in DNS"),
        "caa" => (Kind::Refused, "a CAA record forbids this authority to issue for the name"),
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            (Kind::Refused, "the authority does not issue for this name")
        }
        "externalAccountRequired" => (
            Kind::Refused,
            "the authority wants an account of its own: set eab_key_id and eab_key_file",
        ),
        "userActionRequired" => (Kind::Refused, "the authority wants its new terms agreed to"),
        "serverInternal" => (Kind::Unavailable, "the authority has trouble of its own"),
        _ => (Kind::Refused, "the authority says no"),
    };
    let detail = problem.detail.as_deref().unwrap_or("it does not say why");
    let mut why = format!("{hint} ({kind}: {detail})");
    for sub in problem.subproblems.iter().take(5) {
        why = format!("{why}; {sub}");
    }
    let server = problem.status.is_some_and(|status| status >= 500);
    let what = if server && what == Kind::Refused { Kind::Unavailable } else { what };
    (what, why)
}
