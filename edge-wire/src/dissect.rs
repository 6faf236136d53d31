//! From an Ethernet frame to the destination connection ID: the only parser there is.
//!
//! It follows what a QUIC packet of ours can look like and gives a [`Reason`] for all else.
//! Nothing it returns reaches beyond the lengths that the headers themselves declare.

use crate::Reason;
use crate::cid::{self, Candidate, MAX_LEN, MIN_LEN};
use crate::cursor::Cursor;

/// The EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// The EtherType of a VLAN tag (IEEE 802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8; // IEEE 802.1ad
const UDP: u8 = 17;
const IPV6_FRAGMENT: u8 = 44;

/// QUIC version 1 (RFC 9000).
pub const VERSION_1: u32 = 1;
/// QUIC version 2 (RFC 9369).
pub const VERSION_2: u32 = 0x6b33_43cf;
/// A client's datagram with an Initial packet is at least this long (RFC 9000 section 14.1).
pub const MIN_INITIAL_LEN: u16 = 1200;

/// What a long header holds in front of the connection ID: a byte, the version, and its length.
pub const LONG_HEAD_LEN: usize = 6;

/// Length of an Ethernet header without tags.
pub const ETHERNET_LEN: usize = 14;
/// Length of a VLAN tag.
pub const VLAN_LEN: usize = 4;
/// Length of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Length of an IPv6 header.
pub const IPV6_LEN: usize = 40;
/// Length of a UDP header.
pub const UDP_LEN: usize = 8;

/// Addresses of a packet, which say its family too. Where they stand in the packet: the kernel's
/// stack has no room for copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses<'packet> {
    /// IPv4.
    V4 {
        /// The sender.
        source: &'packet [u8; 4],
        /// The receiver.
        destination: &'packet [u8; 4],
    },
    /// IPv6.
    V6 {
        /// The sender.
        source: &'packet [u8; 16],
        /// The receiver.
        destination: &'packet [u8; 16],
    },
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// As an Ethernet header says it.
    #[inline(always)]
    #[must_use]
    pub const fn ethertype(self) -> u16 {
        match self {
            Self::Ipv4 => ETHERTYPE_IPV4,
            Self::Ipv6 => ETHERTYPE_IPV6,
        }
    }

    /// Of the IP packet that begins with this byte.
    #[inline(always)]
    #[must_use]
    pub const fn of(first: u8) -> Option<Self> {
        match first >> 4 {
            4 => Some(Self::Ipv4),
            6 => Some(Self::Ipv6),
            _ => None,
        }
    }
}

impl Addresses<'_> {
    /// The family of both.
    #[inline(always)]
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::V4 { .. } => Family::Ipv4,
            Self::V6 { .. } => Family::Ipv6,
        }
    }
}

/// A UDP datagram in an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'packet> {
    /// Family, sender and receiver.
    pub addresses: Addresses<'packet>,
    /// DSCP and ECN: the type of service, or traffic class.
    pub traffic_class: u8,
    /// The whole IP packet, by its own header. Never more than there is in the frame.
    pub ip_len: u16,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub destination_port: u16,
    /// Bytes behind the UDP header, by that header.
    pub payload_len: u16,
}

/// Reads the Ethernet header with up to two VLAN tags. Returns the length of it all and the
/// family's EtherType; the cursor stands at the IP header.
///
/// # Errors
/// [`Reason::Malformed`] where the frame ends early.
#[inline(always)]
pub fn ethernet<'a>(cursor: &mut impl Cursor<'a>) -> Result<(usize, u16), Reason> {
    cursor.take::<12>().ok_or(Reason::Malformed)?;
    let mut ethertype = cursor.take_u16().ok_or(Reason::Malformed)?;
    let mut length = ETHERNET_LEN;
    if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN {
        (length, ethertype) = (length + VLAN_LEN, vlan(cursor)?);
        if ethertype == ETHERTYPE_VLAN {
            (length, ethertype) = (length + VLAN_LEN, vlan(cursor)?);
        }
    }
    Ok((length, ethertype))
}

#[inline(always)]
fn vlan<'a>(cursor: &mut impl Cursor<'a>) -> Result<u16, Reason> {
    let [_, _, high, low] = *cursor.take().ok_or(Reason::Malformed)?;
    Ok(u16::from_be_bytes([high, low]))
}

/// Reads IP and UDP. The cursor stands at the payload afterwards.
///
/// # Errors
/// The Reason why this is not a UDP datagram that can be steered.
#[inline(always)]
pub fn udp<'a>(cursor: &mut impl Cursor<'a>, ethertype: u16) -> Result<Udp<'a>, Reason> {
    match ethertype {
        ETHERTYPE_IPV4 => ipv4(cursor),
        ETHERTYPE_IPV6 => ipv6(cursor),
        _ => Err(Reason::NotIp),
    }
}

