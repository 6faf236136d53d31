//! A fleet on one machine: nodes in network namespaces behind a router with ECMP, and clients.
//!
//! | module | job |
//! |---|---|
//! | [`namespace`] | a network namespace: made, entered, gone on drop |
//! | [`topology`] | the bed: namespaces, links, addresses |
//! | [`router`] | ECMP over nodes, and how it changes |
//! | [`pass_program`] | an XDP program that passes everything |
//! | [`options`] | which nodes run, and how |
//! | `daemon` | a program that serves: started, killed, waited for |
//! | [`node`] | the process of an edge, and its files |
//! | [`controller`] | the process of a controller, and its files |
//! | [`interposer`] | stands between a client and the nodes |
//! | [`tap`] | what passes the router, as on the wire |
//! | [`metrics`] | what a node counts |
//! | `rotation` | fleet files in the middle of a rotation of keys |
//! | [`crossings`] | what nodes forward to another |
//! | [`client`] | where clients run: quinn in this process, others in theirs |
//! | [`aioquic`] | an aioquic client that does what it is told, step by step |
//! | [`following`] | a fleet with a controller and an authority |
//! | [`bgp`] | nodes that announce themselves by BGP with BFD |
//! | [`bird`] | the routing daemon that does it |
//! | [`raw_ip`] | packets as a test wrote them |
//! | [`programs`] | where edge, controller and clients are |

pub mod aioquic;
pub mod bgp;
pub mod bird;
pub mod client;
pub mod controller;
pub mod crossings;
pub(crate) mod daemon;
pub mod following;
pub mod interposer;
pub mod metrics;
pub mod namespace;
pub mod node;
pub mod options;
pub mod pass_program;
pub mod programs;
pub mod raw_ip;
mod rotation;
pub mod router;
pub mod tap;
pub mod topology;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

pub use bgp::Bgp;
pub use client::Client;
pub use controller::{Controller, ControllerOptions};
pub use crossings::Crossings;
pub use following::{Following, FollowingOptions};
pub use metrics::Metrics;
pub use node::Node;
pub use options::{FleetOptions, Steering};
pub use router::Router;
pub use topology::{
    ANYCAST, Bed, CLIENT, MORE_ANYCAST, PLACES, PORT, Place, SECOND_LINK, SERVICES_IPV4,
    SERVICES_IPV6,
};

use crate::credentials::Certificates;
use edge_wire::cid::{Codec, ServerId};
use fleet_wire::secrets::Secrets;
use node::Origin;
use tap::Tap;
use topology::INTERFACE;

/// Nodes that run, behind a router that spreads over those of the first site.
#[derive(Debug)]
pub struct Fleet {
    nodes: Vec<Node>, // ended before their namespaces
    client: Client,
    bed: Bed,
    _permit: Permit, // given back last
}

impl Fleet {
    /// Starts a fleet, and waits until every node is ready. Waits for its turn first: there are
    /// not cores for several fleets at a time.
    ///
    /// # Errors
    /// Where the bed cannot be built, or a node is not ready; with its log.
    pub fn start(options: &FleetOptions) -> Result<Self> {
        let permit = Permit::wait();
        let bed = Bed::build()?;
        let directory = bed.name().directory();
        fs::create_dir_all(&directory)?;
        let credentials = Certificates::make()?.write(&directory)?;
        let fleet_files = write_fleet_files(&directory, options)?;
        let node = |place: Place| {
            let fleet_file = &fleet_files[usize::from(options.rotated.contains(&place.name))];
            Node::new(&bed, place, options, &Origin::Files(&credentials, fleet_file))
        };
        let nodes = options.places().map(node).collect::<Result<Vec<_>>>()?;
        let routed = options.places().filter(|place| place.site == PLACES[0].site);
        bed.router.route_to(&routed.map(|place| place.name).collect::<Vec<_>>())?;
        let client = Client::new(bed.client.clone(), directory, credentials)?;
        let fleet = Self { nodes, client, bed, _permit: permit };
        fleet.nodes.iter().try_for_each(Node::start)?;
        fleet.nodes.iter().try_for_each(Node::wait_until_ready)?;
        Ok(fleet)
    }

