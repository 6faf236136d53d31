mod fuzz;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use edge_wire::cid::{Codec, DEFAULT_LEN, ServerId};
use edge_wire::{Reason, tunnel};
use proptest::prelude::*;
use quinn_udp::EcnCodepoint;
use tokio::sync::{mpsc, oneshot};

use super::peers::Peers;
use super::unwrap::unwrap;
use super::wrap::{udp_checksum, wrap};
use super::{Relay, RelayOrder, ToRelay};
use crate::config::{Config, Liveness, NodeConfig};
use crate::quic::driver::ToWorker;
use crate::quic::{Datagram, Via};
use crate::steering::tables::samples;
use fleet_wire::secrets::{EncapsulationSecret, Secrets};

/// Two nodes on loopback, seen from `node`.
fn config(node: u16, encapsulation_port: u16) -> Config {
    let mut config = samples::config(node);
    config.steering.encapsulation_port = encapsulation_port;
    config.nodes = [1, 2].map(loopback_node).to_vec();
    config
}

fn loopback_node(id: u16) -> NodeConfig {
    NodeConfig {
        id,
        name: format!("n{id}"),
        site: "here".into(),
        ipv4: Some(Ipv4Addr::new(127, 0, 0, id as u8)),
        ipv6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, id)),
        liveness: Liveness::Live,
    }
}

/// As short as a datagram that names an owner can be.
const SHORTEST: &[u8] = &[7; 1 + edge_wire::cid::MAX_LEN];

fn peers(node: u16) -> Peers {
    Peers::new(&config(node, 7842), &samples::secrets())
}

fn datagram(ipv6: bool, payload: &[u8], ecn: Option<EcnCodepoint>) -> Datagram {
    let (client, destination) = if ipv6 {
        ("[2001:db8::99]:4711", "[2001:db8::1]:443")
    } else {
        ("203.0.113.9:4711", "192.0.2.1:443")
    };
    Datagram {
        client: client.parse().expect("address"),
        destination: destination.parse().expect("address"),
        ecn,
        payload: BytesMut::from(payload),
        via: Via::Wire,
    }
}

fn wrapped(ipv6: bool, payload: &[u8]) -> (SocketAddr, Vec<u8>) {
    let mut out = Vec::new();
    let target = wrap(&peers(1), 2, &datagram(ipv6, payload, None), &mut out).expect("wrapped");
    (target, out)
}

fn sender(ipv6: bool) -> std::net::IpAddr {
    peers(2).address(1, datagram(ipv6, b"", None).client.ip()).expect("configured")
}

#[test]
fn udp_checksum_of_a_known_packet() {
    // RFC 1071 by hand: 10.0.0.1 -> 10.0.0.2, ports 1 and 2, length 11, payload 0x010203.
    // 0a00+0001+0a00+0002 + 0011+000b + 0001+0002+000b+0000 + 0102+0300 = 0x182c -> 0xe7d3... less carry.
    let header = [0, 1, 0, 2, 0, 11, 0, 0];
    let sum = udp_checksum(&[10, 0, 0, 1], &[10, 0, 0, 2], &header, &[1, 2, 3]);
    let words: u32 = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 11 + 1 + 2 + 11 + 0x0102 + 0x0300;
    assert_eq!(u32::from(u16::from_be_bytes(sum)), 0xffff - words);
}

#[test]
fn a_checksum_of_zero_is_sent_as_all_ones() {
    // Pseudo-header and header of nothing sum to 17 + 8 + 8; the payload makes up the rest.
    let header = [0, 0, 0, 0, 0, 8, 0, 0];
    let rest = 0xffffu16 - 17 - 10 - 8;
    assert_eq!(udp_checksum(&[0; 4], &[0; 4], &header, &rest.to_be_bytes()), [0xff, 0xff]);
}

#[test]
fn the_wrapped_packet_goes_to_the_owner_with_checksums_that_hold() {
    for ipv6 in [false, true] {
        let (target, bytes) = wrapped(ipv6, SHORTEST);
        assert_eq!(target.port(), 7842);
        assert_eq!(Some(target.ip()), peers(1).address(2, target.ip()));
        let inner = &bytes[tunnel::LEN..];
        let (addresses, udp) = if ipv6 { (&inner[8..40], 40) } else { (&inner[12..20], 20) };
        let (source, destination) = addresses.split_at(addresses.len() / 2);
        let mut header = inner[udp..udp + 8].to_vec();
        let claimed: [u8; 2] = header[6..].try_into().expect("two bytes");
        header[6..].fill(0);
        assert_eq!(udp_checksum(source, destination, &header, &inner[udp + 8..]), claimed);
    }
}

