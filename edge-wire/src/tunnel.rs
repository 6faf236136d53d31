//! Node to node: IP and UDP, sixteen bytes of ours, then the client's packet whole and untouched.
//!
//! ```text
//!  0               1               2               3
//! +---------------+---------------+---------------+---------------+
//! | version (3)   | flags (0)     | key ID        | reserved (0)  |
//! +---------------+---------------+---------------+---------------+
//! | source node                   | length of the inner packet    |
//! +-------------------------------+-------------------------------+
//! | tag: SipHash-1-3 over the IP and the UDP header of the inner  |
//! |      packet, then version and source node                     |
//! |                                                               |
//! +---------------------------------------------------------------+
//! ```
//!
//! That is 31 bytes in IPv4 and 51 in IPv6: what is no whole word goes into the block in which SipHash
//! puts the length of its input, so that it costs no block of its own. The inner headers are what the
//! owner believes of a packet; what is behind them QUIC protects itself. Of the bytes above the rest
//! need not be covered: flags and the reserved byte are zero or the header is not ours, the key ID says
//! which key makes the tag, and the length is refused where the inner IP header says another.
//!
//! An inner packet has 48 bytes at least, which hold the headers of either family: the shortest that
//! can name an owner has 49.
//!
//! Numbers are in network order, the tag little-endian as SipHash prints it. The outer source
//! port is a hash of the client's tuple, so that the owner's receive queues share the load; the
//! outer UDP checksum is zero (RFC 6935, RFC 6936: the inner packet has its own).

use crate::cursor::Cursor;
use crate::dissect::{Addresses, Family, IPV4_LEN, IPV6_LEN, UDP_LEN};
use crate::siphash::{Key, SipHash};

mod outer;

pub use outer::{
    Ipv4Front, Ipv4Headers, Ipv6Front, Ipv6Headers, Outer, ipv4_ends, ipv4_headers, ipv6_ends,
    ipv6_headers, write_ipv4, write_ipv6,
};

/// The version this code speaks.
pub const VERSION: u8 = 3;
/// Length of [`Header`].
pub const LEN: usize = 16;
/// The shortest inner packet, in bytes.
pub const MIN_INNER_LEN: usize = IPV6_LEN + UDP_LEN;
/// What encapsulation adds to a packet, by family.
pub const OVERHEAD_IPV4: usize = IPV4_LEN + UDP_LEN + LEN;
/// See [`OVERHEAD_IPV4`].
pub const OVERHEAD_IPV6: usize = IPV6_LEN + UDP_LEN + LEN;

/// What encapsulation adds to a packet where the outer headers are of this family.
#[inline(always)]
#[must_use]
pub const fn overhead(outer: Family) -> usize {
    match outer {
        Family::Ipv4 => OVERHEAD_IPV4,
        Family::Ipv6 => OVERHEAD_IPV6,
    }
}

/// What the tag covers of an inner packet: its IP and UDP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered<'packet> {
    /// Of IPv4.
    Ipv4(&'packet [u8; IPV4_LEN + UDP_LEN]),
    /// Of IPv6.
    Ipv6(&'packet [u8; IPV6_LEN + UDP_LEN]),
}

impl<'packet> Covered<'packet> {
    /// Of a packet of this family that begins at the cursor. `None` where it ends within them.
    #[inline(always)]
    #[must_use]
    pub fn take(mut inner: impl Cursor<'packet>, family: Family) -> Option<Self> {
        match family {
            Family::Ipv4 => inner.take().map(Self::Ipv4),
            Family::Ipv6 => inner.take().map(Self::Ipv6),
        }
    }

    /// Of a whole inner packet. `None` of one that is no IP packet, or too short to name an owner.
    #[must_use]
    pub fn of(inner: &'packet [u8]) -> Option<Self> {
        let long_enough = inner.len() >= MIN_INNER_LEN;
        let family = inner.first().copied().and_then(Family::of).filter(|_| long_enough)?;
        Self::take(inner, family)
    }
}

/// The sixteen bytes between the outer UDP header and the inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which key made the tag.
    pub key_id: u8,
    /// The node that encapsulated.
    pub source_node: u16,
    /// Length of the inner packet, by its own IP header.
    pub inner_len: u16,
    /// See the module.
    pub tag: u64,
}

