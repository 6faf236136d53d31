//! Of which names of a certificate clients are told that its connections are good for them: a pure
//! function of the configuration.
//!
//! Those that are served: a name that the certificate has as it is, and, of one of its wildcards,
//! those that distributions have as they are or that are added. What a wildcard of a distribution has
//! below a wildcard of the certificate is no list, and cannot be told.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Distributions;
use crate::config::coalescing::Coalescing;
use crate::config::distributions::{Distribution, HostPattern};
use crate::tls::Name;

/// What is told whatever the certificate, brought into the form in which it is looked up.
#[derive(Debug)]
pub(super) struct Told {
    coalescing: Coalescing,
    excluded: HashSet<Box<str>>,
    /// By what follows the first label.
    excluded_below: HashSet<Box<str>>,
    /// Whole names that may be told, by what follows their first label.
    below: HashMap<Box<str>, BTreeSet<Box<str>>>,
}

/// All that is served.
impl Default for Told {
    fn default() -> Self {
        Self::new(Coalescing::default(), &[])
    }
}

impl Told {
    pub(super) fn new(coalescing: Coalescing, distributions: &[Distribution]) -> Self {
        let (mut excluded, mut excluded_below) = (HashSet::new(), HashSet::new());
        for pattern in &coalescing.exclude {
            let (names, name) = match pattern {
                HostPattern::Exact(name) => (&mut excluded, name),
                HostPattern::Below(name) => (&mut excluded_below, name),
            };
            names.insert(name.clone());
        }
        let mut told = Self { coalescing, excluded, excluded_below, below: HashMap::new() };
        let served = distributions.iter().flat_map(|distribution| &distribution.names);
        let whole = served.filter_map(|pattern| match pattern {
            HostPattern::Exact(name) => Some(name),
            HostPattern::Below(_) => None,
        });
        for name in whole.chain(&told.coalescing.add.clone()) {
            if let Some((_, parent)) = name.split_once('.')
                && !told.excludes(name)
            {
                told.below.entry(parent.into()).or_default().insert(name.clone());
            }
        }
        told
    }

    pub(super) fn coalescing(&self) -> &Coalescing {
        &self.coalescing
    }

    fn excludes(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.excluded.contains(name)
            || parent.is_some_and(|parent| self.excluded_below.contains(parent))
    }
}

impl Distributions {
    /// Of which of `names`, a certificate's, its clients are told; some of them perhaps twice.
    pub(crate) fn told<'a>(&'a self, names: &'a [Name]) -> impl Iterator<Item = &'a str> {
        let names = if self.told.coalescing.announce { names } else { &[] };
        names.iter().flat_map(|name| {
            let (whole, below) = match name {
                Name::Exact(name) => (Some(&**name).filter(|name| self.tells(name)), None),
                Name::Below(parent) => (None, self.told.below.get(parent)),
                // An origin of https has a host, which may be an address; but no request is for one.
                Name::Address(_) => (None, None),
            };
            whole.into_iter().chain(below.into_iter().flatten().map(|name| &**name))
        })
    }

    fn tells(&self, name: &str) -> bool {
        // Without distributions whoever asks is answered, whatever the name.
        (self.is_empty() || self.routes.serves(name)) && !self.told.excludes(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Host};

    const EDGE: &str = "controller = { addresses = [\"192.0.2.7:4840\"] }
listen = { anycast = [\"192.0.2.1\"] }
steering = { mode = \"off\" }
";

    fn pattern(text: &str) -> HostPattern {
        match text.strip_prefix("*.") {
            Some(parent) => HostPattern::Below(parent.into()),
            None => HostPattern::Exact(text.into()),
        }
    }

    /// What is told with these distributions, each with its names, of a certificate's names.
    fn told(served: &[&[&str]], coalescing: Coalescing, names: &[&str]) -> Vec<String> {
        let served = served.iter().map(|names| {
            let behaviours = "[{ path = \"/\", respond = {} }]";
            format!("[[distributions]]\nnames = {names:?}\nbehaviours = {behaviours}\n")
        });
        let text = format!("{EDGE}{}", served.collect::<String>());
        let config = config::parse("edge.toml".as_ref(), &text, &Host::elsewhere());
        let config = config.unwrap_or_else(|error| panic!("{}", error.render()));
        let open = Distributions::open(&config.distributions, &[]).expect("they have no files");
        let distributions = open.coalescing(&coalescing);
        let names: Vec<_> = names
            .iter()
            .map(|name| match (name.parse(), pattern(name)) {
                (Ok(address), _) => Name::Address(address),
                (_, HostPattern::Exact(name)) => Name::Exact(name),
                (_, HostPattern::Below(name)) => Name::Below(name),
            })
            .collect();
        distributions.told(&names).map(str::to_owned).collect()
    }

    fn all() -> Coalescing {
        Coalescing::default()
    }

    #[test]
    fn names_of_the_certificate_are_told_that_a_distribution_has() {
        let served = [&["a.example", "b.example"][..], &["*.shop.example"]];
        let names = ["b.example", "c.example", "x.shop.example", "x.x.shop.example", "192.0.2.1"];
        assert_eq!(told(&served, all(), &names), ["b.example", "x.shop.example"]);
        assert_eq!(told(&served, all(), &["c.example"]), [""; 0]);
    }

    #[test]
    fn a_wildcard_of_the_certificate_stands_for_names_of_distributions_and_added_ones() {
        let served = [&["b.example", "a.example", "x.a.example", "*.example", "example"][..]];
        assert_eq!(told(&served, all(), &["*.example"]), ["a.example", "b.example"]);
        let added = Coalescing { add: vec!["c.example".into(), "d.test".into()], ..all() };
        let names = ["a.example", "b.example", "c.example"];
        assert_eq!(told(&served, added.clone(), &["*.example"]), names);
        assert_eq!(told(&served, added, &["a.example"]), ["a.example"], "not in the certificate");
    }

    #[test]
    fn without_distributions_the_names_of_the_certificate_are_told() {
        let names = ["a.example", "*.b.example", "::1"];
        assert_eq!(told(&[], all(), &names), ["a.example"]);
        let added = Coalescing { add: vec!["x.b.example".into()], ..all() };
        assert_eq!(told(&[], added, &names), ["a.example", "x.b.example"]);
    }

    #[test]
    fn what_is_excluded_is_told_by_no_way() {
        let served = [&["a.example", "b.example", "a.test"][..]];
        let exclude = |names: &[&str]| Coalescing {
            add: vec!["c.example".into()],
            exclude: names.iter().copied().map(pattern).collect(),
            ..all()
        };
        let names = ["a.example", "*.example", "a.test"];
        let without_one = ["b.example", "c.example", "a.test"];
        assert_eq!(told(&served, exclude(&["a.example"]), &names), without_one);
        assert_eq!(told(&served, exclude(&["*.example"]), &names), ["a.test"]);
        let off = Coalescing { announce: false, ..all() };
        assert_eq!(told(&served, off, &names), [""; 0]);
    }
}