#[test]
fn what_came_from_a_node_is_never_sent_to_a_node_again() {
    let mut datagram = datagram(false, b"x", None);
    datagram.via = Via::Node;
    assert_eq!(wrap(&peers(1), 2, &datagram, &mut Vec::new()), Err(Reason::OwnerElsewhere));
}

#[test]
fn what_is_too_short_to_name_an_owner_is_not_sent() {
    let datagram = datagram(false, b"x", None);
    assert_eq!(wrap(&peers(1), 2, &datagram, &mut Vec::new()), Err(Reason::Malformed));
}

#[test]
fn a_node_without_an_address_of_the_family_has_no_next_hop() {
    let datagram = datagram(false, b"x", None);
    for node in [1, 3, 4096] {
        assert_eq!(wrap(&peers(1), node, &datagram, &mut Vec::new()), Err(Reason::NoNextHop));
    }
}

#[test]
fn a_node_with_one_family_is_reached_by_it_whatever_the_client_has() {
    let mut config = config(1, 7842);
    config.nodes[1].ipv4 = None;
    let peers_of_one = Peers::new(&config, &samples::secrets());
    config.node = 2;
    let its_own = Peers::new(&config, &samples::secrets());
    for ipv6 in [false, true] {
        let sent = datagram(ipv6, SHORTEST, None);
        let mut out = Vec::new();
        let target = wrap(&peers_of_one, 2, &sent, &mut out).expect("wrapped");
        assert!(target.is_ipv6());
        let got = unwrap(&its_own, sender(true), &out).expect("honest");
        assert_eq!((got.client, &got.payload[..]), (sent.client, SHORTEST));
    }
    // Without a family in common there is no way.
    config.nodes[0].ipv6 = None;
    let apart = Peers::new(&config, &samples::secrets());
    let sent = datagram(true, b"x", None);
    assert_eq!(wrap(&apart, 1, &sent, &mut Vec::new()), Err(Reason::NoNextHop));
}

#[test]
fn more_than_an_ip_packet_holds_is_too_big() {
    let datagram = datagram(false, &[0; 65_500], None);
    assert_eq!(wrap(&peers(1), 2, &datagram, &mut Vec::new()), Err(Reason::TooBig));
}

#[test]
fn a_forged_tag_is_refused_wherever_the_bit_was_turned() {
    for ipv6 in [false, true] {
        let (_, bytes) = wrapped(ipv6, &[7; 100]);
        // The tag, and what it covers of the inner packet.
        let headers_len = if ipv6 { 48 } else { 28 };
        for at in 8..tunnel::LEN + headers_len {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let reason = unwrap(&peers(2), sender(ipv6), &forged).expect_err("forged");
            assert_eq!(reason, Reason::EncapsulationForged, "byte {at}");
        }
    }
}

#[test]
fn an_address_that_is_not_the_named_nodes_is_refused() {
    let (_, bytes) = wrapped(false, SHORTEST);
    for sender in ["127.0.0.2", "127.0.0.3", "fd00::2"] {
        let reason = unwrap(&peers(2), sender.parse().expect("address"), &bytes);
        assert_eq!(reason.expect_err("not node 1"), Reason::EncapsulationSender);
    }
    // Nor is what claims to be from ourselves.
    let own = unwrap(&peers(1), sender(false), &bytes);
    assert_eq!(own.expect_err("from ourselves"), Reason::EncapsulationSender);
}

#[test]
fn a_key_that_this_node_does_not_hold_is_refused() {
    let (_, mut bytes) = wrapped(false, SHORTEST);
    for key_id in [1, 2, 3, 4, 255] {
        bytes[2] = key_id;
        let reason = unwrap(&peers(2), sender(false), &bytes).expect_err("unknown key");
        assert_eq!(reason, Reason::EncapsulationKey);
    }
}

#[test]
fn a_key_rotates_without_a_packet_lost() {
    let mut secrets = samples::secrets();
    secrets.encapsulation_keys.push(EncapsulationSecret { key_id: 3, key: [9; 16] });
    secrets.encapsulate_with = 3;
    let (new, both) =
        (Peers::new(&config(1, 7842), &secrets), Peers::new(&config(2, 7842), &secrets));
    let mut out = Vec::new();
    wrap(&new, 2, &datagram(false, SHORTEST, None), &mut out).expect("wrapped");
    assert!(unwrap(&both, sender(false), &out).is_ok());
    let (_, old) = wrapped(false, SHORTEST);
    assert!(unwrap(&both, sender(false), &old).is_ok());
}