#[inline(always)]
fn ipv4<'a>(cursor: &mut impl Cursor<'a>) -> Result<Udp<'a>, Reason> {
    let present = cursor.remaining();
    let [version, traffic_class, len_high, len_low] = *cursor.take().ok_or(Reason::Malformed)?;
    let [_, _, fragment_high, fragment_low] = *cursor.take().ok_or(Reason::Malformed)?;
    let [_, protocol, _, _] = *cursor.take().ok_or(Reason::Malformed)?;
    let source = cursor.take().ok_or(Reason::Malformed)?;
    let destination = cursor.take().ok_or(Reason::Malformed)?;
    let ip_len = u16::from_be_bytes([len_high, len_low]);
    if version >> 4 != 4 || version & 0x0f < 5 {
        return Err(Reason::Malformed);
    }
    if version & 0x0f > 5 {
        return Err(Reason::IpOptions);
    }
    // Either "more fragments" or an offset (RFC 791 section 3.1).
    if u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff != 0 {
        return Err(Reason::Fragment);
    }
    if protocol != UDP {
        return Err(Reason::NotUdp);
    }
    let addresses = Addresses::V4 { source, destination };
    datagram(cursor, addresses, traffic_class, ip_len, IPV4_LEN, present)
}

#[inline(always)]
fn ipv6<'a>(cursor: &mut impl Cursor<'a>) -> Result<Udp<'a>, Reason> {
    let present = cursor.remaining();
    let [version, class_low, _, _] = *cursor.take().ok_or(Reason::Malformed)?;
    let [len_high, len_low, next_header, _] = *cursor.take().ok_or(Reason::Malformed)?;
    let source = cursor.take().ok_or(Reason::Malformed)?;
    let destination = cursor.take().ok_or(Reason::Malformed)?;
    let payload_len = u16::from_be_bytes([len_high, len_low]);
    if version >> 4 != 6 || payload_len > u16::MAX - IPV6_LEN as u16 {
        return Err(Reason::Malformed);
    }
    match next_header {
        UDP => {}
        IPV6_FRAGMENT => return Err(Reason::Fragment),
        // Hop-by-hop, routing, destination options, authentication, mobility, HIP, shim6
        // (the IANA registry of extension header types).
        0 | 43 | 60 | 51 | 135 | 139 | 140 => return Err(Reason::IpOptions),
        _ => return Err(Reason::NotUdp),
    }
    let addresses = Addresses::V6 { source, destination };
    let traffic_class = (version << 4) | (class_low >> 4);
    datagram(cursor, addresses, traffic_class, payload_len + IPV6_LEN as u16, IPV6_LEN, present)
}

#[inline(always)]
fn datagram<'a>(
    cursor: &mut impl Cursor<'a>,
    addresses: Addresses<'a>,
    traffic_class: u8,
    ip_len: u16,
    header_len: usize,
    present: usize,
) -> Result<Udp<'a>, Reason> {
    let [s0, s1, d0, d1, l0, l1, _, _] = *cursor.take().ok_or(Reason::Malformed)?;
    let udp_len = u16::from_be_bytes([l0, l1]);
    // An Ethernet frame may be padded behind the packet, but never end before it.
    if usize::from(ip_len) > present
        || usize::from(udp_len) < UDP_LEN
        || header_len + usize::from(udp_len) > usize::from(ip_len)
    {
        return Err(Reason::Malformed);
    }
    Ok(Udp {
        addresses,
        traffic_class,
        ip_len,
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        payload_len: udp_len - UDP_LEN as u16,
    })
}

/// The version-independent head of a QUIC packet (RFC 8999 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quic {
    /// A long header; the connection ID of this length follows.
    Long {
        /// The first byte, whose bits mean what the version says.
        first: u8,
        /// The version; 0 in Version Negotiation, which no client sends.
        version: u32,
        /// Length of the destination connection ID, 0 to 255.
        id_len: u8,
    },
    /// A short header; the connection ID follows, as long as the receiver makes them.
    Short,
}

impl Quic {
    /// What stands in front of the connection ID, in bytes.
    #[inline(always)]
    #[must_use]
    pub const fn head_len(&self) -> usize {
        match self {
            Self::Long { .. } => LONG_HEAD_LEN,
            Self::Short => 1,
        }
    }

