//! What was refused of HTTP/3, counted by a worker for itself.

use std::cell::Cell;

use super::refusal::{ControlRefusal, Excess, Refusal, Scope};

/// Why a request of HTTP/3, or its connection, did not get what it came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request says not, or not well, whom it is for: 400.
    Host,
    /// It is for somebody whom the connection is not good for: 421 (RFC 9110 section 15.5.20).
    Name,
    /// Its target is none: 400.
    Target,
    /// It has too many header fields, or too long ones: 431 (RFC 6585 section 5).
    Fields,
    /// It expects what we do not know: 417.
    Expectation,
    /// It is malformed (RFC 9114 section 4.1.2), or ends before its head: a stream error.
    Malformed,
    /// A rule of HTTP/3 or QPACK for connections was broken: the connection is closed.
    Protocol,
    /// More than we are willing to hold or to look at: H3_EXCESSIVE_LOAD.
    Flood,
    /// A head did not come in time.
    Slow,
    /// An answer was not taken in time.
    Stalled,
    /// The client has given up, or made us give up, too many requests.
    Resets,
    /// It sent too much that is neither request nor content.
    Control,
}

/// How many of them there are.
pub const COUNT: usize = Refused::ALL.len();

impl Refused {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Host,
        Self::Name,
        Self::Target,
        Self::Fields,
        Self::Expectation,
        Self::Malformed,
        Self::Protocol,
        Self::Flood,
        Self::Slow,
        Self::Stalled,
        Self::Resets,
        Self::Control,
    ];

    /// As metrics and logs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Name => "unknown_name",
            Self::Target => "target",
            Self::Fields => "fields",
            Self::Expectation => "expectation",
            Self::Malformed => "malformed",
            Self::Protocol => "protocol",
            Self::Flood => "flood",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Resets => "resets",
            Self::Control => "control",
        }
    }

    /// The reason of a message that was refused.
    #[must_use]
    pub fn of(refusal: Refusal) -> Self {
        match (refusal, refusal.scope()) {
            (_, Scope::Connection) => Self::Protocol,
            (Refusal::Excess(Excess::FieldSection | Excess::FieldCount), _) => Self::Fields,
            (Refusal::Excess(_), _) => Self::Flood,
            (_, Scope::Stream) => Self::Malformed,
        }
    }
}

impl From<ControlRefusal> for Refused {
    fn from(refusal: ControlRefusal) -> Self {
        match refusal {
            ControlRefusal::TooMany => Self::Control,
            ControlRefusal::Resets => Self::Resets,
            ControlRefusal::FrameTooLong => Self::Flood,
            _ => Self::Protocol,
        }
    }
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub struct Tally {
    refused: Cell<[u64; COUNT]>,
}

impl Tally {
    pub(crate) fn count(&self, refused: Refused) {
        let mut counts = self.refused.get();
        counts[refused as usize] += 1;
        self.refused.set(counts);
    }

    /// How many of each, indexed by [`Refused`].
    #[must_use]
    pub fn counts(&self) -> [u64; COUNT] {
        self.refused.get()
    }
}
