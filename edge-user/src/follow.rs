//! What the controller gives this node: taken item by item, and kept for when it is away.
//!
//! Losing the controller changes nothing of what is served.
//!
//! | module | job |
//! |---|---|
//! | [`run`] | connect, follow, renew the identity, and again |
//! | [`first`] | what a node needs of the state before it starts |
//! | [`follower`] | what a stream brings is put in force, answered, shown and kept |
//! | `stream` | one stream to the controller |
//! | `backoff` | how long to wait before the next one |
//! | [`view`] | how the node stands with its controller, for those who ask |
//! | [`force`] | what changes -> the workers, the kernel and TLS |
//! | [`last_good`] | the last state that was in force, on disk |
//! | [`item`] | an item of a bundle -> a value that can be used, or why it cannot |
//! | [`state`] | bundles -> what changes, and what the controller is answered; pure |

mod backoff;
pub mod first;
pub mod follower;
pub mod force;
pub mod item;
pub mod last_good;
pub mod run;
pub mod state;
mod stream;
pub mod view;

#[cfg(test)]
mod tests;
