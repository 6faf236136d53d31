//! Where a node's entry has no next hop, the kernel's routing table is asked; in a network
//! namespace of the test's own, because it has to hold routes.

use std::process::Command;

use edge_wire::Reason::{Forwarded, NoNextHop, TooBig};
use nix::sched::{CloneFlags, unshare};
use tests::kernel::{Action, Kernel};
use tests::packet::{Packet, short_header};

use super::fleet::{WITHOUT_NEXT_HOP, families, fleet, id_of};

const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 3, 1];
const NEIGHBOUR_MAC: [u8; 6] = [2, 0, 0, 0, 3, 2];

#[test]
fn routes_and_neighbours_say_the_next_hop_where_forwarding_is_enabled() {
    in_a_namespace(|| {
        let mut kernel = fleet();
        ip("link add lfk0 address 02:00:00:00:03:01 type veth peer name lfk1");
        ip("link set lo up");
        ip("link set lfk1 up");
        ip("link set lfk0 up");
        ip("address add 198.51.100.1/24 dev lfk0");
        ip("address add 2001:db8:1::1/64 dev lfk0 nodad");
        for (family, _) in families() {
            assert_passed(&mut kernel, family, "forwarding is not enabled");
        }
        enable_forwarding();
        for (family, _) in families() {
            assert_passed(&mut kernel, family, "the neighbour is not known");
        }
        ip("neighbour add 198.51.100.7 lladdr 02:00:00:00:03:02 dev lfk0");
        ip("neighbour add 2001:db8:1::7 lladdr 02:00:00:00:03:02 dev lfk0");
        for (family, packet) in families() {
            let run = kernel.run(&to_the_node(&packet, 60));
            assert_eq!(run.counted, [(Forwarded, 1)], "{family}");
            assert_eq!(run.action, Action::Redirect, "{family}, to the veth");
            assert_eq!(run.bytes[..12], [NEIGHBOUR_MAC, OWN_MAC].concat(), "{family}, addresses");
        }
        ip("link set lfk0 mtu 1300");
        for (family, packet) in families() {
            let run = kernel.run(&to_the_node(&packet, 1250));
            assert_eq!(run.counted, [(TooBig, 1)], "{family}, 1,300 bytes at most");
            assert_eq!(run.action, Action::Pass, "{family}, 1,300 bytes at most");
        }
    });
}

fn assert_passed(kernel: &mut Kernel, family: &str, why: &str) {
    let [(_, ipv4), (_, ipv6)] = families();
    let frame = to_the_node(if family == "IPv4" { &ipv4 } else { &ipv6 }, 60);
    let run = kernel.run(&frame);
    assert_eq!(run.counted, [(NoNextHop, 1)], "{family}, {why}");
    assert_eq!(run.action, Action::Pass, "{family}, {why}");
    assert_eq!(run.bytes, frame, "{family}, {why}");
}

fn to_the_node(packet: &Packet, rest: usize) -> Vec<u8> {
    packet.clone().payload(short_header(&id_of(WITHOUT_NEXT_HOP), rest)).frame()
}

/// Runs on a thread of its own, in a network namespace that ends with it.
fn in_a_namespace(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            test();
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The lookup answers for devices on which forwarding is enabled.
fn enable_forwarding() {
    for family in ["ipv4", "ipv6"] {
        let path = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        std::fs::write(&path, "1").unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

fn ip(arguments: &str) {
    let mut command = Command::new("ip");
    let status = command.args(arguments.split(' ')).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {arguments}: {status}");
}
