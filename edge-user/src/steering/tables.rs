//! What goes into the kernel's maps, worked out from configuration and secrets. No map is touched
//! here, so that all of it can be tested without privilege.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use edge_wire::admit::Limit;
use edge_wire::cid::DecodeConfig;
use edge_wire::maps::{
    self, EncapsulationKey, Local, MAX_ENCAPSULATION_KEYS, MAX_NODES, Node, NodeState, Path,
};
use edge_wire::{anycast, siphash};
use nix::time::ClockId;

use crate::admission::blocklist::Blocklist;
use crate::admission::{self, Rules};
use crate::config::{Config, NodeConfig};
use fleet_wire::secrets::Secrets;

use super::SteeringError;

/// The contents of every map that user space fills at the start.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) local: Local,
    pub(super) ports: Vec<u16>,
    /// Of senders whose packets are dropped.
    pub(super) amplifier_ports: BTreeSet<u16>,
    /// IPv4-mapped where they are IPv4.
    pub(super) anycast: Vec<[u8; 16]>,
    pub(super) decode: [DecodeConfig; 8],
    pub(super) nodes: BTreeMap<u16, Node>,
    pub(super) keys: [EncapsulationKey; MAX_ENCAPSULATION_KEYS as usize],
}

impl Tables {
    /// For a node of a fleet.
    pub(super) fn new(config: &Config, secrets: &Secrets, generation: u8, workers: u8) -> Self {
        let own = config.nodes.iter().find(|node| node.id == config.node);
        // Without a blocklist: it is a file, whose contents come later.
        let rules = Rules::new(config.admission.clone(), Blocklist::default(), false);
        let local = Local {
            initials: admission::initials(&config.admission),
            forwards: admission::forwards(&config.admission),
            tick_ns: tick_ns(),
            hash_key: siphash::key(secrets.worker_hash),
            ipv4: own.and_then(|own| own.ipv4).map_or([0; 4], |address| address.octets()),
            ipv6: own.and_then(|own| own.ipv6).map_or([0; 16], |address| address.octets()),
            node: config.node,
            encapsulation_port: config.steering.encapsulation_port,
            trace_one_in: 0,
            encapsulation_key: secrets.encapsulate_with,
            workers,
            generation,
            admission: rules.switches(),
        };
        Self {
            local,
            ports: vec![config.listen.port],
            amplifier_ports: config.admission.amplifier_ports.clone(),
            anycast: config.listen.anycast.iter().map(mapped).collect(),
            decode: secrets.decode_configs(),
            nodes: nodes(config),
            keys: encapsulation_keys(secrets),
        }
    }

    /// For looking on: packets to `port` are counted and passed, and no node is known. The
    /// encapsulation port is 0, to which nothing can be sent.
    pub(super) fn observing(port: u16) -> Self {
        let local = Local {
            initials: Limit::NONE,
            forwards: Limit::NONE,
            tick_ns: tick_ns(),
            hash_key: [0; 2],
            ipv4: [0; 4],
            ipv6: [0; 16],
            node: 0,
            encapsulation_port: 0,
            trace_one_in: 0,
            encapsulation_key: 0,
            workers: 0,
            generation: 0,
            admission: 0,
        };
        Self {
            local,
            ports: vec![port],
            amplifier_ports: BTreeSet::new(),
            anycast: Vec::new(),
            decode: [DecodeConfig::ABSENT; 8],
            nodes: BTreeMap::new(),
            keys: [EncapsulationKey::ABSENT; MAX_ENCAPSULATION_KEYS as usize],
        }
    }

    /// The anycast addresses as the map holds them.
    ///
    /// # Errors
    /// Where a bucket has no place left, which more than a hundred addresses may bring about.
    pub(super) fn anycast_buckets(&self) -> Result<anycast::Buckets, SteeringError> {
        let mut buckets = [anycast::EMPTY; _];
        for address in self.anycast.iter().map(anycast::address) {
            let bucket = &mut buckets[anycast::bucket(address) as usize];
            if !anycast::add(bucket, address) {
                let cause = "these addresses do not find places beside each other: take one less";
                return Err(SteeringError::map(maps::ANYCAST, cause));
            }
        }
        Ok(buckets)
    }

