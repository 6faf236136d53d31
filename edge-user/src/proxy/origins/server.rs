//! A server, as one worker knows it: who is with it, what became of requests, and connections that
//! wait for the next.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::choose::Candidate;
use super::counts::ServerReport;
use super::failure::Failure;
use super::http2;
use super::http11::Connection;
use super::watched::View;
use crate::config::origins as config;
use crate::http::Version;
use crate::limits;

/// A server of an origin, as one worker knows it.
pub(super) struct Server {
    /// Requests that are with it.
    outstanding: Cell<u32>,
    /// Those of clients that have some.
    of_clients: RefCell<HashMap<Network, u32>>,
    /// Connections that it may have.
    connections: usize,
    /// Failures in a row.
    failures: Cell<u32>,
    ejected_until: Cell<Option<Instant>>,
    /// How many more requests it may have.
    room: Semaphore,
    /// Connections of HTTP/1.1 that wait, the last one that was used at the end.
    idle: RefCell<Vec<Idle>>,
    /// Connections of HTTP/2.
    pub(super) shared: http2::Shared,
    /// What it spoke last.
    pub(super) version: Cell<Option<Version>>,
    /// One connection of HTTP/2 is made at a time: the next request may be with it, too.
    pub(super) connecting: Mutex<()>,
}

/// How servers stand, each in its place: as they are configured, known and asked.
pub(super) fn report(
    servers: &[config::Server],
    view: &View,
    asked: &[Rc<Server>],
) -> Vec<ServerReport> {
    let now = Instant::now();
    let all = servers.iter().zip(view.servers()).zip(asked);
    all.map(|((server, known), asked)| asked.report(server.to_string(), known.well, now)).collect()
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Server {
    /// `most` requests over HTTP/1.1 at a time. `version`, where no other can come of it.
    pub(super) fn new(most: usize, version: Option<Version>) -> Self {
        Self {
            outstanding: Cell::new(0),
            of_clients: RefCell::default(),
            connections: most,
            failures: Cell::new(0),
            ejected_until: Cell::new(None),
            room: Semaphore::new(most),
            idle: RefCell::default(),
            shared: http2::Shared::default(),
            version: Cell::new(version),
            connecting: Mutex::new(()),
        }
    }

    pub(super) fn candidate(&self, well: bool, tried: bool, now: Instant) -> Candidate {
        let ejected = self.is_ejected(now);
        Candidate { outstanding: self.outstanding.get(), well, ejected, tried }
    }

    fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.get().is_some_and(|until| now < until)
    }

    /// How it stands.
    fn report(&self, server: String, well: bool, now: Instant) -> ServerReport {
        ServerReport {
            server,
            well,
            ejected: self.is_ejected(now),
            requests: self.outstanding.get().into(),
            idle_connections: (self.idle.borrow().len() + self.shared.idle()) as u64,
        }
    }

    /// Notes how a request ended. Whether the server is left alone because of it, and was not before.
    pub(super) fn note(&self, failure: Option<Failure>, most: u32, eject: Duration) -> bool {
        match failure {
            None => {
                self.failures.set(0);
                self.ejected_until.set(None);
                false
            }
            Some(failure) if failure.is_the_servers() => {
                let failures = self.failures.get().saturating_add(1);
                self.failures.set(failures);
                let too_many = most > 0 && failures >= most;
                if too_many {
                    self.ejected_until.set(Some(Instant::now() + eject));
                }
                too_many && failures == most
            }
            Some(_) => false,
        }
    }

    /// A request of a client is with it until what is returned is dropped.
    ///
    /// # Errors
    /// Where the client has its share, and others may need what is left.
    pub(super) fn ask(self: &Rc<Self>, client: IpAddr) -> Result<Asked, Failure> {
        let places = match self.version.get() {
            Some(Version::Http2) => self.connections * limits::ORIGIN_STREAMS,
            _ => self.connections,
        };
        let share = places / limits::ORIGIN_SHARE_OF_CLIENT;
        let (all, network) = (self.outstanding.get(), Network::of(client));
        let mut of_clients = self.of_clients.borrow_mut();
        let held = of_clients.entry(network).or_default();
        let has_share = *held as usize >= share.max(limits::MIN_ORIGIN_SHARE);
        if has_share && all as usize >= places - share {
            return Err(Failure::ClientShare);
        }
        *held += 1;
        drop(of_clients);
        self.outstanding.set(all + 1);
        Ok(Asked { server: Rc::clone(self), network, room: Room::NotNeeded })
    }

    /// A connection that waits, and is not closed as far as is known.
    pub(super) fn take_idle(&self, keep_alive: Duration, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, since }) = idle.pop() {
            if now.saturating_duration_since(since) >= keep_alive {
                // The others are older still.
                idle.clear();
                return None;
            }
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// A connection is free again.
    pub(super) fn put_idle(&self, connection: Connection) {
        self.idle.borrow_mut().push(Idle { connection, since: Instant::now() });
    }

    /// Closes connections that nobody needs any more.
    pub(super) fn sweep(&self, keep_alive: Duration) {
        self.idle
            .borrow_mut()
            .retain_mut(|idle| idle.since.elapsed() < keep_alive && idle.connection.is_ready());
        self.shared.sweep(keep_alive);
    }
}

