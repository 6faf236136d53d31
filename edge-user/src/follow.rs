//! What the controller gives this node: taken item by item, and kept for when it is away.
//!
//! Losing the controller changes nothing of what is served.
//!
//! | module | job |
//! |---|---|
//! | [`force`] | what changes -> the workers, the kernel and TLS |
//! | [`last_good`] | the last state that was in force, on disk |
//! | [`item`] | an item of a bundle -> a value that can be used, or why it cannot |
//! | [`state`] | bundles -> what changes, and what the controller is answered; pure |

pub mod force;
pub mod item;
pub mod last_good;
pub mod state;
