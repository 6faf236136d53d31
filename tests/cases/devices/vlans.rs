//! Nodes behind VLAN devices: frames leave by the parent, with the tag in them.

use std::process::Command;

use edge_user::config::{Config, SteeringMode};
use edge_user::netlink::{self, Link};
use edge_user::next_hop;
use edge_user::steering::Steering;
use edge_wire::maps::Path;

use super::bed::{Network, on_bed, on_both, ways};
use crate::netns::steering_lifecycle::pair::{Pair, eventually, ip, secrets, xdp};

/// The VLAN, and the number of its network.
const ID: u16 = 99;

/// A VLAN of the pair's link, with a device on either side and a network of its own.
fn vlan(pair: &Pair) -> Network {
    on_both(pair, |side| ip(&format!("link add link {side} name {side}.99 type vlan id {ID}")));
    let network = Network::numbered(99);
    network.set_up(pair, "near.99", "far.99");
    network
}

/// The network of the link without a tag.
fn untagged() -> Network {
    Network::numbered(77)
}

fn device(name: &str) -> Link {
    let links = netlink::ask(async |handle| netlink::links(&handle).await).expect("netlink");
    links.into_iter().find(|link| link.name == name).expect("there")
}

#[test]
fn the_way_through_a_vlan_is_its_parent_and_its_tag() {
    let pair = Pair::new();
    let network = vlan(&pair);
    pair.far(|| ip("link set far.99 address 02:00:00:00:99:02"));
    pair.near(|| {
        ip("link set near.99 address 02:00:00:00:99:01");
        ip("link set near.99 mtu 1400");
        for path in ways(&network.config(&pair, "near")) {
            assert_eq!((path.interface, path.vlan), (device("near").index, ID));
            assert_eq!(path.source_mac, [2, 0, 0, 0, 0x99, 1]);
            assert_eq!(path.next_hop_mac, [2, 0, 0, 0, 0x99, 2]);
            assert_eq!(path.mtu, 1400);
        }
    });
}

#[test]
fn another_tag_is_followed_and_what_bears_two_is_no_way() {
    let pair = Pair::new();
    let network = vlan(&pair);
    let config = network.config(&pair, "near");
    let way = |what: &str, holds: &dyn Fn(&Path) -> bool| {
        eventually(what, || {
            let ways = next_hop::look(&config).expect("netlink");
            ways.iter().all(|(_, [ipv4, _])| holds(ipv4))
        });
    };
    let replace = |kind: &str| {
        on_both(&pair, |side| {
            ip(&format!("link del {side}.99"));
            ip(&format!("link add link {side} name {side}.99 type vlan {kind}"));
        });
        network.set_up(&pair, "near.99", "far.99");
    };
    pair.near(|| way("the first tag", &|path| path.vlan == ID));
    replace("id 98");
    pair.near(|| way("the second tag", &|path| path.vlan == 98 && path.interface != 0));
    // The kernel itself reaches node 2 by it; a frame with this tag XDP does not write.
    replace("proto 802.1ad id 98");
    pair.near(|| {
        ip(&format!("neigh replace {} lladdr 02:00:00:00:99:02 dev near.99", network.far.0));
        way("no way", &|path| path.interface == 0);
    });
}

#[test]
fn packets_reach_a_node_behind_a_vlan_with_its_tag() {
    let pair = Pair::new();
    let network = vlan(&pair);
    on_bed(&pair, &network.config(&pair, "near"), "far", |bed| bed.forwards_from(&untagged()));
}

#[test]
fn clients_and_nodes_in_a_vlan_are_steered_where_the_tag_is_in_the_frame() {
    let pair = Pair::new();
    let network = vlan(&pair);
    // What XDP is to see must be in the frame, not beside it.
    pair.far(|| {
        let ethtool = Command::new("ethtool").args(["-K", "far", "txvlan", "off"]).status();
        assert!(ethtool.expect("ethtool").success());
    });
    on_bed(&pair, &network.config(&pair, "near"), "far", |bed| {
        bed.forwards_from(&network);
        bed.takes_in();
    });
}

#[test]
fn a_vlan_device_itself_has_no_native_xdp_and_the_error_says_what_to_set() {
    let pair = Pair::new();
    let network = vlan(&pair);
    let attach = |config: &Config| Steering::attach(config, &secrets(), 0, 1);
    pair.near(|| {
        let mut config = network.config(&pair, "near.99");
        let error = attach(&config).map(drop).expect_err("refused").to_string();
        assert!(error.ends_with("set steering.mode = \"generic\" or \"user-space\""), "{error}");
        assert_eq!(xdp("near.99"), None);

        config.steering.mode = SteeringMode::Generic;
        let steering = attach(&config).expect("attached");
        assert!(!xdp("near.99").expect("on the device").is_native);
        steering.detach().expect("detached");
    });
}
