//! Builds packets byte by byte. Nothing here calls the code under test, so that a fault of it
//! is not built into what is expected of it.

use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use siphasher::sip::SipHasher13;

/// EtherType of an IEEE 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an IEEE 802.1ad tag.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

/// A UDP datagram in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Receiving and sending MAC address.
    pub macs: ([u8; 6], [u8; 6]),
    /// VLAN tags from the outside in: EtherType and VLAN ID.
    pub tags: Vec<(u16, u16)>,
    /// Address and port of the sender.
    pub source: SocketAddr,
    /// Address and port of the receiver, of the same family.
    pub destination: SocketAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// The protocol behind the IP header, which is written as if it were UDP.
    pub protocol: u8,
    /// Identification, flags and offset of the IPv4 fragment.
    pub fragment: [u8; 4],
    /// Whether the UDP checksum is written; without, it is zero.
    pub checksum: bool,
    /// Behind the UDP header.
    pub payload: Vec<u8>,
}

impl Packet {
    /// From a client to an anycast address over IPv4, without payload.
    #[must_use]
    pub fn ipv4() -> Self {
        Self::between("203.0.113.9:4711", "192.0.2.1:443")
    }

    /// From a client to an anycast address over IPv6, without payload.
    #[must_use]
    pub fn ipv6() -> Self {
        Self::between("[2001:db8:c::9]:4711", "[2001:db8:a::1]:443")
    }

    fn between(source: &str, destination: &str) -> Self {
        Self {
            macs: ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0xfe]),
            tags: Vec::new(),
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            traffic_class: 0,
            hops: 57,
            protocol: UDP,
            fragment: [0x12, 0x34, 0x40, 0],
            checksum: true,
            payload: Vec::new(),
        }
    }

    /// With this payload.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// To this port.
    #[must_use]
    pub fn to_port(mut self, port: u16) -> Self {
        self.destination.set_port(port);
        self
    }

    /// With one more tag, inside those that are there.
    #[must_use]
    pub fn tag(mut self, ethertype: u16, vlan: u16) -> Self {
        self.tags.push((ethertype, vlan));
        self
    }

    /// With this DSCP and ECN.
    #[must_use]
    pub fn traffic_class(mut self, traffic_class: u8) -> Self {
        self.traffic_class = traffic_class;
        self
    }

    /// Changed by hand.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        [self.link(), self.ip()].concat()
    }

    /// The Ethernet header with its tags.
    #[must_use]
    pub fn link(&self) -> Vec<u8> {
        let mut bytes = [self.macs.0, self.macs.1].concat();
        for (ethertype, vlan) in &self.tags {
            bytes.extend(ethertype.to_be_bytes());
            bytes.extend(vlan.to_be_bytes());
        }
        let ethertype: u16 = if self.source.is_ipv4() { 0x0800 } else { 0x86dd };
        bytes.extend(ethertype.to_be_bytes());
        bytes
    }

    /// The IP packet.
    #[must_use]
    pub fn ip(&self) -> Vec<u8> {
        let udp = self.udp();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [self.ipv4_header(source, destination, udp.len()), udp].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                [self.ipv6_header(source, destination, udp.len()), udp].concat()
            }
            _ => panic!("two families in one packet"),
        }
    }

    fn ipv4_header(&self, source: Ipv4Addr, destination: Ipv4Addr, payload: usize) -> Vec<u8> {
        let mut header = vec![0x45, self.traffic_class];
        header.extend(length(20 + payload));
        header.extend(self.fragment);
        header.extend([self.hops, self.protocol, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum);
        header
    }

    fn ipv6_header(&self, source: Ipv6Addr, destination: Ipv6Addr, payload: usize) -> Vec<u8> {
        let mut header = vec![0x60 | (self.traffic_class >> 4), self.traffic_class << 4, 0, 0];
        header.extend(length(payload));
        header.extend([self.protocol, self.hops]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header
    }

    fn udp(&self) -> Vec<u8> {
        let mut udp =
            [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        udp.extend(length(8 + self.payload.len()));
        udp.extend([0, 0]);
        udp.extend(&self.payload);
        if self.checksum {
            let mut pseudo = Vec::new();
            for address in [self.source.ip(), self.destination.ip()] {
                match address {
                    IpAddr::V4(address) => pseudo.extend(address.octets()),
                    IpAddr::V6(address) => pseudo.extend(address.octets()),
                }
            }
            pseudo.extend([0, UDP]);
            pseudo.extend(length(udp.len()));
            pseudo.extend(&udp);
            let sum = checksum(&pseudo);
            udp[6..8].copy_from_slice(&sum);
        }
        udp
    }
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("an IP packet is no longer").to_be_bytes()
}

/// The Internet checksum (RFC 1071).
#[must_use]
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A packet with a short header (RFC 9000 section 17.3) and `rest` bytes behind the ID.
#[must_use]
pub fn short_header(id: &[u8], rest: usize) -> Vec<u8> {
    [&[0x43], id, &filling(rest)].concat()
}

/// A packet with a long header (RFC 8999 section 5.1), no source connection ID, and `rest` bytes.
#[must_use]
pub fn long_header(first: u8, version: u32, id: &[u8], rest: usize) -> Vec<u8> {
    let id_len = u8::try_from(id.len()).expect("an ID is no longer");
    let mut bytes = vec![first | 0x80];
    bytes.extend(version.to_be_bytes());
    bytes.push(id_len);
    bytes.extend(id);
    bytes.push(0);
    bytes.extend(filling(rest));
    bytes
}

/// Bytes that differ from their neighbours.
#[must_use]
pub fn filling(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + 3) as u8).collect()
}

/// The sixteen bytes of ours in front of an inner packet, as `edge_wire::tunnel` documents them.
#[derive(Clone, Copy, Debug)]
pub struct Encapsulation {
    /// Version.
    pub version: u8,
    /// Reserved: flags.
    pub flags: u8,
    /// Which key made the tag.
    pub key_id: u8,
    /// Reserved.
    pub reserved: u8,
    /// Who encapsulated.
    pub source_node: u16,
    /// Added to the true length of the inner packet.
    pub length_error: u16,
}

impl Encapsulation {
    /// As a node makes it.
    #[must_use]
    pub fn by(source_node: u16, key_id: u8) -> Self {
        Self { version: 3, flags: 0, key_id, reserved: 0, source_node, length_error: 0 }
    }

    /// The header and the inner packet, the tag made under `key`.
    #[must_use]
    pub fn around(&self, inner: &[u8], key: [u64; 2]) -> Vec<u8> {
        let inner_len = u16::try_from(inner.len()).expect("an IP packet is no longer");
        let mut header = vec![self.version, self.flags, self.key_id, self.reserved];
        header.extend(self.source_node.to_be_bytes());
        header.extend(inner_len.wrapping_add(self.length_error).to_be_bytes());
        let mut hash = SipHasher13::new_with_keys(key[0], key[1]);
        let headers_len = if inner.first().is_some_and(|first| first >> 4 == 4) { 28 } else { 48 };
        hash.write(&inner[..inner.len().min(headers_len)]);
        hash.write(&header[..1]); // version
        hash.write(&header[4..6]); // source node
        header.extend(hash.finish().to_le_bytes());
        [&header, inner].concat()
    }
}
