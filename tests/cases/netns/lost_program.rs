//! A node's interface is removed and made anew while the node serves.

use std::time::Duration;

use tests::fleet::{Fleet, FleetOptions, Node, eventually};

const SOON: Duration = Duration::from_secs(20);

fn is_attached(node: &Node) -> bool {
    node.metrics().expect("metrics").sum("landfast_xdp_attached", &["interface=\"eth0\""]) == 1
}

#[test]
fn an_interface_that_comes_back_is_steered_again_and_its_loss_is_told() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let node = fleet.node("a1");
    assert!(is_attached(node));
    node.namespace().ip("link del eth0").expect("removed");
    eventually("the loss is seen", SOON, || !is_attached(node)).expect("seen");
    let (status, said) = node.ready().expect("answered");
    // The node is not withdrawn for it: see docs/running.md.
    assert_eq!(status, 200);
    assert_eq!(said, "ready, but nothing is steered on eth0 (the interface is gone)\n");

    let new = "link add eth0 type veth peer name other\nlink set other up\nlink set eth0 up";
    node.namespace().ip(new).expect("made anew");
    eventually("it is attached again", SOON, || is_attached(node)).expect("attached");
    assert_eq!(node.ready().expect("answered"), (200, "ready\n".into()));
    let links = node.namespace().output("ip", &["-details", "link", "show", "eth0"]);
    assert!(links.expect("shown").contains("xdp"));
    for words in ["nothing is steered on an interface", "attaching it again"] {
        assert!(node.log().contains(words), "{}", node.log());
    }

    node.ask_to_stop().expect("asked");
    assert!(node.wait_until_ended().expect("ended").success(), "{}", node.log());
    assert!(!node.pin_directory().exists());
}
