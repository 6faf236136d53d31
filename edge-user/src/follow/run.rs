//! The life of a node with a controller: connect, follow, and again. Whatever fails here, what is
//! in force stays so.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::time::sleep;
use tonic::transport::Channel;

use super::backoff::{Backoff, random};
use super::first;
use super::follower::{Again, Follower};
use super::last_good::LastGood;
use super::stream::StreamError;
use super::view::Shown;
use crate::identity::{ConnectError, ControllerAddress, Identity, IdentityError};
use crate::limits;

/// Where the controller is, and what this node is towards it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Tried in this order.
    pub addresses: Vec<ControllerAddress>,
    /// By what the controller knows us.
    pub identity: Identity,
    /// Where the identity is kept.
    pub state_directory: PathBuf,
}

/// Why a node is not followed by now. It is tried again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// Follows for as long as the process runs. `shown` is where `follower` shows how it stands.
pub async fn run(
    mut membership: Membership,
    mut follower: Follower,
    shown: Arc<Shown>,
) -> Infallible {
    let (mut backoff, mut complaints) = (Backoff::default(), Complaints::default());
    loop {
        let begun = Instant::now();
        let Err(failure) = connect_and_follow(&mut membership, &mut follower, &shown).await;
        if begun.elapsed() > limits::GOOD_STREAM {
            backoff = Backoff::default();
        }
        let wait = backoff.after_failure(random());
        shown.send_modify(|view| {
            view.connected = None;
            view.last_error = Some(failure.to_string());
            view.failures += 1;
        });
        if complaints.is_new(&failure.to_string()) {
            tracing::warn!("the controller is not followed, and tried again and again: {failure}");
        }
        sleep(wait).await;
    }
}

/// Follows over one connection, and the next where that is of our own will.
async fn connect_and_follow(
    membership: &mut Membership,
    follower: &mut Follower,
    shown: &Shown,
) -> Result<Infallible, Failure> {
    loop {
        shown.send_modify(|view| view.identity_ends = membership.identity.ends_at());
        let channel = membership.identity.connect(&membership.addresses).await?;
        let renewed = loop {
            let renewed = membership.renewed(channel.clone());
            match follower.follow(channel.clone(), renewed).await? {
                Again::LessIsRefused => {}
                Again::Called(renewed) => break renewed,
            }
        };
        // The lease goes on meanwhile: who is back at once was never away.
        tracing::info!("the identity is renewed: the controller is followed under the new one");
        membership.identity = renewed;
    }
}

impl Membership {
    /// Waits until the identity is to be renewed, and gives one that is renewed and kept.
    async fn renewed(&self, channel: Channel) -> Identity {
        loop {
            let due = self.identity.renew_at();
            while let Ok(left) = due.duration_since(SystemTime::now())
                && !left.is_zero()
            {
                sleep(left.min(limits::CALENDAR_LOOK)).await;
            }
            let renewed = self.identity.renew(channel.clone()).await;
            match renewed {
                Ok(renewed) => match self.kept(renewed).await {
                    Ok(kept) => return kept,
                    Err(error) => tracing::error!(%error, "the renewed identity is not used"),
                },
                Err(error) => tracing::warn!(%error, "the identity is not renewed yet"),
            }
            let wait = limits::RENEW_AGAIN;
            sleep(wait / 2 + (wait / 2).mul_f64(f64::from(random()) / f64::from(u32::MAX))).await;
        }
    }

    /// Keeps `identity` in place of ours, off this thread.
    async fn kept(&self, identity: Identity) -> Result<Identity, IdentityError> {
        let directory = self.state_directory.clone();
        let keep = move || identity.store(&directory).map(|()| identity);
        tokio::task::spawn_blocking(keep).await.expect("writing does not panic")
    }

    /// The first whole state, from wherever there is a controller, for as long as it takes.
    /// `waiting` is told why there is none yet.
    pub async fn first(&self, mut waiting: impl FnMut(&str)) -> LastGood {
        let (mut backoff, mut complaints) = (Backoff::default(), Complaints::default());
        loop {
            let error = match self.identity.connect(&self.addresses).await {
                Ok(channel) => match first::fetch(channel, self.identity.node()).await {
                    Ok(first) => return first,
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if complaints.is_new(&error) {
                tracing::warn!("there is no first bundle yet, tried again and again: {error}");
            }
            waiting(&error);
            sleep(backoff.after_failure(random())).await;
        }
    }
}

/// What was complained of, so that the log is not filled with the same.
#[derive(Default)]
struct Complaints {
    last: Option<(String, Instant)>,
}

impl Complaints {
    /// Whether it is another one than the last, or that was long ago.
    fn is_new(&mut self, complaint: &str) -> bool {
        let known = |(last, when): &(String, Instant)| {
            last == complaint && when.elapsed() < limits::COMPLAIN_AGAIN
        };
        if self.last.as_ref().is_some_and(known) {
            return false;
        }
        self.last = Some((complaint.to_owned(), Instant::now()));
        true
    }
}
