//! One request, one answer: of the distributions where there are some; else where it was answered,
//! or so many bytes.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body::Frame;
use serde::Serialize;

use super::check::Rejection;
use super::content::Content;
use super::interim::Interim;
use super::websocket::Upgrade;
use super::{Place, Version};
use crate::access_log::Ending;
use crate::access_log::note::Note;
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
    /// The version of HTTP that the client speaks.
    pub version: Version,
    /// The client's address as seen.
    pub client: SocketAddr,
    /// What it asks for instead of an answer: what follows the request then is no content.
    pub upgrade: Option<Upgrade<'a>>,
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
pub enum Body {
    /// Nothing: HEAD.
    Empty,
    /// These bytes.
    Full(Bytes),
    /// So many bytes, whatever they are.
    Bytes(u64),
    /// Bytes of a file.
    File(FileBody),
    /// What an origin sends, with the trailers.
    Stream(Pin<Box<dyn Stream>>),
    /// Any of these, whose end is noted in the access log.
    Noted(Ending),
}

/// Parts of an answer as they come.
pub trait Stream: http_body::Body<Data = Bytes, Error = io::Error> {}

impl<T: http_body::Body<Data = Bytes, Error = io::Error>> Stream for T {}

impl Body {
    /// Bytes that are still to come, where that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Full(bytes) => Some(bytes.len() as u64),
            Self::Bytes(left) => Some(*left),
            Self::File(file) => Some(file.left()),
            Self::Noted(ending) => ending.body().left(),
            Self::Stream(stream) if stream.is_end_stream() => Some(0),
            Self::Stream(stream) => stream.size_hint().exact().filter(|left| *left > 0),
        }
    }

    /// Whether it is certain that nothing comes any more, no trailers either.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_end_stream(),
            Self::Noted(ending) => ending.body().is_at_end(),
            body => body.left() == Some(0),
        }
    }

    /// Takes the next part off, data or trailers; `None` at the end. What is a file's or an origin's
    /// is waited for, and is read when it is asked for. As `http_body::Body::poll_frame`.
    ///
    /// # Errors
    /// Where no more can be had of what was promised: the answer is to be cut off, so that nobody
    /// takes it for whole.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        static BLOCK: [u8; limits::BODY_CHUNK_BYTES] = [b'.'; limits::BODY_CHUNK_BYTES];
        match self {
            Self::File(file) => return file.poll_chunk(cx).map_ok(Frame::data),
            Self::Stream(stream) => return stream.as_mut().poll_frame(cx),
            Self::Noted(ending) => return ending.poll_frame(cx),
            Self::Empty | Self::Full(_) | Self::Bytes(_) => {}
        }
        let chunk = match std::mem::replace(self, Self::Empty) {
            Self::Full(bytes) => Some(bytes),
            Self::Bytes(left) if left > 0 => {
                let length = left.min(BLOCK.len() as u64);
                *self = Self::Bytes(left - length);
                Some(Bytes::from_static(&BLOCK[..length as usize]))
            }
            _ => None,
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    /// [`Self::poll_frame`], to be awaited.
    ///
    /// # Errors
    /// As there.
    pub async fn next_frame(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// All of it was given to the transport. What is dropped otherwise was cut off.
    pub fn sent(self) {
        if let Self::Noted(ending) = self {
            ending.sent();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left()).finish_non_exhaustive()
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

/// Answers a request at a place: at once, unless it is from a file or an origin. What follows the
/// request's head is taken out of `content` where it is wanted, and left there where it is not.
pub async fn answer(
    place: &Place,
    request: &Request<'_>,
    content: &mut Content,
    interim: &Interim,
) -> (Response<()>, Body) {
    let (held, note) = (place.distributions.load(), Note::default());
    // Where it is dropped before the answer, that is noted, too.
    let unanswered = place.access_log.as_ref().map(|log| log.begin(&held, request, &note));
    let (head, body) = match held.is_empty() {
        true => diagnosis(place, request),
        false => proxy::answer(&held, &place.open_files, request, content, interim, &note).await,
    };
    let body = match unanswered {
        Some(unanswered) => unanswered.answered(&head, body),
        None => body,
    };
    (head, body)
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

/// Refuses a request by a rule, whoever it is for, and counts it.
pub(super) fn refuse(
    place: &Place,
    request: &Request<'_>,
    rejection: Rejection,
) -> (Response<()>, Body) {
    let (held, note) = (place.distributions.load(), Note::default());
    held.count_refused(request.version, rejection.status());
    note.reason.set(Some(rejection.refused().name()));
    let (head, body) = error(rejection.status(), rejection.rule());
    // RFC 9110 section 9.3.2.
    let body = if request.method == Method::HEAD { Body::Empty } else { body };
    let body = match &place.access_log {
        Some(log) => log.begin(&held, request, &note).answered(&head, body),
        None => body,
    };
    (head, body)
}

/// Says that the fields of a request of HTTP/3 are too many (RFC 6585 section 5, RFC 9114 section
/// 4.2.2), and notes it as others. They were not read to their end, so nobody knows what it asks for.
pub(super) fn fields_too_large(place: &Place, client: SocketAddr) -> (Response<()>, Body) {
    let unknown = Method::from_bytes(b"-").expect("a token");
    let request = Request {
        method: &unknown,
        authority: None,
        path: "",
        query: None,
        headers: &HeaderMap::new(),
        version: Version::Http3,
        client,
        upgrade: None,
    };
    refuse(place, &request, Rejection::Fields)
}

fn whereabouts<'a>(place: &'a Place, request: &Request<'_>) -> WhereJson<'a> {
    let own = place.own;
    WhereJson {
        node: own.node,
        name: &place.name,
        site: &place.site,
        worker: own.worker,
        owner: format!("{}/{}/{}", own.node, own.worker, own.generation),
        protocol: request.version.name(),
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
    use crate::config::UnknownNames;
    use crate::proxy::files::read::OpenFiles;
    use crate::tls::live::samples;
    use edge_wire::cid::ServerId;
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    fn ask(method: Method, path: &str) -> (Response<()>, Vec<u8>) {
        let place = Place {
            own: ServerId { node: 1, worker: 0, generation: 3 },
            name: "ams1".into(),
            site: "ams".into(),
            requests: Default::default(),
            cut: Default::default(),
            date: Default::default(),
            port: 443,
            encoder: Default::default(),
            distributions: Default::default(),
            open_files: OpenFiles::at_most(9),
            certificates: samples::live(UnknownNames::Refuse, &[&["a.example"]]).into(),
            covered: Default::default(),
            refused: Default::default(),
            access_log: None,
        };
        let client = "203.0.113.9:4711".parse().expect("an address");
        let request = Request {
            method: &method,
            authority: Some("a.example"),
            path,
            query: None,
            headers: &HeaderMap::new(),
            version: Version::Http3,
            client,
            upgrade: None,
        };
        let (mut content, interim) = Default::default();
        let (head, body) = answer(&place, &request, &mut content, &interim)
            .now_or_never()
            .expect("it has no files");
        let body = body.collect().now_or_never().expect("it has no files");
        (head, body.expect("no file is read").to_bytes().to_vec())
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
