//! From a client's datagram to the encapsulation for another node: the inner IP and UDP headers
//! are made anew, because the socket that received the datagram has taken them off. Of the traffic
//! class it tells the ECN bits only, so that the DSCP is 0 inside and outside.

use std::net::{IpAddr, SocketAddr};

use edge_wire::Reason;
use edge_wire::dissect::{Addresses, IPV4_LEN, IPV6_LEN, UDP_LEN};
use edge_wire::tunnel::{self, Covered, Header};

use super::peers::Peers;
use crate::quic::{Datagram, Via};

const UDP: u8 = 17;

/// Writes the encapsulation for `node` into `out`, and returns where to send it.
///
/// # Errors
/// The Reason why the datagram cannot be sent on.
pub(super) fn wrap(
    peers: &Peers,
    node: u16,
    datagram: &Datagram,
    out: &mut Vec<u8>,
) -> Result<SocketAddr, Reason> {
    if datagram.via == Via::Node {
        return Err(Reason::OwnerElsewhere);
    }
    let client = canonical(datagram.client);
    let address = peers.way(node, client.ip()).ok_or(Reason::NoNextHop)?;
    let key = peers.key(peers.key_id).ok_or(Reason::EncapsulationKey)?;
    out.clear();
    out.resize(tunnel::LEN, 0);
    inner_headers(client, canonical(datagram.destination), datagram, out)?;
    out.extend_from_slice(&datagram.payload);
    let (front, inner) = out.split_at_mut(tunnel::LEN);
    let inner_len = u16::try_from(inner.len()).map_err(|_| Reason::TooBig)?;
    let covered = Covered::of(inner).ok_or(Reason::Malformed)?;
    let header = Header::sealed(key, peers.key_id, peers.node, inner_len, covered);
    front.copy_from_slice(&header.to_bytes());
    Ok(SocketAddr::new(address, peers.encapsulation_port))
}

/// A number for a client's address and port, by which the outer source port is chosen: what the
/// kernel side makes the port itself of.
pub(super) fn source_hash(client: SocketAddr) -> u16 {
    let client = canonical(client);
    match client.ip() {
        IpAddr::V4(address) => {
            let (source, destination) = (&address.octets(), &[0; 4]);
            tunnel::source_port(&Addresses::V4 { source, destination }, client.port())
        }
        IpAddr::V6(address) => {
            let (source, destination) = (&address.octets(), &[0; 16]);
            tunnel::source_port(&Addresses::V6 { source, destination }, client.port())
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn inner_headers(
    client: SocketAddr,
    destination: SocketAddr,
    datagram: &Datagram,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let payload = &datagram.payload[..];
    let traffic_class = datagram.ecn.map_or(0, |ecn| ecn as u8);
    let ports = (client.port(), destination.port());
    let payload_len = u16::try_from(payload.len()).map_err(|_| Reason::TooBig)?;
    if payload.len() + IPV6_LEN + UDP_LEN > usize::from(u16::MAX) {
        return Err(Reason::TooBig);
    }
    match (client.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let mut bytes =
                tunnel::ipv4_udp(source, destination, traffic_class, ports, payload_len);
            let sum = udp_checksum(&source, &destination, &bytes[IPV4_LEN..], payload);
            bytes[IPV4_LEN + 6..].copy_from_slice(&sum);
            out.extend_from_slice(&bytes);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let mut bytes =
                tunnel::ipv6_udp(source, destination, traffic_class, ports, payload_len);
            let sum = udp_checksum(&source, &destination, &bytes[IPV6_LEN..], payload);
            bytes[IPV6_LEN + 6..].copy_from_slice(&sum);
            out.extend_from_slice(&bytes);
        }
        // No socket receives such a datagram; there is no way to send it anywhere either.
        _ => return Err(Reason::NoNextHop),
    }
    Ok(())
}

/// The checksum over pseudo-header, UDP header (its own field zero) and payload: RFC 768, and
/// RFC 8200 section 8.1 for IPv6. Both sum the same words.
pub(super) fn udp_checksum(
    source: &[u8],
    destination: &[u8],
    header: &[u8],
    payload: &[u8],
) -> [u8; 2] {
    let length = (header.len() + payload.len()) as u64;
    let sum = sum_of_words(source)
        + sum_of_words(destination)
        + u64::from(UDP)
        + length
        + sum_of_words(header)
        + sum_of_words(payload);
    let mut folded = sum;
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    // Zero would say that there is none.
    match !(folded as u16) {
        0 => [0xff, 0xff],
        checksum => checksum.to_be_bytes(),
    }
}

fn sum_of_words(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<2>();
    let whole: u64 = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
    whole + tail.first().map_or(0, |byte| u64::from(*byte) << 8)
}
