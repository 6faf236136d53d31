//! A fleet whose nodes follow a controller, which orders certificates at an authority: all of them
//! real programs, in namespaces. The authority knocks at the anycast addresses, as clients do.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::controller::issuer;
use super::node::Origin;
use super::topology::{ANYCAST, Bed, PLACES, PORT, SERVICES_IPV4};
use super::{
    Client, Controller, ControllerOptions, Fleet, FleetOptions, Node, Permit, client, eventually,
};
use crate::credentials::{Files, SERVER_NAME};
use crate::http3::{self, Http3};
use crate::pebble::{Pebble, PebbleOptions, Place};

/// From the last enrolment until every node takes traffic: the controller waits for a lease first.
const LET_IN_WITHIN: Duration = Duration::from_secs(30);
/// An order takes a second or two; the deadline of its barrier is 30 s.
const ISSUED_WITHIN: Duration = Duration::from_secs(60);

/// In what a fleet with a controller differs from the usual one.
#[derive(Clone, Debug)]
pub struct FollowingOptions {
    /// The nodes. What of it stands in files that such nodes do not have is not looked at.
    pub fleet: FleetOptions,
    /// How the authority behaves. Its place is the bed's.
    pub authority: PebbleOptions,
    /// How long a node is live without a report. Nodes are let in after one lease.
    pub lease: Duration,
    /// Lines of the table of the issuer.
    pub issuer: &'static str,
    /// More tables of the controller's configuration.
    pub tables: &'static str,
}

impl Default for FollowingOptions {
    /// Three nodes at two sites.
    fn default() -> Self {
        Self {
            fleet: FleetOptions { nodes: vec!["a1", "a2", "b1"], ..FleetOptions::default() },
            authority: PebbleOptions::default(),
            lease: Duration::from_secs(2),
            issuer: "",
            tables: "",
        }
    }
}

/// A fleet with its controller and its authority.
#[derive(Debug)]
pub struct Following {
    /// The nodes, the router, the client. The client trusts what the authority issues.
    pub fleet: Fleet,
    /// Who gives them everything.
    pub controller: Controller,
    /// Who issues.
    pub authority: Pebble,
}

impl Following {
    /// Starts authority, controller and nodes, and waits until every node takes traffic. There is
    /// no certificate yet.
    ///
    /// # Errors
    /// Where the bed cannot be built, or a program does not do its part; with its log.
    pub fn start(options: &FollowingOptions) -> Result<Self> {
        let following = Self::prepare(options)?;
        // All enrol before any follows: so each knows every other from its start.
        for node in following.fleet.nodes() {
            node.enrol(&following.controller.invite(node.place())?)?;
        }
        following.fleet.nodes().iter().try_for_each(Node::start)?;
        following.wait_until_let_in()?;
        Ok(following)
    }