    /// What stands in front of the nodes.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.bed.router
    }

    /// Where clients run.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The secrets that all nodes share which are not rotated.
    #[must_use]
    pub fn fleet_file(&self) -> PathBuf {
        self.bed.name().directory().join("fleet.toml")
    }

    /// Makes and reads the connection IDs of this fleet.
    ///
    /// # Errors
    /// Where the fleet file cannot be read.
    pub fn codec(&self) -> Result<Codec> {
        let secrets = Secrets::load(&self.fleet_file())?;
        let config = secrets.connection_ids.iter().find(|config| config.config_id == secrets.mint);
        let config = config.context("one config mints")?;
        Ok(Codec::landfast(config.config_id, config.length, config.key.as_ref())?)
    }

    /// A connection ID as an owner mints it.
    ///
    /// # Errors
    /// Where the fleet file cannot be read.
    pub fn connection_id(&self, owner: ServerId) -> Result<Vec<u8>> {
        let codec = self.codec()?;
        let nonce = vec![7; codec.nonce_len()];
        Ok(codec.encode(&owner.to_bytes(), &nonce).as_slice().to_vec())
    }

    /// Listens at the router from now on.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn tap(&self) -> Result<Tap> {
        Tap::start(self.router().namespace())
    }

    /// The node of this name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn node(&self, name: &str) -> &Node {
        let node = self.nodes.iter().find(|node| node.place().name == name);
        node.unwrap_or_else(|| panic!("the fleet has no node {name}"))
    }

    /// Counts what crosses from the nodes `from` to the nodes `to` from now on.
    ///
    /// # Errors
    /// Where a node does not answer.
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn crossings(&self, from: &[&str], to: &[&str]) -> Result<Crossings<'_>> {
        let nodes = |names: &[&str]| names.iter().map(|name| self.node(name)).collect();
        Crossings::begin(nodes(from), nodes(to))
    }

    /// From now on a node's link swallows every packet, both ways, and looks as if it were well.
    ///
    /// # Errors
    /// Where the kernel refuses.
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn cut_link(&self, node: &str) -> Result<()> {
        // A queue with room for one byte drops each frame that is to go into it.
        for (namespace, device) in
            [(self.router().namespace(), node), (self.node(node).namespace(), INTERFACE)]
        {
            let queue = ["qdisc", "replace", "dev", device, "root", "bfifo", "limit", "1"];
            namespace.output("tc", &queue)?;
        }
        Ok(())
    }

    /// Every node.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

/// The fleet file of most nodes, and that of the rotated ones.
fn write_fleet_files(directory: &Path, options: &FleetOptions) -> Result<[PathBuf; 2]> {
    let files = ["fleet.toml", "rotated.toml"].map(|name| directory.join(name));
    let mut init = Command::new(programs::edge());
    init.args(["fleet", "init"]).args(options.plain_ids.then_some("--plain")).arg(&files[0]);
    let output = init.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fleet init: {}: {said}", output.status);
    if !options.rotated.is_empty() {
        rotation::write_the_middle(&files)?;
    }
    Ok(files)
}

/// Waits until `condition` holds.
///
/// # Errors
/// Where it does not within `timeout`.
pub fn eventually(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    while !condition() {
        ensure!(Instant::now() < deadline, "not within {timeout:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

static FLEETS: Mutex<usize> = Mutex::new(0);
static FLEET_ENDED: Condvar = Condvar::new();

/// The right to run a fleet: one at a time in a process.
#[derive(Debug)]
struct Permit;

impl Permit {
    fn wait() -> Self {
        let fleets = FLEETS.lock().unwrap_or_else(PoisonError::into_inner);
        let free = FLEET_ENDED.wait_while(fleets, |fleets| *fleets > 0);
        *free.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *FLEETS.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FLEET_ENDED.notify_one();
    }
}
