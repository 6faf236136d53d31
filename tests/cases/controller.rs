//! The controller, as processes on loopback, with an authority that nobody of this project wrote; and
//! what operators get with it.

mod accounts;
mod alerts;
mod authority;
mod barrier;
mod challenges;
mod enrol;
mod hostile_authority;
mod identity;
pub(crate) mod nodes;
mod orders;
mod own;
mod places;
mod process;
mod program;
mod restored;
mod streams;
mod trouble;
mod windows;
