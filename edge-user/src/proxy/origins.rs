//! Origins: who is asked, over which connection, and what becomes of it.
//!
//! What is known of servers is known once for all workers ([`watched`]); connections are a worker's
//! own, like everything that a request meets on its way.
//!
//! | module | job |
//! |---|---|
//! | [`watched`] | where the servers of an origin are, and whether they are well |
//! | `health` | requests of our own by which that is known |
//! | [`choose`] | which server is asked: pure |
//! | `server` | a server, as one worker knows it, and connections that wait for a request |
//! | `connect` | from a server to a connection |
//! | `upload` | what a client sends after the head, on its way to a server |
//! | `http11`, `http2` | a request and its response, by hyper and by h2 |
//! | `body` | the body of a response, on its way to a client |
//! | [`failure`] | why an answer could not be had |
//! | [`counts`] | what was counted |

mod body;
pub mod choose;
mod connect;
pub mod counts;
pub mod failure;
mod health;
mod http11;
mod http2;
mod server;
mod upload;
pub mod watched;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, ready};

use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config;
use crate::config::origins::{Origin, Protocol};
use crate::http::Version;
use crate::http::answer::Body;
use crate::http::content::Content;
use crate::http::interim::{Interim, Sink};
use crate::limits;
use body::{Download, OriginBody};
use connect::{Connected, connect};
use counts::{Counts, OriginReport, add_one};
use failure::Failure;
use http2::Session;
use http11::{Sender, Tunnel, Unanswered};
use server::{Asked, Server};
pub(super) use upload::OfTrailers;
use upload::{Progress, Upload};
use watched::{View, Watched};

/// An origin, as one worker asks it.
pub(super) struct Upstream {
    watched: Arc<Watched>,
    view: RefCell<watch::Receiver<View>>,
    servers: Box<[Rc<Server>]>,
    /// Connections to one server at a time.
    connections: usize,
    counts: Rc<Counts>,
    sweeping: Cell<bool>,
}

/// What an origin is asked.
pub(super) struct Question<'a> {
    /// Makes the head for a server and a version.
    pub(super) head: &'a dyn Fn(&config::origins::Server, Version) -> Request<()>,
    /// What follows it.
    pub(super) content: Content,
    /// What is done to trailers, if there is content.
    pub(super) trailers: Option<OfTrailers>,
    /// The client waits for 100 before it sends that.
    pub(super) expects: bool,
    /// It asks for a WebSocket: what follows is no content.
    pub(super) is_websocket: bool,
    /// Asking twice is as good as asking once (RFC 9110 section 9.2.1).
    pub(super) is_safe: bool,
    /// Where it is noted which server was asked.
    pub(super) note: &'a crate::access_log::note::Note,
    /// Where interim responses go, where the client can be sent some.
    pub(super) interim: Option<&'a Interim>,
}

/// An origin's response.
pub(super) struct Answered {
    pub(super) head: Response<()>,
    pub(super) body: Body,
    /// The connection is a WebSocket from now on.
    pub(super) is_websocket: bool,
}

/// A connection for a request.
enum Line {
    Http11(Sender),
    Http2(Rc<Session>),
}

impl Upstream {
    /// For one of so many workers. `earlier` has counted under the same name.
    pub(super) fn new(watched: Arc<Watched>, workers: usize, earlier: Option<&Self>) -> Self {
        let Origin { name, servers, max_connections, .. } = &watched.origin;
        let connections = (*max_connections as usize).div_ceil(workers.max(1)).max(1);
        let version = match (watched.origin.protocol, &watched.origin.tls) {
            (Protocol::Http11, _) | (Protocol::Auto, None) => Some(Version::Http11),
            (Protocol::Http2, _) => Some(Version::Http2),
            (Protocol::Auto, Some(_)) => None,
        };
        let servers = servers.iter().map(|_| Rc::new(Server::new(connections, version))).collect();
        let earlier = earlier.map(|earlier| Rc::clone(&earlier.counts));
        let counts = earlier.unwrap_or_else(|| Rc::new(Counts::new(name)));
        let view = RefCell::new(watched.view());
        Self { view, servers, connections, counts, sweeping: Cell::new(false), watched }
    }

    /// The origin that it asks.
    pub(super) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// What was counted.
    pub(super) fn report(&self) -> OriginReport {
        let servers = &self.watched.origin.servers;
        self.counts.report(server::report(servers, &self.view.borrow().borrow(), &self.servers))
    }

