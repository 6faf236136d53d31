//! What a flood meets, and what others notice of it: early drops with their switches, the blocklist,
//! and budgets. In the kernel at one node, in the process at another, which has no XDP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use edge_wire::Reason;
use tests::fleet::{ANYCAST, CLIENT, Fleet, FleetOptions, Node, PORT, Steering, eventually};
use tests::http3;

/// A loaded machine is slow.
const SOON: Duration = Duration::from_secs(10);
/// A client in another /24 than the flood.
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(203, 0, 112, 2);

/// A fleet whose a1 judges in the kernel and whose a2 does in the process.
fn fleet(admission: &'static str, retry_threshold: u32) -> Fleet {
    let exceptions = vec![("a2", Steering::UserSpace)];
    let options =
        FleetOptions { exceptions, admission, retry_threshold, ..FleetOptions::default() };
    Fleet::start(&options).expect("a fleet")
}

/// Where each of the two counts its early drops.
const JUDGES: [(&str, &str); 2] = [("a1", "steer_node"), ("a2", "edge")];

fn count(node: &Node, program: &str, reason: Reason) -> u64 {
    node.metrics().expect("metrics").packets(program, reason)
}

/// A long header of a version that nobody speaks, which draws an answer (RFC 9000 section 6.1).
fn asks_for_versions() -> Vec<u8> {
    let mut datagram = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    datagram.resize(1200, 7);
    datagram
}

/// Sends a datagram from the client's namespace; whether there is an answer within `patience`.
fn is_answered(fleet: &Fleet, from: SocketAddr, datagram: &[u8], patience: Duration) -> bool {
    let anycast = ANYCAST[usize::from(from.is_ipv6())];
    fleet.client().namespace().enter(|| {
        let socket = UdpSocket::bind(from).expect("a port of its own namespace");
        socket.set_read_timeout(Some(patience)).expect("not zero");
        socket.send_to(datagram, (anycast, PORT)).expect("sent");
        socket.recv(&mut [0; 2048]).is_ok()
    })
}

fn from(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address, port)
}

