//! What of ACME (RFC 8555 section 7.1) a path of pebble's is.

/// A resource of an ACME server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Where a client begins.
    Directory,
    /// A new nonce.
    NewNonce,
    /// A new account.
    NewAccount,
    /// An account.
    Account,
    /// A new order.
    NewOrder,
    /// An order, as it stands.
    Order,
    /// An authorisation, as it stands.
    Authorization,
    /// A challenge: a POST asks the authority to look.
    Challenge,
    /// The end of an order.
    Finalize,
    /// A certificate.
    Certificate,
    /// The end of a certificate.
    RevokeCert,
    /// Another key of the account.
    KeyChange,
    /// When to renew (RFC 9773). Pebble has none: [`super::Unruly`] answers.
    RenewalInfo,
}

impl Endpoint {
    /// With the beginning of its path at pebble. `/my-order/` is one order, `/order-plz` a new one.
    const ALL: [(Self, &'static str); 13] = [
        (Self::Directory, "/dir"),
        (Self::NewNonce, "/nonce-plz"),
        (Self::NewAccount, "/sign-me-up"),
        (Self::Account, "/my-account/"),
        (Self::NewOrder, "/order-plz"),
        (Self::Order, "/my-order/"),
        (Self::Authorization, "/authZ/"),
        (Self::Challenge, "/chalZ/"),
        (Self::Finalize, "/finalize-order/"),
        (Self::Certificate, "/certZ/"),
        (Self::RevokeCert, "/revoke-cert"),
        (Self::KeyChange, "/rollover-account-key"),
        (Self::RenewalInfo, "/renewal-info"),
    ];

    /// What a request for `path` asks for.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, beginning)| path.starts_with(beginning));
        found.map(|(endpoint, _)| *endpoint)
    }

    /// The path, or its beginning where there are many.
    pub(super) fn path(self) -> &'static str {
        let found = Self::ALL.iter().find(|(endpoint, _)| *endpoint == self);
        found.map(|(_, path)| *path).expect("every endpoint is in the list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_path_and_a_path_its_endpoint() {
        for (endpoint, path) in Endpoint::ALL {
            assert_eq!(endpoint.path(), path);
            assert_eq!(Endpoint::of(&format!("{path}x")), Some(endpoint));
        }
        assert_eq!(Endpoint::of("/"), None);
    }
}
