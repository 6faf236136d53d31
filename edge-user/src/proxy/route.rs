//! From host and path to who answers: a pure function of the configuration.
//!
//! A host is answered by the distribution that has its name, before one whose wildcard covers it.
//! There the longest path wins, an exact one before a prefix. Prefixes go by segments: `/a` is for
//! `/a` and `/a/b`, and not for `/ab`; `/a/` is for what is below alone.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::Ipv6Addr;

use super::path::Path;
use crate::config::distributions::{Distribution, HostPattern, PathPattern};
use crate::tls::host_name;

/// Who answers what.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<Box<str>, usize>,
    /// By what follows the first label.
    below: HashMap<Box<str>, usize>,
    /// By distribution: which behaviour, the first that is met before the others.
    paths: Vec<Vec<(PathPattern, usize)>>,
}

/// Why no distribution answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostRefused {
    /// RFC 9110 section 7.2: a request says whom it is for.
    #[error("the request does not say which host it is for")]
    Missing,
    /// RFC 9110 section 7.2: `uri-host [ ":" port ]`, and no user (section 4.2.4).
    #[error("the host of the request is not one")]
    Malformed,
    /// RFC 9110 section 15.5.20.
    #[error("this host is not served here")]
    Unknown,
}

impl Routes {
    /// The answers are indexes into `distributions`, and into the behaviours of one.
    #[must_use]
    pub fn new(distributions: &[Distribution]) -> Self {
        let mut routes = Self::default();
        for (index, distribution) in distributions.iter().enumerate() {
            for name in &distribution.names {
                let (names, name) = match name {
                    HostPattern::Exact(name) => (&mut routes.exact, name),
                    HostPattern::Below(name) => (&mut routes.below, name),
                };
                names.insert(name.clone(), index);
            }
            let paths = distribution.behaviours.iter().map(|behaviour| behaviour.path.clone());
            let mut paths: Vec<_> = paths.zip(0..).collect();
            let rank = |(path, _): &(PathPattern, usize)| {
                (matches!(path, PathPattern::Exact(_)), path.path().len())
            };
            paths.sort_by_key(|path| Reverse(rank(path)));
            routes.paths.push(paths);
        }
        routes
    }

    /// The distribution that answers for `authority`: `:authority`, or `Host` where there is none.
    /// Which port it names does not matter: it is ours, or that before an address translator.
    ///
    /// # Errors
    /// Where none does.
    pub fn distribution(&self, authority: Option<&str>) -> Result<usize, HostRefused> {
        let authority = authority.ok_or(HostRefused::Missing)?;
        if let Some(rest) = authority.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or(HostRefused::Malformed)?;
            let port = port.strip_prefix(':').or(port.is_empty().then_some(""));
            let good = address.parse::<Ipv6Addr>().is_ok() && port.is_some_and(is_port);
            return Err(if good { HostRefused::Unknown } else { HostRefused::Malformed });
        }
        let (name, port) = authority.split_once(':').unwrap_or((authority, ""));
        if !is_port(port) {
            return Err(HostRefused::Malformed);
        }
        // Mostly it is written as we do, and nothing is copied.
        if let Some(index) = self.exact.get(name) {
            return Ok(*index);
        }
        let name = host_name(name).ok_or(HostRefused::Malformed)?;
        let below = || self.below.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(below).copied().ok_or(HostRefused::Unknown)
    }

    /// Whether a distribution answers for `name`, in lower case and without a dot at its end.
    #[must_use]
    pub fn serves(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.exact.contains_key(name)
            || parent.is_some_and(|parent| self.below.contains_key(parent))
    }

    /// The behaviour of a distribution that answers at `path`. Each of them is looked at, however
    /// many segments a client sends.
    #[must_use]
    pub fn behaviour(&self, distribution: usize, path: &Path<'_>) -> Option<usize> {
        let mut paths = self.paths[distribution].iter();
        paths.find(|(pattern, _)| is_for(pattern, path.plain())).map(|(_, index)| *index)
    }
}

fn is_for(pattern: &PathPattern, path: &str) -> bool {
    match pattern {
        PathPattern::Exact(exact) => **exact == *path,
        PathPattern::Prefix(prefix) => path
            .strip_prefix(&**prefix)
            .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/')),
    }
}

/// It may be empty (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests;
