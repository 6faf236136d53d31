//! A fleet, from nothing to clients that notice no change of routes, and what happened in plain
//! words: `cargo xtask demo`.

use std::fmt::Display;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use edge_wire::Reason;
use serde::Serialize;

use crate::credentials::SERVER_NAME;
use crate::fleet::topology::PLACES;
use crate::fleet::{ANYCAST, Following, FollowingOptions};
use crate::http3::Http3;

/// Requests on each connection after each change of routes.
const REQUESTS: usize = 50;

/// What happened.
#[derive(Debug, Serialize)]
pub struct Story {
    /// The nodes that run, with their sites.
    pub nodes: Vec<NodeSeen>,
    /// From the first namespace to nodes that take traffic.
    pub started_seconds: f64,
    /// The certificate.
    pub certificate: Certificate,
    /// What clients noticed of changes of routes.
    pub routes: Routes,
    /// Nodes that answered while there was no controller.
    pub without_controller: usize,
}

/// A node as a client met it.
#[derive(Debug, Serialize)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// Node, worker and generation of the connection.
    pub owner: String,
}

/// A certificate, and how it came.
#[derive(Debug, Serialize)]
pub struct Certificate {
    /// What it is for.
    pub name: &'static str,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// From the request until every node served it.
    pub seconds: f64,
    /// At which nodes the authority knocked.
    pub knocked_at: Vec<&'static str>,
}

/// What clients noticed of changes of routes.
#[derive(Debug, Serialize)]
pub struct Routes {
    /// Connections that were open all the while.
    pub connections: usize,
    /// Changes of routes.
    pub changes: usize,
    /// Requests, each of them answered by the node that had the connection.
    pub requests: usize,
    /// Packets that came to another node, which sent them on.
    pub forwarded_packets: u64,
}

/// Plays it, and says what happens.
///
/// # Errors
/// Where something does not go as it should.
pub fn play() -> Result<Story> {
    let began = Instant::now();
    say("starting a certificate authority (pebble), a controller and three nodes at two sites,");
    say("each in a network namespace of its own, behind a router");
    let following = Following::start(&FollowingOptions::default())?;
    let started_seconds = seconds(began);
    for node in following.fleet.nodes() {
        let place = node.place();
        say(format_args!("  {} at {}: {}", place.name, place.site, place.ipv4()));
    }
    say(format_args!(
        "every node has joined by its invitation and takes traffic, {started_seconds} s"
    ));
    let certificate = certify(&following)?;
    let (nodes, routes) = change_routes(&following)?;
    let without_controller = lose_the_controller(&following)?;
    Ok(Story { nodes, started_seconds, certificate, routes, without_controller })
}

fn certify(following: &Following) -> Result<Certificate> {
    let [anycast, _] = ANYCAST;
    say(format_args!("\na certificate for {SERVER_NAME} is requested, which points at {anycast}"));
    let began = Instant::now();
    let listed = following.issue()?;
    let seconds = seconds(began);
    let shown = following.shown()?;
    let sha256 = listed["fingerprint"].as_str().context("no fingerprint")?.to_owned();
    ensure!(shown.values().all(|shown| *shown == sha256), "not everywhere: {shown:?}");
    let mut knocked_at = Vec::new();
    for node in following.fleet.nodes() {
        let labels = ["kind=\"http-01\"", "result=\"answered\""];
        // Every node was asked by the controller once, before the authority was told.
        if node.metrics()?.sum("landfast_challenges_total", &labels) > 1 {
            knocked_at.push(node.place().name);
        }
    }
    say("  the answer to the authority went to every node, and was asked for at every node");
    say(format_args!(
        "  the authority knocked at port 80 of {anycast}, and met {}",
        knocked_at.join(" and ")
    ));
    say(format_args!("  {seconds} s after the request every node shows {}...", &sha256[..16]));
    Ok(Certificate { name: SERVER_NAME, sha256, seconds, knocked_at })
}

/// A connection to each node, by the router; then every route to one site, and to the other.
fn change_routes(following: &Following) -> Result<(Vec<NodeSeen>, Routes)> {
    let fleet = &following.fleet;
    let names: Vec<_> = fleet.nodes().iter().map(|node| node.place().name).collect();
    let before = forwarded(following)?;
    say("\nHTTP/3 through the router, the routes leading to one node after the other");
    let (nodes, requests, changes) = fleet.client().run(async || {
        let mut connections = Vec::new();
        let mut nodes = Vec::new();
        for (name, anycast) in names.iter().zip(ANYCAST.into_iter().cycle()) {
            fleet.router().route_to(&[name])?;
            let connection = fleet.client().connect(anycast).await?;
            let identity = connection.identity().await?;
            ensure!(identity.name == *name, "{} answers for {name}", identity.name);
            say(format_args!("  https://{SERVER_NAME}/ at {anycast}: {name}, worker {}", identity.worker));
            nodes.push(NodeSeen { name: identity.name, site: identity.site, owner: identity.owner });
            connections.push(connection);
        }
        say("\nthe routes change under these connections");
        let (mut requests, mut changes) = (0, 0);
        for site in sites() {
            let there = PLACES.iter().filter(|place| place.site == site);
            let there = there.map(|place| place.name).filter(|name| names.contains(name));
            let there: Vec<_> = there.collect();
            fleet.router().route_to(&there)?;
            changes += 1;
            let answered = ask_all(&connections, &nodes).await?;
            requests += answered;
            say(format_args!("  all routes lead to {site}: {answered} requests, each answered by the node of its connection"));
        }
        Ok((nodes, requests, changes))
    })?;
    let forwarded_packets = forwarded(following)? - before;
    say(format_args!(
        "  {forwarded_packets} packets arrived at another node, which sent them on; none was lost"
    ));
    let connections = nodes.len();
    Ok((nodes, Routes { connections, changes, requests, forwarded_packets }))
}

/// There and back.
fn sites() -> [&'static str; 3] {
    let [first, .., last] = PLACES.map(|place| place.site);
    [last, first, last]
}

async fn ask_all(connections: &[Http3], nodes: &[NodeSeen]) -> Result<usize> {
    let mut requests = 0;
    for _ in 0..REQUESTS {
        for (connection, node) in connections.iter().zip(nodes) {
            let owner = connection.identity().await?.owner;
            ensure!(owner == node.owner, "{owner} answers for {}", node.owner);
            requests += 1;
        }
    }
    Ok(requests)
}

fn lose_the_controller(following: &Following) -> Result<usize> {
    say("\nthe controller is killed");
    following.controller.kill()?;
    let answered = following.shown()?.len();
    say(format_args!("  {answered} nodes serve on, with the certificate that they have"));
    Ok(answered)
}

fn forwarded(following: &Following) -> Result<u64> {
    let counts = following
        .fleet
        .nodes()
        .iter()
        .map(|node| Ok(node.metrics()?.packets("steer_node", Reason::Forwarded)));
    counts.sum()
}

fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

/// For people; what is for machines goes to standard output.
fn say(words: impl Display) {
    eprintln!("{words}");
}
