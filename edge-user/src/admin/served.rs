//! What is answered under which names, by two sources: this node's configuration, and beside it its
//! controller. Neither has a name or an origin of the other, so neither takes anything over.

use distributions::{Clash, Served};

use super::control::Control;
use super::protocol::DistributionsStatus;
use crate::config::coalescing::Coalescing;
use crate::proxy::{Distributions, OpenError};
use crate::sandbox::{self, OutOfReach};

/// What each of them says. Both are in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    /// `[[distributions]]` and `[[origins]]` of the configuration, as they were read last.
    pub(super) file: Served,
    /// What the controller gave; nothing, where there is none.
    pub(super) controller: Served,
    /// Of which names of both clients are told: `[coalescing]` of the configuration, as well.
    pub(super) coalescing: Coalescing,
}

/// Why what the controller gives is not put in force. What it gave before stays so.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// It does not go with this node's configuration.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// A directory of files or an origin's authorities cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An origin that the process could not ask from its start.
    #[error(transparent)]
    Reach(#[from] OutOfReach),
}

impl Sources {
    /// How many there are.
    pub(super) fn status(&self) -> DistributionsStatus {
        DistributionsStatus {
            file: self.file.distributions.len(),
            controller: self.controller.distributions.len(),
        }
    }

    /// What is in force where both are, opened.
    pub(super) fn open(&self) -> Result<Distributions, NotServed> {
        let both = self.file.with(&self.controller)?;
        let opened = Distributions::open(&both.distributions, &both.origins)?;
        Ok(opened.coalescing(&self.coalescing))
    }
}

impl Control {
    /// Has what the controller gives answered beside what the configuration has, instead of what it
    /// gave before. Says what changed, once it is in force.
    ///
    /// # Errors
    /// Where it cannot be: then nothing is changed.
    pub(crate) async fn change_distributions(
        &self,
        given: Served,
    ) -> Result<Vec<String>, NotServed> {
        let _turn = self.reloading.lock().await;
        let sources = Sources { controller: given, ..Sources::clone(&self.sources.load()) };
        sandbox::check_reach(&sources.controller.origins)?;
        let changes = self.put_distributions(sources.open()?);
        if !changes.is_empty() {
            let warnings = sources.controller.warnings();
            warnings.for_each(|warning| tracing::warn!("by the controller: {warning}"));
        }
        self.sources.replace(sources);
        Ok(changes)
    }
}

#[cfg(test)]
mod tests;