    /// Adds what is known of the ways to other nodes.
    pub(super) fn set_paths(&mut self, paths: impl IntoIterator<Item = (u16, [Path; 2])>) {
        for (id, [ipv4, ipv6]) in paths {
            if let Some(node) = self.nodes.get_mut(&id) {
                (node.ipv4, node.ipv6) = (ipv4, ipv6);
            }
        }
    }
}

/// Nanoseconds from one tick of the kernel's clock to the next: the resolution of the clock that
/// moves with it.
///
/// # Panics
/// On a kernel without such a clock: one before 2.6.32.
#[must_use]
pub fn tick_ns() -> u64 {
    let tick = ClockId::CLOCK_MONOTONIC_COARSE.res().expect("since Linux 2.6.32");
    Duration::from(tick).as_nanos() as u64
}

/// The keys under which encapsulation is believed, by key ID.
pub(super) fn encapsulation_keys(
    secrets: &Secrets,
) -> [EncapsulationKey; MAX_ENCAPSULATION_KEYS as usize] {
    let mut keys = [EncapsulationKey::ABSENT; MAX_ENCAPSULATION_KEYS as usize];
    for secret in &secrets.encapsulation_keys {
        if let Some(entry) = keys.get_mut(usize::from(secret.key_id)) {
            *entry = EncapsulationKey { key: siphash::key(secret.key), present: 1 };
        }
    }
    keys
}

fn mapped(address: &IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The fleet. The way to each node is not known yet, but its addresses are: packets are accepted
/// from a node before any can be sent to it.
fn nodes(config: &Config) -> BTreeMap<u16, Node> {
    let own = config.nodes.iter().find(|node| node.id == config.node);
    let entry = |node: &NodeConfig| {
        let [ipv4, ipv6] = endpoints(own, node);
        (node.id, Node { state: NodeState::from(node.liveness) as u32, ipv4, ipv6 })
    };
    config.nodes.iter().filter(|node| u32::from(node.id) < MAX_NODES).map(entry).collect()
}

/// Both families' paths from us to a node: addresses only, the next hop unknown. A path without an
/// address at one of its ends stays empty.
pub(crate) fn endpoints(own: Option<&NodeConfig>, node: &NodeConfig) -> [Path; 2] {
    let path = |ours: Option<IpAddr>, theirs: Option<IpAddr>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => Path {
            source: sixteen_bytes(ours),
            destination: sixteen_bytes(theirs),
            ..Path::UNKNOWN
        },
        _ => Path::UNKNOWN,
    };
    let ipv4 = |node: &NodeConfig| node.ipv4.map(IpAddr::V4);
    let ipv6 = |node: &NodeConfig| node.ipv6.map(IpAddr::V6);
    [path(own.and_then(ipv4), ipv4(node)), path(own.and_then(ipv6), ipv6(node))]
}

/// As an address stands in [`Path`]: IPv4 in the first four bytes.
fn sixteen_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// Configurations for the tests of this crate.
#[cfg(test)]
pub(crate) mod samples {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::path::PathBuf;
    use std::time::Duration;

    use crate::config::{
        Admin, AdmissionConfig, Config, Listen, Liveness, Log, LogFormat, NodeConfig, QuicConfig,
        SteeringConfig, SteeringMode, TlsConfig, TlsFiles, UnknownNames,
    };
    use fleet_wire::secrets::{ConnectionIdConfig, EncapsulationSecret, Rotating, Secrets};

