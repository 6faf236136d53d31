//! One request, one answer: of the distributions where there are some; else where it was answered,
//! or so many bytes.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use serde::Serialize;

use super::Place;
use crate::proxy::files::read::FileBody;
use crate::{limits, proxy};

/// What was asked, in any version of HTTP.
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// Whom it is for, as [`authority`] has it.
    pub authority: Option<&'a str>,
    /// The path, without the query.
    pub path: &'a str,
    /// What follows `?`, where there is one.
    pub query: Option<&'a str>,
    /// The fields.
    pub headers: &'a HeaderMap,
    /// `h3`, as in ALPN.
    pub protocol: &'static str,
    /// The client's address as seen.
    pub client: SocketAddr,
}

/// Whom a request is for (RFC 9110 section 7.2): what its target says, or the one `Host` that there
/// is. Nobody where two `Host` say so.
#[must_use]
pub fn authority<'a>(target: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(authority) = target.authority() {
        return Some(authority.as_str());
    }
    let mut fields = headers.get_all(header::HOST).iter();
    let (field, None) = (fields.next()?, fields.next()) else { return None };
    field.to_str().ok()
}

/// What follows the head of an answer.
#[derive(Debug)]
pub enum Body {
    /// Nothing: HEAD.
    Empty,
    /// These bytes.
    Full(Bytes),
    /// So many bytes, whatever they are.
    Bytes(u64),
    /// Bytes of a file.
    File(FileBody),
}

impl Body {
    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Full(bytes) => bytes.len() as u64,
            Self::Bytes(left) => *left,
            Self::File(file) => file.left(),
        }
    }

    /// Takes the next chunk off; `None` at the end. Only a file's is waited for, and is read when it
    /// is asked for. As `http_body::Body::poll_frame` without trailers.
    ///
    /// # Errors
    /// Where no more can be had of what was promised: the answer is to be cut off, so that nobody
    /// takes it for whole.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        static BLOCK: [u8; limits::BODY_CHUNK_BYTES] = [b'.'; limits::BODY_CHUNK_BYTES];
        if let Self::File(file) = self {
            return file.poll_chunk(cx);
        }
        Poll::Ready(match std::mem::replace(self, Self::Empty) {
            Self::Empty | Self::Bytes(0) | Self::File(_) => None,
            Self::Full(bytes) => Some(Ok(bytes)),
            Self::Bytes(left) => {
                let length = left.min(BLOCK.len() as u64);
                *self = Self::Bytes(left - length);
                Some(Ok(Bytes::from_static(&BLOCK[..length as usize])))
            }
        })
    }

    /// [`Self::poll_chunk`], to be awaited.
    ///
    /// # Errors
    /// As there.
    pub async fn next_chunk(&mut self) -> Option<io::Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }
}

/// The JSON of every path that is not another thing.
#[derive(Serialize)]
struct WhereJson<'a> {
    node: u16,
    name: &'a str,
    site: &'a str,
    worker: u8,
    owner: String,
    protocol: &'a str,
    client: String,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    error: &'a str,
}

/// Answers a request at a place: at once, unless it is from a file.
pub async fn answer(place: &Place, request: &Request<'_>) -> (Response<()>, Body) {
    let held = place.distributions.load();
    match held.is_empty() {
        true => diagnosis(place, request),
        false => proxy::answer(&held, &place.open_files, request).await,
    }
}

/// Says who answers, to whoever asks for whatever host.
fn diagnosis(place: &Place, request: &Request<'_>) -> (Response<()>, Body) {
    if request.method != Method::GET && request.method != Method::HEAD {
        let (mut head, body) = error(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only");
        head.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return (head, body);
    }
    let (head, body) = match request.path.strip_prefix("/bytes/") {
        Some(count) => bytes(count),
        None => json(StatusCode::OK, &whereabouts(place, request)),
    };
    // HEAD has the fields of GET, and none of its body (RFC 9110 section 9.3.2).
    if request.method == Method::HEAD { (head, Body::Empty) } else { (head, body) }
}

/// Says that a request's fields are too many (RFC 6585 section 5, RFC 9114 section 4.2.2).
#[must_use]
pub fn fields_too_large() -> (Response<()>, Body) {
    error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's fields are too many")
}

fn whereabouts<'a>(place: &'a Place, request: &Request<'_>) -> WhereJson<'a> {
    let own = place.own;
    WhereJson {
        node: own.node,
        name: &place.name,
        site: &place.site,
        worker: own.worker,
        owner: format!("{}/{}/{}", own.node, own.worker, own.generation),
        protocol: request.protocol,
        client: request.client.to_string(),
    }
}

fn bytes(count: &str) -> (Response<()>, Body) {
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return error(StatusCode::BAD_REQUEST, "/bytes/N takes a decimal number");
    }
    match count.parse() {
        Ok(count) if count <= limits::MAX_BODY_BYTES => {
            (head(StatusCode::OK, "application/octet-stream", count), Body::Bytes(count))
        }
        _ => error(StatusCode::BAD_REQUEST, "/bytes/N gives at most 1073741824"),
    }
}

