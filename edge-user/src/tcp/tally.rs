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
    /// The client offers other protocols alone: alert `no_application_protocol`.
    TlsProtocol,
    /// The handshake failed otherwise, or it is no TLS.
    TlsFailed,
    /// The handshake did not end in time.
    TlsSlow,
    /// It made way for others.
    TlsCrowdedOut,
    /// There are as many connections as there may be, and each of them is answered.
    HttpsFull,
    /// A connection without a request made way for others.
    HttpsCrowdedOut,
    /// The request says not, or not well, whom it is for: 400.
    HttpsHost,
    /// It is for somebody whom the connection is not good for: 421 (RFC 9110 section 15.5.20).
    HttpsName,
    /// Its target is none: 400.
    HttpsTarget,
    /// It has too many header fields: 431 (RFC 6585 section 5).
    HttpsFields,
    /// It expects what we do not know: 417.
    HttpsExpectation,
    /// It is no HTTP/1.1, or breaks a rule of HTTP/2, of a request or of the connection.
    HttpsMalformed,
    /// A head did not come in time.
    HttpsSlow,
    /// An answer was not taken in time.
    HttpsStalled,
    /// The client has reset too many requests.
    HttpsResets,
    /// It sent too many frames without requests or content.
    HttpsControl,
    /// It passed another bound of HTTP/2: header blocks, small frames, resets that it made us send.
    HttpsFlood,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::HttpHost,
        Self::HttpName,
        Self::HttpMalformed,
        Self::HttpSlow,
        Self::HttpCrowdedOut,
        Self::TlsProtocol,
        Self::TlsFailed,
        Self::TlsSlow,
        Self::TlsCrowdedOut,
        Self::HttpsFull,
        Self::HttpsCrowdedOut,
        Self::HttpsHost,
        Self::HttpsName,
        Self::HttpsTarget,
        Self::HttpsFields,
        Self::HttpsExpectation,
        Self::HttpsMalformed,
        Self::HttpsSlow,
        Self::HttpsStalled,
        Self::HttpsResets,
        Self::HttpsControl,
        Self::HttpsFlood,
    ];

    /// The port (`tls` and `https` are one: before the handshake's end and after it) and the reason,
    /// as metrics name them.
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
            Self::HttpsFull => ["https", "full"],
            Self::HttpsCrowdedOut => ["https", "crowded_out"],
            Self::HttpsHost => ["https", "host"],
            Self::HttpsName => ["https", "unknown_name"],
            Self::HttpsTarget => ["https", "target"],
            Self::HttpsFields => ["https", "fields"],
            Self::HttpsExpectation => ["https", "expectation"],
            Self::HttpsMalformed => ["https", "malformed"],
            Self::HttpsSlow => ["https", "slow"],
            Self::HttpsStalled => ["https", "stalled"],
            Self::HttpsResets => ["https", "resets"],
            Self::HttpsControl => ["https", "control"],
            Self::HttpsFlood => ["https", "flood"],
        }
    }
}

/// The counters of both ports, shared by their threads and whoever reports.
#[derive(Debug, Default)]
pub struct Tally {
    redirects: AtomicU64,
    refusals: [AtomicU64; Refusal::ALL.len()],
}

impl Tally {
    pub(crate) fn count(&self, refusal: Refusal) {
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
