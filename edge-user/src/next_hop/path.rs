//! From route, links and neighbours to the kernel's [`Path`]: facts in, path out.

use std::collections::HashMap;
use std::net::IpAddr;

use edge_wire::maps::Path;

use crate::netlink::{Link, Neighbour, Neighbours, Route};

/// Links and neighbours, as netlink has them.
pub(super) struct Network {
    pub(super) links: HashMap<u32, Link>,
    pub(super) neighbours: Neighbours,
}

/// What is known of the way to a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextHop {
    /// With interface 0 where the way is not known.
    pub(super) path: Path,
    /// Device and address of a neighbour that the kernel should resolve, or confirm.
    pub(super) unconfirmed: Option<(u32, IpAddr)>,
}

impl Network {
    /// Completes `endpoints`, a path without a next hop, for the way to `destination`.
    pub(super) fn next_hop(
        &self,
        endpoints: Path,
        destination: IpAddr,
        route: Option<&Route>,
    ) -> NextHop {
        let unknown = NextHop { path: endpoints, unconfirmed: None };
        let Some(route) = route.filter(|route| !route.is_local) else { return unknown };
        let Some((link, interface, vlan)) = self.device(route.interface) else { return unknown };
        let Some(source_mac) = link.mac else { return unknown };

        let gateway = route.gateway.unwrap_or(destination);
        let to_ask = Some((link.index, gateway));
        let neighbour = self.neighbours.get(&(link.index, gateway));
        let (next_hop_mac, unconfirmed) = match neighbour {
            Some(Neighbour::Known(mac)) => (*mac, None),
            Some(Neighbour::Stale(mac)) => (*mac, to_ask),
            Some(Neighbour::Unresolved) | None => {
                return NextHop { path: endpoints, unconfirmed: to_ask };
            }
        };
        let mtu = route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu));
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        let path = Path { interface, source_mac, next_hop_mac, vlan, mtu, ..endpoints };
        NextHop { path, unconfirmed }
    }

    /// The device that a route names, the one to send by, and the tag to send with. Frames of a
    /// VLAN leave by its parent. `None`: XDP could not send by it, because it is gone or its frames
    /// bear a tag that [`Path`] has no place for (802.1ad, or two tags).
    fn device(&self, index: u32) -> Option<(&Link, u32, u16)> {
        let link = self.links.get(&index)?;
        let Some(vlan) = link.vlan else { return Some((link, link.index, 0)) };
        let parent = self.links.get(&vlan.parent)?;
        let one_tag = !vlan.is_service_tag && parent.vlan.is_none();
        one_tag.then_some((link, parent.index, vlan.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Vlan;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ENDPOINTS: Path = Path { source: [1; 16], destination: [2; 16], ..Path::UNKNOWN };

    fn destination() -> IpAddr {
        "198.51.100.2".parse().expect("address")
    }

    fn router() -> IpAddr {
        "203.0.113.1".parse().expect("address")
    }

    fn link(index: u32, vlan: Option<Vlan>) -> (u32, Link) {
        let name = format!("eth{index}");
        let (master, is_bond, xdp) = (None, false, None);
        (index, Link { index, name, mac: Some(MAC), mtu: 1500, vlan, master, is_bond, xdp })
    }

    fn network(neighbours: &[(u32, IpAddr, Neighbour)]) -> Network {
        let tag = |parent, id, is_service_tag| Some(Vlan { parent, id, is_service_tag });
        Network {
            links: HashMap::from([
                link(2, None),
                link(3, tag(2, 100, false)),
                link(4, tag(2, 200, true)),
                link(5, tag(3, 300, false)),
                link(6, tag(99, 400, false)),
            ]),
            neighbours: neighbours.iter().map(|(link, ip, n)| ((*link, *ip), *n)).collect(),
        }
    }

    fn route(interface: u32, gateway: Option<IpAddr>) -> Route {
        Route { is_local: false, interface, gateway, mtu: None }
    }

    #[test]
    fn on_the_link_the_next_hop_is_the_node() {
        let network = network(&[(2, destination(), Neighbour::Known(THEIR_MAC))]);
        let found = network.next_hop(ENDPOINTS, destination(), Some(&route(2, None)));
        let path =
            Path { interface: 2, source_mac: MAC, next_hop_mac: THEIR_MAC, mtu: 1500, ..ENDPOINTS };
        assert_eq!(found, NextHop { path, unconfirmed: None });
    }

    #[test]
    fn behind_a_router_the_next_hop_is_the_router() {
        let network = network(&[
            (2, router(), Neighbour::Known(THEIR_MAC)),
            (2, destination(), Neighbour::Known([9; 6])),
        ]);
        let found = network.next_hop(ENDPOINTS, destination(), Some(&route(2, Some(router()))));
        assert_eq!(found.path.next_hop_mac, THEIR_MAC);
    }

    #[test]
    fn a_vlan_is_sent_by_its_parent_with_its_tag() {
        let network = network(&[(3, destination(), Neighbour::Known(THEIR_MAC))]);
        let found = network.next_hop(ENDPOINTS, destination(), Some(&route(3, None)));
        assert_eq!((found.path.interface, found.path.vlan), (2, 100));
    }

    #[test]
    fn by_what_xdp_cannot_send_there_is_no_way() {
        let neighbours =
            [4, 5, 6, 7].map(|link| (link, destination(), Neighbour::Known(THEIR_MAC)));
        let network = network(&neighbours);
        for interface in [4, 5, 6, 7] {
            let found = network.next_hop(ENDPOINTS, destination(), Some(&route(interface, None)));
            assert_eq!(found.path, ENDPOINTS, "device {interface}");
        }
    }

    #[test]
    fn without_a_route_or_to_ourselves_only_the_endpoints_are_known() {
        let network = network(&[(2, destination(), Neighbour::Known(THEIR_MAC))]);
        let local = Route { is_local: true, ..route(2, None) };
        for route in [None, Some(&local)] {
            let found = network.next_hop(ENDPOINTS, destination(), route);
            assert_eq!(found, NextHop { path: ENDPOINTS, unconfirmed: None });
        }
    }

    #[test]
    fn an_unresolved_neighbour_is_no_way_and_is_asked_for() {
        for neighbours in [vec![], vec![(2, destination(), Neighbour::Unresolved)]] {
            let found =
                network(&neighbours).next_hop(ENDPOINTS, destination(), Some(&route(2, None)));
            let unconfirmed = Some((2, destination()));
            assert_eq!(found, NextHop { path: ENDPOINTS, unconfirmed });
        }
    }

    #[test]
    fn a_stale_neighbour_is_used_and_confirmed() {
        let network = network(&[(2, destination(), Neighbour::Stale(THEIR_MAC))]);
        let found = network.next_hop(ENDPOINTS, destination(), Some(&route(2, None)));
        assert_eq!(found.path.next_hop_mac, THEIR_MAC);
        assert_eq!(found.unconfirmed, Some((2, destination())));
    }

    #[test]
    fn the_smaller_mtu_counts() {
        let network = network(&[(2, destination(), Neighbour::Known(THEIR_MAC))]);
        for (of_route, mtu) in [(Some(1400), 1400), (Some(9000), 1500), (None, 1500)] {
            let route = Route { mtu: of_route, ..route(2, None) };
            let found = network.next_hop(ENDPOINTS, destination(), Some(&route));
            assert_eq!(found.path.mtu, mtu);
        }
    }
}
