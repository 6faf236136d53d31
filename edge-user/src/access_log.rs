//! The access log: a line for each request, where the configuration wishes it.
//!
//! Workers write their lines into memory, which is bounded, and a thread of its own writes that into
//! the file. Whatever the disk does, no request waits for it: lines that there is no room for, or
//! that the file does not take, are dropped and counted. A request costs no allocation: where it is
//! noted is used again for another one.
//!
//! | module | job |
//! |---|---|
//! | [`note`] | what becomes known of a request while it is answered |
//! | `pen` | a worker's part: notes a request until its answer has ended |
//! | `line` | what a line says, in either format: pure |
//! | `writer` | from memory to the file |

mod line;
pub mod note;
mod pen;
mod writer;

#[cfg(test)]
mod tests;

pub use pen::{Ending, Pen, Unanswered};
pub use writer::{AccessLog, LogCounts};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it was given to the client's transport.
    Whole,
    /// Not all was taken: the client gave it up or is gone, took too long, or a drain was over.
    Cut,
    /// The rest could not be had from the origin or the file.
    Broken,
    /// The client gave the request up before there was an answer.
    Cancelled,
}

impl Ended {
    /// As in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cut => "cut",
            Self::Broken => "broken",
            Self::Cancelled => "cancelled",
        }
    }
}
