//! Is the host fit for steering? Checked at the start; each finding is one line that says what is
//! wrong and what to change.
//!
//! [`read`] looks at the host, [`examine`] judges and can be tested without one.

mod ethtool;
mod host;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use edge_wire::dissect::{IPV4_LEN, IPV6_LEN, UDP_LEN};
use edge_wire::tunnel;

use crate::config::{Config, NodeConfig, SteeringMode};
use crate::limits;
use crate::steering::ForeignProgram;
pub use ethtool::Offloads;
pub use host::read;

/// What is known of the host. `None`: it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The configured interfaces that there are.
    pub interfaces: BTreeMap<String, InterfaceFacts>,
    /// `net.ipv4.conf.all.rp_filter`.
    pub rp_filter_all: Option<u64>,
    /// Of the anycast addresses and the node's own, those that the host takes packets for.
    pub local_addresses: BTreeSet<IpAddr>,
    /// `net.core.rmem_max`, in bytes.
    pub rmem_max: Option<u64>,
    /// `net.core.wmem_max`, in bytes.
    pub wmem_max: Option<u64>,
}

/// What is known of an interface. `None`: it could not be read, or there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceFacts {
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// `net.ipv4.conf.NAME.rp_filter`.
    pub rp_filter: Option<u64>,
    /// What the device does to frames before XDP sees them.
    pub offloads: Option<Offloads>,
    /// Somebody else's XDP program on it.
    pub foreign_program: Option<ForeignProgram>,
    /// The device that carries its frames, where it is a VLAN.
    pub vlan_of: Option<String>,
    /// The bond that it is a member of.
    pub member_of: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Some packets may be lost, or steering is slower than it could be.
    Warning,
    /// Steering cannot be attached.
    Error,
}

/// Something to change on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, and what follows from it.
    pub what: String,
    /// The command, or the line of configuration, that cures it.
    pub change: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.change)
    }
}

fn finding(severity: Severity, what: String, change: String) -> Finding {
    Finding { severity, what, change }
}

