//! What a worker has counted of an origin.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::failure::{FAILURES, Failure};
use crate::proxy::durations::{Durations, DurationsReport};
use crate::proxy::in_force::CLASSES;

/// What a worker has counted of an origin.
pub(super) struct Counts {
    pub(super) name: Arc<str>,
    by_class: [Cell<u64>; CLASSES],
    by_failure: [Cell<u64>; FAILURES],
    /// Requests that were sent to a second server, or a second time.
    pub(super) retried: Cell<u64>,
    /// Responses of which the rest could not be had.
    pub(super) cut: Cell<u64>,
    /// Connections that were made.
    pub(super) connected: Cell<u64>,
    /// Until the heads of responses.
    durations: Durations,
}

/// What was counted of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginReport {
    /// Its name.
    pub origin: Arc<str>,
    /// Its responses, as in [`crate::proxy::in_force::CLASS_NAMES`].
    pub by_class: [u64; CLASSES],
    /// Requests that it has not answered, as in [`Failure::ALL`].
    pub by_failure: [u64; FAILURES],
    /// Requests that were sent to a second server, or a second time.
    pub retried: u64,
    /// Responses of which the rest could not be had.
    pub cut: u64,
    /// Connections that were made.
    pub connected: u64,
    /// From a request that is asked to the head of its response.
    pub durations: DurationsReport,
    /// Its servers, as the configuration has them.
    pub servers: Vec<ServerReport>,
}

/// A server of an origin, as a worker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// Host and port.
    pub server: String,
    /// Whether its last answers about its health were good.
    pub well: bool,
    /// Whether the worker leaves it alone, because it has failed.
    pub ejected: bool,
    /// Requests that are with it.
    pub requests: u64,
    /// Connections that wait for a request.
    pub idle_connections: u64,
}

impl Counts {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            by_class: Default::default(),
            by_failure: Default::default(),
            retried: Cell::default(),
            cut: Cell::default(),
            connected: Cell::default(),
            durations: Durations::default(),
        }
    }

    pub(super) fn answered(&self, status: StatusCode, took: Duration) {
        self.durations.note(took);
        let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(CLASSES - 1);
        add_one(&self.by_class[class]);
    }

    pub(super) fn failed(&self, failure: Failure) {
        add_one(&self.by_failure[failure as usize]);
    }

    pub(super) fn report(&self, servers: Vec<ServerReport>) -> OriginReport {
        OriginReport {
            origin: Arc::clone(&self.name),
            by_class: self.by_class.each_ref().map(Cell::get),
            by_failure: self.by_failure.each_ref().map(Cell::get),
            retried: self.retried.get(),
            cut: self.cut.get(),
            connected: self.connected.get(),
            durations: self.durations.report(),
            servers,
        }
    }
}

pub(super) fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}