    /// Asks, and once more where that is sure to do no harm.
    pub(super) async fn ask(self: &Rc<Self>, question: Question<'_>) -> Result<Answered, Failure> {
        self.sweep();
        let (begun, answered) = (Instant::now(), self.ask_twice(question).await);
        match &answered {
            Ok(answered) => self.counts.answered(answered.head.status(), begun.elapsed()),
            Err(failure) => self.counts.failed(*failure),
        }
        answered
    }

    async fn ask_twice(self: &Rc<Self>, question: Question<'_>) -> Result<Answered, Failure> {
        let Question { head, content, trailers, expects, is_websocket, is_safe, interim, note } =
            question;
        let timeouts = self.watched.origin.timeouts;
        let idle = if is_websocket { limits::TUNNEL_IDLE_WITHIN } else { timeouts.idle };
        // Where the client can be sent none they are counted all the same.
        let sink = interim.map_or_else(Sink::default, Interim::sink);
        let gate = expects.then(|| sink.clone());
        let total = timeouts.total.filter(|_| !is_websocket);
        let deadline = total.map(|total| Instant::now() + total);
        let (mut upload, mut tried) = (Upload::new(content, trailers, gate, idle), None);
        loop {
            let index = self.choose(tried).ok_or(Failure::NoServer)?;
            let is_second = tried.is_some();
            note.server.set(Some(index));
            let attempt = Attempt { upstream: self, index, is_second, is_websocket, deadline };
            let is_empty = upload.progress().is_none();
            let missed = match attempt.ask(head, upload, &sink).await {
                Ok(answered) => return Ok(answered),
                Err(missed) => missed,
            };
            let Missed { failure, reused, unsent } = missed;
            let again = match unsent {
                Some(unsent) if !unsent.is_begun() => Some(unsent),
                // Where nothing came on a connection that had been good before, it was closed while
                // the request was under way. Whoever refused it did not look at it.
                None if is_empty && (is_safe && reused || failure == Failure::Refused) => {
                    Some(Upload::empty())
                }
                _ => None,
            };
            let elsewhere = self.servers.len() > 1 || reused || failure == Failure::Refused;
            match again {
                Some(again) if tried.is_none() && elsewhere && failure.is_the_servers() => {
                    add_one(&self.counts.retried);
                    (upload, tried) = (again, Some(index));
                }
                _ => return Err(failure),
            }
        }
    }

    fn choose(&self, tried: Option<usize>) -> Option<usize> {
        let (view, now) = (self.view.borrow(), Instant::now());
        let view = view.borrow();
        let candidates = self.servers.iter().zip(view.servers()).enumerate();
        let candidates = candidates.map(|(index, (server, known))| {
            server.candidate(known.well, tried == Some(index), now)
        });
        if self.servers.len() == 1 {
            return view.servers()[0].well.then_some(0);
        }
        choose::choose(candidates, random())
    }

    /// Closes connections that nobody needs, for as long as there are some.
    fn sweep(self: &Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        let this = Rc::downgrade(self);
        spawn_local(async move {
            loop {
                sleep(limits::ORIGIN_SWEEP_EVERY).await;
                let Some(this) = Weak::upgrade(&this) else { return };
                let keep_alive = this.watched.origin.keep_alive;
                this.servers.iter().for_each(|server| server.sweep(keep_alive));
            }
        });
    }
}

/// 64 bits that no client can guess, so that none can choose its server.
fn random() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the kernel gives random bytes once it has begun to");
    u64::from_ne_bytes(bytes)
}

/// A request to one server.
struct Attempt<'a> {
    upstream: &'a Rc<Upstream>,
    index: usize,
    /// Connections that wait are not to be trusted.
    is_second: bool,
    is_websocket: bool,
    deadline: Option<Instant>,
}

/// A request on a connection.
struct Asking<'a> {
    line: Line,
    asked: Asked,
    request: Request<Upload>,
    /// What comes when there is a WebSocket over HTTP/1.1.
    follows: &'a mut Option<Upload>,
}

/// Why it has no response.
struct Missed {
    failure: Failure,
    /// The connection had carried another request.
    reused: bool,
    /// What was not sent: it can go to another server.
    unsent: Option<Upload>,
}

