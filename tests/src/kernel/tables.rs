//! What a test writes into the maps, in the place of user space.

use std::net::IpAddr;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, MapData, MapError, ReusePortSockArray};
use edge_wire::anycast;
use edge_wire::maps::{self, DecodeConfig, EncapsulationKey, Ipv6Entry, Local, Node, NodeEntry};

use super::Kernel;

/// A network: an address and the bits of its prefix, 0 to 32 in IPv4 and 0 to 128 in IPv6.
pub type Network = (IpAddr, u32);

/// Networks whose Initials were counted, as `edge_wire::admit::network` names them, and the time
/// up to which the budget of each is spent.
pub type Initials<'a> = HashMap<&'a mut MapData, u64, u64>;

/// # Panics
/// Each of them: where the object has no such map, or the map no such entry.
impl Kernel {
    /// Sets what the programs know of their own node.
    pub fn set_local(&mut self, local: Local) {
        self.set(maps::LOCAL, 0, local);
    }

    /// Makes a UDP port ours.
    pub fn set_port(&mut self, port: u16) {
        self.set_bit(maps::PORTS, port);
    }

    /// Makes a UDP port one that only amplifiers send from.
    pub fn set_amplifier_port(&mut self, port: u16) {
        self.set_bit(maps::AMPLIFIER_PORTS, port);
    }

    /// Makes an address an anycast one of the fleet.
    pub fn set_anycast(&mut self, address: IpAddr) {
        let address = anycast::address(&mapped(address));
        self.change(maps::ANYCAST, |buckets: &mut anycast::Buckets| {
            let bucket = &mut buckets[anycast::bucket(address) as usize];
            assert!(anycast::add(bucket, address), "room for it");
        });
    }

    /// Drops what comes from a network.
    pub fn block(&mut self, network: Network) {
        self.blocklist().insert(&key_of(network), 1, 0).expect("room for it");
    }

    /// Takes a network off the blocklist.
    pub fn unblock(&mut self, network: Network) {
        self.blocklist().remove(&key_of(network)).expect("it is there");
    }

    /// Sets how connection IDs of a config are read.
    pub fn set_config(&mut self, config_id: u32, config: DecodeConfig) {
        self.change(maps::DECODE_CONFIGS, |configs: &mut maps::DecodeConfigs| {
            configs[config_id as usize] = config;
        });
    }

    /// Sets what is known of a node, which has all of its budget then.
    pub fn set_node(&mut self, id: u16, node: Node) {
        self.set(maps::NODES, u32::from(id), NodeEntry::new(&node));
        self.set(maps::NODES_IPV6, u32::from(id), Ipv6Entry::new(&node));
    }

    /// Sets an encapsulation key.
    pub fn set_key(&mut self, key_id: u32, key: EncapsulationKey) {
        self.change(maps::ENCAPSULATION_KEYS, |keys: &mut maps::EncapsulationKeys| {
            keys[key_id as usize] = key;
        });
    }

    /// The sockets that `steer_worker` selects from.
    pub fn workers(&mut self) -> ReusePortSockArray<&mut MapData> {
        self.map(maps::WORKERS)
    }

    /// What is spent of the budgets of Initials.
    pub fn initials(&mut self) -> Initials<'_> {
        self.map(maps::INITIALS)
    }

    /// Gives networks their budgets of Initials back, and these nodes theirs of forwarded packets.
    pub fn refill_budgets(&mut self, nodes: impl IntoIterator<Item = u16>) {
        let mut initials = self.initials();
        for network in all_of(initials.keys()) {
            initials.remove(&network).expect("it is there");
        }
        for node in nodes {
            let index = u32::from(node);
            let entry: NodeEntry =
                self.map::<Array<_, _>>(maps::NODES).get(&index, 0).expect("in bounds");
            self.set(maps::NODES, index, NodeEntry { spent_ns: 0, ..entry });
        }
    }

    /// Empties every map, as after loading. The counters count on.
    pub(super) fn empty(&mut self) {
        self.set(maps::LOCAL, 0, Local::NONE);
        for ports in [maps::PORTS, maps::AMPLIFIER_PORTS] {
            self.change(ports, |bits: &mut maps::Ports| *bits = [0; _]);
        }
        for config_id in 0..8 {
            self.set_config(config_id, DecodeConfig::ABSENT);
        }
        for node in 0..maps::MAX_NODES as u16 {
            self.set_node(node, Node::UNKNOWN);
        }
        for key_id in 0..maps::MAX_ENCAPSULATION_KEYS {
            self.set_key(key_id, EncapsulationKey::ABSENT);
        }
        self.set(maps::ANYCAST, 0, [anycast::EMPTY; anycast::BUCKETS as usize]);
        let mut blocklist = self.blocklist();
        for network in all_of(blocklist.keys()) {
            blocklist.remove(&network).expect("it is there");
        }
        for worker in 0..maps::MAX_WORKERS {
            // An empty slot is not found.
            let _ = self.workers().clear_index(&worker);
        }
        self.refill_budgets([]);
    }

    fn blocklist(&mut self) -> LpmTrie<&mut MapData, [u8; 16], u8> {
        self.map(maps::BLOCKLIST)
    }

    fn set_bit(&mut self, map: &str, port: u16) {
        let word = usize::from(port / 64);
        self.change(map, |bits: &mut maps::Ports| bits[word] |= 1 << (port % 64));
    }

    /// Changes the one entry of a table.
    fn change<T: aya::Pod>(&mut self, map: &str, change: impl FnOnce(&mut T)) {
        let mut table = self.map::<Array<_, T>>(map);
        let mut value = table.get(&0, 0).expect("its one entry");
        change(&mut value);
        table.set(0, value, 0).expect("its one entry");
    }

    /// Sets an entry of an array.
    ///
    /// # Panics
    /// Where the object has no such map, or the map no such entry.
    pub fn set<T: aya::Pod>(&mut self, map: &str, index: u32, value: T) {
        self.map::<Array<_, T>>(map).set(index, value, 0).expect("in bounds");
    }

    fn map<'a, T: TryFrom<&'a mut aya::maps::Map, Error = MapError>>(
        &'a mut self,
        name: &str,
    ) -> T {
        self.ebpf.map_mut(name).expect("in the object").try_into().unwrap_or_else(|error| {
            panic!("{name} is of another type: {error}");
        })
    }
}

/// The keys of a map, read before it is changed.
fn all_of<K>(keys: impl Iterator<Item = Result<K, MapError>>) -> Vec<K> {
    keys.map(|key| key.expect("a key")).collect()
}

/// As the programs have addresses: IPv4 mapped into IPv6.
fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn key_of((address, prefix_len): Network) -> Key<[u8; 16]> {
    Key::new(if address.is_ipv4() { 96 + prefix_len } else { prefix_len }, mapped(address))
}
