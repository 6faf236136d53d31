//! What the kernel's maps hold of a node: all that a packet on its way there needs, in a cache line of
//! one map for IPv4 and of another for IPv6, with the outer headers ready made.

use super::{Node, Path};
use crate::dissect::{Family, IPV4_LEN, IPV6_LEN};
use crate::tunnel::{Ipv4Headers, Ipv6Headers, ipv4_headers, ipv6_headers};

/// The value of the map [`super::NODES`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeEntry {
    /// What is spent of [`super::Local::forwards`] with this node. The kernel's to write.
    pub spent_ns: u64,
    /// One of [`super::NodeState`].
    pub state: u32,
    /// By which device in IPv4.
    pub ipv4: Link,
    /// In front of a packet in IPv4; zeros where there is no address at one of its ends.
    pub ipv4_headers: Ipv4Headers,
    /// So that the next entry begins a cache line.
    pub zeros: [u8; 8],
}

/// The value of the map [`super::NODES_IPV6`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Entry {
    /// By which device in IPv6.
    pub link: Link,
    /// As [`NodeEntry::ipv4_headers`], in IPv6.
    pub headers: Ipv6Headers,
}

/// The next hop.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// See [`Path::interface`].
    pub interface: u32,
    /// See [`Path::mtu`].
    pub mtu: u16,
    /// See [`Path::vlan`].
    pub vlan: u16,
    /// How the Ethernet header begins: the next hop's MAC address, then the device's.
    pub macs: [u8; 12],
}

/// Outer headers of either family.
#[derive(Clone, Copy, Debug)]
pub enum Headers<'entry> {
    /// IPv4.
    Ipv4(&'entry Ipv4Headers),
    /// IPv6.
    Ipv6(&'entry Ipv6Headers),
}

impl NodeEntry {
    /// Nothing is spent yet.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        let ipv4 = &node.ipv4;
        Self {
            spent_ns: 0,
            state: node.state,
            ipv4: Link::new(ipv4),
            ipv4_headers: if has_ends(ipv4) {
                ipv4_headers(first_four(&ipv4.source), first_four(&ipv4.destination))
            } else {
                [0; _]
            },
            zeros: [0; 8],
        }
    }

    /// The way for a packet of the family `inner`: its own where both ends have an address of it,
    /// else the other. As [`Node::way`]. `ipv6` is asked for the node's other entry only where the
    /// packet's family is not IPv4, or IPv4 is no way. `None` where it has none.
    #[inline(always)]
    #[must_use]
    pub fn way<'entry>(
        &'entry self,
        ipv6: impl FnOnce() -> Option<&'entry Ipv6Entry>,
        inner: Family,
    ) -> Option<(&'entry Link, Headers<'entry>)> {
        let ipv4 = (&self.ipv4, Headers::Ipv4(&self.ipv4_headers));
        if inner == Family::Ipv4 && self.ipv4_headers[0] != 0 {
            return Some(ipv4);
        }
        let ipv6 = ipv6()?;
        if inner == Family::Ipv6 && ipv6.headers[0] == 0 {
            return Some(ipv4);
        }
        Some((&ipv6.link, Headers::Ipv6(&ipv6.headers)))
    }
}

impl Ipv6Entry {
    /// Zeros where there is no address at one of the ends.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        let path = &node.ipv6;
        Self {
            link: Link::new(path),
            headers: if has_ends(path) {
                ipv6_headers(path.source, path.destination)
            } else {
                [0; _]
            },
        }
    }
}

impl Link {
    fn new(path: &Path) -> Self {
        Self {
            interface: path.interface,
            mtu: path.mtu,
            vlan: path.vlan,
            macs: super::macs(&path.next_hop_mac, &path.source_mac),
        }
    }
}

fn has_ends(path: &Path) -> bool {
    path.destination != [0; 16]
}

fn first_four(address: &[u8; 16]) -> [u8; 4] {
    let [a, b, c, d, ..] = *address;
    [a, b, c, d]
}

const _: () = {
    const LINE: usize = 64;
    assert!(size_of::<Link>() == 20);
    assert!(size_of::<NodeEntry>() == LINE && size_of::<Ipv6Entry>() == LINE);
    assert!(2 + IPV4_LEN <= size_of::<Ipv4Headers>() && 2 + IPV6_LEN <= size_of::<Ipv6Headers>());
};
