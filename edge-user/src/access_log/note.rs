//! What becomes known of a request while it is answered.

use std::cell::{Cell, RefCell};

use http::HeaderValue;

/// What becomes known of a request while it is answered, as places in what is in force: nothing is
/// copied for a log that nobody keeps.
#[derive(Default)]
pub struct Note {
    /// The distribution of its host.
    pub distribution: Cell<Option<usize>>,
    /// The behaviour of its path there.
    pub behaviour: Cell<Option<usize>>,
    /// The server of an origin that was asked last.
    pub server: Cell<Option<usize>>,
    /// Why there is no good answer: the name of what was counted.
    pub reason: Cell<Option<&'static str>>,
    /// The ID that it was given.
    pub request_id: RefCell<Option<HeaderValue>>,
}
