//! The commands that ask a running edge.

use std::path::{Path, PathBuf};

use edge_user::admin::client;
use edge_user::admin::protocol::{
    Answer, BlocklistChange, ControllerStatus, DistributionsStatus, KeysInForce, NodeStatus,
    PositionStatus, RefusedItem, Reloaded, Request, Status, word,
};
use edge_user::config::Host;
use edge_user::nodes::Liveness;
use serde::Serialize;

use super::{Blocklist, Edge, Ended, FAILED, Node, NodeId, Outcome, ended, load, say};

pub(super) fn node(command: Node) -> Outcome {
    let (NodeId { id, edge }, liveness) = match command {
        Node::Live(node) => (node, Liveness::Live),
        Node::Dead(node) => (node, Liveness::Dead),
        Node::Unknown(node) => (node, Liveness::Unknown),
        Node::List { edge, json } => return list(&edge, json),
    };
    done(&edge, &Request::Node { id, liveness })
}

pub(super) fn drain(edge: &Edge) -> Outcome {
    done(edge, &Request::Drain {})
}

pub(super) fn reload(edge: &Edge, json: bool) -> Outcome {
    let path = socket(edge)?;
    match ask(&path, &Request::Reload {})? {
        Answer::Reloaded(reloaded) if json => say(&compact(&reloaded)),
        Answer::Reloaded(Reloaded { changes, warnings }) => {
            for warning in warnings {
                eprintln!("landfast-edge: warning: {warning}");
            }
            match changes.is_empty() {
                true => say("nothing has changed"),
                false => changes.iter().try_for_each(|change| say(change)),
            }
        }
        other => Err(unexpected(&path, &other)),
    }
}

fn list(edge: &Edge, json: bool) -> Outcome {
    let path = socket(edge)?;
    match ask(&path, &Request::Nodes {})? {
        Answer::Nodes(nodes) if json => say(&compact(&nodes)),
        Answer::Nodes(nodes) => say(&table(&nodes)),
        other => Err(unexpected(&path, &other)),
    }
}

pub(super) fn blocklist(command: Blocklist) -> Outcome {
    let (edge, json, request) = match command {
        Blocklist::List { edge, json } => (edge, json, Request::Blocklist {}),
        Blocklist::Reload { edge, json } => (edge, json, Request::BlocklistReload {}),
    };
    let path = socket(&edge)?;
    match ask(&path, &request)? {
        Answer::Blocklist(networks) if json => say(&compact(&networks)),
        Answer::Blocklist(networks) if networks.is_empty() => Ok(()),
        Answer::Blocklist(networks) => say(&networks.join("\n")),
        Answer::Change(change) if json => say(&compact(&change)),
        Answer::Change(BlocklistChange { networks, added, removed }) => {
            say(&format!("{networks} networks: {added} added, {removed} removed"))
        }
        other => Err(unexpected(&path, &other)),
    }
}

pub(super) fn status(edge: &Edge, json: bool) -> Outcome {
    let path = socket(edge)?;
    match ask(&path, &Request::Status {})? {
        Answer::Status(status) if json => say(&compact(&status)),
        Answer::Status(status) => say(&summary(&status)),
        other => Err(unexpected(&path, &other)),
    }
}

fn done(edge: &Edge, request: &Request) -> Outcome {
    let path = socket(edge)?;
    match ask(&path, request)? {
        Answer::Done {} => Ok(()),
        other => Err(unexpected(&path, &other)),
    }
}

fn socket(edge: &Edge) -> Result<PathBuf, Ended> {
    match &edge.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(load(&edge.config, &Host::elsewhere())?.admin.socket),
    }
}

fn ask(path: &Path, request: &Request) -> Result<Answer, Ended> {
    client::ask(path, request).map_err(|error| ended(FAILED, &error))
}

fn unexpected(path: &Path, answer: &Answer) -> Ended {
    eprintln!("landfast-edge: {} answered another question: {answer:?}", path.display());
    Ended(FAILED)
}

fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers")
}

fn table(nodes: &[NodeStatus]) -> String {
    let row = |node: &NodeStatus| {
        let this = if node.this { "  (this node)" } else { "" };
        let liveness = word(node.liveness);
        format!("{:>4}  {:<16}  {:<8}  {liveness}{this}", node.id, node.name, node.site)
    };
    let heading = format!("{:>4}  {:<16}  {:<8}  LIVENESS", "ID", "NAME", "SITE");
    std::iter::once(heading).chain(nodes.iter().map(row)).collect::<Vec<_>>().join("\n")
}

fn keys(what: &str, made: &str, KeysInForce { made_under, read }: &KeysInForce) -> String {
    let read: Vec<_> = read.iter().map(u8::to_string).collect();
    format!("{what}: {made} {made_under}, read under {}", read.join(", "))
}

fn of_controller(controller: &ControllerStatus) -> Vec<String> {
    let addresses = controller.addresses.join(", ");
    let followed = match (controller.followed_seconds, &controller.last_error) {
        (Some(seconds), _) => format!("followed for {seconds} s"),
        (None, Some(error)) => format!("not followed: {error}"),
        (None, None) => "not followed yet".to_owned(),
    };
    let at = controller.position.map(|PositionStatus { epoch, term, serial }| {
        format!(", at epoch {epoch}, term {term}, serial {serial}")
    });
    let ends = match controller.identity_ends_in_seconds {
        seconds @ ..0 => format!("ended {} s ago", -seconds),
        seconds => format!("ends in {seconds} s"),
    };
    let mut lines = vec![
        format!("controller {addresses}: {followed}{}", at.unwrap_or_default()),
        format!("standing {}; the identity {ends}", controller.standing),
    ];
    let refused = controller.refused.iter();
    lines.extend(refused.map(|RefusedItem { item, reason }| format!("refused {item}: {reason}")));
    lines
}

fn summary(status: &Status) -> String {
    let Status { phase, node, name, site, generation, version, steering, .. } = status;
    let uptime = status.uptime_seconds;
    let mut lines = vec![
        format!("{phase}, up {uptime} s: node {node} ({name}) at {site}, generation {generation}"),
        format!("version {version}, steering {steering}"),
        keys("connection IDs", "minted under config", &status.connection_ids),
        keys("packets to nodes", "sent under key", &status.encapsulation),
    ];
    let DistributionsStatus { file, controller } = status.distributions;
    if file + controller > 0 {
        lines.push(format!(
            "{file} distributions of the configuration, {controller} of the controller"
        ));
    }
    lines.extend(status.controller.iter().flat_map(of_controller));
    for worker in &status.workers {
        let number = worker.worker;
        lines.push(match worker.answers {
            false => format!("worker {number}: no answer"),
            true => format!(
                "worker {number}: {} connections, {} handshakes in progress, {} requests",
                worker.connections, worker.handshakes_in_progress, worker.requests
            ),
        });
    }
    lines.join("\n")
}
