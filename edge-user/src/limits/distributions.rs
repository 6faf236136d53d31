//! Bounds of what clients ask for under the names of distributions.

/// Names that are added to what clients are told of, and as many that are excluded: what a
/// certificate may hold ([`super::MAX_CERTIFICATE_NAMES`]).
pub const MAX_COALESCING_NAMES: usize = 1000;
/// Bytes of the origins in an ORIGIN frame. 100 names, the most of a certificate of Let's Encrypt's,
/// of 70 bytes each. HTTP/2 takes 16,384 before a client's SETTINGS (RFC 9113 section 4.2); half of
/// it leaves room for an answer in the first flight of a connection.
pub const MAX_ORIGIN_SET_BYTES: usize = 8 << 10;
/// Bytes of a request's path. RFC 9110 section 4.1 recommends to take 8,000 of a URI.
pub const MAX_PATH_BYTES: usize = 8 << 10;
/// Bytes of a request's query. As much again as [`MAX_PATH_BYTES`]: both go into a redirect's
/// target.
pub const MAX_QUERY_BYTES: usize = 8 << 10;
