//! What is answered under the names of distributions.
//!
//! | module | job |
//! |---|---|
//! | [`path`] | the one form of a path in which paths are compared, or why there is none |
//! | [`route`] | host and path -> who answers: pure |
//! | [`in_force`] | what a worker answers by at this moment, and what it has counted |
//! | [`durations`] | how long answers took |
//! | [`coalescing`] | of which names of a certificate clients are told: pure |
//! | `fixed` | redirects, and answers that are the same for everybody |
//! | [`files`] | static files |
//! | [`forward`] | what an origin is sent, and a client of its response: fields to fields, pure |
//! | `proxied` | a request through an origin |
//! | [`origins`] | servers behind us: who is asked, over which connection |

pub mod coalescing;
pub mod durations;
pub mod files;
mod fixed;
pub mod forward;
pub mod in_force;
pub mod origins;
pub mod path;
mod proxied;
pub mod route;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::access_log::note::Note;
use crate::config::coalescing::Coalescing;
use crate::config::distributions::{Answer, Behaviour, Distribution, HeaderRules};
use crate::config::origins::Origin;
use crate::http::answer::{Body, Request, error};
use crate::http::content::Content;
use crate::http::interim::Interim;
use crate::http::websocket::Upgrade;
use crate::limits;
use crate::tls::origin::OriginTlsError;
use coalescing::Told;
use files::Root;
pub(crate) use files::RootError;
use files::read::OpenFiles;
use in_force::Held;
use origins::watched::Watched;
use path::{Odd, Path};
use route::{HostRefused, Routes};

/// <https://www.w3.org/TR/server-timing/>.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// All distributions of a configuration, and who answers what.
#[derive(Debug, Default)]
pub struct Distributions {
    routes: Routes,
    served: Vec<Distribution>,
    /// The directories of files, open.
    roots: BTreeMap<PathBuf, Arc<Root>>,
    /// What proxies ask.
    origins: Vec<Arc<Watched>>,
    /// Where it is among them.
    by_name: BTreeMap<Box<str>, usize>,
    told: Told,
}

/// What a configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory of files.
    #[error(transparent)]
    Files(#[from] RootError),
    /// What an origin is believed by.
    #[error("origin {0}: {1}")]
    Origin(Box<str>, #[source] OriginTlsError),
}

impl Distributions {
    /// As the configuration has them. Opens the directories of files, and reads whom origins are
    /// believed by.
    ///
    /// # Errors
    /// Where one of these cannot be used.
    pub fn open(distributions: &[Distribution], origins: &[Origin]) -> Result<Self, OpenError> {
        let mut roots = BTreeMap::new();
        for path in distributions.iter().flat_map(Distribution::roots) {
            if !roots.contains_key(path) {
                roots.insert(path.to_owned(), Arc::new(Root::open(path)?));
            }
        }
        let watched = |origin: &Origin| {
            let watched = Watched::new(origin.clone());
            watched.map(Arc::new).map_err(|error| OpenError::Origin(origin.name.clone(), error))
        };
        Ok(Self {
            routes: Routes::new(distributions),
            served: distributions.to_vec(),
            roots,
            by_name: origins.iter().map(|origin| origin.name.clone()).zip(0..).collect(),
            origins: origins.iter().map(watched).collect::<Result<_, _>>()?,
            told: Told::new(Coalescing::default(), distributions),
        })
    }

    /// Goes on with what `earlier` knows of the origins that are the same, and with connections to
    /// them.
    pub fn go_on_from(&mut self, earlier: &Self) {
        for watched in &mut self.origins {
            let known = earlier.by_name.get(watched.name()).map(|index| &earlier.origins[*index]);
            if let Some(known) = known.filter(|known| *known == watched) {
                *watched = Arc::clone(known);
            }
        }
    }

    /// Begins to look after the servers of origins, until nobody has these any more.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(&self) {
        self.origins.iter().for_each(Watched::start);
    }

    /// Has clients told of other names than all that are served.
    #[must_use]
    pub fn coalescing(self, coalescing: &Coalescing) -> Self {
        Self { told: Told::new(coalescing.clone(), &self.served), ..self }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.served.is_empty()
    }

    /// What its proxies ask.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.origins.iter().map(|watched| watched.origin())
    }

    /// What differs from `earlier`, a sentence each.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self) -> Vec<String> {
        let by_label = |list: &Self| -> BTreeMap<String, Distribution> {
            list.served.iter().map(|it| (it.label(), it.clone())).collect()
        };
        let by_name = |list: &Self| -> BTreeMap<String, Arc<Watched>> {
            list.origins.iter().map(|it| (it.name().to_owned(), Arc::clone(it))).collect()
        };
        let mut changes = differences("distribution", by_label(earlier), by_label(self));
        changes.extend(differences("origin", by_name(earlier), by_name(self)));
        let moved = self.roots.iter().filter(|(path, root)| {
            earlier.roots.get(*path).is_some_and(|earlier| !earlier.is(root))
        });
        if self.told.coalescing() != earlier.told.coalescing() {
            changes.push("coalescing: changed".into());
        }
        changes.extend(moved.map(|(path, _)| format!("{}: another directory", path.display())));
        changes
    }
}

