//! How this node stands with its controller, for those who ask.

use std::time::{Instant, SystemTime};

use fleet_wire::message::{Position, Refused, Standing};
use tokio::sync::watch;

/// How this node stands with its controller.
#[derive(Clone, Debug)]
pub struct View {
    /// Where the controller is looked for, in order.
    pub addresses: Vec<String>,
    /// Since when it is followed by the stream that is open; none where none is.
    pub connected: Option<Instant>,
    /// Why there was no stream the last time, in words. It stays until one is open.
    pub last_error: Option<String>,
    /// Where the node stands.
    pub position: Option<Position>,
    /// What it does with new traffic, by the controller's word, which holds while that is away.
    pub standing: Standing,
    /// What it refuses of the state.
    pub refused: Vec<Refused>,
    /// When its identity ends.
    pub identity_ends: SystemTime,
    /// Bundles of which the last part was put in force.
    pub bundles: u64,
    /// Streams that ended, and connections that could not be made.
    pub failures: u64,
}

impl View {
    /// Why the node is not to be announced; nothing where it is.
    #[must_use]
    pub const fn not_ready(&self) -> Option<&'static str> {
        match self.standing {
            Standing::Serving => None,
            Standing::Joining => Some("joining: not every live node knows this one yet"),
            Standing::Drained => Some("drained: by the controller's word"),
            Standing::Unspecified => Some("the controller has no standing for this node"),
        }
    }
}

/// The view as it is kept by whoever follows.
pub type Shown = watch::Sender<View>;
