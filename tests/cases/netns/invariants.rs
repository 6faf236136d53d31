//! QUIC by what no version changes (RFC 8999): packets find their owner by the connection ID
//! alone, whatever else they are.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use edge_wire::Reason;
use edge_wire::cid::ServerId;
use tests::fleet::client::first_address;
use tests::fleet::raw_ip::RawIp;
use tests::fleet::{ANYCAST, Fleet, FleetOptions, PORT, eventually};
use tests::packet::{Packet, filling, long_header, short_header};

const VERSION_1: u32 = 1;
/// RFC 9369 section 3.1.
const VERSION_2: u32 = 0x6b33_43cf;
/// Reserved to be unknown (RFC 9000 section 15).
const GREASED_VERSION: u32 = 0x1a2a_3a4a;
/// The bit that RFC 9287 lets a sender clear.
const FIXED_BIT: u8 = 0x40;

#[test]
fn the_connection_id_alone_says_where_a_packet_goes() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a2"]).expect("routed");
    let owner = ServerId { node: 1, worker: 0, generation: 1 };
    let id = fleet.connection_id(owner).expect("an ID");
    let mut payloads = vec![short_header(&id, 60)];
    payloads.push([&[payloads[0][0] & !FIXED_BIT], &payloads[0][1..]].concat());
    for version in [VERSION_1, VERSION_2, GREASED_VERSION] {
        // Each of the four types, which versions 1 and 2 number differently; as long as an Initial
        // has to be.
        payloads.extend((0..4).map(|kind| long_header(0xc3 | kind << 4, version, &id, 1200)));
    }
    payloads.push(long_header(0x83, GREASED_VERSION, &id, 60));
    for anycast in ANYCAST {
        let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        for payload in &payloads {
            let packet = Packet::ipv4().payload(payload.clone()).with(|packet| {
                packet.source = SocketAddr::new(first_address(anycast), 4711);
                packet.destination = SocketAddr::new(anycast, PORT);
            });
            let send = || RawIp::open().and_then(|raw| raw.send(&packet.ip()));
            fleet.client().namespace().enter(send).expect("sent");
        }
        counted.expect(payloads.len() as u64).expect("each crosses");
    }
}

/// RFC 9000 section 6.1: the answer is a list of versions, from the node where the packet landed.
#[test]
fn an_unknown_version_with_a_clients_own_id_is_told_which_there_are() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    fleet.router().route_to(&["a2"]).expect("routed");
    for anycast in ANYCAST {
        let versions = fleet.client().namespace().enter(|| ask_for_versions(anycast));
        assert!(versions.contains(&VERSION_1), "{versions:x?}");
    }
    let metrics = fleet.node("a2").metrics().expect("metrics");
    assert_eq!(metrics.packets("steer_node", Reason::Forwarded), 0);
    assert_eq!(metrics.packets("steer_node", Reason::NewConnection), 2);
}

fn ask_for_versions(anycast: IpAddr) -> Vec<u32> {
    let (id, source_id) = ([7; 8], [9; 5]);
    let socket = UdpSocket::bind((first_address(anycast), 0)).expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut asked = long_header(0xc3, GREASED_VERSION, &id, 0);
    let length = asked.len();
    asked[length - 1] = source_id.len() as u8;
    asked.extend(source_id);
    asked.extend(filling(1200 - asked.len()));
    socket.send_to(&asked, (anycast, PORT)).expect("sent");
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).expect("an answer");
    // A long header of version 0, our IDs changed round (RFC 8999 section 6).
    let head = [&[0; 4][..], &[5], &source_id, &[8], &id].concat();
    let (first, rest) = answer[..length].split_first().expect("not empty");
    assert!(first & 0x80 != 0 && rest.starts_with(&head), "{:x?}", &answer[..length]);
    let versions = rest[head.len()..].chunks_exact(4);
    versions.map(|version| u32::from_be_bytes(version.try_into().expect("four bytes"))).collect()
}

/// quinn clears the bit where the other end allows it (RFC 9287 section 3).
#[test]
fn a_client_that_greases_keeps_its_owner() {
    let fleet = Fleet::start(&FleetOptions::pair()).expect("a fleet");
    for anycast in ANYCAST {
        fleet.router().route_to(&["a1"]).expect("routed");
        let tap = fleet.tap().expect("a tap");
        let counted = fleet.crossings(&["a2"], &["a1"]).expect("counters");
        let asked = fleet.client().run(async || {
            let connection = fleet.client().connect(anycast).await?;
            let first = connection.identity().await?;
            fleet.router().route_to(&["a2"])?;
            for _ in 0..30 {
                assert_eq!(connection.identity().await?, first);
            }
            Ok(())
        });
        asked.expect("answered");
        counted.expect(30).expect("packets cross to their owner");
        let greased = || {
            let crossings = tap.crossings();
            let firsts = crossings.iter().map(|crossing| crossing.inner.payload[0]);
            firsts.filter(|first| first & (0x80 | FIXED_BIT) == 0).count()
        };
        eventually("cleared bits are heard", Duration::from_secs(2), || greased() > 0)
            .expect("the client greases, or nothing was shown");
    }
}
