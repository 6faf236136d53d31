//! Packets from random choices. Most are nearly right, for random bytes seldom get past the first
//! header.

use std::net::{IpAddr, SocketAddr};

use bolero::TypeGenerator;
use bolero::generator::bolero_generator::driver::{ByteSliceDriver, Options};
use edge_wire::cid::ServerId;
use tests::net::Random;
use tests::packet::{Encapsulation, Packet, SERVICE_VLAN, VLAN, filling};

use super::super::fleet::{KEYS, MTU, NODES, OURSELVES, PORT, address_of};
use super::corpus::FRAMES;
use super::model::{AMPLIFIERS, BLOCKED, forms};

/// What one run is made of: packets that meet one state of budgets.
#[derive(Clone, Debug, TypeGenerator)]
pub(super) struct Input {
    /// Switches of the early drops.
    pub(super) admission: u8,
    burst: u8,
    /// One after the other.
    #[generator(bolero::produce::<Vec<Choice>>().with().len(1usize..8))]
    packets: Vec<Choice>,
}

impl Input {
    /// From so many random bytes. `None` where they were not enough.
    pub(super) fn drawn(random: &mut Random) -> Option<Self> {
        let bytes: Vec<u8> = (0..128).flat_map(|_| random.draw().to_ne_bytes()).collect();
        let options = Options::default();
        Self::generate(&mut ByteSliceDriver::new(&bytes, &options))
    }

    /// The packets as frames.
    pub(super) fn frames(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::<Vec<u8>>::new();
        for packet in &self.packets {
            frames.push(packet.frame(frames.last()));
        }
        frames
    }

    /// The budgets, in packets: small, or as good as none.
    pub(super) const fn burst(&self) -> u64 {
        match self.burst % 8 {
            burst @ 0..=3 => burst as u64,
            _ => 1000,
        }
    }
}

/// A frame.
#[derive(Clone, Debug, TypeGenerator)]
enum Choice {
    /// Any bytes at all.
    Bytes(Vec<u8>),
    /// A frame of the corpus, changed.
    Kept { which: u16, changes: Changes },
    /// A client's packet, changed.
    Built { packet: Built, changes: Changes },
    /// What a node might send, its inside changed before it is sealed, the whole afterwards.
    Wrapped { inner: Built, inside: Changes, outer: Outer, changes: Changes },
    /// The same, unchanged.
    Honest { inner: Built, outer: Outer },
    /// As a client sends it.
    Plain(Built),
    /// The one before it once more: what budgets are there for.
    Again,
    /// The same, one bit of the sender's address changed: of its network, or of another.
    Neighbour { byte: u8, bit: u8 },
}

/// Bytes that are turned into others, and the end cut off or filled up.
#[derive(Clone, Debug, TypeGenerator)]
struct Changes {
    #[generator(bolero::produce::<Vec<(u8, u8)>>().with().len(0usize..4))]
    bits: Vec<(u8, u8)>,
    end: End,
}

#[derive(Clone, Debug, TypeGenerator)]
enum End {
    Same,
    AsItIs,
    Cut(u8),
    Padded(u8),
}

impl Changes {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (at, bits) in &self.bits {
            if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                *byte ^= bits;
            }
        }
        match self.end {
            End::Same | End::AsItIs => {}
            End::Cut(by) => bytes.truncate(bytes.len().saturating_sub(usize::from(by))),
            End::Padded(by) => bytes.extend(filling(usize::from(by))),
        }
        bytes
    }
}

/// A packet, by choices among what matters.
#[derive(Clone, Debug, TypeGenerator)]
struct Built {
    ipv6: bool,
    tags: u8,
    source: u8,
    destination: u8,
    port: u8,
    traffic_class: u8,
    hops: u8,
    header: Header,
    config: u8,
    owner: u8,
    nonce: u8,
    rest: u16,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Header {
    Short(u8),
    Long { first: u8, version: u8, declared: u8 },
}

/// How a packet is wrapped.
#[derive(Clone, Debug, TypeGenerator)]
struct Outer {
    ipv6: bool,
    from: u8,
    named: Option<u8>,
    key_id: u8,
    wrong_key: u8,
}

impl Choice {
    fn frame(&self, before: Option<&Vec<u8>>) -> Vec<u8> {
        match self {
            Self::Again => before.cloned().unwrap_or_default(),
            Self::Neighbour { byte, bit } => {
                let mut frame = before.cloned().unwrap_or_default();
                // Behind an Ethernet header without tags; no program looks at the checksum.
                let sender = if frame.get(12) == Some(&8) { 26..30 } else { 22..38 };
                if let Some(sender) = frame.get_mut(sender) {
                    let byte = usize::from(*byte) % sender.len();
                    sender[byte] ^= 1 << (bit % 8);
                }
                frame
            }
            Self::Bytes(bytes) => bytes.clone(),
            Self::Kept { which, changes } => {
                changes.apply(FRAMES[usize::from(*which) % FRAMES.len()].1.to_vec())
            }
            Self::Built { packet, changes } => changes.apply(packet.packet().frame()),
            Self::Plain(packet) => packet.packet().frame(),
            Self::Honest { inner, outer } => {
                let inner = inner.packet();
                outer.around(&inner, &inner.ip()).frame()
            }
            Self::Wrapped { inner, inside, outer, changes } => {
                let inner = inner.packet();
                changes.apply(outer.around(&inner, &inside.apply(inner.ip())).frame())
            }
        }
    }
}

impl Built {
    fn packet(&self) -> Packet {
        let mut packet = if self.ipv6 { Packet::ipv6() } else { Packet::ipv4() };
        packet.tags = match self.tags {
            0..=127 => vec![],
            128..=167 => vec![(VLAN, 5)],
            168..=207 => vec![(SERVICE_VLAN, 5), (VLAN, 6)],
            208..=247 => vec![(SERVICE_VLAN, 5)],
            _ => vec![(VLAN, 5), (SERVICE_VLAN, 6), (VLAN, 7)],
        };
        packet.source = self.source(&packet);
        packet.destination = match self.destination {
            0..=219 => packet.destination,
            220..=235 => address_of(OURSELVES, &packet, 443),
            236..=250 => address_of(node(self.owner), &packet, 443),
            _ => packet.source,
        };
        packet.destination.set_port(match self.port {
            0..=239 => 443,
            240..=249 => PORT,
            port => u16::from(port),
        });
        packet.traffic_class = self.traffic_class;
        packet.hops = self.hops;
        packet.payload = self.payload();
        packet
    }