impl Header {
    /// Makes the header for an inner packet.
    #[inline(always)]
    #[must_use]
    pub fn sealed(
        key: &Key,
        key_id: u8,
        source_node: u16,
        inner_len: u16,
        inner: Covered<'_>,
    ) -> Self {
        Self { key_id, source_node, inner_len, tag: tag(key, inner, source_node) }
    }

    /// The tag that an honest node would have made.
    #[inline(always)]
    #[must_use]
    pub fn expected_tag(&self, key: &Key, inner: Covered<'_>) -> u64 {
        tag(key, inner, self.source_node)
    }

    /// The first eight bytes as a little-endian word.
    #[inline(always)]
    fn front(&self) -> u64 {
        u64::from(VERSION)
            | (u64::from(self.key_id) << 16)
            | (u64::from(self.source_node.swap_bytes()) << 32)
            | (u64::from(self.inner_len.swap_bytes()) << 48)
    }

    /// As it stands in a packet.
    #[inline(always)]
    #[must_use]
    pub fn to_bytes(&self) -> [u8; LEN] {
        (u128::from(self.front()) | (u128::from(self.tag) << 64)).to_le_bytes()
    }

    /// Reads it. `None`: another version, a reserved bit is set, or there is less inside than can be.
    #[inline(always)]
    #[must_use]
    pub fn from_bytes(bytes: &[u8; LEN]) -> Option<Self> {
        let [version, flags, key_id, reserved, node_high, node_low, len_high, len_low, tag @ ..] =
            *bytes;
        let inner_len = u16::from_be_bytes([len_high, len_low]);
        if version != VERSION || flags != 0 || reserved != 0 || inner_len < MIN_INNER_LEN as u16 {
            return None;
        }
        Some(Self {
            key_id,
            source_node: u16::from_be_bytes([node_high, node_low]),
            inner_len,
            tag: u64::from_le_bytes(tag),
        })
    }
}

/// The tag over what it covers of the inner packet, version and source node.
#[inline(always)]
#[must_use]
pub fn tag(key: &Key, inner: Covered<'_>, source_node: u16) -> u64 {
    const OWN: usize = 3; // version and source node
    let own = u64::from(VERSION) | (u64::from(source_node.swap_bytes()) << 8);
    let mut hash = SipHash::new(key);
    // No loops: the kernel's programs would keep half of the state in memory.
    match inner {
        Covered::Ipv4(headers) => {
            let (words, _) = headers.as_chunks::<8>();
            let word = |index: usize| u64::from_le_bytes(words[index]);
            let [.., a, b, c, d] = *headers;
            hash.word(word(0));
            hash.word(word(1));
            hash.word(word(2));
            let tail = u64::from(u32::from_le_bytes([a, b, c, d])) | (own << 32);
            hash.finish(headers.len() + OWN, tail)
        }
        Covered::Ipv6(headers) => {
            let (words, _) = headers.as_chunks::<8>();
            let word = |index: usize| u64::from_le_bytes(words[index]);
            hash.word(word(0));
            hash.word(word(1));
            hash.word(word(2));
            hash.word(word(3));
            hash.word(word(4));
            hash.word(word(5));
            hash.finish(headers.len() + OWN, own)
        }
    }
}

/// The outer source port for a client's tuple: the dynamic range, 49152 to 65535.
#[inline(always)]
#[must_use]
pub fn source_port(addresses: &Addresses<'_>, client_port: u16) -> u16 {
    let client = match *addresses {
        Addresses::V4 { source, .. } => u32::from_ne_bytes(*source),
        Addresses::V6 { source: s, .. } => {
            u32::from_ne_bytes([s[0], s[1], s[2], s[3]])
                ^ u32::from_ne_bytes([s[4], s[5], s[6], s[7]])
                ^ u32::from_ne_bytes([s[8], s[9], s[10], s[11]])
                ^ u32::from_ne_bytes([s[12], s[13], s[14], s[15]])
        }
    };
    // Fibonacci hashing; only an even spread is asked of it, not secrecy.
    let mixed = (client ^ (u32::from(client_port) << 8)).wrapping_mul(0x9e37_79b1);
    0xc000 | (mixed >> 18) as u16
}

