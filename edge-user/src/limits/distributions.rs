//! Bounds of what operators configure under names, and of what clients ask for there.

/// Distributions of a node. A request costs the same whether there is one or a thousand; each has
/// four series in the metrics.
pub const MAX_DISTRIBUTIONS: usize = 1000;
/// Names of a distribution: as many as a certificate may hold ([`super::MAX_CERTIFICATE_NAMES`]).
pub const MAX_DISTRIBUTION_NAMES: usize = 1000;
/// Names that are added to what clients are told of, and as many that are excluded: what a
/// certificate may hold ([`super::MAX_CERTIFICATE_NAMES`]).
pub const MAX_COALESCING_NAMES: usize = 1000;
/// Bytes of the origins in an ORIGIN frame. 100 names, the most of a certificate of Let's Encrypt's,
/// of 70 bytes each. HTTP/2 takes 16,384 before a client's SETTINGS (RFC 9113 section 4.2); half of
/// it leaves room for an answer in the first flight of a connection.
pub const MAX_ORIGIN_SET_BYTES: usize = 8 << 10;
/// Behaviours of a distribution. A request is compared with each of its distribution's, which for
/// so many takes a microsecond.
pub const MAX_BEHAVIOURS: usize = 256;
/// Bytes of a behaviour's path: longer ones are no prefix that somebody wrote.
pub const MAX_BEHAVIOUR_PATH_BYTES: usize = 1024;
/// Bytes of the body of a fixed response, which is held in memory: what is longer is a file.
pub const MAX_RESPOND_BODY_BYTES: usize = 64 << 10;
/// Bytes of a redirect's target: what every client and proxy takes in a field.
pub const MAX_REDIRECT_BYTES: usize = 4 << 10;
/// Header rules of one place, each for one field: ten or so secure a site.
pub const MAX_HEADER_RULES: usize = 64;
/// Bytes of the names and values of one place's header rules. A distribution's and a behaviour's
/// stay well below the 64 KiB that clients take in all.
pub const MAX_HEADER_RULES_BYTES: usize = 16 << 10;
/// Bytes of a request's path. RFC 9110 section 4.1 recommends to take 8,000 of a URI.
pub const MAX_PATH_BYTES: usize = 8 << 10;
/// Bytes of a request's query. As much again as [`MAX_PATH_BYTES`]: both go into a redirect's
/// target.
pub const MAX_QUERY_BYTES: usize = 8 << 10;
