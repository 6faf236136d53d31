//! Somebody else's XDP program is on the device of a node that is to start.

use tests::fleet::pass_program::PassProgram;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, Steering};

#[test]
fn a_foreign_program_is_named_and_kept_and_the_node_can_do_without_xdp() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let a2 = fleet.node("a2");
    a2.ask_to_stop().expect("asked");
    a2.wait_until_ended().expect("ended");
    let _foreign = a2.namespace().enter(|| PassProgram::attach(["eth0"])).expect("attached");
    let program = program_on(a2);

    a2.start().expect("started");
    let status = a2.wait_until_ended().expect("ended");
    assert!(!status.success());
    let (log, named) = (a2.log(), format!("pass (ID {program})"));
    assert!(log.contains(&named), "{named} is not named:\n{log}");
    assert!(log.contains("user-space"), "no way out is said:\n{log}");
    assert_eq!(program_on(a2), program, "it was replaced");

    a2.set_steering(Steering::UserSpace).expect("set");
    a2.start().and_then(|()| a2.wait_until_ready()).expect("started");
    assert_eq!(program_on(a2), program, "it was replaced");
    for anycast in ANYCAST {
        fleet.router().route_to(&["a1"]).expect("routed");
        let mut aioquic = fleet.client().aioquic(anycast).expect("started");
        aioquic.connected().expect("connected");
        let first = aioquic.identity().expect("answered");
        let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        fleet.router().route_to(&["a2"]).expect("routed");
        assert_eq!(aioquic.identity().expect("answered"), first);
        counted.expect(1).expect("a2 sends on without XDP of its own");
    }
}

/// The ID of the program on the first interface, as iproute2 reads it.
fn program_on(node: &tests::fleet::Node) -> u32 {
    let said = node.namespace().output("ip", &["-details", "link", "show", "dev", "eth0"]);
    let said = said.expect("a device");
    let (_, program) = said.split_once("prog/xdp id ").unwrap_or_else(|| panic!("none:\n{said}"));
    program.split_whitespace().next().expect("an ID").parse().expect("a number")
}
