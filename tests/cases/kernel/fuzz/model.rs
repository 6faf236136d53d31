//! What must become of a packet, said a second time: by `edge_wire`, whose parsers and codecs are
//! tested by themselves, with sets and lists in the place of maps, and without a verifier to please.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use edge_wire::Reason;
use edge_wire::admit::{self, Limit};
use edge_wire::cid::DEFAULT_LEN;
use edge_wire::dissect::{self, Addresses, Family, MIN_INITIAL_LEN, Quic, Udp};
use edge_wire::maps::{DecodeConfig, Local, MAX_NODES, Node, NodeState};
use edge_wire::reason::Verdict;
use edge_wire::tunnel::{self, Covered, Header};
use tests::kernel::{Action, Kernel, Network};

use super::super::fleet::{
    self, INGRESS, KEYS, NODES, WITHOUT_ADDRESS, WITHOUT_NEXT_HOP, config_key, families,
};
use super::super::ids::Form;

/// What a packet costs of a budget: nothing of it comes back during a test.
const DAY_NS: u64 = 86_400_000_000_000;

/// What becomes of a packet.
pub(super) struct Expected {
    pub(super) reason: Reason,
    pub(super) action: Action,
    pub(super) out: Vec<u8>,
}

/// Node 1 of the fleet.
pub(super) struct Model {
    pub(super) local: Local,
    anycast: BTreeSet<IpAddr>,
    configs: [DecodeConfig; 8],
    nodes: BTreeMap<u16, Node>,
    burst: u64,
    initials: BTreeMap<u64, u64>,
    forwards: BTreeMap<u16, u64>,
}

/// Networks that are blocked.
pub(super) const BLOCKED: [(&str, u32); 4] =
    [("198.18.0.0", 15), ("203.0.113.66", 32), ("2001:db8:bad::", 48), ("2001:db8:c::66", 128)];
/// Ports that only amplifiers send from.
pub(super) const AMPLIFIERS: [u16; 4] = [0, 53, 123, u16::MAX];
const OUR_PORT: u16 = 443;

/// Five configs of the fleet's and two of other lengths, in four passes.
pub(super) fn forms() -> [Form; 7] {
    [0, 1, 2, 3, 4, 5, 6].map(|config| match config {
        5 => Form { config, length: 14, key: Some([0x14; 16]) },
        6 => Form { config, length: 20, key: Some([0x20; 16]) },
        _ => Form { config, length: DEFAULT_LEN, key: config_key(config) },
    })
}

/// A packet, dissected.
struct Datagram<'a> {
    frame: &'a [u8],
    link_len: usize,
    udp: Udp<'a>,
    payload: &'a [u8],
}

impl Model {
    pub(super) fn of_the_fleet() -> Self {
        let mut configs = [DecodeConfig::ABSENT; 8];
        for form in forms() {
            configs[usize::from(form.config)] = form.decode();
        }
        Self {
            local: fleet::local(),
            anycast: families().map(|(_, packet)| packet.destination.ip()).into(),
            configs,
            nodes: NODES.map(|id| (id, fleet::node(id))).into(),
            burst: 0,
            initials: BTreeMap::new(),
            forwards: BTreeMap::new(),
        }
    }

    /// Writes into the maps in what it differs from the fleet.
    pub(super) fn install(&self, kernel: &mut Kernel) {
        for (config_id, config) in (0..).zip(self.configs) {
            kernel.set_config(config_id, config);
        }
        blocked().for_each(|network| kernel.block(network));
        AMPLIFIERS.iter().for_each(|port| kernel.set_amplifier_port(*port));
    }

    /// Early drops by their switches, and whole budgets.
    pub(super) fn begin(&mut self, admission: u8, burst: u64) {
        let limit = Limit { cost_ns: DAY_NS, burst_ns: burst * DAY_NS };
        self.local = Local { admission, initials: limit, forwards: limit, ..fleet::local() };
        self.burst = burst;
        self.initials.clear();
        self.forwards.clear();
    }

    /// What becomes of a frame that came by the loopback device.
    pub(super) fn steer(&mut self, frame: &[u8]) -> Expected {
        let decided = datagram(frame).and_then(|datagram| self.decide(&datagram));
        match decided {
            Ok(expected) => expected,
            Err(reason) => {
                let dropped = reason.verdict() == Verdict::Drop;
                let action = if dropped { Action::Drop } else { Action::Pass };
                Expected { reason, action, out: frame.to_vec() }
            }
        }
    }