/// The drop of `datagram` is counted, and only once there is no switch for it is it not.
fn is_dropped(fleet: &Fleet, judge: (&str, &str), from: SocketAddr, datagram: &[u8], why: Reason) {
    let (node, program) = (fleet.node(judge.0), judge.1);
    let before = count(node, program, why);
    // The counter says that it was dropped; the silence only agrees.
    assert!(!is_answered(fleet, from, datagram, Duration::from_millis(50)));
    eventually(why.name(), SOON, || count(node, program, why) == before + 1)
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn ports_of_amplifiers_and_small_initials_are_dropped_where_they_are_switched_on() {
    let fleet = fleet("", 1000);
    let client = CLIENT[0][0];
    let small = [&[0xc0, 0, 0, 0, 1, 8][..], &[7; 100]].concat();
    for judge in JUDGES {
        fleet.router().route_to(&[judge.0]).expect("routed");
        let probe = asks_for_versions();
        assert!(is_answered(&fleet, from(client, 0), &probe, SOON), "at {}", judge.0);
        is_dropped(&fleet, judge, from(client, 123), &probe, Reason::AmplifierPort);
        is_dropped(&fleet, judge, from(client, 0), &small, Reason::SmallInitial);
        is_dropped(&fleet, judge, from(CLIENT[0][1], 11211), &probe, Reason::AmplifierPort);
    }
}

#[test]
fn nothing_is_dropped_early_where_it_is_switched_off() {
    let fleet = fleet("amplifier_ports = false\nsmall_initials = false", 1000);
    let small = [&[0xc0, 0, 0, 0, 1, 8][..], &[7; 100]].concat();
    for (name, program) in JUDGES {
        fleet.router().route_to(&[name]).expect("routed");
        assert!(is_answered(&fleet, from(CLIENT[0][0], 123), &asks_for_versions(), SOON));
        let node = fleet.node(name);
        let before = count(node, "edge", Reason::Ignored);
        is_answered(&fleet, from(CLIENT[0][0], 0), &small, Duration::from_millis(50));
        // The engine discards it then (RFC 9000 section 14.1).
        eventually("the engine sees it", SOON, || {
            count(node, "edge", Reason::Ignored) == before + 1
        })
        .expect("ignored");
        assert_eq!(count(node, program, Reason::SmallInitial), 0);
    }
}

#[test]
fn a_blocklist_is_changed_while_the_node_runs() {
    let fleet = fleet("", 1000);
    let (client, probe) = (from(CLIENT[0][0], 0), asks_for_versions());
    for judge in JUDGES {
        let node = fleet.node(judge.0);
        fleet.router().route_to(&[judge.0]).expect("routed");
        assert!(is_answered(&fleet, client, &probe, SOON));

        let list = "# tests\n203.0.113.0/24\n2001:db8:c::2 # one of them\n";
        std::fs::write(node.blocklist(), list).expect("written");
        let said = node.ask(&["blocklist", "reload"]).expect("reloaded");
        assert_eq!(said, "2 networks: 2 added, 0 removed\n");
        is_dropped(&fleet, judge, client, &probe, Reason::Blocklisted);
        is_dropped(&fleet, judge, from(CLIENT[0][1], 0), &probe, Reason::Blocklisted);
        assert!(is_answered(&fleet, from(CLIENT[1][1], 0), &probe, SOON), "its neighbour");

        std::fs::write(node.blocklist(), "192.0.2.0/24\n203.0.113.1/24\n").expect("written");
        let error = node.ask(&["blocklist", "reload"]).expect_err("refused").to_string();
        let words = "blocklist:2: `203.0.113.1/24` has bits beyond its prefix";
        assert!(error.contains(words) && error.contains("nothing has changed"), "{error}");
        let shown = node.ask(&["blocklist", "list"]).expect("listed");
        assert_eq!(shown, "203.0.113.0/24\n2001:db8:c::2/128\n");
        is_dropped(&fleet, judge, client, &probe, Reason::Blocklisted);

        std::fs::write(node.blocklist(), "203.0.113.128/25\n").expect("written");
        let said = node.ask(&["blocklist", "reload"]).expect("reloaded");
        assert_eq!(said, "1 networks: 1 added, 2 removed\n");
        assert!(is_answered(&fleet, client, &probe, SOON), "not in that half");
    }
}

/// A client's first flight for each connection, and nothing after it: what a flood sends.
fn first_flight(config: &quinn::ClientConfig, target: SocketAddr) -> Result<Vec<Vec<u8>>> {
    let now = Instant::now();
    let endpoint = quinn_proto::EndpointConfig::default();
    let mut endpoint = quinn_proto::Endpoint::new(endpoint.into(), None, true, None);
    let (_, mut connection) =
        endpoint.connect(now, config.clone(), target, tests::credentials::SERVER_NAME)?;
    let mut flight = Vec::new();
    loop {
        let mut datagram = Vec::new();
        if connection.poll_transmit(now, 1, &mut datagram).is_none() {
            return Ok(flight);
        }
        flight.push(datagram);
    }
}

/// Floods until it is told to end.
fn flood(fleet: &Fleet, end: &AtomicBool) -> Result<()> {
    let target = SocketAddr::new(ANYCAST[0], PORT);
    fleet.client().namespace().enter(|| {
        while !end.load(Ordering::Relaxed) {
            let socket = UdpSocket::bind((CLIENT[0][0], 0))?;
            for datagram in first_flight(fleet.client().config(), target)? {
                socket.send_to(&datagram, target)?;
            }
            thread::sleep(Duration::from_millis(1)); // the clients have this core too
        }
        Ok(())
    })
}

/// One client after the other, each with a connection of its own and one request.
fn good_clients(fleet: &Fleet, from: IpAddr, name: &str, clients: usize) -> Result<()> {
    let anycast = ANYCAST[usize::from(from.is_ipv6())];
    fleet.client().run(async || {
        for client in 0..clients {
            let endpoint = http3::endpoint(from, fleet.client().config().clone())?;
            let connection = http3::Http3::connect(&endpoint, anycast).await;
            let connection = connection.with_context(|| format!("client {client} of {from}"))?;
            ensure!(connection.identity().await?.name == name, "another node answered");
            connection.close();
        }
        Ok(())
    })
}

fn has_pressure(node: &Node) -> bool {
    node.metrics().expect("metrics").sum("landfast_pressure", &[]) == 1
}

#[test]
fn a_flood_of_one_network_is_limited_and_clients_of_others_get_through() {
    let fleet = fleet("initials_per_second = 20\ninitials_burst = 20", 10);
    let namespace = fleet.client().namespace();
    namespace.ip(&format!("address add {NEIGHBOUR}/24 dev eth0")).expect("a second network");
    let back = "route add 203.0.112.0/24 via 203.0.113.2 dev client";
    fleet.router().namespace().ip(back).expect("routed back");
    for (name, program) in JUDGES {
        let node = fleet.node(name);
        fleet.router().route_to(&[name]).expect("routed");
        // Many more Initials than the budget, but no pressure.
        good_clients(&fleet, CLIENT[0][0], name, 30).expect("in peace all get in");
        assert!(!has_pressure(node));
        assert_eq!(count(node, program, Reason::InitialLimited), 0);

        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            let flooding = scope.spawn(|| flood(&fleet, &end));
            let limited = || has_pressure(node) && count(node, program, Reason::InitialLimited) > 0;
            let began = eventually("the flood is limited", SOON, limited);
            let neighbours = began
                .and_then(|()| good_clients(&fleet, NEIGHBOUR.into(), name, 5))
                .and_then(|()| good_clients(&fleet, CLIENT[1][1], name, 5));
            end.store(true, Ordering::Relaxed);
            flooding.join().expect("no panic").expect("flooded");
            neighbours.expect("clients of other networks get in");
        });
        assert!(node.log().contains("each network its budget of Initials"), "{}", node.log());
    }
    for (name, program) in JUDGES {
        let node = fleet.node(name);
        // Half-open handshakes end after 10 s, and pressure 5 s later.
        let calm = || !has_pressure(node);
        eventually("the pressure ends", 4 * SOON, calm).expect("ended");
        assert!(node.log().contains("handshakes are few again"), "{}", node.log());
        fleet.router().route_to(&[name]).expect("routed");
        let before = count(node, program, Reason::InitialLimited);
        good_clients(&fleet, CLIENT[0][0], name, 30).expect("all get in again");
        assert_eq!(count(node, program, Reason::InitialLimited), before);
    }
}

