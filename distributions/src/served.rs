//! All that one source says is answered, and of two sources together.

use std::collections::HashSet;
use std::path::Path;

use settings::{Check, ConfigError};

use crate::distribution::Distribution;
use crate::file::File;
use crate::limits;
use crate::origins::Origin;

/// What is answered under which names, and who is asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// At most [`limits::MAX_DISTRIBUTIONS`]. No name is in two of them.
    pub distributions: Vec<Distribution>,
    /// At most [`limits::MAX_ORIGINS`], those that proxies ask among them. No two have one name.
    pub origins: Vec<Origin>,
}

/// Why what a node's file says and what the controller gives cannot both be in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// A host is answered by one distribution.
    #[error(
        "the name {0} is in a distribution of this node's file and in one of the controller's: remove one"
    )]
    Name(String),
    /// A proxy asks one origin.
    #[error("an origin {0} is in this node's file and among the controller's: rename one")]
    Origin(Box<str>),
    /// Distributions, more than there may be.
    #[error(
        "this node's file and the controller have {0} distributions together: at most {most} are possible",
        most = limits::MAX_DISTRIBUTIONS
    )]
    Distributions(usize),
    /// Origins, more than there may be.
    #[error(
        "this node's file and the controller have {0} origins together: at most {most} are possible",
        most = limits::MAX_ORIGINS
    )]
    Origins(usize),
}

/// Reads `text` as a file that has the tables and nothing else. `path` is what it is called in
/// mistakes.
///
/// # Errors
/// Every mistake that was found, each with its place and what to do.
pub fn parse(path: &Path, text: &str) -> Result<Served, ConfigError> {
    let file: Result<File, _> = toml::from_str(text);
    let file =
        file.map_err(|error| vec![settings::problem::of_toml(&error, "docs/configuration.md")]);
    let checked = file.and_then(|file| {
        let mut check = Check::default();
        let served = crate::check(&mut check, file.distributions.as_ref(), file.origins.as_ref());
        check.finish(served)
    });
    checked.map_err(|problems| ConfigError::new(path, text, problems))
}

impl Served {
    /// These and `others`, as long as no host and no proxy has two to choose from.
    ///
    /// # Errors
    /// The first clash.
    pub fn with(&self, others: &Self) -> Result<Self, Clash> {
        let names = self.distributions.iter().flat_map(|it| &it.names).collect::<HashSet<_>>();
        let mut other_names = others.distributions.iter().flat_map(|it| &it.names);
        if let Some(twice) = other_names.find(|name| names.contains(name)) {
            return Err(Clash::Name(twice.to_string()));
        }
        let origins = self.origins.iter().map(|it| &it.name).collect::<HashSet<_>>();
        let mut other_origins = others.origins.iter().map(|it| &it.name);
        if let Some(twice) = other_origins.find(|name| origins.contains(name)) {
            return Err(Clash::Origin(twice.clone()));
        }
        let together = Self {
            distributions: [&self.distributions[..], &others.distributions].concat(),
            origins: [&self.origins[..], &others.origins].concat(),
        };
        match (together.distributions.len(), together.origins.len()) {
            (count, _) if count > limits::MAX_DISTRIBUTIONS => Err(Clash::Distributions(count)),
            (_, count) if count > limits::MAX_ORIGINS => Err(Clash::Origins(count)),
            _ => Ok(together),
        }
    }

    /// What will do, but not well.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.origins.iter().flat_map(|origin| {
            let mut asked = self.distributions.iter().flat_map(Distribution::origins);
            let unused = (!asked.any(|name| *name == *origin.name))
                .then(|| format!("origin {}: no behaviour has a proxy to it", origin.name));
            let unverified = origin.tls.as_ref().is_some_and(|tls| !tls.verify).then(|| {
                format!(
                    "origin {}: `verify` is false: whoever is between a node and its servers can \
                     read and change all that passes",
                    origin.name
                )
            });
            unused.into_iter().chain(unverified)
        })
    }
}

#[cfg(test)]
mod tests;
