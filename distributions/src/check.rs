//! From what the tables say to what may be relied on. Every mistake is noted, none ends the check.

mod behaviours;
pub(crate) mod distributions;
mod files;
mod header_rules;
mod origin_servers;
mod origins;
pub(crate) mod plain_path;

use std::ops::{Deref, DerefMut};

use settings::Checked;
use toml::Spanned;

use crate::file::{Distribution, Origin};
use crate::served::Served;

/// The mistakes found so far: what any file's values have to be, and beside it what ours have to.
struct Check<'a>(&'a mut settings::Check);

impl Deref for Check<'_> {
    type Target = settings::Check;

    fn deref(&self) -> &settings::Check {
        self.0
    }
}

impl DerefMut for Check<'_> {
    fn deref_mut(&mut self) -> &mut settings::Check {
        self.0
    }
}

/// Checks the tables of a file, whatever else it holds. Mistakes are noted in `check`.
pub fn check(
    check: &mut settings::Check,
    distributions: Option<&Spanned<Vec<Distribution>>>,
    origins: Option<&Spanned<Vec<Origin>>>,
) -> Checked<Served> {
    let mut check = Check(check);
    let checked = check.distributions(distributions);
    let origins = check.origins(distributions, origins);
    Some(Served { distributions: checked?, origins: origins? })
}