    fn source(&self, packet: &Packet) -> SocketAddr {
        let among = usize::from(self.source);
        match self.source {
            0..=199 => {
                let mut source = packet.source;
                source.set_port(40_000 + u16::from(self.source));
                source
            }
            200..=219 => {
                let blocked = BLOCKED.iter().map(|(network, _)| network.parse::<IpAddr>());
                let blocked = blocked.map(|network| network.expect("an address"));
                let mut of_family = blocked.filter(|it| it.is_ipv4() == packet.source.is_ipv4());
                SocketAddr::new(of_family.nth(among % 2).expect("two of each"), 4711)
            }
            220..=239 => SocketAddr::new(packet.source.ip(), AMPLIFIERS[among % AMPLIFIERS.len()]),
            _ => address_of(NODES[among % NODES.len()], packet, 4711),
        }
    }

    fn payload(&self) -> Vec<u8> {
        let form = forms()[usize::from(self.config) % 7];
        let owner = ServerId { node: node(self.owner), worker: self.nonce, generation: self.hops };
        let id = form.id_with(owner, self.nonce);
        let rest = filling(self.rest_len(id.len()));
        match self.header {
            Header::Short(first) => [&[first & 0x7f], &id[..], &rest].concat(),
            Header::Long { first, version, declared } => {
                let version: u32 = match version {
                    0..=127 => 1,
                    128..=199 => 0x6b33_43cf,
                    200..=219 => 0,
                    _ => 0xff00_001d,
                };
                let declared = if declared < 200 { id.len() as u8 } else { declared - 200 };
                let head = [&[first | 0x80], &version.to_be_bytes()[..], &[declared]].concat();
                [head, id, rest].concat()
            }
        }
    }

    /// How much stands behind the ID: any length, or one about which something begins or ends.
    fn rest_len(&self, id_len: usize) -> usize {
        const AROUND: [usize; 3] = [1200, MTU as usize - 44, MTU as usize - 64];
        let rest = usize::from(self.rest);
        if rest % 4 != 0 {
            return rest % 1500;
        }
        let head = match self.header {
            Header::Short(_) => 1,
            Header::Long { .. } => 6,
        };
        // The first is a length of the datagram, the others are of its packet.
        let edge = rest / 4 % AROUND.len();
        let headers = match (edge, self.ipv6) {
            (0, _) => 0,
            (_, false) => 28,
            (_, true) => 48,
        };
        AROUND[edge] - 1 + rest / 16 % 3 - headers - head - id_len
    }
}

impl Outer {
    fn around(&self, inner: &Packet, inside: &[u8]) -> Packet {
        let from = NODES[usize::from(self.from) % NODES.len()];
        let named = self.named.filter(|named| *named < 32).map_or(from, node);
        let key_id = if self.key_id < 250 { self.key_id % 2 } else { self.key_id };
        let key = match self.wrong_key {
            0 => [0; 2],
            _ => KEYS[usize::from(key_id) % 2],
        };
        let way = if self.ipv6 { Packet::ipv6() } else { Packet::ipv4() };
        let mut outer = way.payload(Encapsulation::by(named, key_id).around(inside, key));
        outer.tags.clone_from(&inner.tags);
        outer.source = address_of(from, &outer, 50_000);
        outer.destination = address_of(OURSELVES, &outer, PORT);
        outer.checksum = false;
        outer
    }
}

/// A node of the fleet, or of none.
fn node(choice: u8) -> u16 {
    match choice {
        0..=99 => NODES[usize::from(choice) % NODES.len()],
        100..=199 => NODES[1], // live
        200..=239 => OURSELVES,
        240..=247 => 4096 + u16::from(choice),
        _ => u16::from(choice),
    }
}