#[test]
fn truncated_at_any_length_it_is_malformed() {
    for ipv6 in [false, true] {
        let (_, bytes) = wrapped(ipv6, &[7; 40]);
        for length in 0..bytes.len() {
            let reason = unwrap(&peers(2), sender(ipv6), &bytes[..length]).expect_err("short");
            assert_eq!(reason, Reason::EncapsulationMalformed);
        }
    }
}

#[test]
fn an_inner_packet_for_another_port_or_address_is_malformed() {
    let mut to_port = datagram(false, SHORTEST, None);
    to_port.destination.set_port(53);
    let mut to_address = datagram(false, SHORTEST, None);
    to_address.destination.set_ip(Ipv4Addr::new(192, 0, 2, 77).into());
    for datagram in [to_port, to_address] {
        let mut out = Vec::new();
        wrap(&peers(1), 2, &datagram, &mut out).expect("wrapped");
        let reason = unwrap(&peers(2), sender(false), &out).expect_err("not for us");
        assert_eq!(reason, Reason::EncapsulationMalformed);
    }
}

proptest! {
    #[test]
    fn unwrapping_undoes_wrapping(
        ipv6: bool,
        payload in prop::collection::vec(any::<u8>(), SHORTEST.len()..1500),
        ecn in 0u8..4,
    ) {
        let ecn = EcnCodepoint::from_bits(ecn);
        let sent = datagram(ipv6, &payload, ecn);
        let mut out = Vec::new();
        wrap(&peers(1), 2, &sent, &mut out).expect("wrapped");
        let got = unwrap(&peers(2), sender(ipv6), &out).expect("honest");
        prop_assert_eq!(got.client, sent.client);
        prop_assert_eq!(got.destination, sent.destination);
        prop_assert_eq!(got.ecn, ecn);
        prop_assert_eq!(got.via, Via::Node);
        prop_assert_eq!(&got.payload[..], &payload[..]);
    }

    #[test]
    fn no_bytes_make_it_panic(ipv6: bool, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(unwrap(&peers(2), sender(ipv6), &bytes).is_err());
    }
}

fn secrets_and_id(owner: ServerId) -> (Secrets, Vec<u8>) {
    let secrets = samples::secrets();
    let config = &secrets.connection_ids[0];
    let codec = Codec::landfast(config.config_id, DEFAULT_LEN, config.key.as_ref()).expect("valid");
    let id = codec.encode(&owner.to_bytes(), &[5; 12]).as_slice().to_vec();
    (secrets, id)
}

/// A port that is free on both loopback addresses, as far as one can know.
fn free_port() -> u16 {
    let probe = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    probe.local_addr().expect("bound").port()
}

fn ipv4_only(mut config: Config) -> Config {
    config.nodes.iter_mut().for_each(|node| node.ipv6 = None);
    config
}

