//! The bed: a client, a router with ECMP, three nodes at one site and one at another.
//!
//! ```text
//!                             +-- 198.51.100.4/30  2001:db8:1::/64 -- a1 (ams) \
//! client --------- router ----+-- 198.51.100.8/30  2001:db8:2::/64 -- a2 (ams)  \ each has the anycast
//! 203.0.113.0/24              +-- 198.51.100.12/30 2001:db8:3::/64 -- a3 (ams)  / addresses on lo
//! 2001:db8:c::/64             +-- 198.51.100.16/30 2001:db8:4::/64 -- b1 (fra) /
//! ```
//!
//! Node-to-node traffic goes through the router. a1 has a second link to it, 198.51.100.40/30 and
//! 2001:db8:a::/64, which only packets of clients take, and only where a case routes them there.
//! Where a case asks for them, a controller and an authority stand at the router too, on
//! 198.51.100.128/30 and 2001:db8:20::/64: nodes reach them, and they reach the anycast addresses
//! as clients do.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

use super::namespace::{BedName, Namespace, ip_batch, mount_bpffs, remove_namespaces};
use super::router::Router;

/// The anycast address that every node serves.
pub const ANYCAST_IPV4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// See [`ANYCAST_IPV4`].
pub const ANYCAST_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1);
/// Both anycast addresses.
pub const ANYCAST: [IpAddr; 2] = [IpAddr::V4(ANYCAST_IPV4), IpAddr::V6(ANYCAST_IPV6)];
/// More anycast addresses, which every node serves too.
pub const MORE_ANYCAST: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, 77)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xfe, 0, 0, 0, 0, 0x77)),
];
/// The port they serve.
pub const PORT: u16 = 443;
/// The second link of a1, as [`Router::route_to`] knows it.
pub const SECOND_LINK: &str = "a1-2";
/// The client's addresses of each family: the first, and one to move to.
pub const CLIENT: [[IpAddr; 2]; 2] = [
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2)), IpAddr::V6(client_ipv6(2))],
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 3)), IpAddr::V6(client_ipv6(3))],
];
/// Where a controller and an authority are, in beds that have a place for them.
pub const SERVICES_IPV4: Ipv4Addr = SERVICES.ipv4();
/// See [`SERVICES_IPV4`].
pub const SERVICES_IPV6: Ipv6Addr = SERVICES.ipv6();
/// The first interface of a node, and that of the client.
pub const INTERFACE: &str = "eth0";

const fn client_ipv6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, last)
}

/// A place where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Node ID.
    pub id: u8,
    /// Name of node and namespace.
    pub name: &'static str,
    /// Its site.
    pub site: &'static str,
}

/// Every place of the bed.
pub const PLACES: [Place; 4] = [
    Place { id: 1, name: "a1", site: "ams" },
    Place { id: 2, name: "a2", site: "ams" },
    Place { id: 3, name: "a3", site: "ams" },
    Place { id: 4, name: "b1", site: "fra" },
];

impl Place {
    /// The place of this name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        *PLACES
            .iter()
            .find(|place| place.name == name)
            .unwrap_or_else(|| panic!("the bed has no place {name}"))
    }

    /// The node's own address.
    #[must_use]
    pub const fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.id * 4 + 2)
    }

    /// The node's own address.
    #[must_use]
    pub const fn ipv6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self.id as u16, 0, 0, 0, 0, 2)
    }

    /// Its links, the first one first.
    pub(crate) fn links(self) -> impl Iterator<Item = Link> {
        LINKS.into_iter().filter(move |link| link.node == self.name)
    }
}

/// A link between a node and the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What its addresses are made of: for the first link of a node the node's ID.
    pub(crate) number: u8,
    /// The node.
    pub(crate) node: &'static str,
    /// The node's end.
    pub(crate) interface: &'static str,
    /// The router's end: the node's name for the first link of a node.
    pub(crate) at_router: &'static str,
}

const fn first_link(number: u8, node: &'static str) -> Link {
    Link { number, node, interface: INTERFACE, at_router: node }
}

/// Every link of the bed.
pub(crate) const LINKS: [Link; 5] = [
    first_link(1, "a1"),
    first_link(2, "a2"),
    first_link(3, "a3"),
    first_link(4, "b1"),
    Link { number: 10, node: "a1", interface: "eth1", at_router: SECOND_LINK },
];

/// The link of those who serve the fleet.
const SERVICES: Link = first_link(32, "services");

impl Link {
    /// The node's address.
    pub(crate) const fn ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.number * 4 + 2)
    }

    /// The node's address.
    pub(crate) const fn ipv6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self.number as u16, 0, 0, 0, 0, 2)
    }

    /// The router's address.
    pub(crate) const fn router_ipv4(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.number * 4 + 1)
    }

    /// The router's address.
    pub(crate) const fn router_ipv6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, self.number as u16, 0, 0, 0, 0, 1)
    }
}

/// The namespaces and their links, without any program in them. Dropping it removes it all.
#[derive(Debug)]
pub struct Bed {
    name: BedName,
    /// Where clients run.
    pub client: Namespace,
    /// What stands between clients and nodes.
    pub router: Router,
    services: Option<Namespace>,
}

