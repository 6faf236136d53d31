//! HTTP: what is answered, and the versions it is answered in.
//!
//! | module | job |
//! |---|---|
//! | [`answer`] | one request, one answer, whatever the version |
//! | [`h3`] | a connection of HTTP/3: requests in, answers out, GOAWAY at the end |

pub mod answer;
pub mod h3;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use edge_wire::cid::ServerId;

use self::h3::qpack::encoder::Encoder;

/// Where a request was answered.
pub struct Place {
    /// Node, worker and process.
    pub own: ServerId,
    /// The node's name.
    pub name: Arc<str>,
    /// The node's site.
    pub site: Arc<str>,
    /// Requests read by this worker.
    pub requests: Rc<Cell<u64>>,
    /// Answers of this worker that the deadline of a drain cut off.
    pub cut: Cell<u64>,
    /// Writes the fields of its answers.
    pub encoder: RefCell<Encoder>,
}