#[tokio::test]
async fn a_datagram_travels_from_one_nodes_worker_to_the_owners() {
    let owner = ServerId { node: 2, worker: 1, generation: 6 };
    let (secrets, id) = secrets_and_id(owner);
    let port = free_port();
    let (near, near_handle) =
        Relay::bind(&ipv4_only(config(1, port)), &secrets, 0, 1).expect("bound");
    let (far, far_handle) =
        Relay::bind(&ipv4_only(config(2, port)), &secrets, 6, 2).expect("bound");
    let (not_owner, mut other) = mpsc::channel(1);
    let (to_owner, mut inbox) = mpsc::channel(1);
    let near = tokio::spawn(near.run(Vec::new()));
    let far = tokio::spawn(far.run(vec![not_owner, to_owner]));

    let payload = [&[0x40][..], &id, b"protected"].concat();
    for _ in 0..2 {
        let datagram = datagram(false, &payload, Some(EcnCodepoint::Ect0));
        near_handle.inbox.send(ToRelay { node: 2, datagram }).await.expect("running");
    }
    let got = tokio::time::timeout(Duration::from_secs(5), inbox.recv()).await;
    let ToWorker::Datagram(got) = got.expect("in time").expect("running") else {
        panic!("a datagram")
    };
    assert_eq!(&got.payload[..], &payload[..]);
    assert_eq!((got.via, got.ecn), (Via::Node, Some(EcnCodepoint::Ect0)));
    assert!(other.try_recv().is_err());

    let (ask, answer) = oneshot::channel();
    near_handle.orders.send(RelayOrder::Report(ask)).await.expect("running");
    let report = answer.await.expect("answered");
    assert_eq!(report.reasons[Reason::Forwarded as usize], 2);
    assert_eq!(report.reasons.iter().sum::<u64>(), 2);
    drop((near_handle, far_handle));
    near.await.expect("no panic").expect("no error");
    far.await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_worker_whose_queue_is_full_costs_datagrams_not_the_relay() {
    let (secrets, id) = secrets_and_id(ServerId { node: 2, worker: 0, generation: 0 });
    let port = free_port();
    let (far, handle) = Relay::bind(&ipv4_only(config(2, port)), &secrets, 0, 1).expect("bound");
    let (inbox, _held) = mpsc::channel(1);
    let far = tokio::spawn(far.run(vec![inbox]));
    let near = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("bound");
    let payload = [&[0x40][..], &id, b"protected"].concat();
    let (_, bytes) = wrapped(false, &payload);
    for _ in 0..5 {
        near.send_to(&bytes, (Ipv4Addr::new(127, 0, 0, 2), port)).expect("sent");
    }
    near.send_to(b"junk", (Ipv4Addr::new(127, 0, 0, 2), port)).expect("sent");
    // The sum is asked for until all have arrived.
    let report = loop {
        let (ask, answer) = oneshot::channel();
        handle.orders.send(RelayOrder::Report(ask)).await.expect("running");
        let report = answer.await.expect("answered");
        if report.reasons.iter().sum::<u64>() == 6 {
            break report;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(report.reasons[Reason::Stripped as usize], 1);
    assert_eq!(report.reasons[Reason::QueueFull as usize], 4);
    assert_eq!(report.reasons[Reason::EncapsulationMalformed as usize], 1);
    drop(handle);
    far.await.expect("no panic").expect("no error");
}

/// The owner's card spreads what the relay sends over its queues, and keeps each client in order.
#[tokio::test]
async fn clients_leave_from_ports_of_their_own() {
    let (secrets, id) = secrets_and_id(ServerId { node: 2, worker: 0, generation: 0 });
    let port = free_port();
    let (near, handle) = Relay::bind(&ipv4_only(config(1, port)), &secrets, 0, 1).expect("bound");
    let far = tokio::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), port)).await;
    let far = far.expect("bound");
    let near = tokio::spawn(near.run(Vec::new()));
    let payload = [&[0x40][..], &id, b"protected"].concat();
    let mut ports = std::collections::BTreeSet::new();
    for client in 0..200 {
        let mut both = [0; 2];
        for source_port in &mut both {
            let mut datagram = datagram(false, &payload, None);
            datagram.client.set_port(1024 + client);
            handle.inbox.send(ToRelay { node: 2, datagram }).await.expect("running");
            let mut buffer = [0; 1500];
            let received = far.recv_from(&mut buffer);
            let received = tokio::time::timeout(Duration::from_secs(5), received).await;
            let (_, from) = received.expect("in time").expect("received");
            assert_eq!(from.ip(), Ipv4Addr::new(127, 0, 0, 1), "the node's own address");
            *source_port = from.port();
        }
        assert_eq!(both[0], both[1], "a client stays with its port");
        ports.insert(both[0]);
    }
    assert_eq!(ports.len(), crate::limits::RELAY_SOURCE_PORTS);
    assert!(!ports.contains(&port));
    drop(handle);
    near.await.expect("no panic").expect("no error");
}

#[test]
fn who_is_sent_to_and_believed_changes_with_the_fleet() {
    let mut peers = peers(1);
    let (_, bytes) = wrapped(false, SHORTEST);
    let from_two = {
        let mut out = Vec::new();
        wrap(&self::peers(2), 1, &datagram(false, SHORTEST, None), &mut out).expect("wrapped");
        out
    };
    let two = loopback_node(2);
    let sender = |node: &NodeConfig| node.ipv4.expect("there").into();
    unwrap(&peers, sender(&two), &from_two).expect("a node's");
    let moved = NodeConfig { ipv4: Some(Ipv4Addr::new(127, 0, 0, 3)), ..two.clone() };
    peers.set_nodes(&[loopback_node(1), moved.clone()]);
    assert_eq!(unwrap(&peers, sender(&two), &from_two).err(), Some(Reason::EncapsulationSender));
    unwrap(&peers, sender(&moved), &from_two).expect("it is there now");
    let mut out = Vec::new();
    let target = wrap(&peers, 2, &datagram(false, SHORTEST, None), &mut out).expect("wrapped");
    assert_eq!(target.ip(), sender(&moved));
    assert_eq!(out.len(), bytes.len());
    peers.set_nodes(&[loopback_node(1)]);
    assert_eq!(unwrap(&peers, sender(&moved), &from_two).err(), Some(Reason::EncapsulationSender));
    let wrapped = wrap(&peers, 2, &datagram(false, SHORTEST, None), &mut out);
    assert_eq!(wrapped, Err(Reason::NoNextHop));
}
