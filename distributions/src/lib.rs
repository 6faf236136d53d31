//! What is answered under which names: `[[distributions]]`, and `[[origins]]` that some of them ask.
//! A node has them in its configuration, and of its controller, which checks them by the same rules
//! before it takes them.
//!
//! | module | job |
//! |---|---|
//! | `distribution` | names, behaviours, header rules: what a checked table holds |
//! | [`origins`] | servers that answer alike, and how they are asked |
//! | [`served`] | all of one source, and of two together |
//! | [`mod@file`] | the tables as they are written |
//! | `check` | from there to what may be relied on, or every mistake with its place |
//! | [`names`] | host names and addresses in the one form in which they are compared |
//! | [`limits`] | how many, how long, how large |

mod check;
mod distribution;
pub mod file;
pub mod limits;
pub mod names;
pub mod origins;
pub mod served;

pub use check::check;
pub use check::distributions::host_pattern;
pub use check::plain_path::check_plain;
pub use distribution::{
    Answer, Append, Behaviour, Coding, Distribution, Files, Forwarded, HeaderRules, HostPattern,
    PathPattern, Proxy, Redirect, Respond,
};
pub use served::{Clash, Served, parse};
