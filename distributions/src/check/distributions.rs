//! `[[distributions]]`: no name is in two of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use settings::{Problem, Text};
use toml::Spanned;

use super::header_rules::Of;
use super::{Check, Checked};
use crate::file;
use crate::limits;
use crate::names::host_name;
use crate::{Distribution, HostPattern};

impl Check<'_> {
    pub(super) fn distributions(
        &mut self,
        listed: Option<&Spanned<Vec<file::Distribution>>>,
    ) -> Checked<Vec<Distribution>> {
        let Some(listed) = listed else { return Some(Vec::new()) };
        let most = limits::MAX_DISTRIBUTIONS;
        self.at_most(most, listed.get_ref().len(), "distributions", listed.span())?;
        let mut earlier = HashMap::new();
        let checked: Vec<_> = listed
            .get_ref()
            .iter()
            .map(|distribution| self.distribution(distribution, &mut earlier))
            .collect();
        checked.into_iter().collect()
    }

    /// `earlier`: every name so far, and where it stands.
    fn distribution(
        &mut self,
        distribution: &file::Distribution,
        earlier: &mut HashMap<HostPattern, Range<usize>>,
    ) -> Checked<Distribution> {
        let names = self.names(&distribution.names, earlier);
        let behaviours = self.behaviours(distribution);
        let request_headers =
            self.header_rules(distribution.request_headers.as_ref(), Of::Requests);
        let response_headers =
            self.header_rules(distribution.response_headers.as_ref(), Of::Answers);
        // It is sent to origins, too.
        let request_id =
            distribution.request_id.as_ref().map(|name| self.field_name(name, Of::Requests));
        Some(Distribution {
            names: names?,
            behaviours: behaviours?,
            request_headers: request_headers?,
            response_headers: response_headers?,
            request_id: match request_id {
                None => None,
                Some(name) => Some(name?),
            },
            server_timing: distribution.server_timing.unwrap_or(false),
        })
    }

    fn names(
        &mut self,
        names: &Spanned<Vec<Text>>,
        earlier: &mut HashMap<HostPattern, Range<usize>>,
    ) -> Checked<Vec<HostPattern>> {
        if names.get_ref().is_empty() {
            self.refuse(
                Problem::new("a distribution without a name answers nobody")
                    .at(names.span(), "no name")
                    .help("as in names = [\"www.example.com\", \"*.shop.example.com\"]"),
            );
            return None;
        }
        let most = limits::MAX_DISTRIBUTION_NAMES;
        self.at_most(most, names.get_ref().len(), "names of a distribution", names.span())?;
        let checked: Vec<_> = names
            .get_ref()
            .iter()
            .map(|name| {
                let pattern = host_pattern(self, name)?;
                if let Some(first) = earlier.get(&pattern) {
                    let what = format!("the name {pattern} is there twice");
                    let help = "a host is answered by one distribution: remove one";
                    self.twice(what, first.clone(), name.span(), help);
                    return None;
                }
                earlier.insert(pattern.clone(), name.span());
                Some(pattern)
            })
            .collect();
        checked.into_iter().collect()
    }
}

/// The hosts that a name of a distribution stands for.
pub fn host_pattern(check: &mut settings::Check, text: &Text) -> Checked<HostPattern> {
    let (name, wildcard) = match text.get_ref().strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (text.get_ref().as_str(), false),
    };
    let help = if name.parse::<IpAddr>().is_ok() {
        "names only: a client that asks for an address gets 421"
    } else if !name.is_ascii() {
        "write it as in DNS, each label of other letters as xn--..."
    } else if name.contains('*') {
        "a * stands for the whole first label, and there is none for every host"
    } else if name.contains(['/', ':']) {
        "a name alone, without scheme, port and path"
    } else {
        "labels of letters, digits and hyphens with a dot between, at most 253 bytes"
    };
    // What ends in a number is an address to browsers, however odd.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let good = host_name(name).filter(|name| !name.rsplit('.').next().is_some_and(is_number));
    let Some(name) = good else {
        check.refuse(
            Problem::new(format!("`{}` is not a host name", text.get_ref()))
                .at(text.span(), "not a name")
                .help(help),
        );
        return None;
    };
    Some(if wildcard { HostPattern::Below(name) } else { HostPattern::Exact(name) })
}
