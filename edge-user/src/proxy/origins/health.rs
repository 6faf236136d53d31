//! Requests of our own by which servers are known to be well, on connections of their own: a server
//! that takes no more connections is not well, however good the old ones are.

use std::future::Future;
use std::pin::pin;
use std::sync::Weak;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::select;
use tokio::time::Instant;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::connect::{Transport, first_of};
use super::failure::Failure;
use super::watched::{Watched, spread};
use crate::config::origins::{Health, Protocol};
use crate::http::Version;

/// Asks a server again and again, until nobody needs it any more.
pub(super) async fn watch(watched: Weak<Watched>, index: usize) {
    let Some(health) = watched.upgrade().and_then(|watched| watched.origin.health.clone()) else {
        return;
    };
    let first = Instant::now() + spread(health.interval, index);
    let mut ticks = interval_at(first, health.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::default();
    loop {
        ticks.tick().await;
        let Some(watched) = watched.upgrade() else { return };
        let asked = timeout(health.timeout, ask(&watched, index, &health)).await;
        let answer = asked.unwrap_or(Err(Failure::ResponseTimeout));
        let good = matches!(answer, Ok(status) if is_good(&health, status));
        let well = watched.view().borrow().servers()[index].well;
        let next = streak.next(&health, well, good);
        if watched.note(index, |known| known.well = next) {
            let (origin, server) = (&*watched.origin.name, &watched.origin.servers[index]);
            match (next, answer) {
                (true, _) => tracing::info!(origin, %server, "a server is well again"),
                (false, Ok(status)) => {
                    tracing::warn!(origin, %server, %status, "a server is not well");
                }
                (false, Err(failure)) => {
                    tracing::warn!(origin, %server, why = %failure, "a server is not well");
                }
            }
        }
    }
}

/// Answers of one kind in a row.
#[derive(Default)]
struct Streak {
    good: bool,
    length: u32,
}

impl Streak {
    /// Whether a server that was `well` is so, after an answer.
    fn next(&mut self, health: &Health, well: bool, good: bool) -> bool {
        let length = if good == self.good { self.length.saturating_add(1) } else { 1 };
        *self = Self { good, length };
        match (well, good) {
            (true, false) => length < health.fall,
            (false, true) => length >= health.rise,
            (well, _) => well,
        }
    }
}

fn is_good(health: &Health, status: StatusCode) -> bool {
    match health.status {
        Some(good) => status == good,
        None => status.is_success() || status.is_redirection(),
    }
}

/// The status that the server answers with.
async fn ask(watched: &Watched, index: usize, health: &Health) -> Result<StatusCode, Failure> {
    let server = &watched.origin.servers[index];
    let addresses = watched.view().borrow().servers()[index].addresses.clone();
    let addresses = addresses.unwrap_or_default();
    let name = watched.server_name(server);
    let tls = watched.connector.as_ref().map(|connector| (connector, &*name));
    let clear = match watched.origin.protocol {
        Protocol::Http2 => Version::Http2,
        Protocol::Auto | Protocol::Http11 => Version::Http11,
    };
    let (transport, version) = first_of(&addresses, health.timeout, tls, clear).await?;
    let authority = server.to_string();
    let request = Request::builder()
        .method(Method::GET)
        .header(header::USER_AGENT, concat!("landfast-health/", env!("CARGO_PKG_VERSION")));
    if version == Version::Http2 {
        let uri = format!("{}://{authority}{}", watched.origin.scheme(), health.path);
        let request = request.uri(uri).body(()).map_err(|_| Failure::Malformed)?;
        return super::http2::status(transport, request).await;
    }
    let request = request.uri(&*health.path).header(header::HOST, authority);
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| Failure::Malformed)?;
    status(transport, request).await
}

/// By HTTP/1.1: hyper makes no more of a response than is asked for here.
async fn status(
    transport: Transport,
    request: Request<Empty<Bytes>>,
) -> Result<StatusCode, Failure> {
    let made = Builder::new().handshake(TokioIo::new(transport)).await;
    let (mut requests, connection) = made.map_err(|_| Failure::Connect)?;
    let response = beside(requests.send_request(request), connection).await;
    let failure = |error: hyper::Error| match error.is_parse() {
        true => Failure::Malformed,
        false => Failure::Closed,
    };
    Ok(response.ok_or(Failure::Closed)?.map_err(failure)?.status())
}

/// What `work` comes to, while `other` is moved on.
pub(super) async fn beside<T>(work: impl Future<Output = T>, other: impl Future) -> Option<T> {
    let (mut work, mut other) = (pin!(work), pin!(other));
    select! {
        biased;
        done = &mut work => Some(done),
        _ = &mut other => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_server_falls_and_rises_by_answers_in_a_row() {
        let health = Health {
            path: "/".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            status: None,
            rise: 2,
            fall: 3,
        };
        let (mut streak, mut well) = (Streak::default(), true);
        let mut after = |good| {
            well = streak.next(&health, well, good);
            well
        };
        let seen: Vec<_> = [false, false, true, false, false, false, true, false, true, true]
            .map(&mut after)
            .into();
        let expected = [true, true, true, true, true, false, false, false, false, true];
        assert_eq!(seen, expected);
    }
}
