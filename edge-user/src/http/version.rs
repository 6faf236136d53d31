//! The versions of HTTP that are spoken.

/// How many versions there are.
pub const VERSIONS: usize = 3;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 9112; of those who say HTTP/1.0, too.
    Http11,
    /// RFC 9113.
    Http2,
    /// RFC 9114.
    Http3,
}

impl Version {
    /// Every one, each at its own index.
    pub const ALL: [Self; VERSIONS] = [Self::Http11, Self::Http2, Self::Http3];

    /// As ALPN has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}
