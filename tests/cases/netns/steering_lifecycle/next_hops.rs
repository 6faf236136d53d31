//! The way to another node, as netlink has it.

use std::net::UdpSocket;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use edge_user::config::{Config, NodeConfig};
use edge_user::netlink::{self, Link};
use edge_user::next_hop;
use edge_user::nodes::NodeTable;
use edge_wire::maps::Path;
use tokio::sync::watch;

use super::pair::{FAR_IPV4, FAR_IPV6, NEAR_IPV4, Pair, ip};

fn device(name: &str) -> Link {
    let links = netlink::ask(async |handle| netlink::links(&handle).await).expect("netlink");
    links.into_iter().find(|link| link.name == name).expect("there")
}

/// Paths that are found before a case looks at them; each change of the network makes a few.
const FOUND: usize = 64;

/// Follows the ways to other nodes in the calling thread's namespace while `work` runs, which gets
/// what is found.
fn following(config: &Config, work: impl FnOnce(&Found)) {
    following_changes(config, watch::channel(config.nodes.as_slice().into()).1, work);
}

/// The same of a fleet that changes.
fn following_changes(
    config: &Config,
    fleet: watch::Receiver<Arc<[NodeConfig]>>,
    work: impl FnOnce(&Found),
) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (store, found) = mpsc::sync_channel(FOUND);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let nodes = Arc::new(NodeTable::new(&config.nodes));
                // Nobody listens any more once the case has seen what it wanted.
                let store = |node, ipv4, ipv6| store.send((node, ipv4, ipv6)).unwrap_or_default();
                tokio::select! {
                    result = next_hop::follow(config.node, fleet, nodes, store) => panic!("{result:?}"),
                    _ = stopped => {}
                }
            });
        });
        work(&Found(found));
        drop(stop);
    });
}

struct Found(mpsc::Receiver<(u16, Path, Path)>);

impl Found {
    /// The first paths to node 2 that are as asked for.
    fn wait(&self, what: &str, holds: impl Fn(&Path, &Path) -> bool) -> (Path, Path) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok((node, ipv4, ipv6)) = self.0.recv_timeout(left) else {
                panic!("not within twenty seconds: {what}");
            };
            assert_eq!(node, 2, "no other node is followed");
            if holds(&ipv4, &ipv6) {
                return (ipv4, ipv6);
            }
        }
    }
}

fn sixteen(address: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..address.len()].copy_from_slice(address);
    bytes
}

#[test]
fn the_way_over_a_link_is_found_in_both_families_without_traffic() {
    let pair = Pair::new();
    let far = pair.far(|| device("far"));
    pair.near(|| {
        let near = device("near");
        following(&pair.config(), |found| {
            let (ipv4, ipv6) =
                found.wait("both", |ipv4, ipv6| ipv4.interface != 0 && ipv6.interface != 0);
            for path in [ipv4, ipv6] {
                assert_eq!(path.interface, near.index);
                assert_eq!(Some(path.source_mac), near.mac);
                assert_eq!(Some(path.next_hop_mac), far.mac);
                assert_eq!((path.vlan, path.mtu), (0, 1500));
            }
            assert_eq!(ipv4.source, sixteen(&NEAR_IPV4.octets()));
            assert_eq!(ipv4.destination, sixteen(&FAR_IPV4.octets()));
            assert_eq!(ipv6.destination, FAR_IPV6.octets());
        });
    });
}

#[test]
fn changes_of_mac_mtu_and_link_are_followed() {
    let pair = Pair::new();
    pair.near(|| {
        following(&pair.config(), |found| {
            found.wait("at first", |ipv4, _| ipv4.interface != 0);

            ip("link set near address 02:00:00:00:77:01");
            found.wait("our MAC", |ipv4, _| ipv4.source_mac == [2, 0, 0, 0, 0x77, 1]);

            pair.far(|| {
                ip("link set far address 02:00:00:00:77:02");
                ip("neigh flush dev far");
                // It asks for our MAC, and so tells its own.
                let socket = UdpSocket::bind((FAR_IPV4, 0)).expect("bound");
                socket.send_to(b"x", (NEAR_IPV4, 9)).expect("sent");
            });
            found.wait("their MAC", |ipv4, _| ipv4.next_hop_mac == [2, 0, 0, 0, 0x77, 2]);

            ip("link set near mtu 1400");
            found.wait("the MTU", |ipv4, _| ipv4.mtu == 1400);

            ip("link set near down");
            let (ipv4, _) = found.wait("no way", |ipv4, _| ipv4.interface == 0);
            // Whom to accept encapsulated packets from does not depend on the way there.
            assert_eq!(ipv4.destination, sixteen(&FAR_IPV4.octets()));

            ip("link set near up");
            found.wait("the way again", |ipv4, _| ipv4.interface != 0);
        });
    });
}

#[test]
fn a_route_by_a_gateway_is_followed_and_its_mtu_counts() {
    let pair = Pair::new();
    pair.far(|| ip("addr add 192.168.77.3/24 dev far"));
    let mut config = pair.config();
    config.nodes[1].ipv4 = Some([203, 0, 113, 7].into());
    pair.near(|| {
        following(&config, |found| {
            let (ipv4, _) = found.wait("IPv6 is there", |_, ipv6| ipv6.interface != 0);
            assert_eq!(ipv4.interface, 0, "there is no route");
            ip("route add 203.0.113.7 via 192.168.77.3 mtu 1450");
            let (ipv4, _) = found.wait("the route", |ipv4, _| ipv4.interface != 0);
            assert_eq!(ipv4.mtu, 1450);
            ip("route del 203.0.113.7");
            found.wait("no route", |ipv4, _| ipv4.interface == 0);
        });
    });
}

#[test]
fn a_neighbour_that_does_not_answer_is_no_way() {
    let pair = Pair::new();
    let mut config = pair.config();
    config.nodes[1].ipv4 = Some([192, 168, 77, 99].into());
    pair.near(|| {
        following(&config, |found| {
            let (ipv4, _) = found.wait("IPv6 is there", |_, ipv6| ipv6.interface != 0);
            assert_eq!(ipv4.interface, 0);
            pair.far(|| ip("addr add 192.168.77.99/24 dev far"));
            found.wait("it answers now", |ipv4, _| ipv4.interface != 0);
        });
    });
}

#[test]
fn a_node_that_joins_and_one_that_moves_are_followed() {
    let pair = Pair::new();
    let mut config = pair.config();
    let fleet = watch::Sender::new(Arc::from(&config.nodes[..1]));
    pair.near(|| {
        following_changes(&pair.config(), fleet.subscribe(), |found| {
            fleet.send_replace(config.nodes.as_slice().into());
            found.wait("it has joined", |ipv4, _| ipv4.interface != 0);
            pair.far(|| ip("addr add 192.168.77.3/24 dev far"));
            config.nodes[1].ipv4 = Some([192, 168, 77, 3].into());
            fleet.send_replace(config.nodes.as_slice().into());
            found.wait("it has moved", |ipv4, _| {
                ipv4.destination == sixteen(&[192, 168, 77, 3]) && ipv4.interface != 0
            });
        });
    });
}
