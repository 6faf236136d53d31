//! Redirects, and answers that are the same for everybody.

use http::{HeaderValue, Response, StatusCode, header};

use super::path::{Path, escaped_query};
use crate::config::distributions::{Append, PathPattern, Redirect, Respond};
use crate::http::answer::Body;

/// The way to somewhere else. What a client sent can follow the operator's target, and never lead
/// to another host: it begins with one `/`, which ends an authority (RFC 3986 section 3.2), and
/// neither `/` nor `\` follows, because no segment of a [`Path`] is empty.
pub(super) fn redirect(
    redirect: &Redirect,
    pattern: &PathPattern,
    path: &Path<'_>,
    query: Option<&str>,
) -> (Response<()>, Body) {
    let appended = match redirect.append {
        Append::Nothing => None,
        Append::Path => Some(path.escaped()),
        Append::Rest => Some(path.after_segments(segments(pattern))),
    };
    let mut to = String::from(&*redirect.to);
    if let Some(appended) = appended {
        to += appended;
        if to.is_empty() {
            to.push('/');
        }
        if let Some(query) = query {
            to.push('?');
            to += &escaped_query(query);
        }
    }
    let mut head = head(redirect.status, 0);
    let to = HeaderValue::try_from(to).expect("the configuration's is checked, the rest escaped");
    head.headers_mut().insert(header::LOCATION, to);
    (head, Body::Empty)
}

/// How many segments a behaviour's path has.
pub(super) fn segments(pattern: &PathPattern) -> usize {
    pattern.path().trim_end_matches('/').matches('/').count()
}

pub(super) fn respond(respond: &Respond) -> (Response<()>, Body) {
    let mut head = head(respond.status, respond.body.len());
    if let Some(content_type) = &respond.content_type {
        head.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
    }
    (head, Body::Full(respond.body.clone()))
}

/// All is well, and there is no more to say: of the server as a whole (OPTIONS for `*`, RFC 9110
/// section 9.3.7).
pub(super) fn nothing() -> (Response<()>, Body) {
    (head(StatusCode::NO_CONTENT, 0), Body::Empty)
}

fn head(status: StatusCode, length: usize) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    // RFC 9110 section 8.6: never with 204.
    if status != StatusCode::NO_CONTENT {
        head.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    head
}
