//! `[coalescing]`: what is added is served, and no name is there twice.

use std::collections::HashMap;

use settings::{Problem, Text};
use toml::Spanned;

use super::{Check, Checked};
use crate::config::coalescing::Coalescing;
use crate::config::distributions::{Distribution, HostPattern, host_pattern};
use crate::config::file;
use crate::limits;

impl Check {
    /// `distributions` where they are good.
    pub(super) fn coalescing(
        &mut self,
        table: &file::Coalescing,
        distributions: Option<&[Distribution]>,
    ) -> Checked<Coalescing> {
        let file::Coalescing { announce, add, exclude } = table;
        let added = self.told(add.as_ref(), "added");
        let excluded = self.told(exclude.as_ref(), "excluded");
        let (added, excluded) = (added?, excluded?);
        for (pattern, place) in &added {
            if let Some(other) = excluded.get(pattern) {
                let what = format!("{pattern} is both added and excluded");
                self.twice(what, place.span(), other.span(), "remove one");
            }
        }
        let add = added
            .into_iter()
            .map(|(pattern, place)| self.added(pattern, place, distributions.unwrap_or_default()));
        let add: Option<Vec<_>> = add.collect::<Vec<_>>().into_iter().collect();
        let (mut add, mut exclude) = (add?, excluded.into_keys().collect::<Vec<_>>());
        // In no order of the file's, so that no reload is a change.
        add.sort();
        exclude.sort_by_key(ToString::to_string);
        Some(Coalescing { announce: announce.unwrap_or(true), add, exclude })
    }

    /// The names of one list, and where each stands.
    fn told<'a>(
        &mut self,
        names: Option<&'a Spanned<Vec<Text>>>,
        what: &str,
    ) -> Checked<HashMap<HostPattern, &'a Text>> {
        let Some(names) = names else { return Some(HashMap::new()) };
        let (span, names) = (names.span(), names.get_ref());
        let most = limits::MAX_COALESCING_NAMES;
        self.at_most(most, names.len(), &format!("names that are {what}"), span)?;
        let mut known: HashMap<_, &Text> = HashMap::new();
        let mut good = true;
        for name in names {
            let Some(pattern) = host_pattern(self, name) else {
                good = false;
                continue;
            };
            if let Some(first) = known.get(&pattern) {
                let what = format!("the name {pattern} is there twice");
                self.twice(what, first.span(), name.span(), "remove one");
            }
            known.insert(pattern, name);
        }
        good.then_some(known)
    }

    /// Clients would be told of a host that then answers 421.
    fn added(
        &mut self,
        pattern: HostPattern,
        place: &Text,
        distributions: &[Distribution],
    ) -> Checked<Box<str>> {
        let HostPattern::Exact(name) = pattern else {
            self.refuse(
                Problem::new(format!("{pattern} cannot be told to clients"))
                    .at(place.span(), "a wildcard")
                    .help("an ORIGIN frame has whole names alone (RFC 8336): write them out"),
            );
            return None;
        };
        let mut names = distributions.iter().flat_map(|distribution| &distribution.names);
        if !distributions.is_empty() && !names.any(|pattern| pattern.is_for(&name)) {
            self.refuse(
                Problem::new(format!("no distribution answers for {name}"))
                    .at(place.span(), "not served here")
                    .help("clients that are told of it would get 421: add it to a distribution's `names`"),
            );
            return None;
        }
        Some(name)
    }
}
