//! Static files: one look-up decides the answer, and has the first bytes. What is in memory is looked
//! up on the worker's thread, everything else on one beside it that may wait for a disk.
//!
//! | module | job |
//! |---|---|
//! | `root` | a directory below which files are found, and nothing else |
//! | `coding` | which coding a client takes: pure |
//! | `condition` | conditions and ranges: pure |
//! | [`read`] | the bytes of a file, chunk by chunk as the client takes them |

mod coding;
mod condition;
pub mod read;
mod root;

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::path::{Path, escaped_query};
use crate::config::distributions::{Append, Coding, Files, PathPattern};
use crate::http::answer::{Body, Request, error};
use crate::limits;
use condition::{Outcome, Validators, decide, whole_seconds};
use read::{FileBody, OpenFiles, Opened, Permit, read_at_once};
use root::{Found, Missing, Pace};
pub(crate) use root::{Root, RootError};

/// The fields of a request that a file's answer depends on.
const ASKED: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// What decides which coding a client gets.
pub(super) const VARIES: HeaderValue = HeaderValue::from_static("accept-encoding");

/// What a look-up needs, on whatever thread.
struct Question {
    root: Arc<Root>,
    /// Below the root, without `/` in front.
    name: String,
    /// The file of a directory, where there is one.
    index: Option<Box<str>>,
    codings: Vec<Coding>,
    headers: HeaderMap,
    /// Where a directory is that was asked for without the `/` at its end.
    directory: String,
    /// Whether it was asked for with it.
    has_slash: bool,
    is_head: bool,
}

/// What is answered, and what of the file is still to come.
struct Reply {
    head: Response<()>,
    rest: Rest,
}

