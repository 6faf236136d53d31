//! The lines of the admin socket: one request in JSON, one answer in JSON.
//!
//! ```text
//! {"command":"node","id":2,"liveness":"dead"}   {"done":{}}
//! {"command":"nodes"}                           {"nodes":[{"id":1,"name":"ams1",...}]}
//! {"command":"status"}                          {"status":{...}}
//! {"command":"blocklist"}                       {"blocklist":["192.0.2.0/24",...]}
//! {"command":"blocklist-reload"}                {"change":{"networks":1,"added":1,"removed":0}}
//! {"command":"drain"}                           {"done":{}}
//! {"command":"reload"}                          {"reloaded":{"changes":["..."],"warnings":[]}}
//! ```
//! What cannot be done is answered by `{"error":"why"}`.

use serde::{Deserialize, Serialize};

use crate::nodes::Liveness;

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Note how a node fares, until the process ends.
    Node {
        /// Which.
        id: u16,
        /// How.
        #[serde(with = "LivenessWord")]
        liveness: Liveness,
    },
    /// List the nodes.
    Nodes {},
    /// Say how this process fares.
    Status {},
    /// List the networks of the blocklist.
    Blocklist {},
    /// Read the blocklist's file anew, and apply what has changed.
    #[serde(rename = "blocklist-reload")]
    BlocklistReload {},
    /// Stop gracefully, as on SIGTERM.
    Drain {},
    /// Read fleet file and blocklist again, as on SIGHUP.
    Reload {},
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It is done, or begun.
    Done {},
    /// To [`Request::Nodes`].
    Nodes(Vec<NodeStatus>),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Blocklist`]: prefixes, in order.
    Blocklist(Vec<String>),
    /// To [`Request::BlocklistReload`].
    Change(BlocklistChange),
    /// To [`Request::Reload`].
    Reloaded(Reloaded),
    /// Why it cannot be done.
    Error(String),
}

/// What a new reading of the blocklist changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocklistChange {
    /// There are now.
    pub networks: usize,
    /// Were not there before.
    pub added: usize,
    /// Are no longer there.
    pub removed: usize,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// What differs now, a sentence each; none where the files say what they said before.
    pub changes: Vec<String>,
    /// What is likely not meant.
    pub warnings: Vec<String>,
}

/// A node and how it fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// 0 to 4095.
    pub id: u16,
    /// What people call it.
    pub name: String,
    /// Where it stands.
    pub site: String,
    /// How it fares.
    #[serde(with = "LivenessWord")]
    pub liveness: Liveness,
    /// Whether it is the one that answers.
    pub this: bool,
}

/// How a process fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of the process: `starting`, `serving` or `draining`.
    pub phase: String,
    /// Its node.
    pub node: u16,
    /// That node's name.
    pub name: String,
    /// That node's site.
    pub site: String,
    /// The process among those of its node.
    pub generation: u8,
    /// Version of the program.
    pub version: String,
    /// By which means packets find their owner.
    pub steering: String,
    /// Since the start, in seconds.
    pub uptime_seconds: u64,
    /// Configs of connection IDs.
    pub connection_ids: KeysInForce,
    /// Keys of the encapsulation between nodes.
    pub encapsulation: KeysInForce,
    /// What is answered under which names.
    pub distributions: DistributionsStatus,
    /// How it stands with its controller, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerStatus>,
    /// The workers, in order.
    pub workers: Vec<WorkerStatus>,
}

/// How many distributions are in force, by who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistributionsStatus {
    /// Those of the node's configuration.
    pub file: usize,
    /// Those of its controller.
    pub controller: usize,
}

/// How a node stands with its controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerStatus {
    /// Where it is looked for, in order.
    pub addresses: Vec<String>,
    /// For how long it is followed by the stream that is open; none where none is.
    pub followed_seconds: Option<u64>,
    /// Why it is not followed.
    pub last_error: Option<String>,
    /// What the node does with new traffic, by the controller's last word: `joining`, `serving` or
    /// `drained`.
    pub standing: String,
    /// The state that is in force.
    pub position: Option<PositionStatus>,
    /// What of that is not, because it cannot be.
    pub refused: Vec<RefusedItem>,
    /// When the node's identity ends, in seconds from now; below 0 since then.
    pub identity_ends_in_seconds: i64,
}

/// A point in the history of the controller's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionStatus {
    /// Of the store.
    pub epoch: u64,
    /// Of the controller that led.
    pub term: u64,
    /// Of the state.
    pub serial: u64,
}

/// What a node cannot take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedItem {
    /// Its key.
    pub item: String,
    /// Why.
    pub reason: String,
}

/// Which keys of a sort are in force: their IDs, so that nodes can be compared in a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysInForce {
    /// What is new is made under this one.
    pub made_under: u8,
    /// What is made under these is read.
    pub read: Vec<u8>,
}

/// How a worker fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Which.
    pub worker: u8,
    /// Whether it answered in time. The figures are 0 where not.
    pub answers: bool,
    /// Connections that are up.
    pub connections: u64,
    /// Handshakes in progress.
    pub handshakes_in_progress: u64,
    /// Requests since the start.
    pub requests: u64,
}

/// The words for [`Liveness`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Liveness", rename_all = "lowercase")]
enum LivenessWord {
    Unknown,
    Live,
    Dead,
}

/// The word for `liveness`, as in the configuration file.
#[must_use]
pub const fn word(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Unknown => "unknown",
        Liveness::Live => "live",
        Liveness::Dead => "dead",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_is_the_line_that_is_documented() {
        let node = Request::Node { id: 2, liveness: Liveness::Dead };
        let lines = [
            (r#"{"command":"node","id":2,"liveness":"dead"}"#, node),
            (r#"{"command":"nodes"}"#, Request::Nodes {}),
            (r#"{"command":"status"}"#, Request::Status {}),
            (r#"{"command":"blocklist"}"#, Request::Blocklist {}),
            (r#"{"command":"blocklist-reload"}"#, Request::BlocklistReload {}),
            (r#"{"command":"drain"}"#, Request::Drain {}),
            (r#"{"command":"reload"}"#, Request::Reload {}),
        ];
        for (line, request) in lines {
            assert_eq!(serde_json::from_str::<Request>(line).expect("read"), request);
            assert_eq!(serde_json::to_string(&request).expect("written"), line);
        }
        assert_eq!(serde_json::to_string(&Answer::Done {}).expect("written"), r#"{"done":{}}"#);
        assert!(serde_json::from_str::<Request>(r#"{"command":"nodes","id":1}"#).is_err());
    }
}