impl Attempt<'_> {
    async fn ask(
        &self,
        head: &dyn Fn(&config::origins::Server, Version) -> Request<()>,
        upload: Upload,
        sink: &Sink,
    ) -> Result<Answered, Missed> {
        let Origin { timeouts, servers, .. } = &self.upstream.watched.origin;
        let server = &self.upstream.servers[self.index];
        let mut asked = server.ask();
        let line = match timeout(timeouts.connect, self.line_for_it(&mut asked)).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(failure)) => Err(failure),
            Err(_) if asked.waits_for_room() => Err(Failure::Full),
            Err(_) => Err(Failure::ConnectTimeout),
        };
        let (line, reused): (Line, bool) = match line {
            Ok(line) => line,
            Err(failure) => {
                self.note(Some(failure));
                return Err(Missed { failure, reused: false, unsent: Some(upload) });
            }
        };
        let version =
            if matches!(line, Line::Http11(_)) { Version::Http11 } else { Version::Http2 };
        // What a client of a WebSocket sends waits until the server speaks that.
        let (upload, mut follows) = match self.is_websocket && version == Version::Http11 {
            true => (Upload::empty(), Some(upload)),
            false => (upload, None),
        };
        let progress = upload.progress();
        let request = head(&servers[self.index], version).map(|()| upload);
        let asking = Asking { line, asked, request, follows: &mut follows };
        let answered = self.answer(asking, sink, progress.as_deref()).await;
        let mut unsent = |unanswered: Unanswered| follows.take().or(unanswered.unsent);
        let failure = match &answered {
            Ok(_) => None,
            // It was closed while nobody used it, which says nothing about the server.
            Err(unanswered) if reused && unanswered.failure == Failure::Closed => {
                return Err(Missed {
                    failure: Failure::Closed,
                    reused,
                    unsent: answered.err().and_then(unsent),
                });
            }
            Err(unanswered) => Some(unanswered.failure),
        };
        self.note(failure);
        answered.map_err(|unanswered| Missed {
            failure: unanswered.failure,
            reused,
            unsent: unsent(unanswered),
        })
    }

    /// Notes how a request ended.
    fn note(&self, failure: Option<Failure>) {
        let Origin { name, servers, max_failures, eject, .. } = &self.upstream.watched.origin;
        let ejected = self.upstream.servers[self.index].note(failure, *max_failures, *eject);
        if let Some(why) = failure.filter(|_| ejected) {
            let (origin, server) = (&**name, &servers[self.index]);
            let seconds = eject.as_secs();
            tracing::warn!(origin, %server, %why, seconds, "a server fails: it is left alone");
        }
    }

    /// A connection that takes the request, and whether it has carried another one.
    async fn line_for_it(&self, asked: &mut Asked) -> Result<(Line, bool), Failure> {
        let (line, reused) = self.line(asked).await?;
        match &line {
            Line::Http2(session) if self.is_websocket && !session.takes_websockets().await => {
                // Such a server is asked in HTTP/1.1.
                if self.upstream.watched.origin.protocol == Protocol::Http2 {
                    return Err(Failure::NoWebSocket);
                }
                asked.take_room().await;
                let connected = self.connect(asked.server(), Some(Version::Http11)).await?;
                let sender = Sender::begin(connected.transport).await?;
                Ok((Line::Http11(sender), false))
            }
            _ => Ok((line, reused)),
        }
    }

    /// A connection, and whether it has carried another request.
    async fn line(&self, asked: &mut Asked) -> Result<(Line, bool), Failure> {
        let origin = &self.upstream.watched.origin;
        let server = Rc::clone(asked.server());
        if server.version.get() == Some(Version::Http11) {
            asked.take_room().await;
            let idle = (!self.is_second).then(|| server.take_idle(origin.keep_alive)).flatten();
            if let Some(sender) = idle {
                return Ok((Line::Http11(sender), true));
            }
            let connected = self.connect(&server, None).await?;
            return Ok((self.begin(&server, connected).await?, false));
        }
        if let Some(session) = server.shared.take() {
            return Ok((Line::Http2(session), true));
        }
        let _turn = server.connecting.lock().await;
        // The one before may have made a connection for both.
        if let Some(session) = server.shared.take() {
            return Ok((Line::Http2(session), true));
        }
        if server.shared.count() >= self.upstream.connections {
            return Err(Failure::Full);
        }
        let connected = self.connect(&server, None).await?;
        let line = self.begin(&server, connected).await?;
        if let Line::Http11(_) = line {
            asked.take_room().await;
        }
        Ok((line, false))
    }

    /// `only`: no other version is offered.
    async fn connect(&self, server: &Server, only: Option<Version>) -> Result<Connected, Failure> {
        let watched = &self.upstream.watched;
        let mut view = watched.view();
        // The first look-up of its name may be under way.
        let known = view.wait_for(|view| view.servers()[self.index].addresses.is_some()).await;
        let known = known.map_err(|_| Failure::Resolve)?.servers()[self.index].clone();
        let addresses = known.addresses.unwrap_or_default();
        let name = watched.server_name(&watched.origin.servers[self.index]);
        let connector = match only {
            Some(Version::Http11) => watched.connector_http11.as_ref(),
            _ => watched.connector.as_ref(),
        };
        let tls = connector.map(|connector| (connector, &*name));
        let clear = server.version.get().unwrap_or(Version::Http11);
        add_one(&self.upstream.counts.connected);
        connect(&addresses, tls, clear).await
    }

    async fn begin(&self, server: &Server, connected: Connected) -> Result<Line, Failure> {
        let Connected { transport, version } = connected;
        if self.upstream.watched.origin.protocol == Protocol::Http2 && version != Version::Http2 {
            return Err(Failure::Tls);
        }
        server.version.set(Some(version));
        match version {
            Version::Http2 => {
                let session = Session::begin(transport).await?;
                server.shared.put(Rc::clone(&session));
                Ok(Line::Http2(session))
            }
            Version::Http11 | Version::Http3 => Ok(Line::Http11(Sender::begin(transport).await?)),
        }
    }

    async fn answer(
        &self,
        Asking { line, asked, request, follows }: Asking<'_>,
        sink: &Sink,
        progress: Option<&Progress>,
    ) -> Result<Answered, Unanswered> {
        let missed = |failure| Unanswered { failure, unsent: None };
        let mut is_websocket = false;
        let (head, download) = match line {
            Line::Http11(mut sender) => {
                let response = sender.ask(request, sink.clone());
                let response = self.within(response, sink, progress).await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    // Nobody else has asked for that.
                    let upload = follows.take().ok_or(missed(Failure::Malformed))?;
                    is_websocket = true;
                    let (head, tunnel) = Tunnel::begin(response, upload, asked).await?;
                    (head, Download::Tunnel(tunnel))
                } else {
                    let (head, incoming) = response.into_parts();
                    let download = http11::Download::new(incoming, sender, asked);
                    (Response::from_parts(head, ()), Download::Http11(download))
                }
            }
            Line::Http2(session) => {
                let response = self.within(session.ask(request, sink), sink, progress).await;
                if let Err(unanswered) = &response
                    && unanswered.failure == Failure::Closed
                {
                    asked.server().shared.remove(&session);
                }
                let (head, carried, stream) = response?;
                is_websocket = self.is_websocket && head.status().is_success();
                (head, Download::Http2(http2::Download::new(stream, carried, asked)))
            }
        };
        if let Some(progress) = progress {
            progress.answered();
        }
        let counts = Rc::clone(&self.upstream.counts);
        let idle = match is_websocket {
            true => limits::TUNNEL_IDLE_WITHIN,
            false => self.upstream.watched.origin.timeouts.idle,
        };
        let body = OriginBody::new(download, counts, idle, self.deadline);
        let body = if body.is_over() { Body::Empty } else { Body::Stream(Box::pin(body)) };
        Ok(Answered { head, body, is_websocket })
    }

    /// Waits for the head of a response. While the server is sent something it is not late, nor is it
    /// while the client is waited for.
    async fn within<T>(
        &self,
        response: impl Future<Output = Result<T, Unanswered>>,
        sink: &Sink,
        progress: Option<&Progress>,
    ) -> Result<T, Unanswered> {
        let within = self.upstream.watched.origin.timeouts.response;
        let due = |since: Instant| {
            let due = since + within;
            self.deadline.map_or(due, |deadline| deadline.min(due))
        };
        let missed = |failure| Unanswered { failure, unsent: None };
        let (mut response, mut timer) = (pin!(response), pin!(sleep_until(due(Instant::now()))));
        poll_fn(|cx| {
            if let Poll::Ready(response) = response.as_mut().poll(cx) {
                return Poll::Ready(response.map_err(|unanswered| {
                    let cut = progress.and_then(Progress::cut);
                    let failure = cut.map_or(unanswered.failure, Failure::from);
                    Unanswered { failure, ..unanswered }
                }));
            }
            if sink.poll_flooded(cx).is_ready() {
                return Poll::Ready(Err(missed(Failure::Interim)));
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                let now = Instant::now();
                if self.deadline.is_some_and(|deadline| deadline <= now) {
                    return Poll::Ready(Err(missed(Failure::TotalTimeout)));
                }
                let since = match progress {
                    Some(progress) if progress.waits() => now,
                    Some(progress) => progress.last(),
                    None => return Poll::Ready(Err(missed(Failure::ResponseTimeout))),
                };
                if since + within <= now {
                    return Poll::Ready(Err(missed(Failure::ResponseTimeout)));
                }
                timer.as_mut().reset(due(since));
            }
        })
        .await
    }
}
