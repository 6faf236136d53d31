//! A request to one server: a place with it, a connection, the response; and whether the request may go
//! to another.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};

use http::{Request, StatusCode};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::body::{Download, OriginBody, Patience};
use super::connect::{Connected, first_of};
use super::counts::add_one;
use super::failure::Failure;
use super::http2::Session;
use super::http11::{Connection, Tunnel, Unanswered};
use super::server::{Asked, Server};
use super::upload::{Progress, Upload};
use super::{Answered, Upstream, http2, http11};
use crate::config::origins::{self as config, Origin, Protocol};
use crate::http::Version;
use crate::http::answer::Body;
use crate::http::interim::Interim;
use crate::proxy::files::read::OpenFiles;

/// A connection for a request.
enum Line {
    Http11(Connection),
    Http2(Rc<Session>),
}

/// A request to one server.
pub(super) struct Attempt<'a> {
    pub(super) upstream: &'a Rc<Upstream>,
    pub(super) index: usize,
    /// Connections that wait are not to be trusted.
    pub(super) is_second: bool,
    pub(super) is_websocket: bool,
    pub(super) is_safe: bool,
    pub(super) client: IpAddr,
    pub(super) open: &'a OpenFiles,
    /// When it begins.
    pub(super) begun: Instant,
    pub(super) deadline: Option<Instant>,
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
pub(super) struct Missed {
    pub(super) failure: Failure,
    /// What follows the head, where the request can be sent once more and nobody will have done
    /// twice what it asks for.
    pub(super) again: Option<Upload>,
}