#[test]
fn packets_beyond_the_forward_budget_are_passed_and_counted() {
    let fleet = fleet("forwards_per_second = 20", 1000);
    for (forwarder, program) in [("b1", "steer_node"), ("a2", "relay")] {
        let node = fleet.node(forwarder);
        fleet.router().route_to(&["a1"]).expect("routed");
        fleet
            .client()
            .run(async || {
                let connection = fleet.client().connect(ANYCAST[0]).await?;
                ensure!(connection.identity().await?.name == "a1", "another node answered");
                fleet.router().route_to(&[forwarder])?;
                let mut download = connection.send("/bytes/20000000").await?;
                ensure!(download.recv_response().await?.status() == 200, "refused");
                // Its acknowledgements are the packets that cross; without them it stands still.
                let all = async { while let Ok(Some(_)) = download.recv_data().await {} };
                let _ = tokio::time::timeout(Duration::from_secs(2), all).await;
                Ok(())
            })
            .expect("downloading");
        eventually("some are beyond the budget", SOON, || {
            count(node, program, Reason::ForwardLimited) > 0
        })
        .expect("limited");
        assert!(count(node, program, Reason::Forwarded) >= 64, "the burst was forwarded");
        if program == "steer_node" {
            let passed = || {
                let limited = count(node, program, Reason::ForwardLimited);
                count(node, "edge", Reason::OwnerElsewhere) == limited
            };
            eventually("what is passed is counted", SOON, passed).expect("counted");
        }
    }
}
