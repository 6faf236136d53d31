//! What tells this process to end, while it has others to end first.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;

/// Signals that are caught. A process that is started meanwhile gets its own as ever: what is caught
/// here, and not held back, is as at the beginning in a new program (execve(2)).
pub(crate) struct Signals(iterator::Signals);

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Somebody wants us to end.
    Stop,
    /// A child has ended.
    Child,
}

impl Signals {
    /// From here on they wait for [`Self::wait`].
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn catch() -> Result<Self> {
        let signals = iterator::Signals::new([SIGINT, SIGTERM, SIGHUP, SIGCHLD]);
        Ok(Self(signals.context("signals cannot be caught")?))
    }

    /// Waits for the next one.
    pub(crate) fn wait(&mut self) -> Awaited {
        match self.0.forever().next() {
            Some(SIGCHLD) => Awaited::Child,
            _ => Awaited::Stop,
        }
    }
}
