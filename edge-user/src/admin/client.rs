//! The other end of the admin socket, for the command line.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::protocol::{Answer, Request};
use crate::limits;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or we may not ask.
    #[error("no edge answers at {0}: {1}")]
    Connect(PathBuf, #[source] Error),
    /// It went away, took too long, or answered with something else.
    #[error("the edge at {0} gave no answer: {1}")]
    Answer(PathBuf, #[source] Error),
    /// It says that it cannot be done.
    #[error("{0}")]
    Refused(String),
}

/// Asks the edge whose admin socket is at `path`, and waits for the answer for at most
/// [`limits::ADMIN_LINE_WITHIN`].
///
/// # Errors
/// Where there is no answer, and where the answer is an error.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, ClientError> {
    let stream =
        UnixStream::connect(path).map_err(|error| ClientError::Connect(path.to_owned(), error))?;
    match exchange(stream, request) {
        Ok(Answer::Error(reason)) => Err(ClientError::Refused(reason)),
        other => other.map_err(|error| ClientError::Answer(path.to_owned(), error)),
    }
}

fn exchange(mut stream: UnixStream, request: &Request) -> std::io::Result<Answer> {
    stream.set_read_timeout(Some(limits::ADMIN_LINE_WITHIN))?;
    stream.set_write_timeout(Some(limits::ADMIN_LINE_WITHIN))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(limits::MAX_ADMIN_LINE_BYTES as u64)).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(serde_json::from_str(&answer)?)
}
