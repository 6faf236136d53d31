//! The controller, as processes on loopback, with an authority that nobody of this project wrote.

mod authority;