impl Bed {
    /// Makes the namespaces, and routes the anycast addresses to every node of the first site.
    ///
    /// # Errors
    /// Where the kernel refuses, usually because this is not root.
    pub fn build() -> Result<Self> {
        mount_bpffs()?;
        let name = BedName::unique();
        let mut bed = Self {
            client: name.namespace("client"),
            router: Router::new(name.namespace("router")),
            services: None,
            name,
        };
        bed.connect().context("build the bed (it takes root)")?;
        bed.router.route_to(&["a1", "a2", "a3"])?;
        Ok(bed)
    }

    /// The namespace of a place.
    #[must_use]
    pub fn place(&self, place: Place) -> Namespace {
        self.name.namespace(place.name)
    }

    /// The name of this bed.
    #[must_use]
    pub fn name(&self) -> &BedName {
        &self.name
    }

    /// Makes a namespace for a controller and an authority, and gives it.
    ///
    /// # Errors
    /// Where the kernel refuses, or it is there already.
    pub fn add_services(&mut self) -> Result<Namespace> {
        let services = self.name.namespace(SERVICES.node);
        services.add()?;
        self.services = Some(services.clone());
        let (own, router, at_router) =
            (services.name(), self.router.namespace().name(), SERVICES.at_router);
        ip_batch(&format!(
            "link add {INTERFACE} netns {own} type veth peer name {at_router} netns {router}\n"
        ))?;
        let (gateway_ipv4, gateway_ipv6) = (SERVICES.router_ipv4(), SERVICES.router_ipv6());
        services.ip(&format!(
            "link set lo up\nlink set {INTERFACE} up\n\
             address add {SERVICES_IPV4}/30 dev {INTERFACE}\n\
             address add {SERVICES_IPV6}/64 dev {INTERFACE} nodad\n"
        ))?;
        self.router.namespace().ip(&format!(
            "link set {at_router} up\naddress add {gateway_ipv4}/30 dev {at_router}\n\
             address add {gateway_ipv6}/64 dev {at_router} nodad\n"
        ))?;
        services.ip(&format!(
            "route add default via {gateway_ipv4}\nroute add default via {gateway_ipv6}\n"
        ))?;
        Ok(services)
    }

    fn namespaces(&self) -> Vec<Namespace> {
        let mut all = vec![self.client.clone(), self.router.namespace().clone()];
        all.extend(self.services.clone());
        all.extend(PLACES.iter().map(|place| self.place(*place)));
        all
    }

    fn connect(&mut self) -> Result<()> {
        let namespaces = self.namespaces();
        namespaces.iter().try_for_each(Namespace::add)?;
        for namespace in &namespaces {
            // Before there are devices, which take the defaults over. Duplicate address detection
            // would hold an address back for a second; anycast routes are asymmetric by nature.
            namespace.set(&[
                ("ipv6/conf/default/accept_dad", 0),
                ("ipv4/conf/default/rp_filter", 0),
                ("ipv4/conf/all/rp_filter", 0),
            ])?;
        }
        let router = self.router.namespace().name();
        let mut links = format!(
            "link add {INTERFACE} netns {} type veth peer name client netns {router}\n",
            self.client.name()
        );
        for Link { node, interface, at_router, .. } in LINKS {
            let node = self.place(Place::named(node));
            writeln!(
                links,
                "link add {interface} netns {} type veth peer name {at_router} netns {router}",
                node.name()
            )?;
        }
        ip_batch(&links)?;
        self.configure_client()?;
        PLACES.iter().try_for_each(|place| self.configure_place(*place))?;
        self.router.configure() // last: a nexthop wants its link's other end up
    }

    fn configure_client(&self) -> Result<()> {
        let mut lines = format!("link set lo up\nlink set {INTERFACE} up\n");
        for [ipv4, ipv6] in CLIENT {
            writeln!(lines, "address add {ipv4}/24 dev {INTERFACE}")?;
            writeln!(lines, "address add {ipv6}/64 dev {INTERFACE} nodad")?;
        }
        lines += "route add default via 203.0.113.1\nroute add default via 2001:db8:c::1\n";
        self.client.ip(&lines)
    }

    fn configure_place(&self, place: Place) -> Result<()> {
        let mut lines = String::from("link set lo up\n");
        for link in place.links() {
            let (interface, ipv4, ipv6) = (link.interface, link.ipv4(), link.ipv6());
            writeln!(lines, "link set {interface} up")?;
            writeln!(lines, "address add {ipv4}/30 dev {interface}")?;
            writeln!(lines, "address add {ipv6}/64 dev {interface} nodad")?;
        }
        for address in ANYCAST.iter().chain(&MORE_ANYCAST) {
            writeln!(lines, "address add {address} dev lo")?;
        }
        let first = place.links().next().context("a place has a link")?;
        writeln!(lines, "route add default via {}", first.router_ipv4())?;
        writeln!(lines, "route add default via {}", first.router_ipv6())?;
        let namespace = self.place(place);
        namespace.ip(&lines)?;
        for link in place.links() {
            // A stripped VLAN tag would be hidden from XDP: a node warns of that.
            namespace.output("ethtool", &["-K", link.interface, "rxvlan", "off"])?;
        }
        Ok(())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        remove_namespaces(&self.namespaces());
        let _ = std::fs::remove_dir_all(self.name.directory()); // perhaps nobody made it
        for place in PLACES {
            let _ = std::fs::remove_dir_all(self.name.pin_directory(place.name)); // perhaps unpinned
        }
    }
}