/// IPv4 and UDP headers around `payload_len` bytes: don't fragment, no UDP checksum.
#[inline(always)]
#[must_use]
pub fn ipv4_udp(
    source: [u8; 4],
    destination: [u8; 4],
    traffic_class: u8,
    ports: (u16, u16),
    payload_len: u16,
) -> [u8; IPV4_LEN + UDP_LEN] {
    let udp_len = payload_len + UDP_LEN as u16;
    let [len_high, len_low] = (udp_len + IPV4_LEN as u16).to_be_bytes();
    let [s0, s1, s2, s3] = source;
    let [d0, d1, d2, d3] = destination;
    let sum = u32::from(u16::from_be_bytes([0x45, traffic_class]))
        + u32::from(udp_len + IPV4_LEN as u16)
        + 0x4000
        + 0x4011
        + u32::from(u16::from_be_bytes([s0, s1]))
        + u32::from(u16::from_be_bytes([s2, s3]))
        + u32::from(u16::from_be_bytes([d0, d1]))
        + u32::from(u16::from_be_bytes([d2, d3]));
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [sum_high, sum_low] = (!(folded as u16)).to_be_bytes();
    let [sp0, sp1] = ports.0.to_be_bytes();
    let [dp0, dp1] = ports.1.to_be_bytes();
    let [ul0, ul1] = udp_len.to_be_bytes();
    [
        0x45,
        traffic_class,
        len_high,
        len_low, // version, header length; type of service; length
        0,
        0,
        0x40,
        0, // identification; don't fragment
        64,
        17,
        sum_high,
        sum_low, // time to live; UDP; checksum
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3, //
        sp0,
        sp1,
        dp0,
        dp1,
        ul0,
        ul1,
        0,
        0,
    ]
}

