//! A client proves its address to one node, and the others believe it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use edge_wire::Reason;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, PORT};
use tests::http3::Identity;

const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Stands between the client and the anycast address, and lets `at_first_answer` happen when the
/// first answer has arrived and the client has not seen it yet. Ends after a second of silence.
fn relay(relay: &UdpSocket, at_first_answer: impl FnOnce() -> Result<()>) -> Result<()> {
    let nodes = UdpSocket::bind("0.0.0.0:0")?;
    nodes.connect(SocketAddr::new(ANYCAST[0], PORT))?;
    nodes.set_nonblocking(true)?;
    relay.set_read_timeout(Some(Duration::from_millis(2)))?;
    let mut at_first_answer = Some(at_first_answer);
    let mut client = None;
    let mut datagram = [0; 65_536];
    let mut silence = 0;
    while silence < 500 {
        silence += 1;
        if let Ok((length, from)) = relay.recv_from(&mut datagram) {
            client = Some(from);
            nodes.send(&datagram[..length])?;
            silence = 0;
        }
        while let Ok(length) = nodes.recv(&mut datagram) {
            if let Some(happen) = at_first_answer.take() {
                happen()?;
            }
            relay.send_to(&datagram[..length], client.context("nobody asked")?)?;
            silence = 0;
        }
    }
    Ok(())
}

#[test]
fn a_route_change_between_retry_and_answer_loses_no_client() {
    let options = FleetOptions { retry_threshold: 0, ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    fleet.router().route_to(&["a1"]).expect("routed");
    let socket = fleet.client().namespace().enter(|| UdpSocket::bind((RELAY, PORT)));
    let socket = socket.expect("a port of its own namespace");
    let (said, contents) = thread::scope(|scope| {
        let client = scope.spawn(|| fleet.client().gtlsclient(RELAY, &[], &["/who"]));
        let flip = || fleet.router().route_to(&["a2"]);
        fleet.client().namespace().enter(|| relay(&socket, flip)).expect("relayed");
        client.join().expect("no panic").expect("answered")
    });
    let identity: Identity = serde_json::from_slice(&contents[0]).expect("JSON");
    // The connection ID of the Retry names the node that sent it (RFC 9000 section 17.2.5.1).
    assert_eq!(identity.name, "a1", "{said}");
    assert_eq!((retries(&fleet, "a1"), retries(&fleet, "a2")), (1, 0), "{said}");
}

/// RFC 9000 section 8.1.3.
#[test]
fn a_token_of_one_node_spares_the_retry_at_another() {
    let options = FleetOptions { retry_threshold: 0, ..FleetOptions::default() };
    let fleet = Fleet::start(&options).expect("a fleet");
    let memory = fleet.client().directory().join("memory");
    for (node, asked) in [("a1", 1), ("b1", 0)] {
        fleet.router().route_to(&[node]).expect("routed");
        let client = fleet.client().aioquic_with_memory(ANYCAST[1], &memory);
        let mut client = client.expect("started");
        client.connected().expect("connected");
        assert_eq!(client.identity().expect("answered").name, node);
        assert_eq!(retries(&fleet, node), asked, "at {node}");
    }
}

fn retries(fleet: &Fleet, node: &str) -> u64 {
    fleet.node(node).metrics().expect("metrics").packets("edge", Reason::RetrySent)
}