impl Attempt<'_> {
    pub(super) async fn ask(
        &self,
        head: &dyn Fn(&config::Server, Version) -> Request<()>,
        upload: Upload,
        interim: &Interim,
    ) -> Result<Answered, Missed> {
        let (line, reused, asked) = match self.begin_in_time().await {
            Ok(begun) => begun,
            Err(failure) => {
                self.note(Some(failure));
                // Nothing was sent. To the same server it would fare no better.
                let other = failure.is_the_servers() && self.upstream.servers.len() > 1;
                return Err(Missed { failure, again: other.then_some(upload) });
            }
        };
        let version =
            if matches!(line, Line::Http11(_)) { Version::Http11 } else { Version::Http2 };
        let has_content = upload.progress().is_some();
        // What a client of a WebSocket sends waits until the server speaks that.
        let (upload, mut follows) = match self.is_websocket && version == Version::Http11 {
            true => (Upload::empty(), Some(upload)),
            false => (upload, None),
        };
        let progress = upload.progress();
        let server = &self.upstream.watched.origin.servers[self.index];
        let request = head(server, version).map(|()| upload);
        let asking = Asking { line, asked, request, follows: &mut follows };
        let Unanswered { failure, unsent } = match self.answer(asking, interim, progress).await {
            Ok(answered) => {
                self.note(None);
                return Ok(answered);
            }
            Err(unanswered) => unanswered,
        };
        // It was closed while nobody used it, which says nothing about the server.
        let is_stale = reused && failure == Failure::Closed;
        if !is_stale {
            self.note(Some(failure));
        }
        let again = match unsent {
            Some(unsent) => follows.or(Some(unsent)).filter(|upload| !upload.is_begun()),
            // It may have been looked at, but asking twice is as asking once; or it was not.
            None if is_stale && self.is_safe || failure == Failure::Refused => {
                follows.or((!has_content).then(Upload::empty))
            }
            None => None,
        };
        Err(Missed { failure, again })
    }

    /// A place with the server and a connection, whether it has carried another request, in time.
    async fn begin_in_time(&self) -> Result<(Line, bool, Asked), Failure> {
        let until = self.begun + self.upstream.watched.origin.timeouts.connect;
        let until = self.deadline.map_or(until, |deadline| deadline.min(until));
        let mut asked = self.upstream.servers[self.index].ask(self.client)?;
        match timeout_at(until, self.line_for_it(&mut asked)).await {
            Ok(line) => line.map(|(line, reused)| (line, reused, asked)),
            Err(_) if asked.waits_for_room() => Err(Failure::Full),
            Err(_) if self.deadline == Some(until) => Err(Failure::TotalTimeout),
            Err(_) => Err(Failure::ConnectTimeout),
        }
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
                let Connected { transport, permit, .. } = connected;
                Ok((Line::Http11(Connection::new(transport, permit)), false))
            }
            _ => Ok((line, reused)),
        }
    }

    /// A connection, and whether it has carried another request.
    async fn line(&self, asked: &mut Asked) -> Result<(Line, bool), Failure> {
        let origin = &self.upstream.watched.origin;
        let server = Rc::clone(asked.server());
        loop {
            if server.version.get() == Some(Version::Http11) {
                asked.take_room().await;
                let idle = (!self.is_second)
                    .then(|| server.take_idle(origin.keep_alive, self.begun))
                    .flatten();
                if let Some(connection) = idle {
                    return Ok((Line::Http11(connection), true));
                }
                let connected = self.connect(&server, None).await?;
                return Ok((self.begin(&server, connected).await?, false));
            }
            if let Some(session) = server.shared.take() {
                return Ok((Line::Http2(session), true));
            }
            let Ok(_turn) = server.connecting.try_lock() else {
                // The one before makes a connection for both, or finds that there is none for two.
                drop(server.connecting.lock().await);
                continue;
            };
            if server.shared.count() >= self.upstream.connections {
                return Err(Failure::Full);
            }
            let connected = self.connect(&server, None).await?;
            let line = self.begin(&server, connected).await?;
            if let Line::Http11(_) = line {
                asked.take_room().await;
            }
            return Ok((line, false));
        }
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
        let permit = self.open.try_one().ok_or(Failure::Full)?;
        add_one(&self.upstream.counts.connected);
        let within = watched.origin.timeouts.connect;
        // Most requests need none of this: it would be the most of every request's future.
        let reached = Box::pin(first_of(&addresses, within, tls, clear));
        let (transport, version) = reached.await?;
        Ok(Connected { transport, version, permit })
    }

    async fn begin(&self, server: &Server, connected: Connected) -> Result<Line, Failure> {
        let Connected { transport, version, permit } = connected;
        if self.upstream.watched.origin.protocol == Protocol::Http2 && version != Version::Http2 {
            return Err(Failure::Tls);
        }
        server.version.set(Some(version));
        match version {
            Version::Http2 => {
                let session = Box::pin(Session::begin(transport, permit)).await?;
                server.shared.put(Rc::clone(&session));
                Ok(Line::Http2(session))
            }
            Version::Http11 | Version::Http3 => {
                Ok(Line::Http11(Connection::new(transport, permit)))
            }
        }
    }

    async fn answer(
        &self,
        Asking { line, asked, request, follows }: Asking<'_>,
        interim: &Interim,
        progress: Option<Rc<Progress>>,
    ) -> Result<Answered, Unanswered> {
        let missed = |failure| Unanswered { failure, unsent: None };
        let (mut is_websocket, mut client) = (false, progress.clone());
        let progress = progress.as_deref();
        let (head, mut download) = match line {
            Line::Http11(connection) => {
                let response = pin!(connection.ask(request, interim));
                let (head, rest) = self.within(response, interim, progress).await?;
                if head.status() == StatusCode::SWITCHING_PROTOCOLS {
                    // Nobody else has asked for that.
                    let upload = follows.take().ok_or(missed(Failure::Malformed))?;
                    (is_websocket, client) = (true, upload.progress());
                    (head, Download::Tunnel(Tunnel::begin(rest, upload, asked)))
                } else {
                    (head, Download::Http11(http11::Download::new(rest, asked)))
                }
            }
            Line::Http2(session) => {
                let response = pin!(session.ask(request, interim));
                let response = self.within(response, interim, progress).await;
                // One that does not respond may be dead, and its successor shall not wait as long.
                if let Err(Unanswered { failure, .. }) = &response
                    && matches!(failure, Failure::Closed | Failure::ResponseTimeout)
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
        if let Download::Http11(download) = &mut download
            && let Some(content) = download.whole()
        {
            return Ok(Answered { head, body: Body::Full(content), is_websocket });
        }
        let counts = Rc::clone(&self.upstream.counts);
        let patience = match is_websocket {
            true => Patience::of_websocket(client),
            false => Patience::new(self.upstream.watched.origin.timeouts.idle, self.deadline),
        };
        let body = OriginBody::new(download, counts, patience);
        let body = if body.is_over() { Body::Empty } else { Body::Stream(Box::pin(body)) };
        Ok(Answered { head, body, is_websocket })
    }

    /// Waits for the head of a response. While the server is sent something it is not late, nor is it
    /// while the client is waited for.
    async fn within<T>(
        &self,
        mut response: Pin<&mut impl Future<Output = Result<T, Unanswered>>>,
        interim: &Interim,
        progress: Option<&Progress>,
    ) -> Result<T, Unanswered> {
        let within = self.upstream.watched.origin.timeouts.response;
        let due = |since: Instant| {
            let due = since + within;
            self.deadline.map_or(due, |deadline| deadline.min(due))
        };
        let missed = |failure| Unanswered { failure, unsent: None };
        let mut timer = pin!(sleep_until(due(Instant::now())));
        poll_fn(|cx| {
            if let Poll::Ready(response) = response.as_mut().poll(cx) {
                return Poll::Ready(response.map_err(|unanswered| {
                    let cut = progress.and_then(Progress::cut);
                    let failure = cut.map_or(unanswered.failure, Failure::from);
                    Unanswered { failure, ..unanswered }
                }));
            }
            if interim.is_flooded() {
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
