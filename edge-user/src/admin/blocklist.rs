//! The blocklist while the process runs.

use super::control::Control;
use super::protocol::BlocklistChange;
use crate::admission::blocklist::{Blocklist, BlocklistError, Network};
use crate::steering::SteeringError;

/// Why the blocklist stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration names no file.
    #[error("the configuration names no blocklist: set `admission.blocklist` and start anew")]
    None,
    /// The file cannot be used.
    #[error("{0}; nothing has changed")]
    File(#[from] BlocklistError),
    /// The kernel refuses.
    #[error("the kernel does not take the blocklist: {0}")]
    Kernel(#[from] SteeringError),
}

impl Control {
    /// The networks of the blocklist, in order.
    #[must_use]
    pub fn blocklist(&self) -> Vec<String> {
        self.rules().blocklist().networks().iter().map(Network::to_string).collect()
    }

    /// Reads the blocklist's file anew, and applies what has changed. The process reads a file of
    /// at most [`crate::limits::MAX_BLOCKLIST_BYTES`] here, in milliseconds; workers go on meanwhile.
    ///
    /// # Errors
    /// Where the file cannot be used: then nothing changes. Where the kernel refuses, which it may
    /// do halfway.
    pub fn reload_blocklist(&self) -> Result<BlocklistChange, ReloadError> {
        let blocklist = self.read_blocklist()?;
        self.put_blocklist(blocklist.ok_or(ReloadError::None)?)
    }

    /// Reads the blocklist's file, where the configuration names one. Nothing changes yet.
    pub(super) fn read_blocklist(&self) -> Result<Option<Blocklist>, ReloadError> {
        let rules = self.rules();
        let read = rules.blocklist_path().map(Blocklist::load).transpose();
        let read = read.inspect_err(|error| tracing::warn!("{error}; nothing has changed"));
        Ok(read?)
    }

    /// Applies what differs in this blocklist.
    pub(super) fn put_blocklist(
        &self,
        blocklist: Blocklist,
    ) -> Result<BlocklistChange, ReloadError> {
        let rules = self.rules();
        let (before, after) = (rules.blocklist().networks(), blocklist.networks());
        let change = BlocklistChange {
            networks: after.len(),
            added: after.difference(before).count(),
            removed: before.difference(after).count(),
        };
        self.set_rules(rules.with_blocklist(blocklist))?;
        let BlocklistChange { networks, added, removed } = change;
        tracing::info!(networks, added, removed, "the blocklist was read anew");
        Ok(change)
    }
}