/// What was added, changed and removed, a sentence each.
fn differences<T: PartialEq>(
    kind: &str,
    mut old: BTreeMap<String, T>,
    new: BTreeMap<String, T>,
) -> Vec<String> {
    let mut changes = Vec::new();
    for (name, it) in new {
        match old.remove(&name) {
            None => changes.push(format!("{kind} {name}: added")),
            Some(old) if old != it => changes.push(format!("{kind} {name}: changed")),
            Some(_) => {}
        }
    }
    changes.extend(old.into_keys().map(|name| format!("{kind} {name}: removed")));
    changes
}

/// Answers a request by the distributions in force, of which there is one at least. What follows the
/// request's head is taken out of `content` where an origin is asked.
pub async fn answer(
    held: &Rc<Held>,
    open: &OpenFiles,
    request: &Request<'_>,
    content: &mut Content,
    interim: &Interim,
    note: &Note,
) -> (Response<()>, Body) {
    let begun = Instant::now();
    let distributions = held.distributions();
    let index = match distributions.routes.distribution(request.authority) {
        Ok(index) => index,
        Err(refused) => {
            let status = match refused {
                HostRefused::Missing | HostRefused::Malformed => StatusCode::BAD_REQUEST,
                HostRefused::Unknown => StatusCode::MISDIRECTED_REQUEST,
            };
            held.count(None, request.version, status, begun.elapsed());
            return error(status, &refused.to_string());
        }
    };
    note.distribution.set(Some(index));
    let id = distributions.served[index].request_id.as_ref().map(|name| (name, request_id()));
    let request_id = id.as_ref().map(|(name, id)| (*name, id));
    note.request_id.replace(request_id.map(|(_, id)| id.clone()));
    let asking = Asking { held, index, open, request, request_id, note };
    let (mut head, body) = asking.answer(content, interim).await;
    if let Some((name, id)) = id {
        head.headers_mut().insert(name.clone(), id);
    }
    let took = begun.elapsed();
    if distributions.served[index].server_timing {
        head.headers_mut().append(SERVER_TIMING, timing(took));
    }
    held.count(Some(index), request.version, head.status(), took);
    // HEAD has the fields of GET, and none of its body (RFC 9110 section 9.3.2).
    if request.method == Method::HEAD { (head, Body::Empty) } else { (head, body) }
}

/// A request to a distribution.
struct Asking<'a> {
    held: &'a Rc<Held>,
    index: usize,
    open: &'a OpenFiles,
    request: &'a Request<'a>,
    request_id: Option<(&'a HeaderName, &'a HeaderValue)>,
    note: &'a Note,
}

