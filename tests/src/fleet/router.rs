//! The router: forwards, and spreads the anycast addresses over nodes by a hash of the flow.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::namespace::Namespace;
use super::pass_program::PassProgram;
use super::topology::{ANYCAST_IPV4, ANYCAST_IPV6, PLACES, Place};

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

    /// Routes the anycast addresses of both families to these nodes, in one step a family: what
    /// a router does when nodes announce or withdraw. Flows are spread anew.
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
                .map(|name| (nexthop + u32::from(Place::named(name).id)).to_string())
                .collect();
            writeln!(lines, "nexthop replace id {group} group {}", members.join("/"))?;
        }
        writeln!(lines, "route replace {ANYCAST_IPV4}/32 nhid {GROUP_IPV4}")?;
        writeln!(lines, "route replace {ANYCAST_IPV6}/128 nhid {GROUP_IPV6}")?;
        self.namespace.ip(&lines)
    }

    /// Takes away what [`Self::route_to`] gave: somebody else says where the anycast addresses are.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(crate) fn forget_routes(&self) -> Result<()> {
        let routes = format!("route del {ANYCAST_IPV4}/32\nroute del {ANYCAST_IPV6}/128\n");
        self.namespace.ip(&routes)
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
        for place in PLACES {
            let Place { id, name, .. } = place;
            writeln!(lines, "link set {name} up")?;
            writeln!(lines, "address add {}/30 dev {name}", place.router_ipv4())?;
            writeln!(lines, "address add {}/64 dev {name} nodad", place.router_ipv6())?;
            let (ipv4, ipv6) = (NEXTHOP_IPV4 + u32::from(id), NEXTHOP_IPV6 + u32::from(id));
            writeln!(lines, "nexthop add id {ipv4} via {} dev {name}", place.ipv4())?;
            writeln!(lines, "nexthop add id {ipv6} via {} dev {name}", place.ipv6())?;
        }
        self.namespace.ip(&lines)?;
        for place in PLACES {
            // What a node encapsulates must be a packet as on a wire: its checksum complete, and
            // one datagram a packet.
            let offloads = ["-K", place.name, "tx", "off", "gso", "off"];
            self.namespace.output("ethtool", &offloads)?;
        }
        let devices = PLACES.iter().map(|place| place.name);
        self.pass = Some(self.namespace.enter(|| PassProgram::attach(devices))?);
        Ok(())
    }
}
