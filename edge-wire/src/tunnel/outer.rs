//! The outer headers, made in two steps: what is the same for every packet to a node is ready in the
//! kernel's map ([`crate::maps::NodeEntry`]), by the word; what differs is written over it.
//!
//! All numbers of 16 bits are handled as they stand in memory: the Internet checksum does not mind
//! (RFC 1071 section 2B).

use super::{Header, LEN};
use crate::dissect::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_LEN, IPV6_LEN, UDP_LEN};

/// EtherType and IPv4 header, up to a whole word. Length and type of service are zero, and in the
/// place of the checksum stands the sum of all the rest, not inverted.
pub type Ipv4Headers = [u8; 24];
/// EtherType and IPv6 header, up to a whole half word. Length and traffic class are zero.
pub type Ipv6Headers = [u8; 44];

/// What stands between the MAC addresses and a packet that is sent on in IPv4.
pub type Ipv4Front = [u8; 2 + IPV4_LEN + UDP_LEN + LEN];
/// As [`Ipv4Front`], in IPv6.
pub type Ipv6Front = [u8; 2 + IPV6_LEN + UDP_LEN + LEN];

/// What differs from packet to packet.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'header> {
    /// Type of service, or traffic class.
    pub traffic_class: u8,
    /// UDP source and destination port.
    pub ports: (u16, u16),
    /// Our own header.
    pub header: &'header Header,
}

const HOPS: u8 = 64;
const UDP: u8 = 17;
const DONT_FRAGMENT: u8 = 0x40;

/// What is the same for every packet between these addresses.
#[must_use]
pub fn ipv4_headers(source: [u8; 4], destination: [u8; 4]) -> Ipv4Headers {
    let mut headers = [0; 24];
    headers[..2].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
    headers[2] = 0x45; // version, and the length of the header
    headers[8] = DONT_FRAGMENT;
    [headers[10], headers[11]] = [HOPS, UDP];
    headers[14..18].copy_from_slice(&source);
    headers[18..22].copy_from_slice(&destination);
    let (words, _) = headers[2..22].as_chunks::<2>();
    let sum = words.iter().map(|word| u32::from(u16::from_ne_bytes(*word))).sum();
    headers[12..14].copy_from_slice(&folded(sum).to_ne_bytes());
    headers
}

/// As [`ipv4_headers`].
#[must_use]
pub fn ipv6_headers(source: [u8; 16], destination: [u8; 16]) -> Ipv6Headers {
    let mut headers = [0; 44];
    headers[..2].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
    headers[2] = 0x60; // version
    [headers[8], headers[9]] = [UDP, HOPS];
    headers[10..26].copy_from_slice(&source);
    headers[26..42].copy_from_slice(&destination);
    headers
}

/// The sender's and the receiver's address.
#[inline(always)]
#[must_use]
pub fn ipv4_ends(headers: &Ipv4Headers) -> [[u8; 4]; 2] {
    let h = headers;
    [[h[14], h[15], h[16], h[17]], [h[18], h[19], h[20], h[21]]]
}

/// The sender's and the receiver's address.
#[inline(always)]
#[must_use]
pub fn ipv6_ends(headers: &Ipv6Headers) -> [&[u8; 16]; 2] {
    let (_, ends) = headers.split_at(10);
    let (ends, _) = ends.as_chunks();
    [&ends[0], &ends[1]]
}

/// Writes all of it.
#[inline(always)]
pub fn write_ipv4(to: &mut Ipv4Front, headers: &Ipv4Headers, outer: &Outer<'_>) {
    let udp_len = outer.header.inner_len + (LEN + UDP_LEN) as u16;
    let ip_len = (udp_len + IPV4_LEN as u16).to_be_bytes();
    let service = [0x45, outer.traffic_class];
    let sum = u32::from(u16::from_ne_bytes([headers[12], headers[13]]))
        + u32::from(u16::from_ne_bytes([0, outer.traffic_class]))
        + u32::from(u16::from_ne_bytes(ip_len));
    put(to, 0, word(headers, 0));
    put(to, 8, word(headers, 8));
    put(to, 16, word(headers, 16));
    to[2..4].copy_from_slice(&service);
    to[4..6].copy_from_slice(&ip_len);
    to[12..14].copy_from_slice(&(!folded(sum)).to_ne_bytes());
    put(to, 22, udp(outer.ports, udp_len));
    put(to, 30, outer.header.front());
    put(to, 38, outer.header.tag);
}

