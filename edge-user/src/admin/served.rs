//! What is answered under which names, by two sources: this node's configuration, and beside it its
//! controller. Neither has a name or an origin of the other, so neither takes anything over.

use distributions::{Clash, Served};
use fleet_wire::key;

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
    /// Whether what the controller gave could not be served at the start, and nothing else has come
    /// since: clients come for hosts that this node does not know.
    pub(super) lacks: bool,
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
    /// Why the node is not to be announced, by what it serves; nothing where it is.
    pub(super) fn lacks_distributions(&self) -> Option<&'static str> {
        let refused = self.controller().is_some_and(|view| {
            // Gone from the controller, it is neither in force nor refused.
            view.refused.iter().any(|refused| refused.key == key::DISTRIBUTIONS)
        });
        (refused && self.sources.load().lacks).then_some(
            "the controller's distributions are not served: `landfast-edge status` says why",
        )
    }

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
        let sources =
            Sources { controller: given, lacks: false, ..Sources::clone(&self.sources.load()) };
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
