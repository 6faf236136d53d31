//! The connections of a port, not more than it has room for.

use std::collections::VecDeque;

use tokio::task::AbortHandle;

use super::tally::{Refusal, Tally};

/// The newest is always let in. Somebody who opens connections as fast as the network allows leaves
/// each the time in which he fills the room: an honest request takes a round trip of it.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    /// The oldest first; those that have ended among them.
    open: VecDeque<AbortHandle>,
    crowded_out: Refusal,
}

impl Room {
    /// For `most` connections; whoever must go is counted as `crowded_out`.
    pub(super) fn new(most: usize, crowded_out: Refusal) -> Self {
        Self { most, open: VecDeque::with_capacity(most), crowded_out }
    }

    /// Lets this one in. Where there is no room, the oldest ends.
    pub(super) fn admit(&mut self, connection: AbortHandle, tally: &Tally) {
        if self.open.len() >= self.most {
            self.open.retain(|connection| !connection.is_finished());
        }
        if self.open.len() >= self.most
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
            tally.count(self.crowded_out);
        }
        self.open.push_back(connection);
    }
}
