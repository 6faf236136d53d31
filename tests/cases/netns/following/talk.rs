//! Clients that ask without a pause while something else happens, and newcomers among them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use tests::fleet::client::first_address;
use tests::fleet::{ANYCAST, Fleet};
use tests::http3::{self, Http3};

/// Between two requests of a connection.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two newcomers.
const NEWCOMER_EVERY: Duration = Duration::from_millis(50);

/// What was asked, all of it answered.
#[derive(Debug)]
pub(super) struct Talk {
    /// Requests of each connection that was there all the while.
    pub(super) requests: Vec<usize>,
    /// Clients that connected meanwhile, each with a whole handshake and one request.
    pub(super) newcomers: usize,
}

/// Longer than the life of a certificate of two minutes.
const TALK_AT_MOST: Duration = Duration::from_secs(180);

/// Does `work` while clients of each of `owners` ask, and newcomers by whatever the router does.
///
/// # Errors
/// Those of `work`; and where a request is not answered, or by another owner than before.
pub(super) fn while_clients_talk<T: Send>(
    fleet: &Fleet,
    owners: &[&str],
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Talk)> {
    let stop = AtomicBool::new(false);
    let (connected, begin) = mpsc::channel();
    let (done, talk) = thread::scope(|scope| {
        let ends = Stop(&stop);
        let work = scope.spawn(move || {
            let _ends = ends;
            // Where nobody could connect there is nothing to do.
            begin.recv().context("no client could connect")?;
            work()
        });
        let talk = fleet.client().run_within(TALK_AT_MOST, async || {
            let connections = connect(fleet, owners).await?;
            connected.send(()).context("nobody waits")?;
            drop(connected);
            let talks = connections.iter().map(|connection| talk(connection, &stop));
            let (requests, newcomers) =
                futures_util::try_join!(try_join_all(talks), arrive(fleet, &stop))?;
            Ok(Talk { requests, newcomers })
        });
        (work.join().expect("no panic"), talk)
    });
    let talk = talk.context("a client noticed")?;
    Ok((done?, talk))
}

/// Ends the talk, also where the work panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection to each owner in each family. Afterwards all of them are routed to.
async fn connect(fleet: &Fleet, owners: &[&str]) -> Result<Vec<Http3>> {
    let mut connections = Vec::new();
    for owner in owners {
        fleet.router().route_to(&[owner])?;
        for anycast in ANYCAST {
            let connection = fleet.client().connect(anycast).await?;
            let identity = connection.identity().await?;
            ensure!(identity.name == *owner, "{owner} is {}", identity.name);
            connections.push(connection);
        }
    }
    fleet.router().route_to(owners)?;
    Ok(connections)
}

async fn talk(connection: &Http3, stop: &AtomicBool) -> Result<usize> {
    let first = connection.identity().await?;
    let mut asked = 1;
    while !stop.load(Ordering::Relaxed) {
        let identity = connection.identity().await;
        let identity = identity.with_context(|| format!("{first:?} after {asked} requests"))?;
        ensure!(identity == first, "another owner after {asked} requests");
        asked += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(asked)
}

async fn arrive(fleet: &Fleet, stop: &AtomicBool) -> Result<usize> {
    let client = fleet.client();
    let mut arrived = 0;
    while !stop.load(Ordering::Relaxed) {
        let anycast = ANYCAST[arrived % ANYCAST.len()];
        // One that remembers nothing: it is shown a certificate, and looks at it.
        let config = http3::client_config(&client.authority_der())?;
        let endpoint = http3::endpoint(first_address(anycast), config)?;
        let connection = Http3::connect(&endpoint, anycast).await;
        let connection = connection.with_context(|| format!("newcomer {arrived}"))?;
        connection.identity().await.with_context(|| format!("newcomer {arrived}"))?;
        arrived += 1;
        tokio::time::sleep(NEWCOMER_EVERY).await;
    }
    Ok(arrived)
}
