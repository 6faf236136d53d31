//! Configuration files of Landfast's programs: TOML of which every mistake is found in one pass,
//! and shown with file, line, a caret under the value, the reason, and what to do.
//!
//! | module | job |
//! |---|---|
//! | [`problem`] | what is wrong with a file, and how it is shown |
//! | [`check`] | numbers, words, paths and times of a file, or the problem with them |
//! | [`log`] | what is logged, and how |
//!
//! Both programs have their settings in a `config` of their own.

pub mod check;
pub mod log;
pub mod problem;

use std::fs::File;
use std::io::{Error, ErrorKind, Read};

pub use check::{Check, Checked, Number, Text};
pub use log::{Log, LogFormat, LogTable};
pub use problem::{ConfigError, Problem};

/// Bytes of a configuration file at most: 4,096 nodes take about 600 kB.
pub const MAX_FILE_BYTES: u64 = 2 << 20;

/// Reads a file of at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// Where it is larger, no UTF-8, or cannot be read.
pub fn read_bounded(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(ErrorKind::FileTooLarge, "it is larger than 2 MiB"));
    }
    Ok(text)
}
