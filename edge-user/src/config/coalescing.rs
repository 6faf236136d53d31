//! What clients are told of the other names that their connections are good for.

use super::distributions::HostPattern;

/// ORIGIN frames (RFC 8336, RFC 9412).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// Whether they are sent.
    pub announce: bool,
    /// Names that are told wherever the certificate has them, beside those that distributions have
    /// as they are: somebody's below a wildcard. At most [`crate::limits::MAX_COALESCING_NAMES`].
    pub add: Vec<Box<str>>,
    /// Names that are never told, although distributions and certificate have them. As many.
    pub exclude: Vec<HostPattern>,
}

/// Every name that is served and that the certificate has.
impl Default for Coalescing {
    fn default() -> Self {
        Self { announce: true, add: Vec::new(), exclude: Vec::new() }
    }
}
