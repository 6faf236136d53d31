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
//! | `attempt` | a request to one server, and whether it may go to another |
//! | `server` | a server, as one worker knows it, and connections that wait for a request |
//! | `connect` | from a server to a connection |
//! | `upload` | what a client sends after the head, on its way to a server |
//! | `http11` | a request and its response: bytes that are sorted by code that sees no connection |
//! | `http2` | the same by h2 |
//! | `body` | the body of a response, on its way to a client |
//! | [`failure`] | why an answer could not be had |
//! | [`counts`] | what was counted |

mod attempt;
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
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use http::{Request, Response};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::files::read::OpenFiles;
use crate::config;
use crate::config::origins::{Origin, Protocol};
use crate::http::Version;
use crate::http::answer::Body;
use crate::http::content::Content;
use crate::http::interim::Interim;
use crate::limits;
use attempt::{Attempt, Missed};
use counts::{Counts, OriginReport, add_one};
use failure::Failure;
use server::Server;
pub(super) use upload::OfTrailers;
use upload::Upload;
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
    /// Who asks.
    pub(super) client: IpAddr,
    /// Connections are files, too.
    pub(super) open: &'a OpenFiles,
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
        let begun = Instant::now();
        let answered = self.ask_twice(question, begun).await;
        match &answered {
            Ok(answered) => self.counts.answered(answered.head.status(), begun.elapsed()),
            Err(failure) => self.counts.failed(*failure),
        }
        answered
    }

    async fn ask_twice(
        self: &Rc<Self>,
        question: Question<'_>,
        begun: Instant,
    ) -> Result<Answered, Failure> {
        let Question { head, content, trailers, expects, is_websocket, is_safe, .. } = question;
        let Question { interim, note, client, open, .. } = question;
        let timeouts = self.watched.origin.timeouts;
        let idle = if is_websocket { limits::TUNNEL_IDLE_WITHIN } else { timeouts.idle };
        // Where the client can be sent none they are counted all the same.
        let unseen = Interim::default();
        let interim = interim.unwrap_or(&unseen);
        let gate = expects.then(|| interim.sink());
        let total = timeouts.total.filter(|_| !is_websocket);
        let deadline = total.map(|total| begun + total);
        let (mut upload, mut tried) = (Upload::new(content, trailers, gate, idle), None);
        loop {
            let index = self.choose(tried).ok_or(Failure::NoServer)?;
            note.server.set(Some(index));
            let attempt = Attempt {
                upstream: self,
                index,
                is_second: tried.is_some(),
                is_websocket,
                is_safe,
                client,
                open,
                // The clock is read once, where there is one attempt.
                begun: if tried.is_none() { begun } else { Instant::now() },
                deadline,
            };
            match attempt.ask(head, upload, interim).await {
                Ok(answered) => return Ok(answered),
                Err(Missed { again: Some(again), .. }) if tried.is_none() => {
                    add_one(&self.counts.retried);
                    (upload, tried) = (again, Some(index));
                }
                Err(missed) => return Err(missed.failure),
            }
        }
    }

    fn choose(&self, tried: Option<usize>) -> Option<usize> {
        let view = self.view.borrow();
        let view = view.borrow();
        if self.servers.len() == 1 {
            return view.servers()[0].well.then_some(0);
        }
        let now = Instant::now();
        let candidates = self.servers.iter().zip(view.servers()).enumerate();
        let candidates = candidates.map(|(index, (server, known))| {
            server.candidate(known.well, tried == Some(index), now)
        });
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
