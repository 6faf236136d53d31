//! A node is asked to stop: requests in progress end, nothing is left in the kernel.

use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Buf as _;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, Node};
use tokio::time::sleep;

fn kernel_is_clean(node: &Node) -> Result<()> {
    let links = node.namespace().output("ip", &["-details", "link", "show"])?;
    ensure!(!links.contains("xdp"), "a program is attached:\n{links}");
    let pins = node.pin_directory();
    ensure!(!pins.exists(), "{} is left behind", pins.display());
    Ok(())
}

#[test]
fn a_stop_lets_a_download_end_and_leaves_nothing_in_the_kernel() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let a1 = fleet.node("a1");
    fleet.router().route_to(&["a1"]).expect("routed");
    let links = a1.namespace().output("ip", &["-details", "link", "show"]).expect("links");
    assert!(links.contains("xdp"), "no program is attached while it serves:\n{links}");
    let length = fleet.client().run(async || {
        let connection = fleet.client().connect(ANYCAST[0]).await?;
        let mut stream = connection.send("/bytes/2000000").await?;
        ensure!(stream.recv_response().await?.status() == 200, "refused");
        a1.ask_to_stop()?;
        sleep(Duration::from_millis(500)).await;
        let mut length = 0;
        while let Some(part) = stream.recv_data().await? {
            length += part.remaining();
        }
        ensure!(connection.identity().await.is_err(), "a request after GOAWAY is answered");
        Ok(length)
    });
    assert_eq!(length.expect("downloaded"), 2_000_000);
    let status = a1.wait_until_ended().expect("ended");
    assert!(status.success(), "{status}:\n{}", a1.log());
    kernel_is_clean(a1).expect("clean");
}

#[test]
fn an_idle_node_stops_and_starts_anew() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    let a1 = fleet.node("a1");
    fleet.router().route_to(&["a1"]).expect("routed");
    for _ in 0..2 {
        a1.ask_to_stop().expect("asked");
        let status = a1.wait_until_ended().expect("ended");
        assert!(status.success(), "{status}:\n{}", a1.log());
        kernel_is_clean(a1).expect("clean");
        a1.start().and_then(|()| a1.wait_until_ready()).expect("started");
        assert_eq!(fleet.client().pycurl(ANYCAST[1]).expect("answered").name, "a1");
    }
}