    fn decide(&mut self, datagram: &Datagram<'_>) -> Result<Expected, Reason> {
        let Datagram { udp, payload, .. } = datagram;
        let to = destination(&udp.addresses);
        let own = [IpAddr::from(self.local.ipv4), IpAddr::from(self.local.ipv6)];
        if udp.destination_port == self.local.encapsulation_port && own.contains(&to) {
            return self.take_in(datagram);
        }
        if udp.destination_port != OUR_PORT {
            return Err(Reason::OtherPort);
        }
        let mut cursor = *payload;
        let (switches, from) = (self.local.admission, source(&udp.addresses));
        if switches & admit::AMPLIFIER_PORTS != 0 && AMPLIFIERS.contains(&udp.source_port) {
            return Err(Reason::AmplifierPort);
        }
        if switches & admit::BLOCKLIST != 0 && blocked().any(|network| is_in(from, network)) {
            return Err(Reason::Blocklisted);
        }
        let quic = dissect::quic(&mut cursor)?;
        if quic.is_initial() {
            self.admit_initial(udp)?;
        }
        let owner = self.owner(cursor, &quic, udp)?.ok_or(Reason::NewConnection)?;
        if owner == self.local.node {
            return Err(Reason::Local);
        }
        let node = *self.nodes.get(&owner).ok_or(Reason::OwnerUnknown)?;
        if node.state == NodeState::Dead as u32 {
            return Err(Reason::OwnerDead);
        }
        if node.state != NodeState::Live as u32 {
            return Err(Reason::OwnerUnknown);
        }
        if !self.anycast.contains(&to) {
            return Err(Reason::OtherAddress);
        }
        let spent = self.forwards.entry(owner).or_default();
        if !spend(spent, self.burst) {
            return Err(Reason::ForwardLimited);
        }
        self.send(datagram, owner, &node)
    }

    fn admit_initial(&mut self, udp: &Udp<'_>) -> Result<(), Reason> {
        let switches = self.local.admission;
        if switches & admit::SMALL_INITIALS != 0 && udp.payload_len < MIN_INITIAL_LEN {
            return Err(Reason::SmallInitial);
        }
        let spent = self.initials.entry(network(source(&udp.addresses))).or_default();
        if switches & admit::INITIALS != 0 && !spend(spent, self.burst) {
            return Err(Reason::InitialLimited);
        }
        Ok(())
    }

    fn owner(&self, cursor: &[u8], quic: &Quic, udp: &Udp<'_>) -> Result<Option<u16>, Reason> {
        let candidate = dissect::candidate_in(&mut { cursor }, quic, udp)?;
        let owner = self.configs[candidate.config_id() as usize].owner(&candidate);
        Ok(owner.map(|owner| owner.node))
    }

    fn take_in(&self, datagram: &Datagram<'_>) -> Result<Expected, Reason> {
        let Datagram { frame, link_len, udp, payload } = datagram;
        let header = payload.first_chunk().and_then(Header::from_bytes);
        let header = header.ok_or(Reason::EncapsulationMalformed)?;
        let inner = &payload[tunnel::LEN..];
        if inner.len() != usize::from(header.inner_len) {
            return Err(Reason::EncapsulationMalformed);
        }
        let key = KEYS.get(usize::from(header.key_id)).ok_or(Reason::EncapsulationKey)?;
        let from = source(&udp.addresses);
        if header.source_node == self.local.node || !self.is_from(header.source_node, from) {
            return Err(Reason::EncapsulationSender);
        }
        let covered = Covered::of(inner).ok_or(Reason::EncapsulationMalformed)?;
        if header.tag != header.expected_tag(key, covered) {
            return Err(Reason::EncapsulationForged);
        }
        let family = Family::of(inner[0]).ok_or(Reason::EncapsulationMalformed)?;
        match dissect::udp(&mut { inner }, family.ethertype()) {
            Ok(within)
                if usize::from(within.ip_len) == inner.len()
                    && within.destination_port == OUR_PORT
                    && self.anycast.contains(&destination(&within.addresses)) => {}
            _ => return Err(Reason::EncapsulationMalformed),
        }
        let overhead = tunnel::overhead(udp.addresses.family());
        let link = [&frame[..link_len - 2], &family.ethertype().to_be_bytes()].concat();
        let out = [&link, &frame[link_len + overhead..]].concat();
        Ok(Expected { reason: Reason::Stripped, action: Action::Pass, out })
    }

    /// A node that there is not, but could be, has the address of zeros; no key makes it honest.
    fn is_from(&self, id: u16, from: IpAddr) -> bool {
        let node = self.nodes.get(&id).unwrap_or(&Node::UNKNOWN);
        u32::from(id) < MAX_NODES && address(path(node, from), from) == from
    }

