//! The names of items: a kind, a slash, and which one.

/// Nodes: `node/7`.
pub const NODE: &str = "node/";
/// The fleet's secrets, all in one item, so that they change together.
pub const SECRETS: &str = "secrets";
/// What is answered under which names, all in one item: a proxy asks an origin that is in it, too.
pub const DISTRIBUTIONS: &str = "distributions";
/// Certificates: `certificate/example.com`.
pub const CERTIFICATE: &str = "certificate/";
/// Answers for HTTP-01, by token.
pub const HTTP_01: &str = "challenge/http-01/";
/// Certificates for TLS-ALPN-01, by name.
pub const TLS_ALPN_01: &str = "challenge/tls-alpn-01/";
/// Accounts whose challenges need no token.
pub const ACCOUNT: &str = "account/";
