//! One node that follows: what comes by a stream is put in force, answered, shown and kept.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use fleet_wire::PROTOCOL;
use fleet_wire::key;
use fleet_wire::message::item::Body;
use fleet_wire::message::{Applied, Bundle, Hello, Standing};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::force::Force;
use super::last_good::LastGood;
use super::state::State;
use super::stream::{Stream, StreamError};
use super::view::Shown;
use crate::limits;

/// Why this node ends a stream itself, to begin another one at once.
#[derive(Debug)]
pub(super) enum Again<T> {
    /// It took what it had refused, which only `Hello` can say.
    LessIsRefused,
    /// It was called away.
    Called(T),
}

/// A node that follows.
pub struct Follower {
    node: u16,
    state: State,
    force: Force,
    /// Whether everything is asked for, wherever the node stands: what an earlier run refused is
    /// not here, and may be taken by this one.
    everything: bool,
    shown: Arc<Shown>,
    kept: watch::Sender<Option<Arc<LastGood>>>,
}

impl Follower {
    /// Of node `node`, which holds nothing. How it stands is shown by `shown`, and what it holds
    /// by `kept`.
    #[must_use]
    pub fn new(
        node: u16,
        force: Force,
        shown: Arc<Shown>,
        kept: watch::Sender<Option<Arc<LastGood>>>,
    ) -> Self {
        Self { node, state: State::new(node), force, everything: false, shown, kept }
    }

    /// Puts the state of an earlier run in force, before any stream.
    pub async fn restore(&mut self, last_good: &LastGood) {
        let step = State::restore(last_good);
        let refused = self.force.put(&step, SystemTime::now()).await;
        for refused in &refused {
            let (item, reason) = (&refused.key, &refused.reason);
            tracing::warn!(item, reason, "an item of the last good bundle cannot be taken");
        }
        self.everything = !refused.is_empty() || !last_good.refused.is_empty();
        if let Err(error) = self.state.settle(step, refused) {
            tracing::error!(%error, "the last good bundle is not restored");
        }
        self.state.refused_before(&last_good.refused);
        self.show();
    }

    /// Follows the controller behind `channel` for as long as it is to be followed, or until
    /// `called` is ready: never in the middle of a step.
    pub(super) async fn follow<T>(
        &mut self,
        channel: Channel,
        called: impl Future<Output = T>,
    ) -> Result<Again<T>, StreamError> {
        let hello = Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            position: self.state.position().filter(|_| !self.everything),
            refused: self.state.refused(),
        };
        let mut stream = Stream::open(channel, hello).await?;
        self.state.begin();
        self.shown.send_modify(|view| {
            view.connected = Some(Instant::now());
            view.last_error = None;
        });
        tracing::info!(node = self.node, "the controller is followed");
        let mut try_again = tokio::time::interval(limits::REFUSED_AGAIN);
        try_again.reset(); // not at once
        let mut called = pin!(called);
        loop {
            tokio::select! {
                bundle = stream.next() => {
                    if let Some(applied) = self.take(bundle?).await? {
                        self.everything = false;
                        self.log(&applied);
                        stream.applied(applied).await?;
                    }
                }
                _ = try_again.tick() => {
                    let before = self.state.refused().len();
                    if let Some(bundle) = self.state.again() {
                        self.take(bundle).await?;
                    }
                    if self.state.refused().len() < before {
                        return Ok(Again::LessIsRefused);
                    }
                }
                called = &mut called => return Ok(Again::Called(called)),
            }
        }
    }

    /// Puts a part in force. The answer, where it was the last one.
    async fn take(&mut self, bundle: Bundle) -> Result<Option<Applied>, StreamError> {
        let step = self.state.take(bundle)?;
        let refused = self.force.put(&step, SystemTime::now()).await;
        let applied = self.state.settle(step, refused)?;
        if applied.is_some() {
            self.shown.send_modify(|view| view.bundles += 1);
            self.show();
            self.kept.send_replace(self.state.last_good().map(Arc::new));
        }
        Ok(applied)
    }

    fn show(&self) {
        self.shown.send_modify(|view| {
            view.position = self.state.position();
            view.refused = self.state.refused();
            view.standing = self.standing();
        });
    }

    /// By this node's own entry.
    fn standing(&self) -> Standing {
        let ours = format!("{}{}", key::NODE, self.node);
        match self.state.item(&ours).and_then(|item| item.body.as_ref()) {
            Some(Body::Node(node)) => node.standing(),
            _ => Standing::Unspecified,
        }
    }

    fn log(&self, applied: &Applied) {
        for refused in &applied.refused {
            let (item, reason) = (&refused.key, &refused.reason);
            tracing::warn!(item, reason, "an item of the controller's cannot be taken");
        }
        let position = applied.position.as_ref().map(ToString::to_string);
        tracing::debug!(position, refused = applied.refused.len(), "in force");
    }
}