impl Asking<'_> {
    /// The answer, with the rules of distribution and behaviour.
    async fn answer(&self, content: &mut Content, interim: &Interim) -> (Response<()>, Body) {
        let distributions = self.held.distributions();
        let distribution = &distributions.served[self.index];
        if *self.request.method == Method::OPTIONS && self.request.path == "*" {
            let (mut head, body) = fixed::nothing();
            apply(&distribution.response_headers, head.headers_mut());
            return (head, body);
        }
        let routes = &distributions.routes;
        let found = find(routes, self.index, distribution, self.request, self.note);
        let behaviour = found.as_ref().ok().map(|(_, behaviour)| *behaviour);
        let (answered, is_ours) = match &found {
            Ok((path, behaviour)) => match self.behave(path, behaviour, content, interim).await {
                Ok(of_origin) => (of_origin, false),
                Err(ours) => (ours, true),
            },
            Err((status, reason)) => (error(*status, reason), true),
        };
        let (mut head, body) = answered;
        apply(&distribution.response_headers, head.headers_mut());
        if let Some(behaviour) = behaviour {
            apply(&behaviour.response_headers, head.headers_mut());
        }
        if is_ours {
            keep_true(&mut head, behaviour.map(|behaviour| &behaviour.answer));
        }
        (head, body)
    }

    /// The answer of an origin, or else ours.
    async fn behave(
        &self,
        path: &Path<'_>,
        behaviour: &Behaviour,
        content: &mut Content,
        interim: &Interim,
    ) -> Result<(Response<()>, Body), (Response<()>, Body)> {
        let Self { request, open, .. } = *self;
        if request.method == Method::CONNECT && !matches!(behaviour.answer, Answer::Proxy(_)) {
            // A good answer would be taken for the beginning of a WebSocket.
            return Err(error(StatusCode::NOT_IMPLEMENTED, "there is no WebSocket here"));
        }
        Err(match &behaviour.answer {
            Answer::Redirect(redirect) => {
                fixed::redirect(redirect, &behaviour.path, path, request.query)
            }
            Answer::Respond(respond) => fixed::respond(respond),
            // On the heap by themselves: they are larger than all other answers together.
            Answer::Proxy(proxy) => {
                let (held, distribution) = (self.held, self.index);
                let (request_id, note) = (self.request_id, self.note);
                let asked = proxied::Asked {
                    held,
                    distribution,
                    behaviour,
                    path,
                    request,
                    request_id,
                    open,
                    note,
                };
                return Box::pin(proxied::answer(&asked, proxy, content, interim)).await;
            }
            Answer::Files(files) => {
                let root = &self.held.distributions().roots[&files.root];
                Box::pin(files::answer(files, root, &behaviour.path, path, open, request)).await
            }
        })
    }
}

/// What caches must be told whatever the rules say: they are written with good answers in mind.
fn keep_true(head: &mut Response<()>, answer: Option<&Answer>) {
    let (status, fields) = (head.status(), head.headers_mut());
    // A refusal of our own is over when its cause is. A fixed answer is the operator's word.
    let is_refusal = status.is_client_error() || status.is_server_error();
    if is_refusal && !matches!(answer, Some(Answer::Respond(_))) {
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(Answer::Files(files)) = answer
        && !files.precompressed.is_empty()
        && !fields.get_all(header::VARY).iter().any(|value| value == files::VARIES)
    {
        fields.append(header::VARY, files::VARIES);
    }
}

fn find<'a>(
    routes: &Routes,
    index: usize,
    distribution: &'a Distribution,
    request: &Request<'a>,
    note: &Note,
) -> Result<(Path<'a>, &'a Behaviour), (StatusCode, String)> {
    let is_websocket = matches!(request.upgrade, Some(Upgrade::Connect));
    if *request.method == Method::TRACE || *request.method == Method::CONNECT && !is_websocket {
        // RFC 9110 section 15.6.2, and for protocols that are not spoken RFC 9220 section 3.
        return Err((StatusCode::NOT_IMPLEMENTED, "this method is not served here".into()));
    }
    if request.query.is_some_and(|query| query.len() > limits::MAX_QUERY_BYTES) {
        return Err((StatusCode::URI_TOO_LONG, "the query is longer than 8192 bytes".into()));
    }
    let path = Path::parse(request.path).map_err(|odd| {
        let status = match odd {
            Odd::Long => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, format!("the path is refused: {odd}"))
    })?;
    let behaviour = routes.behaviour(index, &path);
    note.behaviour.set(behaviour);
    let behaviour = behaviour.map(|behaviour| &distribution.behaviours[behaviour]);
    let nothing = || (StatusCode::NOT_FOUND, "nothing is served at this path".into());
    behaviour.ok_or_else(nothing).map(|behaviour| (path, behaviour))
}

fn apply(rules: &HeaderRules, fields: &mut HeaderMap) {
    for name in &rules.remove {
        fields.remove(name);
    }
    for (name, value) in &rules.set {
        fields.insert(name.clone(), value.clone());
    }
    for (name, value) in &rules.add {
        fields.append(name.clone(), value.clone());
    }
}

/// How long an answer took to begin, beside what an origin says of itself.
fn timing(took: Duration) -> HeaderValue {
    let milliseconds = took.as_micros() as f64 / 1000.0;
    HeaderValue::try_from(format!("edge;dur={milliseconds:.3}")).expect("digits are good")
}

/// 128 random bits: no two answers have the same, on whichever node. What a client sends under the
/// name is not taken over, or it could be made to look like another's.
fn request_id() -> HeaderValue {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the kernel gives random bytes once it has begun to");
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes any text");
    }
    HeaderValue::try_from(text).expect("digits are good")
}

#[cfg(test)]
mod tests;
