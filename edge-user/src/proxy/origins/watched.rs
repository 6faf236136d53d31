//! An origin, and what is known of its servers at this moment: where they are, and whether they are
//! well. Known once for all workers, by tasks beside them.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::health;
use crate::config::origins::{Origin, Protocol, Server, ServerHost};
use crate::limits;
use crate::tls::origin::{Connector, OriginTlsError};

/// An origin, and what is known of its servers.
#[derive(Debug)]
pub struct Watched {
    pub(super) origin: Origin,
    pub(super) connector: Option<Connector>,
    /// For HTTP/1.1 alone, where the other one may come to something else.
    pub(super) connector_http11: Option<Connector>,
    view: watch::Sender<View>,
    started: AtomicBool,
}

/// What is known of an origin's servers, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View(Vec<Known>);

/// What is known of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where it is; `None` until its name was looked up.
    pub addresses: Option<Arc<[SocketAddr]>>,
    /// Whether its last answers about its health were good. True until some were not.
    pub well: bool,
}

/// The same servers, asked in the same way, and believed by the same authorities.
impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        let believed = |watched: &Self| watched.connector.as_ref().map(Connector::fingerprint);
        self.origin == other.origin && believed(self) == believed(other)
    }
}

impl View {
    /// The servers, in their order.
    #[must_use]
    pub fn servers(&self) -> &[Known] {
        &self.0
    }
}

impl Watched {
    /// Reads whom it believes.
    ///
    /// # Errors
    /// Where that cannot be used.
    pub fn new(origin: Origin) -> Result<Self, OriginTlsError> {
        let connector =
            |protocol| origin.tls.as_ref().map(|tls| Connector::new(tls, protocol)).transpose();
        let (connector, connector_http11) =
            (connector(origin.protocol)?, connector(Protocol::Http11)?);
        let known = |server: &Server| Known {
            addresses: match server.host {
                ServerHost::Address(address) => {
                    Some([SocketAddr::new(address, server.port)].into())
                }
                ServerHost::Name(_) => None,
            },
            well: true,
        };
        let view = View(origin.servers.iter().map(known).collect());
        let view = watch::Sender::new(view);
        Ok(Self { origin, connector, connector_http11, view, started: AtomicBool::new(false) })
    }

    /// As it is configured.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.origin.name
    }

    /// What is known, now and later.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Whom TLS to a server asks for.
    pub(super) fn server_name(&self, server: &Server) -> String {
        match (self.origin.tls.as_ref().and_then(|tls| tls.server_name.as_deref()), &server.host) {
            (Some(name), _) => name.to_owned(),
            (None, ServerHost::Name(name)) => name.to_string(),
            (None, ServerHost::Address(address)) => address.to_string(),
        }
    }

    /// Begins to look its servers up and to ask them how they are, until nobody needs it any more.
    /// The first time only.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        for (index, server) in self.origin.servers.iter().enumerate() {
            if let ServerHost::Name(name) = &server.host {
                tokio::spawn(look_up(Arc::downgrade(self), index, name.clone(), server.port));
            }
            if self.origin.health.is_some() {
                tokio::spawn(health::watch(Arc::downgrade(self), index));
            }
        }
    }

    /// Notes what has become known of a server. Whether it is news.
    pub(super) fn note(&self, index: usize, change: impl FnOnce(&mut Known)) -> bool {
        self.view.send_if_modified(|view| {
            let before = view.0[index].clone();
            change(&mut view.0[index]);
            before != view.0[index]
        })
    }
}

/// Keeps the addresses of a server. What was found last is good until something else is found: a
/// resolver that fails is no reason to fail.
async fn look_up(watched: Weak<Watched>, index: usize, name: Box<str>, port: u16) {
    let mut failing = false;
    loop {
        let found = timeout(limits::ORIGIN_RESOLVE_WITHIN, lookup_host((&*name, port))).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let Some(watched) = watched.upgrade() else { return };
        let wait = match found.map(first) {
            Ok(addresses) if !addresses.is_empty() => {
                if std::mem::take(&mut failing) {
                    tracing::info!(origin = %watched.origin.name, %name, "the name is found again");
                }
                watched.note(index, |known| known.addresses = Some(addresses));
                limits::ORIGIN_RESOLVE_EVERY
            }
            nothing => {
                if !std::mem::replace(&mut failing, true) {
                    let error =
                        nothing.err().map_or("no address".into(), |error| error.to_string());
                    let origin = &*watched.origin.name;
                    tracing::warn!(origin, %name, %error, "the name of a server is not found");
                }
                // Who waits for it need not wait any more.
                watched.note(index, |known| {
                    known.addresses.get_or_insert_default();
                });
                limits::ORIGIN_RESOLVE_AGAIN
            }
        };
        drop(watched);
        sleep(wait).await;
    }
}

/// Sorted, so that another order is no news.
fn first(found: impl Iterator<Item = SocketAddr>) -> Arc<[SocketAddr]> {
    let mut found: Vec<_> = found.take(limits::MAX_RESOLVED_ADDRESSES).collect();
    found.sort();
    found.dedup();
    found.into()
}

/// So long between the beginnings of two questions, each server at another time.
pub(super) fn spread(interval: Duration, index: usize) -> Duration {
    interval.mul_f64((index as f64 * 0.618).fract())
}
