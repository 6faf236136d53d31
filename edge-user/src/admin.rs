//! What operators and their machines ask of a running edge: metrics, health, and commands.
//!
//! All of it runs on the control runtime. Workers are asked by their inboxes when somebody wants
//! to know; nothing here is on the way of a packet.
//!
//! | module | job |
//! |---|---|
//! | [`control`] | what may be asked and changed: reports, the phase of the process |
//! | [`fleet`] | the nodes of the fleet, which come, change and go |
//! | [`reload`] | reads again what may change while the process runs |
//! | [`served`] | what is answered under which names, by the configuration and by the controller |
//! | [`metrics`] | reports -> the text that Prometheus reads |
//! | [`http`] | the listener of `/metrics`, `/healthz`, `/readyz` |
//! | [`protocol`] | the lines of the admin socket |
//! | [`socket`] | the admin socket |
//! | `answers` | the part of it that is of requests: distributions and origins |
//! | `following` | what `status` and metrics say of the controller |
//! | `blocklist` | the list of networks whose packets are dropped, live |
//! | [`client`] | the other end of it, for the command line |

mod answers;
mod blocklist;
pub mod client;
pub mod control;
pub mod fleet;
mod following;
pub mod http;
pub mod metrics;
pub mod protocol;
pub mod reload;
pub mod served;
pub mod socket;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
