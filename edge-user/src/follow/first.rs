//! The first bundle: what a node needs before it can bind or attach anything.

use fleet_wire::PROTOCOL;
use fleet_wire::key;
use fleet_wire::message::Hello;
use fleet_wire::secrets::Secrets;
use tonic::transport::Channel;

use super::item::{self, Value};
use super::last_good::LastGood;
use super::state::{State, Unfollowed};
use super::stream::{Stream, StreamError};
use crate::config::NodeConfig;

/// What the start of a node takes from a state.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Every node, this one among them.
    pub nodes: Vec<NodeConfig>,
    /// What all of them share.
    pub secrets: Secrets,
}

/// A state that no node can start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lacking {
    /// It is another node's, or the node was removed.
    #[error("it has no entry of node {0}, which this one is{1}")]
    Node(u16, String),
    /// It has none, or none that can be used.
    #[error("it has no secrets of the fleet{0}")]
    Secrets(String),
}

/// Why there is no first bundle yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirstError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the first bundle: {0}")]
    Lacking(#[from] Lacking),
    #[error("the controller sends changes to a node that has nothing")]
    NotWhole,
}

impl From<Unfollowed> for FirstError {
    fn from(unfollowed: Unfollowed) -> Self {
        StreamError::from(unfollowed).into()
    }
}

impl Fleet {
    /// Of the state that node `node` holds.
    ///
    /// # Errors
    /// Where something is not there, with what was refused in its place.
    pub fn of(node: u16, state: &LastGood) -> Result<Self, Lacking> {
        let (mut nodes, mut secrets) = (Vec::new(), None);
        // What cannot be used was refused when it came.
        for value in state.items.iter().filter_map(|item| item::check(item).ok()) {
            match value {
                Value::Node(node, _) => nodes.push(node),
                Value::Secrets(of_fleet) => secrets = Some(of_fleet),
                _ => {}
            }
        }
        let why = |key: &str| {
            let refused = state.refused.iter().find(|refused| refused.key == key);
            refused.map(|refused| format!(": refused, because {}", refused.reason))
        };
        if nodes.iter().all(|entry| entry.id != node) {
            let why = why(&format!("{}{node}", key::NODE)).unwrap_or_default();
            return Err(Lacking::Node(node, why));
        }
        let secrets =
            secrets.ok_or_else(|| Lacking::Secrets(why(key::SECRETS).unwrap_or_default()))?;
        Ok(Self { nodes, secrets: secrets.as_ref().clone() })
    }
}

/// Fetches the whole state over one stream. Nothing of it is in force, so nothing is answered; the
/// node says that it has it when it follows.
pub(super) async fn fetch(channel: Channel, node: u16) -> Result<LastGood, FirstError> {
    let hello = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Hello::default()
    };
    let mut stream = Stream::open(channel, hello).await?;
    let mut state = State::new(node);
    loop {
        let bundle = stream.next().await?;
        if !bundle.whole {
            return Err(FirstError::NotWhole);
        }
        let step = state.take(bundle)?;
        state.settle(step, Vec::new())?;
        if let Some(first) = state.last_good() {
            Fleet::of(node, &first)?;
            return Ok(first);
        }
    }
}
