//! The controller, as processes on loopback, with an authority that nobody of this project wrote; and
//! what operators get with it.

mod alerts;
mod authority;
mod enrol;
mod identity;
mod nodes;
mod orders;
mod process;
mod trouble;
