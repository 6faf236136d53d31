//! A fleet whose nodes announce the anycast addresses themselves: BGP with BFD, by BIRD at the
//! router and at each node.
//!
//! The router gives equal paths to its kernel as one route with several next hops, as a router
//! in front of real nodes does. BFD runs five times a second and takes a node that is not heard
//! for a second to be gone: the three lost keepalives of BGP's hold time would take nine.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::bird::Bird;
use super::topology::{ANYCAST, ANYCAST_IPV4, ANYCAST_IPV6, PLACES, Place};
use super::{Fleet, Router, eventually};

/// Sessions are up within a few seconds of their start; a machine that is busy takes longer.
const ROUTED_WITHIN: Duration = Duration::from_secs(60);

/// Session timers, the same at both ends. BIRD waits for minutes after an error unless told not to.
const TIMERS: &str = "hold time 9; connect delay time 1; connect retry time 1; \
                      error wait time 1, 2; bfd on;";
const COMMON: &str = "log stderr all;\nprotocol device { }\n\
                      protocol bfd { interface \"*\" { interval 200 ms; multiplier 5; }; }\n";
const ROUTER_AS: u32 = 64512;
const EDGE_AS: u32 = 64513;

/// The daemons.
#[derive(Debug)]
pub struct Bgp {
    router: Bird,
    edges: Vec<(&'static str, Bird)>,
    at: super::namespace::Namespace,
}

impl Bgp {
    /// Takes the bed's own routes away, and waits until the router has those that the nodes
    /// `announced` announce. The other nodes of `PLACES` run a daemon too, and are silent.
    ///
    /// # Errors
    /// Where BIRD is not installed, or the routes do not come.
    pub fn start(fleet: &Fleet, announced: &[&str]) -> Result<Self> {
        let router: &Router = fleet.router();
        router.forget_routes()?;
        let directory = fleet.client().directory();
        let edge = |place: &Place| {
            let config = edge_config(*place, announced.contains(&place.name))?;
            let namespace = fleet.node(place.name).namespace();
            let name = format!("bird-{}", place.name);
            Ok((place.name, Bird::start(namespace, directory, &name, &config)?))
        };
        let bgp = Self {
            router: Bird::start(router.namespace(), directory, "bird-router", &router_config()?)?,
            edges: PLACES.iter().map(edge).collect::<Result<_>>()?,
            at: router.namespace().clone(),
        };
        bgp.wait_until_routed_to(announced)?;
        Ok(bgp)
    }

    /// A node ends its sessions, which withdraws its routes.
    ///
    /// # Errors
    /// Where BIRD refuses.
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn withdraw(&self, node: &str) -> Result<()> {
        self.tell(node, "disable")
    }

    /// A node begins its sessions, and announces its routes.
    ///
    /// # Errors
    /// Where BIRD refuses.
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn announce(&self, node: &str) -> Result<()> {
        self.tell(node, "enable")
    }

    fn tell(&self, node: &str, verb: &str) -> Result<()> {
        let (_, bird) = self.edges.iter().find(|(name, _)| *name == node).expect("a node");
        ["router4", "router6"].iter().try_for_each(|session| {
            bird.ask(&format!("{verb} {session}")).map(drop).with_context(|| node.to_owned())
        })
    }

    /// Waits until the router's kernel sends to these nodes, and no others, over both families.
    ///
    /// # Errors
    /// Where it does not come about; with what the daemons say.
    pub fn wait_until_routed_to(&self, nodes: &[&str]) -> Result<()> {
        let wanted: BTreeSet<_> = nodes.iter().map(|node| (*node).to_owned()).collect();
        let routed = eventually("the announced routes", ROUTED_WITHIN, || {
            ANYCAST.iter().all(|address| self.next_hops(*address).is_ok_and(|hops| hops == wanted))
        });
        routed.with_context(|| self.router.ask("show protocols all").unwrap_or_default())
    }

    /// Why the router's session with a node ended last, by family.
    ///
    /// # Errors
    /// Where BIRD does not answer.
    pub fn last_errors(&self, node: &str) -> Result<[String; 2]> {
        let error = |family: u8| -> Result<String> {
            let said = self.router.ask(&format!("show protocols all {node}_{family}"))?;
            let mut lines = said.lines().map(str::trim);
            let error = lines.find_map(|line| line.strip_prefix("Last error:"));
            Ok(error.unwrap_or_default().trim().to_owned())
        };
        Ok([error(4)?, error(6)?])
    }

    /// The devices by which the router sends to an address: they have the names of nodes.
    fn next_hops(&self, address: IpAddr) -> Result<BTreeSet<String>> {
        let family = if address.is_ipv4() { "-4" } else { "-6" };
        let address = address.to_string();
        let routes = self.at.output("ip", &[family, "route", "show", &address])?;
        let words: Vec<_> = routes.split_whitespace().collect();
        let devices = words.windows(2).filter(|pair| pair[0] == "dev");
        Ok(devices.map(|pair| pair[1].to_owned()).collect())
    }
}

fn router_config() -> Result<String> {
    let mut config = format!("{COMMON}router id 198.51.100.1;\n");
    for family in ["ipv4", "ipv6"] {
        writeln!(
            config,
            "protocol kernel {{ merge paths on; {family} {{ import none; export all; }}; }}"
        )?;
    }
    for link in PLACES.into_iter().filter_map(|place| place.links().next()) {
        let sessions: [(u8, IpAddr, IpAddr); 2] = [
            (4, link.router_ipv4().into(), link.ipv4().into()),
            (6, link.router_ipv6().into(), link.ipv6().into()),
        ];
        for (family, local, neighbour) in sessions {
            writeln!(
                config,
                "protocol bgp {}_{family} {{ local {local} as {ROUTER_AS}; \
                 neighbor {neighbour} as {EDGE_AS}; {TIMERS} \
                 ipv{family} {{ import all; export none; }}; }}",
                link.node
            )?;
        }
    }
    Ok(config)
}

fn edge_config(place: Place, announces: bool) -> Result<String> {
    let link = place.links().next().context("a place has a link")?;
    let state = if announces { "no" } else { "yes" };
    let session = |family: u8, local: IpAddr, neighbour: IpAddr| {
        format!(
            "protocol bgp router{family} {{ disabled {state}; local {local} as {EDGE_AS}; \
             neighbor {neighbour} as {ROUTER_AS}; {TIMERS} \
             ipv{family} {{ import none; export all; }}; }}\n"
        )
    };
    Ok([
        format!("{COMMON}router id {};\n", place.ipv4()),
        format!("protocol static {{ ipv4; route {ANYCAST_IPV4}/32 via \"lo\"; }}\n"),
        format!("protocol static {{ ipv6; route {ANYCAST_IPV6}/128 via \"lo\"; }}\n"),
        session(4, link.ipv4().into(), link.router_ipv4().into()),
        session(6, link.ipv6().into(), link.router_ipv6().into()),
    ]
    .concat())
}