/// Judges the host by what the configuration asks of it. Errors come first.
#[must_use]
pub fn examine(config: &Config, facts: &HostFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if matches!(config.steering.mode, SteeringMode::Native | SteeringMode::Generic) {
        for name in &config.listen.interfaces {
            match facts.interfaces.get(name) {
                Some(interface) => with_xdp(config, facts, name, interface, &mut findings),
                None => findings.push(finding(
                    Severity::Error,
                    format!("no interface is named {name}"),
                    "correct listen.interfaces".into(),
                )),
            }
        }
    }
    anycast_addresses(config, facts, &mut findings);
    own_addresses(config, facts, &mut findings);
    buffers(facts, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn with_xdp(
    config: &Config,
    facts: &HostFacts,
    name: &str,
    interface: &InterfaceFacts,
    findings: &mut Vec<Finding>,
) {
    if let Some(program) = &interface.foreign_program {
        findings.push(finding(
            Severity::Error,
            format!("another XDP program runs on {name}: {program}"),
            program.cure().into(),
        ));
    }
    composed(config, name, interface, findings);
    // The kernel takes the larger of the two; 1 is strict (ip-sysctl.rst).
    if interface.rp_filter.max(facts.rp_filter_all) == Some(1) {
        findings.push(finding(
            Severity::Warning,
            format!(
                "{name} drops packets from clients whose way back leads elsewhere, as those do \
                 that another node forwards (strict rp_filter)"
            ),
            format!("sysctl -w net.ipv4.conf.{}.rp_filter=2", name.replace('.', "/")),
        ));
    }
    if interface.offloads.is_some_and(|offloads| offloads.receive_vlan) {
        findings.push(finding(
            Severity::Warning,
            format!("{name} takes VLAN tags off before XDP sees them: tagged packets lose theirs"),
            format!("ethtool -K {name} rxvlan off"),
        ));
    }
    if interface.offloads.is_some_and(|offloads| offloads.large_receive) {
        findings.push(finding(
            Severity::Warning,
            format!("{name} merges packets before XDP sees them: merged ones are not steered"),
            format!("ethtool -K {name} lro off"),
        ));
    }
    let needed = largest_encapsulated(config);
    if interface.mtu < needed {
        findings.push(finding(
            Severity::Warning,
            format!(
                "{name} has an MTU of {}: full-sized packets cannot be forwarded to other nodes",
                interface.mtu
            ),
            format!("ip link set dev {name} mtu {needed}"),
        ));
    }
}

/// Devices made of others: XDP belongs where the frames come in, once.
fn composed(config: &Config, name: &str, interface: &InterfaceFacts, findings: &mut Vec<Finding>) {
    let instead = |other: &str| match config.listen.interfaces.iter().any(|known| known == other) {
        true => format!("remove {name} from listen.interfaces, {other} is there"),
        false => format!("in listen.interfaces, name {other} instead of {name}"),
    };
    if let Some(parent) = &interface.vlan_of {
        // VLAN devices have no native XDP.
        let severity = match config.steering.mode {
            SteeringMode::Native => Severity::Error,
            _ => Severity::Warning,
        };
        let what = format!("{name} is a VLAN: XDP sees its frames, with their tag, on {parent}");
        findings.push(finding(severity, what, instead(parent)));
    }
    if let Some(bond) = &interface.member_of {
        let what = format!(
            "{name} is a member of {bond}: packets of the bond's other members are not steered"
        );
        findings.push(finding(Severity::Warning, what, instead(bond)));
    }
}

/// The largest packet that is sent to another node: a datagram as long as we let clients send, in
/// the inner headers and in the outer ones. Nothing where there is no other node.
fn largest_encapsulated(config: &Config) -> u32 {
    let others = || config.nodes.iter().filter(|node| node.id != config.node);
    let ipv4 = IPV4_LEN + tunnel::OVERHEAD_IPV4;
    let ipv6 = IPV6_LEN + tunnel::OVERHEAD_IPV6;
    let headers = match others().any(|node| node.ipv6.is_some()) {
        true => ipv6,
        false if others().any(|node| node.ipv4.is_some()) => ipv4,
        false => return 0,
    };
    (headers + UDP_LEN + usize::from(limits::MAX_UDP_PAYLOAD_BYTES)) as u32
}

/// The addresses by which other nodes, and we to them, are known. None that the controller has not
/// told of yet.
pub(crate) fn own(config: &Config) -> impl Iterator<Item = IpAddr> {
    let ours = config.nodes.iter().filter(|node| node.id == config.node);
    ours.flat_map(addresses)
}

fn addresses(node: &NodeConfig) -> impl Iterator<Item = IpAddr> + use<> {
    node.ipv4.map(IpAddr::V4).into_iter().chain(node.ipv6.map(IpAddr::V6))
}

/// A configuration that was copied with the other host's `node` would mint connection IDs in that
/// host's name, and each connection would be lost at its first change of route.
fn own_addresses(config: &Config, facts: &HostFacts, findings: &mut Vec<Finding>) {
    if config.nodes.len() < 2 || config.steering.mode == SteeringMode::Off {
        return;
    }
    for address in own(config).filter(|address| !facts.local_addresses.contains(address)) {
        findings.push(finding(
            Severity::Error,
            format!("{address}, of node {}, is not an address of this host", config.node),
            "correct `node`, or the address in its [[nodes]]".into(),
        ));
    }
}

fn anycast_addresses(config: &Config, facts: &HostFacts, findings: &mut Vec<Finding>) {
    for address in &config.listen.anycast {
        if facts.local_addresses.contains(address) {
            continue;
        }
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        findings.push(finding(
            Severity::Warning,
            format!(
                "{address} is not an address of this host: packets to it are not taken, and go \
                 round between nodes where this host forwards IP"
            ),
            format!("ip addr add {address}/{prefix} dev lo"),
        ));
    }
}

fn buffers(facts: &HostFacts, findings: &mut Vec<Finding>) {
    let wanted = limits::SOCKET_BUFFER_BYTES as u64;
    for (name, allowed) in [("rmem_max", facts.rmem_max), ("wmem_max", facts.wmem_max)] {
        if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
            findings.push(finding(
                Severity::Warning,
                format!("UDP buffers are held to {allowed} bytes: bursts are lost"),
                format!("sysctl -w net.core.{name}={wanted}"),
            ));
        }
    }
}
