//! HTTP: what is answered, and the versions it is answered in.
//!
//! | module | job |
//! |---|---|
//! | [`answer`] | one request, one answer, whatever the version |
//! | [`h3`] | a connection of HTTP/3: requests in, answers out, GOAWAY at the end |
//! | `h2`, `h1` | one of HTTP/2 and of HTTP/1.1, over TLS over TCP |
//! | `bucket` | a bound on what may come at once, and then each second |
//! | `client` | what these two share: who asks, and what is answered |
//! | `check` | what a request must keep, whatever the version |
//! | [`covered`] | for whom connections were found good |
//! | [`date`] | when an answer was made |
//! | `host` | whom a request is for |
//! | [`content`] | what follows the head of a request |
//! | `last_part` | what makes a request as long as it says, kept back until it has ended |
//! | [`interim`] | answers before the answer |
//! | `body` | what follows the head of an answer, for libraries |
//! | `primitive` | integers and strings of HPACK and QPACK |
//! | [`priority`] | which answers go first |
//! | [`websocket`] | what is asked for a WebSocket, and answered |
//! | `tunnel` | bytes that are not HTTP any more |
//! | `origin_frame` | for which other names a connection is good, told to the client |
//! | `within` | a bound on a wait |

pub mod answer;
mod body;
mod bucket;
pub(crate) mod check;
pub(crate) mod client;
pub mod content;
pub mod covered;
pub mod date;
pub(crate) mod h1;
pub(crate) mod h2;
pub mod h3;
pub(crate) mod host;
pub mod interim;
mod last_part;
mod origin_frame;
mod primitive;
pub mod priority;
pub(crate) mod tunnel;
mod version;
pub mod websocket;
mod within;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use edge_wire::cid::ServerId;

use self::covered::Covered;
use self::date::Date;
use self::h3::qpack::encoder::Encoder;
use self::h3::tally::Tally;
use crate::access_log::Pen;
use crate::proxy::files::read::OpenFiles;
use crate::proxy::in_force::InForce;
use crate::tls::Live;
pub use version::{VERSIONS, Version};

/// Where a request was answered.
pub struct Place {
    /// Node, worker and process.
    pub own: ServerId,
    /// The node's name.
    pub name: Arc<str>,
    /// The node's site.
    pub site: Arc<str>,
    /// Where clients connect, by UDP and TCP.
    pub port: u16,
    /// Requests read by this worker.
    pub requests: Rc<Cell<u64>>,
    /// Answers of this worker that the deadline of a drain cut off.
    pub cut: Cell<u64>,
    /// Dates its answers.
    pub date: Date,
    /// Writes the fields of its answers.
    pub encoder: RefCell<Encoder>,
    /// What is answered under which names.
    pub distributions: InForce,
    /// How many files the process may have open for answers.
    pub open_files: OpenFiles,
    /// Whom connections are good for.
    pub certificates: Arc<Live>,
    /// For whom they were found good.
    pub covered: Covered,
    /// What was refused of HTTP/3.
    pub refused: Tally,
    /// Where each request is noted, if it is.
    pub access_log: Option<Rc<Pen>>,
}

#[cfg(test)]
mod tests;
