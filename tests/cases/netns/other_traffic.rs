//! What is no QUIC of ours goes on to the kernel, counted, and is never sent to a node.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use edge_wire::Reason;
use edge_wire::cid::ServerId;
use tests::fleet::client::first_address;
use tests::fleet::raw_ip::RawIp;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, PORT, eventually};
use tests::packet::{Packet, short_header};

const WITHIN: Duration = Duration::from_secs(5);
/// Of a fragment that others follow, in the third byte of the IPv4 header's second word.
const MORE_FRAGMENTS: u8 = 0x20;
/// No operation (RFC 791 section 3.1).
const NO_OPERATION: u8 = 1;

fn count(fleet: &Fleet, program: &str, reason: Reason) -> u64 {
    fleet.node("a2").metrics().expect("metrics").packets(program, reason)
}

/// Sends packets and waits until a2 has counted each in the kernel for `reason`, and one datagram
/// in the process, which knows it to be another node's and drops it. The kernel's count may be
/// larger: a link that has just come up reports its multicast groups, in packets with the Router
/// Alert option (RFC 3376 section 4).
fn expect(fleet: &Fleet, packets: &[Vec<u8>], reason: Reason) {
    let counts =
        || [count(fleet, "steer_node", reason), count(fleet, "edge", Reason::OwnerElsewhere)];
    let [in_kernel, in_edge] = counts();
    fleet.client().namespace().enter(|| {
        let raw = RawIp::open().expect("raw sockets");
        packets.iter().for_each(|packet| raw.send(packet).expect("sent"));
    });
    let expected = [in_kernel + packets.len() as u64, in_edge + 1];
    let as_expected = || {
        let [in_kernel, in_edge] = counts();
        in_kernel >= expected[0] && in_edge == expected[1]
    };
    eventually(reason.name(), WITHIN, as_expected)
        .unwrap_or_else(|error| panic!("{error:#}: {:?}, not {expected:?}", counts()));
}

/// A datagram of a1's connection.
fn of_a1(fleet: &Fleet) -> Packet {
    let owner = ServerId { node: 1, worker: 0, generation: 1 };
    let id = fleet.connection_id(owner).expect("an ID");
    Packet::ipv4().payload(short_header(&id, 62)).with(|packet| {
        packet.source = SocketAddr::new(first_address(ANYCAST[0]), 4711);
        packet.destination = SocketAddr::new(ANYCAST[0], PORT);
    })
}

#[test]
fn fragments_and_options_go_on_to_the_kernel() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a2"]).expect("routed");
    // 8 bytes of UDP header, 80 behind: the second fragment begins at 48.
    let whole = of_a1(&fleet).with(|packet| packet.fragment = [0x12, 0x34, 0, 0]).ip();
    let (header, datagram) = whole.split_at(20);
    let fragment = |flags: u8, offset: u8, part: &[u8]| {
        let mut header = header.to_vec();
        header[2..4].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
        header[6..8].copy_from_slice(&[flags, offset / 8]);
        [&header, part].concat()
    };
    let fragments =
        [fragment(MORE_FRAGMENTS, 0, &datagram[..48]), fragment(0, 48, &datagram[48..])];
    expect(&fleet, &fragments, Reason::Fragment);

    let mut header = of_a1(&fleet).ip()[..20].to_vec();
    header[0] = 0x46;
    header[2..4].copy_from_slice(&(24 + datagram.len() as u16).to_be_bytes());
    let options = [&header[..], &[NO_OPERATION; 4], datagram].concat();
    expect(&fleet, &[options], Reason::IpOptions);
    assert_eq!(count(&fleet, "steer_node", Reason::Forwarded), 0);
}

#[test]
fn other_protocols_and_ports_are_answered_by_the_kernel() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a2"]).expect("routed");
    for anycast in ANYCAST {
        let reasons = [Reason::NotUdp, Reason::OtherPort];
        let before = reasons.map(|reason| count(&fleet, "steer_node", reason));
        let refused = fleet.client().namespace().enter(|| [tcp(anycast), udp(anycast)]);
        assert_eq!(refused, [ErrorKind::ConnectionRefused; 2], "no server of the host answers");
        for (reason, before) in reasons.into_iter().zip(before) {
            let counted = || count(&fleet, "steer_node", reason) > before;
            eventually(reason.name(), WITHIN, counted).expect("counted");
        }
    }
}

/// How a TCP connection to the port of HTTP/3 fails.
fn tcp(anycast: IpAddr) -> ErrorKind {
    let connected = TcpStream::connect_timeout(&SocketAddr::new(anycast, PORT), WITHIN);
    connected.expect_err("nobody listens").kind()
}

/// How a datagram to another port fails: by an ICMP error.
fn udp(anycast: IpAddr) -> ErrorKind {
    let socket = UdpSocket::bind((first_address(anycast), 0)).expect("a port");
    socket.set_read_timeout(Some(WITHIN)).expect("a timeout");
    socket.connect((anycast, PORT + 1)).expect("a route");
    socket.send(b"who").expect("sent");
    socket.recv(&mut [0; 8]).expect_err("nobody listens").kind()
}