/// IPv6 and UDP headers around `payload_len` bytes, without a UDP checksum (RFC 6935).
#[inline(always)]
#[must_use]
pub fn ipv6_udp(
    source: [u8; 16],
    destination: [u8; 16],
    traffic_class: u8,
    ports: (u16, u16),
    payload_len: u16,
) -> [u8; IPV6_LEN + UDP_LEN] {
    let [ul0, ul1] = (payload_len + UDP_LEN as u16).to_be_bytes();
    let mut bytes = [0; IPV6_LEN + UDP_LEN];
    let [sp0, sp1] = ports.0.to_be_bytes();
    let [dp0, dp1] = ports.1.to_be_bytes();
    let front = [0x60 | (traffic_class >> 4), traffic_class << 4, 0, 0, ul0, ul1, 17, 64];
    bytes[..8].copy_from_slice(&front);
    bytes[8..24].copy_from_slice(&source);
    bytes[24..40].copy_from_slice(&destination);
    bytes[40..].copy_from_slice(&[sp0, sp1, dp0, dp1, ul0, ul1, 0, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cid, siphash};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The Internet checksum over a whole header is zero (RFC 1071).
    fn sum(header: &[u8]) -> u16 {
        let mut sum: u32 =
            header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_header_stands_in_network_order() {
        let header = Header { key_id: 2, source_node: 0x0304, inner_len: 0x0506, tag: 0x0807 };
        let bytes = header.to_bytes();
        assert_eq!(bytes[..8], [VERSION, 0, 2, 0, 3, 4, 5, 6]);
        assert_eq!(bytes[8..], [7, 8, 0, 0, 0, 0, 0, 0], "the tag is little-endian");
    }

    #[test]
    fn another_version_and_reserved_bits_are_refused() {
        let honest = Header { key_id: 1, source_node: 2, inner_len: 300, tag: 4 }.to_bytes();
        assert!(Header::from_bytes(&honest).is_some());
        for (place, bits) in [(0, 0..8), (1, 0..8), (3, 0..8)] {
            for bit in bits {
                let mut changed = honest;
                changed[place] ^= 1 << bit;
                assert_eq!(Header::from_bytes(&changed), None, "byte {place}, bit {bit}");
            }
        }
    }

    /// An inner packet that begins as one of this version, of anything.
    fn inner(version: u8, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[0] = version << 4;
        bytes
    }

    #[test]
    fn the_tag_is_siphash_of_the_inner_headers_then_version_and_sender() {
        let key = [3, 4];
        for (version, headers_len) in [(4, 28), (6, 48)] {
            let inner = inner(version, (0..100).collect());
            let header =
                Header::sealed(&key, 1, 0x0203, 100, Covered::of(&inner).expect("long enough"));
            let input = [&inner[..headers_len], &[VERSION, 2, 3]].concat();
            assert_eq!(header.tag, siphash::hash(&key, &input));
        }
    }

    #[test]
    fn what_is_too_short_to_name_an_owner_has_no_tag() {
        let header = |inner_len| Header { key_id: 1, source_node: 2, inner_len, tag: 4 };
        assert!(Header::from_bytes(&header(MIN_INNER_LEN as u16).to_bytes()).is_some());
        assert_eq!(Header::from_bytes(&header(MIN_INNER_LEN as u16 - 1).to_bytes()), None);
        const SHORTEST: usize = IPV4_LEN + UDP_LEN + 1 + cid::MAX_LEN;
        assert!(Covered::of(&inner(4, std::vec![0x5a; SHORTEST])).is_some());
        for version in [4, 6] {
            assert_eq!(Covered::of(&inner(version, std::vec![0x5a; MIN_INNER_LEN - 1])), None);
        }
    }

    #[test]
    fn what_is_no_ip_packet_has_no_tag() {
        for version in [0, 5, 7, 15] {
            assert_eq!(Covered::of(&inner(version, std::vec![0x5a; 100])), None);
        }
        assert_eq!(Covered::of(&[]), None);
    }

    #[test]
    fn ipv6_headers_are_as_rfc_8200_draws_them() {
        let (source, destination): ([u8; 16], _) = ([1; 16], [2; 16]);
        let bytes = ipv6_udp(source, destination, 0xb8, (50_000, 7842), 100);
        let expected: Vec<u8> = [
            &[0x6b, 0x80, 0, 0, 0, 108, 17, 64][..],
            &source,
            &destination,
            &[0xc3, 0x50, 0x1e, 0xa2, 0, 108, 0, 0],
        ]
        .concat();
        assert_eq!(bytes[..], expected);
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(
            key_id: u8, source_node: u16, inner_len in MIN_INNER_LEN as u16.., tag: u64,
        ) {
            let header = Header { key_id, source_node, inner_len, tag };
            prop_assert_eq!(Header::from_bytes(&header.to_bytes()), Some(header));
        }

        /// A forged bit of what is covered, another sender, or another key: another tag.
        #[test]
        fn a_forgery_has_another_tag(
            key: [u64; 2], bytes in prop::collection::vec(any::<u8>(), MIN_INNER_LEN..200),
            ipv6: bool, bit in 0..8 * MIN_INNER_LEN,
        ) {
            let (version, headers_len) = if ipv6 { (6, 48) } else { (4, 28) };
            let packet = inner(version, bytes);
            let covered = Covered::of(&packet).expect("long enough");
            let honest = Header::sealed(&key, 1, 2, packet.len() as u16, covered);
            let mut forged = packet.clone();
            let bit = bit % (8 * headers_len);
            forged[bit / 8] ^= 1 << (bit % 8);
            let expected = Covered::of(&forged).map(|forged| honest.expected_tag(&key, forged));
            prop_assert_ne!(expected, Some(honest.tag));
            let of_another = Header { source_node: 3, ..honest };
            prop_assert_ne!(of_another.expected_tag(&key, covered), honest.tag);
            prop_assert_ne!(honest.expected_tag(&[key[0] ^ 1, key[1]], covered), honest.tag);
        }

        #[test]
        fn ipv4_headers_sum_to_zero(
            source: [u8; 4], destination: [u8; 4], traffic_class: u8, ports: (u16, u16),
            payload_len in 0..65_507u16,
        ) {
            let bytes = ipv4_udp(source, destination, traffic_class, ports, payload_len);
            let (ip, udp) = bytes.split_at(IPV4_LEN);
            prop_assert_eq!(sum(ip), 0);
            prop_assert_eq!((ip[0], ip[1], ip[9]), (0x45, traffic_class, 17));
            prop_assert_eq!(&ip[2..4], &(payload_len + 28).to_be_bytes());
            prop_assert_eq!(&ip[12..], &[source, destination].concat());
            prop_assert_eq!(&udp[..4], &[ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat());
            prop_assert_eq!(&udp[4..], &[(payload_len + 8).to_be_bytes(), [0, 0]].concat());
        }

        #[test]
        fn source_ports_are_dynamic_ones(source: [u8; 16], port: u16) {
            let [a, b, c, d, ..] = source;
            let ipv4 = Addresses::V4 { source: &[a, b, c, d], destination: &[0; 4] };
            let ipv6 = Addresses::V6 { source: &source, destination: &[0; 16] };
            prop_assert!(source_port(&ipv4, port) >= 49_152);
            prop_assert!(source_port(&ipv6, port) >= 49_152);
        }
    }
}