    fn send(&self, datagram: &Datagram<'_>, owner: u16, node: &Node) -> Result<Expected, Reason> {
        let Datagram { frame, link_len, udp, .. } = datagram;
        let (outer, path) = node.way(udp.addresses.family());
        if owner == WITHOUT_NEXT_HOP || owner == WITHOUT_ADDRESS {
            return Err(Reason::NoNextHop);
        }
        let inner = &frame[*link_len..][..usize::from(udp.ip_len)];
        if inner.len() + tunnel::overhead(outer) > usize::from(path.mtu) {
            return Err(Reason::TooBig);
        }
        let key_id = self.local.encapsulation_key;
        let covered = Covered::of(inner).expect("it names an owner");
        let key = &KEYS[usize::from(key_id)];
        let header = Header::sealed(key, key_id, self.local.node, udp.ip_len, covered);
        let source_port = tunnel::source_port(&udp.addresses, udp.source_port);
        let ports = (source_port, self.local.encapsulation_port);
        let (class, length) = (udp.traffic_class & 0xfc, udp.ip_len + tunnel::LEN as u16);
        let mut out = [path.next_hop_mac, path.source_mac].concat();
        if path.vlan != 0 {
            out.extend([dissect::ETHERTYPE_VLAN, path.vlan].map(u16::to_be_bytes).as_flattened());
        }
        out.extend(outer.ethertype().to_be_bytes());
        let (from, to) = (path.source, path.destination);
        match outer {
            Family::Ipv4 => {
                let ends = [from, to].map(|end| [end[0], end[1], end[2], end[3]]);
                out.extend(tunnel::ipv4_udp(ends[0], ends[1], class, ports, length));
            }
            Family::Ipv6 => out.extend(tunnel::ipv6_udp(from, to, class, ports, length)),
        }
        out.extend(header.to_bytes());
        out.extend(inner);
        let back = path.interface == INGRESS;
        let action = if back { Action::Tx } else { Action::Redirect };
        Ok(Expected { reason: Reason::Forwarded, action, out })
    }

    /// The live node to which a frame is on its way.
    pub(super) fn receiver(&self, sent: &[u8]) -> Option<u16> {
        let to = destination(&datagram(sent).ok()?.udp.addresses);
        let live = |node: &Node| node.state == NodeState::Live as u32;
        let at = |node: &Node| address(path(node, to), to) == to;
        self.nodes.iter().find(|(_, node)| live(node) && at(node)).map(|(id, _)| *id)
    }
}

fn datagram(frame: &[u8]) -> Result<Datagram<'_>, Reason> {
    let mut cursor = frame;
    let (link_len, ethertype) = dissect::ethernet(&mut cursor)?;
    let udp = dissect::udp(&mut cursor, ethertype)?;
    Ok(Datagram { frame, link_len, udp, payload: &cursor[..usize::from(udp.payload_len)] })
}

/// Spends one packet of a burst.
fn spend(spent: &mut u64, burst: u64) -> bool {
    let within = *spent < burst;
    *spent += u64::from(within);
    within
}

fn source(addresses: &Addresses<'_>) -> IpAddr {
    match *addresses {
        Addresses::V4 { source, .. } => (*source).into(),
        Addresses::V6 { source, .. } => (*source).into(),
    }
}

fn destination(addresses: &Addresses<'_>) -> IpAddr {
    match *addresses {
        Addresses::V4 { destination, .. } => (*destination).into(),
        Addresses::V6 { destination, .. } => (*destination).into(),
    }
}

/// The end of a way, of the family of `like`.
fn path(node: &Node, like: IpAddr) -> &[u8; 16] {
    if like.is_ipv4() { &node.ipv4.destination } else { &node.ipv6.destination }
}

fn address(bytes: &[u8; 16], like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => [bytes[0], bytes[1], bytes[2], bytes[3]].into(),
        IpAddr::V6(_) => (*bytes).into(),
    }
}

fn blocked() -> impl Iterator<Item = Network> {
    BLOCKED.into_iter().map(|(network, prefix)| (network.parse().expect("an address"), prefix))
}

fn is_in(address: IpAddr, (network, prefix): Network) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix
        }
        _ => false,
    }
}

/// The /24 or /56 that shares a budget, as a number of the model's own.
fn network(sender: IpAddr) -> u64 {
    match sender {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => (1 << 63) | (address.to_bits() >> 72) as u64,
    }
}