    /// A fleet of two, seen from `node`.
    pub(crate) fn config(node: u16) -> Config {
        Config {
            file: PathBuf::new(), // it is in none
            node,
            site: "here".into(),
            nodes: vec![
                NodeConfig {
                    id: 1,
                    name: "n1".into(),
                    site: "here".into(),
                    ipv4: Some(Ipv4Addr::new(198, 51, 100, 1)),
                    ipv6: Some(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1)),
                    liveness: Liveness::Live,
                },
                NodeConfig {
                    id: 2,
                    name: "n2".into(),
                    site: "here".into(),
                    ipv4: Some(Ipv4Addr::new(198, 51, 100, 2)),
                    ipv6: None,
                    liveness: Liveness::Dead,
                },
            ],
            controller: None,
            access_log: None,
            listen: Listen {
                anycast: vec![
                    "192.0.2.1".parse().expect("address"),
                    "2001:db8::1".parse().expect("address"),
                ],
                port: 443,
                tcp: false,
                http_port: None,
                interfaces: vec!["eth0".into()],
                workers: 2,
            },
            steering: SteeringConfig {
                mode: SteeringMode::Native,
                pin_directory: "/sys/fs/bpf/landfast".into(),
                encapsulation_port: 7842,
            },
            tls: TlsConfig {
                default: Some(TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() }),
                more: Vec::new(),
                unknown_names: UnknownNames::Default,
            },
            fleet_file: Some("fleet.toml".into()),
            state_directory: "state".into(),
            admin: Admin {
                listen: "127.0.0.1:9443".parse().expect("address"),
                socket: "admin.sock".into(),
            },
            drain: Duration::from_secs(1),
            log: Log { format: LogFormat::Text, level: tracing::Level::INFO },
            quic: QuicConfig {
                max_connections: 100,
                retry_threshold: 10,
                idle_timeout: Duration::from_secs(30),
                connection_id_lifetime: Duration::from_secs(3600),
            },
            admission: AdmissionConfig::default(),
            distributions: Vec::new(),
            origins: Vec::new(),
            coalescing: Default::default(),
        }
    }

    /// One config of connection IDs, 2, and one encapsulation key, 0.
    pub(crate) fn secrets() -> Secrets {
        let rotating = Rotating { current: [1; 32], previous: None, next: None };
        Secrets {
            connection_ids: vec![ConnectionIdConfig {
                config_id: 2,
                length: edge_wire::cid::DEFAULT_LEN,
                key: Some([3; 16]),
                reset_key: [4; 32],
            }],
            mint: 2,
            encapsulation_keys: vec![EncapsulationSecret { key_id: 0, key: [5; 16] }],
            encapsulate_with: 0,
            tickets: rotating.clone(),
            tokens: rotating,
            worker_hash: [6; 16],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_wire::cid::{Candidate, Codec, DEFAULT_LEN, ServerId};

    fn tables() -> Tables {
        Tables::new(&samples::config(1), &samples::secrets(), 9, 2)
    }

    #[test]
    fn a_port_is_one_bit_of_the_bitmap() {
        let words = admission::port_words(&[443, 448, 65_535, 0]);
        assert_eq!(
            words.into_iter().collect::<Vec<_>>(),
            [(0, 1), (6, 1 << 59), (7, 1), (1023, 1 << 63)]
        );
    }

    #[test]
    fn the_kernel_knows_itself() {
        let local = tables().local;
        assert_eq!((local.node, local.generation, local.workers), (1, 9, 2));
        assert_eq!((local.ipv4, local.encapsulation_port), ([198, 51, 100, 1], 7842));
        assert_eq!(local.ipv6[..4], [0x20, 0x01, 0x0d, 0xb8]);
        assert_eq!(local.hash_key, siphash::key([6; 16]));
    }

    #[test]
    fn only_the_configs_of_the_fleet_file_decode() {
        let owner = ServerId { node: 2, worker: 1, generation: 0 };
        let codec = Codec::landfast(2, DEFAULT_LEN, Some(&[3; 16])).expect("valid");
        let id = codec.encode(&owner.to_bytes(), &[8; 12]);
        let id = Candidate::of_id(id.as_slice()).expect("our length");
        for (index, config) in tables().decode.iter().enumerate() {
            assert_eq!(config.owner(&id), (index == 2).then_some(owner), "config {index}");
        }
    }

    #[test]
    fn a_nodes_addresses_are_known_before_the_way_there_is() {
        let nodes = tables().nodes;
        let other = nodes[&2];
        assert_eq!(other.state, NodeState::Dead as u32);
        assert_eq!(other.ipv4.destination[..5], [198, 51, 100, 2, 0]);
        assert_eq!(other.ipv4.source[..5], [198, 51, 100, 1, 0]);
        assert_eq!(other.ipv4.interface, 0);
        // It has no IPv6 address, so nothing is accepted from any.
        assert_eq!(other.ipv6, Path::UNKNOWN);
    }

    #[test]
    fn an_onlooker_knows_no_node_and_no_key() {
        let tables = Tables::observing(4433);
        assert!(tables.nodes.is_empty());
        assert!(tables.keys.iter().all(|key| *key == EncapsulationKey::ABSENT));
        assert_eq!((tables.ports, tables.local.admission), (vec![4433], 0));
    }
}