/// As [`write_ipv4`].
#[inline(always)]
pub fn write_ipv6(to: &mut Ipv6Front, headers: &Ipv6Headers, outer: &Outer<'_>) {
    let udp_len = outer.header.inner_len + (LEN + UDP_LEN) as u16;
    let class = outer.traffic_class;
    put(to, 0, word(headers, 0));
    put(to, 8, word(headers, 8));
    put(to, 16, word(headers, 16));
    put(to, 24, word(headers, 24));
    put(to, 34, word(headers, 34));
    put(to, 32, word(headers, 32));
    to[2..4].copy_from_slice(&[0x60 | (class >> 4), class << 4]);
    to[6..8].copy_from_slice(&udp_len.to_be_bytes());
    put(to, 42, udp(outer.ports, udp_len));
    put(to, 50, outer.header.front());
    put(to, 58, outer.header.tag);
}

/// A UDP header without a checksum (RFC 6935).
#[inline(always)]
fn udp(ports: (u16, u16), length: u16) -> u64 {
    u64::from(ports.0.to_be())
        | (u64::from(ports.1.to_be()) << 16)
        | (u64::from(length.to_be()) << 32)
}

/// A sum of 16-bit words with what it carried added in, twice: three terms carry no more.
#[inline(always)]
const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Eight bytes as a little-endian word.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    let b = bytes;
    u64::from_le_bytes([
        b[at],
        b[at + 1],
        b[at + 2],
        b[at + 3],
        b[at + 4],
        b[at + 5],
        b[at + 6],
        b[at + 7],
    ])
}

#[inline(always)]
fn put(to: &mut [u8], at: usize, word: u64) {
    to[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{ipv4_udp, ipv6_udp};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn expected(ethertype: u16, ip_udp: &[u8], header: &Header) -> Vec<u8> {
        [&ethertype.to_be_bytes()[..], ip_udp, &header.to_bytes()].concat()
    }

    proptest! {
        /// As the headers that are made from their parts.
        #[test]
        fn what_is_written_over_makes_whole_headers(
            source: [u8; 16], destination: [u8; 16], traffic_class: u8, ports: (u16, u16),
            inner_len in 0..=65_000u16, key_id: u8, source_node: u16, tag: u64,
        ) {
            let header = Header { key_id, source_node, inner_len, tag };
            let outer = Outer { traffic_class, ports, header: &header };
            let payload_len = inner_len + LEN as u16;

            let mut front = [0xa5; _];
            let headers = ipv6_headers(source, destination);
            prop_assert_eq!(ipv6_ends(&headers), [&source, &destination]);
            write_ipv6(&mut front, &headers, &outer);
            let ip_udp = ipv6_udp(source, destination, traffic_class, ports, payload_len);
            prop_assert_eq!(&front[..], &expected(ETHERTYPE_IPV6, &ip_udp, &header));

            let [source, destination] =
                [source, destination].map(|end| *end.first_chunk().expect("16 bytes"));
            let mut front = [0xa5; _];
            let headers = ipv4_headers(source, destination);
            prop_assert_eq!(ipv4_ends(&headers), [source, destination]);
            write_ipv4(&mut front, &headers, &outer);
            let ip_udp = ipv4_udp(source, destination, traffic_class, ports, payload_len);
            prop_assert_eq!(&front[..], &expected(ETHERTYPE_IPV4, &ip_udp, &header));
        }
    }
}
