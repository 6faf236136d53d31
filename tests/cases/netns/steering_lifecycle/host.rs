//! The checks of the host, on a host that has what they look for.

use std::fs;

use edge_user::preflight::{self, Finding};

use super::pair::{Pair, ip};

fn findings(pair: &Pair) -> Vec<Finding> {
    let config = pair.config();
    preflight::examine(&config, &preflight::read(&config).expect("readable"))
}

fn has(pair: &Pair, change: &str) -> bool {
    findings(pair).iter().any(|finding| finding.change == change)
}

#[test]
fn each_change_that_is_asked_for_ends_its_finding() {
    let pair = Pair::new();
    pair.near(|| {
        fs::write("/proc/sys/net/ipv4/conf/near/rp_filter", "1").expect("writable");
        ip("link set near mtu 1400");
        let address = "ip addr add 192.0.2.1/32 dev lo";
        let mtu = "ip link set dev near mtu 1500";
        let filter = "sysctl -w net.ipv4.conf.near.rp_filter=2";
        for change in [address, mtu, filter] {
            assert!(has(&pair, change), "{change}: {:?}", findings(&pair));
        }
        ip("addr add 192.0.2.1/32 dev lo");
        ip("link set dev near mtu 1500");
        fs::write("/proc/sys/net/ipv4/conf/near/rp_filter", "2").expect("writable");
        for change in [address, mtu, filter] {
            assert!(!has(&pair, change), "{change}: {:?}", findings(&pair));
        }
    });
}

#[test]
fn an_interface_that_is_not_there_is_found() {
    let pair = Pair::new();
    // In the other namespace there is no such device.
    pair.far(|| {
        let first = findings(&pair).swap_remove(0);
        assert_eq!(first.to_string(), "no interface is named near: correct listen.interfaces");
    });
}
