//! From a request to a certificate that every node shows, whatever becomes of a node meanwhile.

use std::time::Duration;

use tests::fleet::topology::Place;
use tests::fleet::{ANYCAST, Following, FollowingOptions, eventually};

/// A lease and more, on a busy machine.
const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn a_certificate_comes_by_the_anycast_address_and_every_node_shows_it() {
    let following = Following::start(&FollowingOptions::default()).expect("a fleet");
    let listed = following.issue().expect("issued");
    let shown = following.shown().expect("every node answers");
    assert_eq!(shown.keys().copied().collect::<Vec<_>>(), ["a1", "a2", "b1"]);
    assert!(shown.values().all(|shown| *shown == listed["fingerprint"]), "{shown:?} {listed}");
    // By the router, as any client: whichever node it meets.
    let fleet = &following.fleet;
    for anycast in ANYCAST {
        let identity = fleet
            .client()
            .run(async || fleet.client().connect(anycast).await?.identity().await)
            .expect("served");
        assert_eq!(identity.site, "ams");
    }
    let is_over = |status: &serde_json::Value| status["orders"] == 0;
    let over = following.controller.until("the order is over", WITHIN, &["status"], is_over);
    let status = over.expect("nothing of it is left");
    assert_eq!(status["troubles"].as_array().expect("a list").len(), 0, "{status}");
}

/// A node without a lease is not waited for. It serves what it had, and gets the rest when it is
/// back.
#[test]
fn a_node_that_is_down_holds_up_no_order_and_serves_it_when_it_is_back() {
    let following = Following::start(&FollowingOptions::default()).expect("a fleet");
    let (fleet, controller) = (&following.fleet, &following.controller);
    let down = fleet.node("a2");
    down.kill().expect("it ran");
    fleet.router().route_to(&["a1"]).expect("as BGP would");
    let is_lost = |list: &serde_json::Value| list["nodes"][1]["live"] == false;
    controller.until("its lease is over", WITHIN, &["nodes", "list"], is_lost).expect("lost");

    let listed = following.issue().expect("issued");
    assert_eq!(listed["nodes_expected"], 2, "{listed}");

    down.start().expect("started");
    down.wait_until_ready().expect("ready");
    following.wait_until_shown(&listed).expect("every node shows it");
}

/// Port 80 of a node is closed on the way, to whoever asks: the authority's question would be lost
/// there, although the node says that it has the answer.
#[test]
fn a_node_that_cannot_be_asked_is_drained_and_takes_traffic_again() {
    let tables = "[certificates]\nbarrier_seconds = 5\ndrain_seconds = 2\n";
    let options = FollowingOptions { tables, ..FollowingOptions::default() };
    let following = Following::start(&options).expect("a fleet");
    let (fleet, controller) = (&following.fleet, &following.controller);
    let (late, router) = (fleet.node("a2"), fleet.router());
    let to = Place::named("a2").ipv4();
    let closed = format!("rule add to {to} ipproto tcp dport 80 prohibit\n");
    router.namespace().ip(&closed).expect("closed");

    following.request().expect("requested");
    // After the deadline; whoever announces the node sees that it is not to be.
    let is_drained =
        || late.ready().is_ok_and(|(status, why)| status == 503 && why.contains("drained"));
    if let Err(error) = eventually("the node is drained", WITHIN, is_drained) {
        panic!("{error:#}\n{}", controller.log());
    }
    router.route_to(&["a1"]).expect("as BGP would");
    let listed = following.wait_until_served().expect("issued");
    let log = controller.log();
    assert!(log.contains("late nodes are drained"), "{log}");

    late.wait_until_ready().expect("it takes traffic again");
    following.wait_until_shown(&listed).expect("it shows it like the others");
}
