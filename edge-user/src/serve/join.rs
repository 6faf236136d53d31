//! The start of a node with a controller, up to where one with files begins: what it is, and a
//! state to start with.

use std::cell::RefCell;
use std::collections::HashSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet_wire::key;
use fleet_wire::message::{Item, Standing};
use tokio::sync::watch;
use tokio::time::sleep;

use super::inputs::open_with;
use super::{InputError, Inputs, ServeError, Signals, StateError, notify};
use crate::admin::control::Control;
use crate::config::{Config, ControllerConfig, NodeConfig};
use crate::follow::first::Fleet;
use crate::follow::follower::Follower;
use crate::follow::force::{self, Force};
use crate::follow::last_good::{self, LastGood};
use crate::follow::run::{self, Membership};
use crate::follow::view::{Shown, View};
use crate::identity::Identity;
use crate::limits;

/// What a node has of its controller when it starts.
pub(super) struct Joined {
    membership: Membership,
    last_good: LastGood,
    shown: Arc<Shown>,
}

impl Joined {
    pub(super) fn new(membership: Membership, last_good: LastGood) -> Self {
        let view = View {
            addresses: membership.addresses.iter().map(ToString::to_string).collect(),
            connected: None,
            last_error: None,
            position: None,
            standing: Standing::Unspecified,
            refused: Vec::new(),
            identity_ends: membership.identity.ends_at(),
            bundles: 0,
            failures: 0,
        };
        Self { membership, last_good, shown: Arc::new(watch::Sender::new(view)) }
    }

    pub(super) fn node(&self) -> u16 {
        self.membership.identity.node()
    }

    pub(super) const fn last_good(&self) -> &LastGood {
        &self.last_good
    }

    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.shown.subscribe()
    }

    /// Puts what the node had in force again. What is given back follows the controller, and keeps
    /// the last state at a stop.
    pub(super) async fn restore(
        self,
        control: Arc<Control>,
    ) -> (impl Future<Output = Infallible>, AtStop) {
        let Self { membership, last_good, shown } = self;
        let (keep, kept) = watch::channel(None);
        let node = membership.identity.node();
        let mut follower = Follower::new(node, Force::new(control), Arc::clone(&shown), keep);
        follower.restore(&last_good).await;
        let directory = membership.state_directory.clone();
        let at_stop = AtStop { directory: directory.clone(), kept: kept.clone() };
        let follows = async move {
            let keeping = last_good::keep(directory, kept);
            let (never, ()) = tokio::join!(run::run(membership, follower, shown), keeping);
            never
        };
        (follows, at_stop)
    }
}

/// Keeps what was in force when the process stopped: the last second of it may not be on disk yet,
/// and the next process may have to start with it.
pub(super) struct AtStop {
    directory: PathBuf,
    kept: watch::Receiver<Option<Arc<LastGood>>>,
}

impl AtStop {
    pub(super) fn keep(&self) {
        let Some(last) = self.kept.borrow().clone() else { return };
        if let Err(error) = last_good::write(&self.directory, &last) {
            tracing::error!(%error, "the last good bundle cannot be written: the old one stays");
        }
    }
}

/// What a node with a controller starts with, once there is a state to start with. Nothing, where
/// it was told to stop before.
pub(super) fn join(
    config: Config,
    controller: &ControllerConfig,
    signals: &mut Signals,
) -> Result<Option<Inputs>, ServeError> {
    let directory = config.state_directory.clone();
    let identity = Identity::load(&directory).map_err(InputError::from)?;
    let identity = identity.ok_or(InputError::NotEnrolled)?;
    let node = identity.node();
    let addresses = controller.addresses.clone();
    let membership = Membership { addresses, identity, state_directory: directory.clone() };
    let last_good = match kept(&directory, node) {
        Some(kept) => kept,
        None => {
            let Some(first) = first(&membership, signals)? else { return Ok(None) };
            last_good::write(&directory, &first)
                .map_err(|error| StateError::Io(directory, error))?;
            first
        }
    };
    // What the process before could not take, where that is enough to start with.
    let is_served = |item: &Item| item.key == key::DISTRIBUTIONS;
    let last_good = match last_good.at_next_start(|item| !is_served(item)) {
        Some(next) if fits(&config, node, &next) => taken_now(next),
        _ => last_good,
    };
    // By themselves: neither holds up the other.
    let last_good = match last_good.at_next_start(is_served) {
        Some(next) if open_with(&config, &force::distributions(&next)).is_some() => taken_now(next),
        _ => last_good,
    };
    Ok(Some(Inputs::joined(config, Joined::new(membership, last_good))?))
}

fn taken_now(next: LastGood) -> LastGood {
    tracing::info!("what only a start can take of the controller's state is taken now");
    next
}

fn fits(config: &Config, node: u16, state: &LastGood) -> bool {
    let Ok(Fleet { nodes, .. }) = Fleet::of(node, state) else { return false };
    let of = |node: &NodeConfig| [node.ipv4.map(IpAddr::from), node.ipv6.map(IpAddr::from)];
    let mut addresses = HashSet::new();
    let differ = nodes.iter().flat_map(of).flatten().all(|address| addresses.insert(address));
    differ && config.clone().joined(node, nodes).is_ok()
}

/// The last good state, where there is one that this node can start with.
fn kept(directory: &Path, node: u16) -> Option<LastGood> {
    match last_good::load(directory) {
        Ok(None) => tracing::info!("there is no last good bundle: nothing was ever followed here"),
        Ok(Some(kept)) => match Fleet::of(node, &kept) {
            Ok(_) => {
                let (position, items) = (kept.position, kept.items.len());
                tracing::info!(%position, items, "the last good bundle is here");
                return Some(kept);
            }
            Err(lacking) => tracing::error!("the last good bundle is not used: {lacking}"),
        },
        Err(error) => tracing::error!("{error}"),
    }
    None
}

/// Waits for the first state. Nothing, where told to stop before it came.
fn first(membership: &Membership, signals: &mut Signals) -> Result<Option<LastGood>, ServeError> {
    // Of its own: its threads were not confined, and end with it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ServeError::Runtime)?;
    let addresses: Vec<_> = membership.addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(", ");
    tracing::info!(controller = addresses, "waiting for the first bundle of the controller");
    let status = RefCell::new(format!("waiting for the controller at {addresses}"));
    let first = runtime.block_on(async {
        let telling = async {
            loop {
                notify::waiting(&status.borrow());
                sleep(limits::FIRST_TOLD_EVERY).await;
            }
        };
        let first = membership.first(|why| {
            status.replace(format!("waiting for the controller: {why}"));
        });
        tokio::select! {
            first = first => Some(first),
            by = signals.stop() => {
                tracing::info!(by, "told to stop: nothing was begun");
                None
            }
            never = telling => never,
        }
    });
    // A look-up of a name may be under way, which nothing ends but its answer.
    runtime.shutdown_timeout(limits::FIRST_THREADS_WITHIN);
    Ok(first)
}
