//! A bond of two links: XDP in native mode on the bond, and what happens when a link fails.

use std::process::Command;

use edge_user::config::SteeringMode;
use edge_user::steering::Steering;

use super::bed::{Network, on_bed, on_both};
use crate::netns::steering_lifecycle::pair::{Pair, eventually, ip, secrets, xdp};

/// Bonds the pair's link with a second one on either side: `bond0`, of devices `near` and `near2`,
/// or `far` and `far2`.
fn bonded(mode: &str) -> (Pair, Network) {
    let pair = Pair::new();
    let far = pair.far_name();
    pair.near(|| ip(&format!("link add near2 type veth peer name far2 netns {far}")));
    on_both(&pair, |side| {
        ip(&format!("link add bond0 type bond mode {mode} miimon 10"));
        for device in [side.to_owned(), format!("{side}2")] {
            ip(&format!("addr flush dev {device}"));
            ip(&format!("link set {device} down"));
            ip(&format!("link set {device} master bond0"));
        }
    });
    let network = Network::numbered(77);
    network.set_up(&pair, "bond0", "bond0");
    (pair, network)
}

#[test]
fn the_program_is_on_the_bond_and_gone_when_it_stops() {
    let (pair, network) = bonded("active-backup");
    pair.near(|| {
        let config = network.config(&pair, "bond0");
        let steering = Steering::attach(&config, &secrets(), 0, 1).expect("attached");
        assert!(xdp("bond0").expect("on the bond").is_native);
        drop(steering); // a crash
        assert!(xdp("bond0").expect("on the bond").is_native);
        let steering = Steering::attach(&config, &secrets(), 0, 1).expect("attached");
        steering.detach().expect("detached");
        assert_eq!(xdp("bond0"), None);
    });
}

#[test]
fn packets_reach_a_node_through_a_bond_also_when_a_link_fails() {
    let (pair, network) = bonded("active-backup");
    on_bed(&pair, &network.config(&pair, "bond0"), "bond0", |bed| {
        bed.forwards_from(&network);
        bed.takes_in();
        // The peer loses its carrier, and both sides go over to the other link.
        pair.near(|| ip("link set near down"));
        on_both(&pair, |side| {
            eventually("the other link is used", || active() == format!("{side}2"));
        });
        bed.forwards_from(&network);
        bed.takes_in();
    });
}

/// The device that `bond0` of the calling thread's namespace sends by.
fn active() -> String {
    let mut ip = Command::new("ip");
    let output = ip.args(["-details", "link", "show", "bond0"]).output().expect("iproute2");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace().skip_while(|word| *word != "active_slave");
    words.nth(1).unwrap_or_default().to_owned()
}

#[test]
fn packets_reach_a_node_through_a_bond_of_equal_links() {
    let (pair, network) = bonded("balance-xor");
    on_bed(&pair, &network.config(&pair, "bond0"), "bond0", |bed| {
        bed.forwards_from(&network);
        bed.takes_in();
    });
}

#[test]
fn packets_reach_a_node_in_a_vlan_of_a_bond() {
    let (pair, untagged) = bonded("active-backup");
    on_both(&pair, |_| ip("link add link bond0 name bond0.99 type vlan id 99"));
    let network = Network::numbered(99);
    network.set_up(&pair, "bond0.99", "bond0.99");
    let config = network.config(&pair, "bond0");
    on_bed(&pair, &config, "bond0", |bed| bed.forwards_from(&untagged));
}

#[test]
fn a_bond_whose_mode_has_no_native_xdp_is_an_error_that_says_what_to_set() {
    let (pair, network) = bonded("balance-tlb");
    pair.near(|| {
        let mut config = network.config(&pair, "bond0");
        let attached = Steering::attach(&config, &secrets(), 0, 1);
        let error = attached.map(drop).expect_err("refused").to_string();
        assert!(error.ends_with("set steering.mode = \"generic\" or \"user-space\""), "{error}");
        config.steering.mode = SteeringMode::Generic;
        let steering = Steering::attach(&config, &secrets(), 0, 1).expect("attached");
        assert!(!xdp("bond0").expect("on the bond").is_native);
        steering.detach().expect("detached");
    });
}