/// Whom a client's requests are counted with: an address, in IPv6 the /64 that a host is given.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u128);

impl Network {
    fn of(client: IpAddr) -> Self {
        match client.to_canonical() {
            IpAddr::V4(address) => Self(u32::from(address).into()),
            IpAddr::V6(address) => Self(u128::from(address) >> 64 << 64),
        }
    }
}

/// A request that is with a server.
pub(super) struct Asked {
    server: Rc<Server>,
    network: Network,
    room: Room,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    NotNeeded,
    Awaited,
    Held,
}

impl Asked {
    pub(super) fn server(&self) -> &Rc<Server> {
        &self.server
    }

    /// Takes one of the places for requests; waits where there is none.
    pub(super) async fn take_room(&mut self) {
        self.room = Room::Awaited;
        if let Ok(permit) = self.server.room.acquire().await {
            permit.forget();
            self.room = Room::Held;
        }
    }

    /// Whether there was none.
    pub(super) fn waits_for_room(&self) -> bool {
        self.room == Room::Awaited
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.server.outstanding.set(self.server.outstanding.get() - 1);
        if let Entry::Occupied(mut held) = self.server.of_clients.borrow_mut().entry(self.network) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
        if self.room == Room::Held {
            self.server.room.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that keeps whatever it can get, and others.
    #[test]
    fn the_last_places_are_for_clients_that_have_few() {
        let server = Rc::new(Server::new(512, Some(Version::Http11)));
        let greedy = |host: u16| format!("2001:db8::{host:x}").parse().expect("an address");
        let mut held = Vec::new();
        let refused = loop {
            // One network, whichever address of it.
            match server.ask(greedy(held.len() as u16)) {
                Ok(asked) => held.push(asked),
                Err(failure) => break failure,
            }
        };
        assert_eq!((refused, held.len()), (Failure::ClientShare, 512 - 64));
        let other = "203.0.113.9".parse().expect("an address");
        let others: Vec<_> = (0..64).map_while(|_| server.ask(other).ok()).collect();
        assert_eq!(others.len(), 64);
        assert_eq!(server.ask(other).err(), Some(Failure::ClientShare));
        drop(held);
        assert!(server.ask(other).is_ok() && server.ask(greedy(0)).is_ok());
        assert_eq!(server.of_clients.borrow().len(), 1, "who has none is forgotten");
    }

    #[test]
    fn where_there_are_few_places_a_client_may_have_what_a_browser_asks_for() {
        let server = Rc::new(Server::new(1, Some(Version::Http11)));
        let client = "203.0.113.9".parse().expect("an address");
        let asked: Vec<_> = (0..99).map_while(|_| server.ask(client).ok()).collect();
        assert_eq!(asked.len(), limits::MIN_ORIGIN_SHARE);
    }
}
