//! The fleet: who is in it, and that no two are the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use settings::{Problem, Text};
use toml::Spanned;

use super::{Check, Checked};
use crate::config::{Liveness, NodeConfig, file};
use crate::limits;

/// The highest node ID: the kernel's map of nodes is an array.
pub(super) const MAX_ID: u16 = edge_wire::maps::MAX_NODES as u16 - 1;

impl Check {
    /// The fleet with `ours` in it, given as ID and place.
    pub(super) fn nodes(
        &mut self,
        list: &Spanned<Vec<file::Node>>,
        ours: Option<(u16, Range<usize>)>,
        anycast: &Spanned<Vec<Text>>,
    ) -> Checked<Vec<NodeConfig>> {
        if list.get_ref().is_empty() {
            self.refuse(
                Problem::new("`nodes` is empty")
                    .at(list.span(), "no node")
                    .help("write a [[nodes]] table for each node, this one included"),
            );
            return None;
        }
        self.all_different(list.get_ref());
        self.no_anycast(list.get_ref(), anycast.get_ref());
        self.loopback_alone(list.get_ref(), anycast.get_ref());
        let nodes: Vec<_> = list.get_ref().iter().map(|node| self.node(node)).collect();
        let mut nodes = nodes.into_iter().collect::<Option<Vec<_>>>();
        if let Some((id, place)) = ours {
            self.ours(id, place, list.get_ref());
            // A list that says unknown of the node that reads it is one for the others, too.
            for node in nodes.iter_mut().flatten().filter(|node| node.id == id) {
                node.liveness = Liveness::Live;
            }
        }
        nodes
    }

    fn node(&mut self, node: &file::Node) -> Checked<NodeConfig> {
        let states =
            [("live", Liveness::Live), ("dead", Liveness::Dead), ("unknown", Liveness::Unknown)];
        let id = self.number(&node.id, "id", 0..=MAX_ID);
        let name = self.name(&node.name, "name");
        let site = self.name(&node.site, "site");
        let liveness = self.word(&node.liveness, "liveness", &states, Liveness::Live);
        let ipv4 = node.ipv4.as_ref().map(|text| self.address(text, "an IPv4"));
        let ipv6 = node.ipv6.as_ref().map(|text| self.address(text, "an IPv6"));
        if ipv4.is_none() && ipv6.is_none() {
            self.refuse(
                Problem::new(format!("the node {} has no address", node.name.get_ref()))
                    .at(node.id.span(), "neither ipv4 nor ipv6")
                    .help("give it at least one: other nodes send its packets there"),
            );
        }
        Some(NodeConfig {
            id: id?,
            name: name?,
            site: site?,
            ipv4: ipv4.flatten(),
            ipv6: ipv6.flatten(),
            liveness: liveness?,
        })
    }

    fn name(&mut self, text: &Text, what: &str) -> Checked<String> {
        let name = text.get_ref();
        if name.is_empty() || name.len() > limits::MAX_NAME_BYTES || name.contains(char::is_control)
        {
            let most = limits::MAX_NAME_BYTES;
            self.refuse(
                Problem::new(format!("`{what}` must be 1 to {most} bytes of printable text"))
                    .at(text.span(), "not usable"),
            );
            return None;
        }
        Some(name.clone())
    }

    /// Two nodes with one ID would each take the other's connections for its own.
    fn all_different(&mut self, nodes: &[file::Node]) {
        let mut ids = HashMap::new();
        let mut names = HashMap::new();
        let mut addresses = HashMap::new();
        for node in nodes {
            let (id, name) = (node.id.get_ref(), node.name.get_ref());
            if let Some(first) = ids.insert(id, node.id.span()) {
                let help = "give each node an ID of its own, and never one that another had lately";
                self.twice(format!("two nodes have the ID {id}"), first, node.id.span(), help);
            }
            if let Some(first) = names.insert(name, node.name.span()) {
                let help = "give each node a name of its own";
                self.twice(format!("two nodes are named {name}"), first, node.name.span(), help);
            }
            for text in addresses_of(node) {
                let Ok(address) = text.get_ref().parse::<IpAddr>() else { continue };
                if let Some(first) = addresses.insert(address, text.span()) {
                    let help = "give each node addresses of its own";
                    self.twice(
                        format!("two nodes have the address {address}"),
                        first,
                        text.span(),
                        help,
                    );
                }
            }
        }
    }

    /// A packet to an anycast address goes to whichever node is near: encapsulated packets too.
    fn no_anycast(&mut self, nodes: &[file::Node], anycast: &[Text]) {
        for text in nodes.iter().flat_map(addresses_of) {
            let Ok(address) = text.get_ref().parse::<IpAddr>() else { continue };
            let same = |other: &&Text| other.get_ref().parse() == Ok(address);
            if let Some(listed) = anycast.iter().find(same) {
                self.refuse(
                    Problem::new(format!("{address} is an anycast address and a node's own"))
                        .at(listed.span(), "anycast here")
                        .at(text.span(), "a node's own here")
                        .help("use an address that only this node has, such as that of its uplink"),
                );
            }
        }
    }

    /// Loopback serves a node on its own, to try things; in a fleet nothing would ever arrive.
    fn loopback_alone(&mut self, nodes: &[file::Node], anycast: &[Text]) {
        if nodes.len() == 1 {
            return;
        }
        for text in anycast.iter().chain(nodes.iter().flat_map(addresses_of)) {
            let Ok(address) = text.get_ref().parse::<IpAddr>() else { continue };
            if address.is_loopback() {
                self.refuse(
                    Problem::new(format!("{address} is a loopback address, in a fleet of several"))
                        .at(text.span(), "reaches only this host")
                        .help("loopback works for a single node on its own; use routed addresses"),
                );
            }
        }
    }

    /// Our own entry is there, and shares a family with each other node: packets of clients cross
    /// in whichever family two nodes have in common.
    fn ours(&mut self, id: u16, place: Range<usize>, nodes: &[file::Node]) {
        let Some(ours) = nodes.iter().find(|node| *node.id.get_ref() == i64::from(id)) else {
            self.refuse(
                Problem::new(format!("no node in `nodes` has our ID, {id}"))
                    .at(place, "this node")
                    .help("`nodes` lists the whole fleet, this node included"),
            );
            return;
        };
        if let Some(dead) = ours.liveness.as_ref().filter(|word| word.get_ref() == "dead") {
            self.refuse(
                Problem::new("this node is dead by its own list of nodes")
                    .at(place, "this node")
                    .at(dead.span(), "dead")
                    .help("nodes with this list reset its connections: write live on all of them first"),
            );
        }
        let has_address = |node: &&file::Node| addresses_of(node).next().is_some();
        for other in nodes.iter().filter(has_address) {
            let ipv4 = ours.ipv4.is_some() && other.ipv4.is_some();
            let ipv6 = ours.ipv6.is_some() && other.ipv6.is_some();
            if !ipv4 && !ipv6 && has_address(&ours) {
                let name = other.name.get_ref();
                self.refuse(
                    Problem::new(format!("no packet can cross between {name} and this node"))
                        .at(ours.id.span(), "this node")
                        .at(other.id.span(), "has no address of the same family")
                        .help("give one of them an address of the other's family"),
                );
                return;
            }
        }
    }
}

fn addresses_of(node: &file::Node) -> impl Iterator<Item = &Text> {
    node.ipv4.iter().chain(node.ipv6.iter())
}
