//! From another node's encapsulation to the client's datagram: bytes in, datagram or Reason out.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use edge_wire::Reason;
use edge_wire::cursor::Cursor;
use edge_wire::dissect::{self, Addresses, Family, Udp};
use edge_wire::tunnel::{Covered, Header};
use quinn_udp::EcnCodepoint;

use super::peers::Peers;
use crate::quic::{Datagram, Via};

/// Takes the client's datagram out of what came to the encapsulation port from `sender`.
///
/// # Errors
/// The Reason why it is dropped, the same that `steer_node` would count.
pub(super) fn unwrap(peers: &Peers, sender: IpAddr, bytes: &[u8]) -> Result<Datagram, Reason> {
    let mut cursor = bytes;
    let header = cursor.take().ok_or(Reason::EncapsulationMalformed)?;
    let header = Header::from_bytes(header).ok_or(Reason::EncapsulationMalformed)?;
    let inner = cursor;
    if inner.len() != usize::from(header.inner_len) {
        return Err(Reason::EncapsulationMalformed);
    }
    let key = peers.key(header.key_id).ok_or(Reason::EncapsulationKey)?;
    let sender = sender.to_canonical();
    if peers.address(header.source_node, sender) != Some(sender) {
        return Err(Reason::EncapsulationSender);
    }
    let covered = Covered::of(inner).ok_or(Reason::EncapsulationMalformed)?;
    if header.expected_tag(key, covered) != header.tag {
        return Err(Reason::EncapsulationForged);
    }
    client_datagram(peers, inner).ok_or(Reason::EncapsulationMalformed)
}

/// Reads the inner packet, of either family. `None`: it is not a UDP datagram to us.
fn client_datagram(peers: &Peers, inner: &[u8]) -> Option<Datagram> {
    let mut cursor = inner;
    let family = Family::of(*inner.first()?)?;
    let udp = dissect::udp(&mut cursor, family.ethertype()).ok()?;
    let (client, destination) = endpoints(&udp);
    if usize::from(udp.ip_len) != inner.len()
        || destination.port() != peers.port
        || !peers.is_anycast(destination.ip())
    {
        return None;
    }
    let payload = cursor.get(..usize::from(udp.payload_len))?;
    Some(Datagram {
        client,
        destination,
        ecn: EcnCodepoint::from_bits(udp.traffic_class),
        payload: BytesMut::from(payload),
        via: Via::Node,
    })
}

fn endpoints(udp: &Udp) -> (SocketAddr, SocketAddr) {
    let (source, destination) = match udp.addresses {
        Addresses::V4 { source, destination } => {
            (IpAddr::from(*source), IpAddr::from(*destination))
        }
        Addresses::V6 { source, destination } => {
            (IpAddr::from(*source), IpAddr::from(*destination))
        }
    };
    (SocketAddr::new(source, udp.source_port), SocketAddr::new(destination, udp.destination_port))
}
