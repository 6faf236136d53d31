//! The Landfast edge process: anycast QUIC whose packets find their owner wherever they arrive.
//!
//! The packet path is [`quic`] and [`http`], with [`steering`] in front of it in the kernel and
//! [`relay`] where the kernel cannot. All else is read once at the start, or on the control
//! runtime. ARCHITECTURE.md follows a packet through all of it.
//!
//! | module | job |
//! |---|---|
//! | [`config`] | TOML -> [`config::Config`], after which nothing is unchecked |
//! | [`limits`] | every bound, with its why |
//! | [`admission`] | early drops and budgets: who is let in, and the blocklist |
//! | [`descriptors`] | how many files the process may have open, and who how many of them |
//! | [`nodes`] | the liveness of every node |
//! | [`identity`] | what this node is towards its controller, and the connection to it |
//! | [`follow`] | what the controller gives this node |
//! | `private_file` | files that are their owner's alone, because keys are in them |
//! | [`current`] | a value that is replaced as a whole while others hold it |
//! | [`tls`] | certificates, answers to authorities, and session tickets |
//! | [`steering`] | the programs in the kernel: load, attach, fill maps, detach, counters |
//! | [`next_hop`], [`netlink`] | the way to each node, kept up to date |
//! | [`preflight`] | what on this host would lose packets, and what to change |
//! | [`relay`] | the encapsulation port in user space: the way without XDP |
//! | [`quic`] | one engine a worker, and the loop around it |
//! | [`http`] | requests and answers |
//! | [`proxy`] | what is answered under the names of distributions |
//! | [`access_log`] | a line for each request |
//! | [`tcp`] | the way to https, and answers to authorities |
//! | [`admin`] | metrics, health, and commands |
//! | [`sandbox`] | what the process gives up once everything is attached |
//! | [`serve`] | start-up order, signals, graceful stop |

pub mod access_log;
pub mod admin;
pub mod admission;
pub mod config;
pub mod current;
pub mod descriptors;
pub mod follow;
pub mod http;
pub mod identity;
pub mod limits;
pub mod netlink;
pub mod next_hop;
pub mod nodes;
pub mod preflight;
mod private_file;
pub mod proxy;
pub mod quic;
pub mod relay;
pub mod sandbox;
pub mod serve;
pub mod steering;
pub mod tcp;
pub mod tls;
