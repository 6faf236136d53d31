//! The rings of tests that need more than one program. A file a behaviour.

mod controller;
mod devices;
mod kernel;
mod netns;
mod process;
mod sim;