    /// Starts authority and controller. No node is invited yet.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn prepare(options: &FollowingOptions) -> Result<Self> {
        let permit = Permit::wait();
        let mut bed = Bed::build()?;
        let services = bed.add_services()?;
        let directory = bed.name().directory();
        fs::create_dir_all(&directory)?;
        let place = Place::Namespace(services, SERVICES_IPV4.into());
        let names_at = ANYCAST.to_vec();
        let authority = Pebble::start(PebbleOptions {
            place: place.clone(),
            names_at,
            ..options.authority.clone()
        })?;
        let controller = Controller::create(
            &directory,
            &ControllerOptions {
                place,
                lease: options.lease,
                keepalive: options.lease / 5,
                tables: issuer(&authority, options.issuer) + options.tables,
            },
        )?;
        controller.start()?;
        let origin = Origin::Controller(controller.address());
        let node = |place| Node::new(&bed, place, &options.fleet, &origin);
        let nodes = options.fleet.places().map(node).collect::<Result<Vec<_>>>()?;
        let routed = options.fleet.places().filter(|place| place.site == PLACES[0].site);
        bed.router.route_to(&routed.map(|place| place.name).collect::<Vec<_>>())?;
        let root = authority.root_pem()?;
        let credentials = Files {
            certificate: directory.join("none"),
            key: directory.join("none"),
            authority: directory.join("authority.pem"),
            authority_der: CertificateDer::from_pem_slice(root.as_bytes())?,
        };
        fs::write(&credentials.authority, root)?;
        let client = Client::new(bed.client.clone(), directory, credentials)?;
        let fleet = Fleet { nodes, client, bed, _permit: permit };
        Ok(Self { fleet, controller, authority })
    }

    /// Waits until every node that is invited takes traffic and says that it is ready.
    ///
    /// # Errors
    /// Where it does not; with its log.
    pub fn wait_until_let_in(&self) -> Result<()> {
        let is_serving = |list: &Value| {
            let nodes = list["nodes"].as_array();
            nodes.is_some_and(|nodes| nodes.iter().all(|node| node["standing"] == "serving"))
        };
        let what = "every node is let in";
        let let_in = self.controller.until(what, LET_IN_WITHIN, &["nodes", "list"], is_serving);
        let_in.with_context(|| self.controller.log())?;
        self.fleet.nodes().iter().try_for_each(Node::wait_until_ready)
    }

    /// Has the authority issue a certificate for [`SERVER_NAME`], and waits until every live node
    /// serves it.
    ///
    /// # Errors
    /// Where it does not come; with the controller's log.
    pub fn issue(&self) -> Result<Value> {
        self.request()?;
        self.wait_until_served()
    }

    /// Has the controller order a certificate for [`SERVER_NAME`].
    ///
    /// # Errors
    /// Where it refuses.
    pub fn request(&self) -> Result<()> {
        self.controller.run(&["certificates", "request", SERVER_NAME, "--issuer", "pebble"])?;
        Ok(())
    }

    /// Waits until every live node serves the certificate for [`SERVER_NAME`], and gives it as the
    /// controller lists it.
    ///
    /// # Errors
    /// Where they do not; with the controller's log.
    pub fn wait_until_served(&self) -> Result<Value> {
        self.wait_for_certificate("every live node serves it", ISSUED_WITHIN, |certificate| {
            certificate["state"] == "served"
                && certificate["nodes_serving"] == certificate["nodes_expected"]
                && certificate["nodes_expected"] != 0
        })
    }

    /// Waits until the certificate for [`SERVER_NAME`], or the order for it, is as `wanted`.
    ///
    /// # Errors
    /// Where it is not; with the controller's log.
    pub fn wait_for_certificate(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let find = |list: &Value| {
            let all = list["certificates"].as_array()?;
            all.iter().find(|certificate| certificate["id"] == SERVER_NAME).cloned()
        };
        let is_wanted = |list: &Value| find(list).is_some_and(|certificate| wanted(&certificate));
        let list = ["certificates", "list"];
        let list = self.controller.until(what, within, &list, is_wanted);
        let list = list.with_context(|| self.controller.log())?;
        find(&list).context("it was there")
    }

    /// The SHA-256 of the certificate that each node shows who connects to it, in hexadecimal, by
    /// the name of the node. Each node is asked at its own address.
    ///
    /// # Errors
    /// Where a node does not answer.
    pub fn shown(&self) -> Result<BTreeMap<&'static str, String>> {
        self.fleet.client().run(async || {
            let mut shown = BTreeMap::new();
            for node in self.fleet.nodes() {
                let name = node.place().name;
                let connection = connect_to(self.fleet.client(), node).await;
                let connection = connection.with_context(|| format!("connect to {name}"))?;
                let identity = connection.identity().await?;
                ensure!(identity.name == name, "{name} is {}", identity.name);
                shown.insert(name, connection.fingerprint()?);
            }
            Ok(shown)
        })
    }

    /// Waits until each node shows the same certificate as the controller lists.
    ///
    /// # Errors
    /// Where one does not.
    pub fn wait_until_shown(&self, fingerprint: &Value) -> Result<()> {
        let fingerprint = fingerprint["fingerprint"].as_str().context("no fingerprint")?;
        eventually("every node shows it", LET_IN_WITHIN, || {
            self.shown().is_ok_and(|shown| shown.values().all(|shown| shown == fingerprint))
        })
    }
}

/// A connection to a node at its own address, of a client that remembers nothing: it is shown a
/// certificate. Inside [`Client::run`].
///
/// # Errors
/// Where the handshake fails.
pub async fn connect_to(client: &Client, node: &Node) -> Result<Http3> {
    let address = IpAddr::V4(node.place().ipv4());
    let config = http3::client_config(&client.authority_der())?;
    let endpoint = http3::endpoint(client::first_address(address), config)?;
    Http3::connect_to(&endpoint, SocketAddr::new(address, PORT)).await
}