enum Rest {
    /// Nothing.
    Nothing,
    /// These bytes, and then of this file from there on so many more.
    Of(File, Vec<u8>, u64, u64),
    /// An error of ours.
    Error(StatusCode, &'static str),
}

/// Answers from a file below `root`.
pub(super) async fn answer(
    files: &Files,
    root: &Arc<Root>,
    pattern: &PathPattern,
    path: &Path<'_>,
    open: &OpenFiles,
    request: &Request<'_>,
) -> (Response<()>, Body) {
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        let (mut head, body) = error(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only");
        head.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return (head, body);
    }
    let Some(name) = name(files, pattern, path) else { return not_there() };
    // Beyond the bound nobody waits in a queue that has none.
    let Some(permit) = open.try_one() else { return busy() };
    let question = Question {
        root: Arc::clone(root),
        name: name.to_owned(),
        index: files.index.clone(),
        codings: coding::accepted(request.headers, &files.precompressed),
        headers: asked(request.headers),
        directory: with_slash(path, request.query),
        has_slash: path.plain().ends_with('/'),
        is_head: *request.method == Method::HEAD,
    };
    let (Reply { mut head, rest }, permit) = match look_up(&question, Pace::AtOnce) {
        Some(reply) => (reply, permit),
        None => match on_a_thread(question, permit).await {
            Ok(found) => found,
            Err((status, reason)) => return error(status, reason),
        },
    };
    if !files.precompressed.is_empty() {
        // RFC 9110 section 12.5.5: whatever this client got, another one may get another coding.
        head.headers_mut().append(header::VARY, VARIES);
    }
    let body = match rest {
        Rest::Nothing => Body::Empty,
        Rest::Of(file, first, from, left) => {
            Body::File(FileBody::new(Opened::new(file, permit), first, from, left))
        }
        Rest::Error(status, reason) => return error(status, reason),
    };
    (head, body)
}

/// The same where it may wait for a disk.
async fn on_a_thread(
    question: Question,
    permit: Permit,
) -> Result<(Reply, Permit), (StatusCode, &'static str)> {
    // The permit is given back when the look-up has ended, whoever still waits for it.
    let found = spawn_blocking(move || (look_up(&question, Pace::Waiting), permit));
    let failed = (StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read");
    match timeout(limits::LOOK_UP_WITHIN, found).await {
        Ok(Ok((Some(reply), permit))) => Ok((reply, permit)),
        Ok(Ok((None, _)) | Err(_)) => Err(failed),
        Err(_) => Err((StatusCode::SERVICE_UNAVAILABLE, "the disk does not answer")),
    }
}

/// Where a request's file is below the root. Nothing, where a segment is hidden: it begins with a
/// dot, as what editors, version control and shells leave behind does. `.well-known` (RFC 8615) is
/// for everybody.
fn name<'a>(files: &Files, pattern: &PathPattern, path: &'a Path<'_>) -> Option<&'a str> {
    let plain = path.plain();
    let name = match files.append {
        Append::Rest => {
            let count = pattern.path().trim_end_matches('/').len();
            &plain[count.min(plain.len())..]
        }
        Append::Path | Append::Nothing => plain,
    };
    let hidden = |segment: &str| segment.starts_with('.') && segment != ".well-known";
    (!name.split('/').any(hidden)).then(|| name.trim_start_matches('/'))
}

fn asked(headers: &HeaderMap) -> HeaderMap {
    let mut asked = HeaderMap::new();
    for name in ASKED {
        for value in headers.get_all(&name) {
            asked.append(name.clone(), value.clone());
        }
    }
    asked
}

/// The path of a request with a `/` at its end, as it stands in `Location`.
fn with_slash(path: &Path<'_>, query: Option<&str>) -> String {
    let mut to = format!("{}/", path.escaped());
    if let Some(query) = query {
        to.push('?');
        to += &escaped_query(query);
    }
    to
}

/// Opens, compares and reads: all that may wait for a disk. Nothing, where it would have to.
fn look_up(question: &Question, pace: Pace) -> Option<Reply> {
    Some(match choose(question, pace) {
        Ok(Some(chosen)) => return of_file(question, chosen, pace),
        Ok(None) => {
            let mut head = Response::new(());
            *head.status_mut() = StatusCode::PERMANENT_REDIRECT;
            let to = HeaderValue::try_from(&question.directory).expect("it is escaped");
            head.headers_mut().insert(header::LOCATION, to);
            head.headers_mut().insert(header::CONTENT_LENGTH, 0.into());
            Reply { head, rest: Rest::Nothing }
        }
        Err(missing) => {
            let (status, reason) = match missing {
                Missing::NotThere => (StatusCode::NOT_FOUND, "there is no such file"),
                Missing::Forbidden => (StatusCode::FORBIDDEN, "this file may not be read"),
                Missing::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many files are open"),
                Missing::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read"),
                Missing::Later => return None,
            };
            Reply { head: Response::new(()), rest: Rest::Error(status, reason) }
        }
    })
}

/// The file that is answered.
struct Chosen {
    file: File,
    metadata: Metadata,
    coding: Option<Coding>,
    /// Without the coding's suffix.
    name: String,
}

/// The file that is answered: that of the name, or of the index of a directory, or what stands
/// beside it in a coding that the client takes. Nothing stands beside what is not there itself.
/// Nothing, where a directory was asked for without the `/` at its end.
fn choose(question: &Question, pace: Pace) -> Result<Option<Chosen>, Missing> {
    let Question { root, name, index, codings, .. } = question;
    let (found, name) = match root.find(name, pace)? {
        Found::Directory if !question.has_slash => return Ok(None),
        Found::Directory => {
            let index = index.as_deref().ok_or(Missing::NotThere)?;
            let name = format!("{name}{index}");
            (root.find(&name, pace)?, name)
        }
        found => (found, name.clone()),
    };
    let Found::File(file, metadata) = found else { return Err(Missing::NotThere) };
    for coding in codings {
        let beside = format!("{name}{}", coding.suffix());
        match root.find(&beside, pace) {
            Ok(Found::File(file, metadata)) => {
                return Ok(Some(Chosen { file, metadata, coding: Some(*coding), name }));
            }
            Err(Missing::Later) => return Err(Missing::Later),
            _ => {}
        }
    }
    Ok(Some(Chosen { file, metadata, coding: None, name }))
}

fn of_file(question: &Question, chosen: Chosen, pace: Pace) -> Option<Reply> {
    let Chosen { file, metadata, coding, name } = chosen;
    let there = validators(&metadata, coding);
    let mut head = Response::new(());
    let (from, length) = match decide(&question.headers, &there, !question.is_head) {
        Outcome::Whole => (0, there.length),
        Outcome::Part { from, length } => {
            *head.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {from}-{}/{}", from + length - 1, there.length);
            insert(&mut head, header::CONTENT_RANGE, &range);
            (from, length)
        }
        Outcome::Unsatisfiable => {
            *head.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            insert(&mut head, header::CONTENT_RANGE, &format!("bytes */{}", there.length));
            insert(&mut head, header::CONTENT_LENGTH, "0");
            return Some(Reply { head, rest: Rest::Nothing });
        }
        Outcome::Failed => {
            *head.status_mut() = StatusCode::PRECONDITION_FAILED;
            insert(&mut head, header::CONTENT_LENGTH, "0");
            return Some(Reply { head, rest: Rest::Nothing });
        }
        Outcome::NotModified => {
            // RFC 9110 section 15.4.5: what a cache needs, and nothing of the content.
            *head.status_mut() = StatusCode::NOT_MODIFIED;
            validate(&mut head, &there);
            return Some(Reply { head, rest: Rest::Nothing });
        }
    };
    validate(&mut head, &there);
    let fields = head.headers_mut();
    fields.insert(header::CONTENT_LENGTH, length.into());
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(header::CONTENT_TYPE, content_type(&name));
    if let Some(coding) = coding {
        fields.insert(header::CONTENT_ENCODING, coding.value());
    }
    if question.is_head || length == 0 {
        return Some(Reply { head, rest: Rest::Nothing });
    }
    // Most files end here: one look at the disk is all that they cost.
    let mut first = vec![0; length.min(limits::BODY_CHUNK_BYTES as u64) as usize];
    let read = match pace {
        Pace::AtOnce if read_at_once(&file, &mut first, from) => Ok(()),
        Pace::AtOnce => return None,
        Pace::Waiting => file.read_exact_at(&mut first, from),
    };
    let rest = match read {
        Ok(()) => {
            let read = first.len() as u64;
            Rest::Of(file, first, from + read, length - read)
        }
        Err(_) => Rest::Error(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read"),
    };
    Some(Reply { head, rest })
}

/// By size and time of change, to the nanosecond: the same on every node that has the same file, and
/// another one for each coding (RFC 9110 section 8.8.3.3).
fn validators(metadata: &Metadata, coding: Option<Coding>) -> Validators {
    let (seconds, nanoseconds, length) = (metadata.mtime(), metadata.mtime_nsec(), metadata.len());
    let coding = coding.map_or("", Coding::name);
    let separator = if coding.is_empty() { "" } else { "-" };
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    Validators {
        tag: format!("\"{seconds:x}.{nanoseconds:x}-{length:x}{separator}{coding}\""),
        // RFC 9110 section 8.8.2.1: not later than the answer.
        modified: whole_seconds(modified.min(SystemTime::now())),
        length,
    }
}

fn validate(head: &mut Response<()>, there: &Validators) {
    insert(head, header::ETAG, &there.tag);
    insert(head, header::LAST_MODIFIED, &httpdate::fmt_http_date(there.modified));
}

fn insert(head: &mut Response<()>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("digits, dates and tags of ours are values");
    head.headers_mut().insert(name, value);
}

/// By the end of the name. Text is UTF-8 with everybody by now.
fn content_type(name: &str) -> HeaderValue {
    let known = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
    if known.starts_with("text/") {
        return HeaderValue::try_from(format!("{known}; charset=utf-8")).expect("a media type is");
    }
    HeaderValue::from_static(known)
}

fn not_there() -> (Response<()>, Body) {
    error(StatusCode::NOT_FOUND, "there is no such file")
}

fn busy() -> (Response<()>, Body) {
    error(StatusCode::SERVICE_UNAVAILABLE, "too many files are open")
}

#[cfg(test)]
mod tests;
