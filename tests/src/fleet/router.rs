//! The router: forwards, and spreads the anycast addresses over nodes by a hash of the flow.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::namespace::Namespace;
use super::pass_program::PassProgram;
use super::topology::{ANYCAST, LINKS, MORE_ANYCAST};

/// Nexthop objects, by ID: the node's own plus these, and the groups the anycast routes use.
const NEXTHOP_IPV4: u32 = 400;
const NEXTHOP_IPV6: u32 = 600;
const GROUP_IPV4: u32 = 4000;
const GROUP_IPV6: u32 = 6000;

/// The router of a bed.
#[derive(Debug)]
pub struct Router {
    namespace: Namespace,
    pass: Option<PassProgram>,
}

impl Router {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self { namespace, pass: None }
    }

    /// Where it runs.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Routes the anycast addresses of both families to these nodes (or links, by the names of
    /// their devices here), in one step a family: what a router does when nodes announce or
    /// withdraw. Flows are spread anew.
    ///
    /// # Errors
    /// Where the kernel refuses, or the list is empty.
    ///
    /// # Panics
    /// Where the bed has no such place.
    pub fn route_to(&self, nodes: &[&str]) -> Result<()> {
        ensure!(!nodes.is_empty(), "a route needs a node");
        let mut lines = String::new();
        for (group, nexthop) in [(GROUP_IPV4, NEXTHOP_IPV4), (GROUP_IPV6, NEXTHOP_IPV6)] {
            let members: Vec<_> = nodes
                .iter()
                .map(|name| (nexthop + u32::from(link_number(name))).to_string())
                .collect();
            writeln!(lines, "nexthop replace id {group} group {}", members.join("/"))?;
        }
        for address in ANYCAST.iter().chain(&MORE_ANYCAST) {
            let group = if address.is_ipv4() { GROUP_IPV4 } else { GROUP_IPV6 };
            writeln!(lines, "route replace {address} nhid {group}")?;
        }
        self.namespace.ip(&lines)
    }

    /// Takes away what [`Self::route_to`] gave: somebody else says where the anycast addresses are.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn forget_routes(&self) -> Result<()> {
        self.namespace.ip(&ANYCAST.map(|address| format!("route del {address}\n")).concat())
    }

    pub(crate) fn configure(&mut self) -> Result<()> {
        self.namespace.set(&[
            ("ipv4/ip_forward", 1),
            ("ipv6/conf/all/forwarding", 1),
            // Ports count: the connections of one client address are spread too.
            ("ipv4/fib_multipath_hash_policy", 1),
            ("ipv6/fib_multipath_hash_policy", 1),
        ])?;
        let mut lines = String::from("link set lo up\nlink set client up\n");
        lines += "address add 203.0.113.1/24 dev client\n";
        lines += "address add 2001:db8:c::1/64 dev client nodad\n";
        for link in LINKS {
            let name = link.at_router;
            writeln!(lines, "link set {name} up")?;
            writeln!(lines, "address add {}/30 dev {name}", link.router_ipv4())?;
            writeln!(lines, "address add {}/64 dev {name} nodad", link.router_ipv6())?;
            let number = u32::from(link.number);
            let (ipv4, ipv6) = (NEXTHOP_IPV4 + number, NEXTHOP_IPV6 + number);
            writeln!(lines, "nexthop add id {ipv4} via {} dev {name}", link.ipv4())?;
            writeln!(lines, "nexthop add id {ipv6} via {} dev {name}", link.ipv6())?;
        }
        self.namespace.ip(&lines)?;
        for link in LINKS {
            // What a node encapsulates must be a packet as on a wire: its checksum complete, and
            // one datagram a packet.
            let offloads = ["-K", link.at_router, "tx", "off", "gso", "off"];
            self.namespace.output("ethtool", &offloads)?;
        }
        let devices = LINKS.iter().map(|link| link.at_router);
        self.pass = Some(self.namespace.enter(|| PassProgram::attach(devices))?);
        Ok(())
    }
}

fn link_number(at_router: &str) -> u8 {
    let link = LINKS.iter().find(|link| link.at_router == at_router);
    link.unwrap_or_else(|| panic!("the router has no link {at_router}")).number
}
