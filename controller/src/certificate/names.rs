//! What names may stand in a certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of a name at most (RFC 1035 section 2.3.4), as text.
const MAX_NAME: usize = 253;
/// Of a label.
const MAX_LABEL: usize = 63;
/// Top-level names that no public authority issues for (RFC 6761, RFC 6762, RFC 7686, RFC 8375,
/// RFC 9476).
const RESERVED: [&str; 8] =
    ["alt", "example", "home.arpa", "internal", "invalid", "local", "localhost", "test"];

/// Why a name must not be issued.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no DNS name.
    #[error("{0:?} is no name for a certificate: {1}")]
    Form(String, &'static str),
    /// An address, where only names are allowed.
    #[error("{0} is an address, and `addresses` of [certificates] does not allow it")]
    Address(String),
    /// A name that means nothing to others.
    #[error("{0} means something here only; `reserved` of [certificates] does not allow it")]
    Reserved(String),
    /// Not among those that are allowed.
    #[error("{0} is not among `allow` of [certificates]")]
    NotAllowed(String),
    /// Among those that are not.
    #[error("{0} must not be issued: {1} is among `deny` of [certificates]")]
    Denied(String, String),
}

/// What names may be issued, by the operator's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// These, and what is below them: `example.com` allows `a.b.example.com`. Empty: all.
    pub allow: Vec<String>,
    /// Neither these nor what is below them, nor a wildcard that covers one; goes before `allow`.
    pub deny: Vec<String>,
    /// Whether addresses may be.
    pub addresses: bool,
    /// Whether names of one label and reserved ones may be: with an issuer of one's own.
    pub reserved: bool,
}

impl Policy {
    /// Whether a name may stand in a certificate: letters, digits and hyphens, a wildcard only as
    /// the whole first label and above two others (RFC 9525 section 6.3), and what the operator
    /// allows.
    ///
    /// # Errors
    /// With the reason.
    pub fn check(&self, name: &str) -> Result<(), Refusal> {
        if name.parse::<IpAddr>().is_ok() {
            return match self.addresses {
                true => Ok(()),
                false => Err(Refusal::Address(name.to_owned())),
            };
        }
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let is_wildcard = bare.len() < name.len();
        syntax(bare).map_err(|why| Refusal::Form(name.to_owned(), why))?;
        if is_wildcard && !bare.contains('.') {
            let why = "a wildcard stands above at least two labels";
            return Err(Refusal::Form(name.to_owned(), why));
        }
        let reserved = !bare.contains('.') || RESERVED.iter().any(|under| is_under(bare, under));
        if reserved && !self.reserved {
            return Err(Refusal::Reserved(name.to_owned()));
        }
        let denied = self.deny.iter().find(|denied| {
            let parent = denied.split_once('.').map(|(_, parent)| parent);
            let is_covered = parent.is_some_and(|parent| parent.eq_ignore_ascii_case(bare));
            is_under(bare, denied) || (is_wildcard && is_covered)
        });
        if let Some(denied) = denied {
            return Err(Refusal::Denied(name.to_owned(), denied.clone()));
        }
        if self.allow.is_empty() || self.allow.iter().any(|allowed| is_under(bare, allowed)) {
            return Ok(());
        }
        Err(Refusal::NotAllowed(name.to_owned()))
    }
}

/// Whether two lists have the same names, in any order.
#[must_use]
pub fn same(a: &[String], b: &[String]) -> bool {
    let sorted = |names: &[String]| {
        let mut names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        names
    };
    sorted(a) == sorted(b)
}

/// An address as a certificate has it (RFC 5280 section 4.2.1.6).
#[must_use]
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
}

/// Whether a name is another, or below it; case is nothing.
#[must_use]
pub fn is_under(name: &str, under: &str) -> bool {
    let Some(above) = name.len().checked_sub(under.len()) else { return false };
    let (above, tail) = name.as_bytes().split_at(above);
    tail.eq_ignore_ascii_case(under.as_bytes()) && above.last().is_none_or(|byte| *byte == b'.')
}

/// RFC 5890 section 2.3.1: letters, digits, hyphens.
///
/// # Errors
/// With what is wrong.
pub fn syntax(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err("it is empty or longer than 253 octets");
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return Err("a label is empty or longer than 63 octets");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a label begins or ends with a hyphen");
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("letters, digits and hyphens only; `*.` only in front; others as xn--");
        }
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it ends like an address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_must_not_be_issued_is_refused() {
        let policy = Policy { allow: vec!["Example.com".into()], ..Policy::default() };
        for good in ["example.com", "a.EXAMPLE.com", "*.example.com", "xn--bcher-kva.example.com"] {
            assert_eq!(policy.check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "*",
            "*.com",
            "a.*.example.com",
            "*a.example.com",
            "a..example.com",
            "-a.example.com",
            "a_b.example.com",
            "ex ample.com",
            "bücher.example.com",
            "badexample.com",
            "example.com.",
            "localhost",
            "a.local",
            "192.0.2.1",
            "2001:db8::1",
            "example.org",
            "1.2.3",
            "a\n.example.com",
        ] {
            assert!(policy.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_issuer_of_ones_own_may_issue_for_names_of_ones_own() {
        let policy = Policy { addresses: true, reserved: true, ..Policy::default() };
        for good in ["localhost", "a.test", "192.0.2.1", "*.a.internal"] {
            assert_eq!(policy.check(good), Ok(()), "{good}");
        }
        assert!(policy.check("*.test").is_err());
    }

    #[test]
    fn what_is_denied_is_not_issued_nor_covered_by_a_wildcard() {
        let policy = Policy {
            allow: vec!["example.com".into()],
            deny: vec!["Vault.example.com".into()],
            ..Policy::default()
        };
        for bad in ["vault.example.com", "a.VAULT.example.com", "*.vault.example.com"] {
            assert!(matches!(policy.check(bad), Err(Refusal::Denied(..))), "{bad}");
        }
        assert!(matches!(policy.check("*.example.com"), Err(Refusal::Denied(..))));
        for good in ["example.com", "myvault.example.com", "*.a.example.com"] {
            assert_eq!(policy.check(good), Ok(()), "{good}");
        }
    }

    proptest! {
        #[test]
        fn nothing_strange_gets_through(name in ".{0,300}") {
            let policy = Policy { reserved: true, ..Policy::default() };
            if policy.check(&name).is_ok() {
                prop_assert!(name.len() <= MAX_NAME + 2);
                let plain = |c: char| c.is_ascii_alphanumeric() || "-.*".contains(c);
                prop_assert!(name.chars().all(plain));
            }
        }
    }
}
