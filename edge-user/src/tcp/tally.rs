//! What came of TCP connections, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why somebody was not given what he came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request says not, or not well, whom it is for (RFC 9112 section 3.2): 400.
    HttpHost,
    /// It is for somebody whom we have no certificate for: 421 (RFC 9110 section 15.5.20).
    HttpName,
    /// It is no HTTP/1, or too long.
    HttpMalformed,
    /// It did not come in time, or its answer was not taken.
    HttpSlow,
    /// It made way for others.
    HttpCrowdedOut,
    /// The client offers not what authorities do: alert `no_application_protocol`.
    TlsProtocol,
    /// The handshake failed otherwise, or it is no TLS.
    TlsFailed,
    /// The handshake did not end in time.
    TlsSlow,
    /// It made way for others.
    TlsCrowdedOut,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::HttpHost,
        Self::HttpName,
        Self::HttpMalformed,
        Self::HttpSlow,
        Self::HttpCrowdedOut,
        Self::TlsProtocol,
        Self::TlsFailed,
        Self::TlsSlow,
        Self::TlsCrowdedOut,
    ];

    /// The port and the reason, as metrics name them.
    #[must_use]
    pub const fn labels(self) -> [&'static str; 2] {
        match self {
            Self::HttpHost => ["http", "host"],
            Self::HttpName => ["http", "unknown_name"],
            Self::HttpMalformed => ["http", "malformed"],
            Self::HttpSlow => ["http", "slow"],
            Self::HttpCrowdedOut => ["http", "crowded_out"],
            Self::TlsProtocol => ["tls", "protocol"],
            Self::TlsFailed => ["tls", "failed"],
            Self::TlsSlow => ["tls", "slow"],
            Self::TlsCrowdedOut => ["tls", "crowded_out"],
        }
    }
}

/// The counters of both ports, shared by their thread and whoever reports.
#[derive(Debug, Default)]
pub struct Tally {
    redirects: AtomicU64,
    refusals: [AtomicU64; Refusal::ALL.len()],
}

impl Tally {
    pub(super) fn count(&self, refusal: Refusal) {
        self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_redirect(&self) {
        self.redirects.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that were sent to https.
    #[must_use]
    pub fn redirects(&self) -> u64 {
        self.redirects.load(Ordering::Relaxed)
    }

    /// How many were refused for this reason.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize].load(Ordering::Relaxed)
    }
}