    /// Is it an Initial packet of a version whose types we know? They differ: RFC 9000
    /// section 17.2.2, RFC 9369 section 3.2.
    #[inline(always)]
    #[must_use]
    pub const fn is_initial(&self) -> bool {
        match *self {
            Self::Long { first, version: VERSION_1, .. } => first & 0x30 == 0,
            Self::Long { first, version: VERSION_2, .. } => first & 0x30 == 0x10,
            _ => false,
        }
    }
}

/// Reads up to where the destination connection ID begins. The fixed bit is not looked at:
/// it may be greased (RFC 9287), and another version may give it another meaning.
///
/// # Errors
/// [`Reason::NotQuic`] where the datagram ends early.
#[inline(always)]
pub fn quic<'a>(cursor: &mut impl Cursor<'a>) -> Result<Quic, Reason> {
    let first = cursor.take_u8().ok_or(Reason::NotQuic)?;
    if first & 0x80 == 0 {
        return Ok(Quic::Short);
    }
    let [a, b, c, d, id_len] = *cursor.take().ok_or(Reason::NotQuic)?;
    Ok(Quic::Long { first, version: u32::from_be_bytes([a, b, c, d]), id_len })
}

/// As [`quic`], in the payload of `udp`: an Ethernet frame may be padded, and a header that reaches
/// into the padding is none.
///
/// # Errors
/// As [`quic`].
#[inline(always)]
pub fn quic_in<'a>(cursor: &mut impl Cursor<'a>, udp: &Udp<'_>) -> Result<Quic, Reason> {
    let quic = quic(cursor)?;
    if quic.head_len() > usize::from(udp.payload_len) {
        return Err(Reason::NotQuic);
    }
    Ok(quic)
}

/// Where a connection ID of ours may stand, behind what [`quic`] read.
///
/// # Errors
/// [`Reason::NewConnection`] where a long header gives it a length that ours never have,
/// [`Reason::NotQuic`] where the datagram ends before the longest of them could.
#[inline(always)]
pub fn candidate<'a>(cursor: &mut impl Cursor<'a>, quic: &Quic) -> Result<Candidate, Reason> {
    let declared_len = match *quic {
        Quic::Long { id_len, .. } if !(MIN_LEN..=MAX_LEN).contains(&usize::from(id_len)) => {
            return Err(Reason::NewConnection);
        }
        Quic::Long { id_len, .. } => id_len,
        Quic::Short => 0,
    };
    Ok(Candidate::new(cursor.take().ok_or(Reason::NotQuic)?, declared_len))
}

/// As [`candidate`], in the payload of `udp`, behind what [`quic_in`] read.
///
/// # Errors
/// As [`candidate`].
#[inline(always)]
pub fn candidate_in<'a>(
    cursor: &mut impl Cursor<'a>,
    quic: &Quic,
    udp: &Udp<'_>,
) -> Result<Candidate, Reason> {
    let candidate = candidate(cursor, quic)?;
    if quic.head_len() + MAX_LEN > usize::from(udp.payload_len) {
        return Err(Reason::NotQuic);
    }
    Ok(candidate)
}

/// As [`quic`] and [`candidate`], of a whole datagram.
///
/// # Errors
/// As theirs.
#[inline(always)]
pub fn candidate_of<'a>(mut datagram: impl Cursor<'a>) -> Result<Candidate, Reason> {
    let quic = quic(&mut datagram)?;
    candidate(&mut datagram, &quic)
}

/// What there is of the destination connection ID, whoever made it: at most [`MAX_LEN`] bytes,
/// zeros behind them, and their number. As [`crate::cid::worker_by_hash`] takes it, so that all
/// first packets of a connection go one way.
#[inline(always)]
pub fn any_connection_id<'a>(cursor: &mut impl Cursor<'a>) -> ([u8; MAX_LEN], u8) {
    let mut id = [0; MAX_LEN];
    let length = match quic(cursor) {
        Ok(Quic::Long { id_len, .. }) => usize::from(id_len).min(MAX_LEN),
        // As long as one of ours would be that begins so.
        Ok(Quic::Short) => first_of(cursor).map_or(0, cid::self_encoded_len).min(MAX_LEN),
        Err(_) => 0,
    };
    let mut present = 0;
    for byte in &mut id {
        if usize::from(present) == length {
            break;
        }
        let Some(next) = cursor.take_u8() else { break };
        *byte = next;
        present += 1;
    }
    (id, present)
}

/// The next byte, left where it is.
#[inline(always)]
fn first_of<'a>(cursor: &impl Cursor<'a>) -> Option<u8> {
    { *cursor }.take_u8()
}

#[cfg(test)]
mod tests;