/// An error of the client's, in JSON.
pub(crate) fn error(status: StatusCode, error: &str) -> (Response<()>, Body) {
    json(status, &ErrorJson { error })
}

fn json(status: StatusCode, value: &impl Serialize) -> (Response<()>, Body) {
    let mut text = serde_json::to_vec(value).expect("numbers and strings are JSON");
    text.push(b'\n');
    (head(status, "application/json", text.len() as u64), Body::Full(text.into()))
}

fn head(status: StatusCode, content_type: &'static str, length: u64) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    let fields = head.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(header::CONTENT_LENGTH, length.into());
    // Anycast: the next one may be answered elsewhere.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::files::read::OpenFiles;
    use edge_wire::cid::ServerId;
    use futures_util::FutureExt as _;

    fn ask(method: Method, path: &str) -> (Response<()>, Vec<u8>) {
        let place = Place {
            own: ServerId { node: 1, worker: 0, generation: 3 },
            name: "ams1".into(),
            site: "ams".into(),
            requests: Default::default(),
            cut: Default::default(),
            encoder: Default::default(),
            distributions: Default::default(),
            open_files: OpenFiles::at_most(9),
        };
        let client = "203.0.113.9:4711".parse().expect("an address");
        let request = Request {
            method: &method,
            authority: Some("a.example"),
            path,
            query: None,
            headers: &HeaderMap::new(),
            protocol: "h3",
            client,
        };
        let (head, mut body) = answer(&place, &request).now_or_never().expect("it has no files");
        let chunk = || body.next_chunk().now_or_never().expect("it has no files");
        let chunks: Result<Vec<_>, _> = std::iter::from_fn(chunk).collect();
        (head, chunks.expect("no file is read").concat())
    }

    #[test]
    fn any_path_says_who_answered_whom() {
        let (head, body) = ask(Method::GET, "/");
        assert_eq!(head.status(), StatusCode::OK);
        let expected = concat!(
            r#"{"node":1,"name":"ams1","site":"ams","worker":0,"owner":"1/0/3","protocol":"h3","#,
            r#""client":"203.0.113.9:4711"}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(body).expect("text"), expected);
        assert_eq!(head.headers()[header::CONTENT_LENGTH], expected.len().to_string());
    }

    /// RFC 9112 sections 3.2 and 3.2.2.
    #[test]
    fn a_request_is_for_what_its_target_says_or_for_its_one_host() {
        let asked = |target: &'static str, hosts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_static(host));
            }
            authority(&Uri::from_static(target), &headers).map(str::to_owned)
        };
        assert_eq!(asked("https://a.example:1/x", &["b.example"]).as_deref(), Some("a.example:1"));
        assert_eq!(asked("/x", &["b.example"]).as_deref(), Some("b.example"));
        assert_eq!(asked("/x", &["b.example", "c.example"]), None);
        assert_eq!(asked("/x", &[]), None);
    }

    #[test]
    fn bytes_come_in_the_number_asked_for() {
        for count in [0, 1, limits::BODY_CHUNK_BYTES, 3 * limits::BODY_CHUNK_BYTES + 1] {
            let (head, body) = ask(Method::GET, &format!("/bytes/{count}"));
            assert_eq!((head.status(), body.len()), (StatusCode::OK, count));
        }
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let (head, body) = ask(Method::HEAD, "/bytes/1000");
        assert_eq!(head.headers()[header::CONTENT_LENGTH], "1000");
        assert!(body.is_empty());
    }

    #[test]
    fn what_cannot_be_given_is_refused_in_json() {
        for path in ["/bytes/", "/bytes/-1", "/bytes/1x", "/bytes/+1", "/bytes/1073741825"] {
            let (head, body) = ask(Method::GET, path);
            assert_eq!(head.status(), StatusCode::BAD_REQUEST, "{path}");
            assert!(body.starts_with(br#"{"error":""#));
        }
        let (head, _) = ask(Method::POST, "/");
        assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(head.headers()[header::ALLOW], "GET, HEAD");
    }
}
