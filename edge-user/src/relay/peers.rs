//! What the relay knows of the fleet: addresses and keys. Wrapping and unwrapping need no more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edge_wire::maps::MAX_ENCAPSULATION_KEYS;
use edge_wire::siphash;

use crate::config::{Config, NodeConfig};
use fleet_wire::secrets::Secrets;

/// By key ID.
type Keys = [Option<siphash::Key>; MAX_ENCAPSULATION_KEYS as usize];

/// By node.
type Addresses = HashMap<u16, (Option<Ipv4Addr>, Option<Ipv6Addr>)>;

/// The fleet as the relay sees it.
pub(super) struct Peers {
    pub(super) node: u16,
    pub(super) port: u16,
    pub(super) encapsulation_port: u16,
    pub(super) key_id: u8,
    keys: Keys,
    addresses: Addresses,
    anycast: Vec<IpAddr>,
}

impl Peers {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Self {
        Self {
            node: config.node,
            port: config.listen.port,
            encapsulation_port: config.steering.encapsulation_port,
            key_id: secrets.encapsulate_with,
            keys: keys(secrets),
            addresses: addresses(&config.nodes),
            anycast: config.listen.anycast.clone(),
        }
    }

    /// Believes and sends under these keys from now on.
    pub(super) fn set_secrets(&mut self, secrets: &Secrets) {
        self.keys = keys(secrets);
        self.key_id = secrets.encapsulate_with;
    }

    /// Believes these nodes, and sends to them, from now on.
    pub(super) fn set_nodes(&mut self, nodes: &[NodeConfig]) {
        self.addresses = addresses(nodes);
    }

    /// Whether there is such a node.
    pub(super) fn knows(&self, node: u16) -> bool {
        self.addresses.contains_key(&node)
    }

    pub(super) fn key(&self, key_id: u8) -> Option<&siphash::Key> {
        self.keys.get(usize::from(key_id))?.as_ref()
    }

    /// Another node's address to send to what a client of this family sent: of the same family
    /// where both ends have an address of it, else of the other.
    pub(super) fn way(&self, node: u16, like: IpAddr) -> Option<IpAddr> {
        let ours = self.addresses.get(&self.node)?;
        let of = |ipv6: bool| {
            let any =
                if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
            let have = if ipv6 { ours.1.is_some() } else { ours.0.is_some() };
            self.address(node, any).filter(|_| have)
        };
        of(like.is_ipv6()).or_else(|| of(like.is_ipv4()))
    }

    /// Another node's address of the family, from which alone we accept.
    pub(super) fn address(&self, node: u16, like: IpAddr) -> Option<IpAddr> {
        if node == self.node {
            return None;
        }
        let (ipv4, ipv6) = *self.addresses.get(&node)?;
        if like.is_ipv4() { ipv4.map(IpAddr::V4) } else { ipv6.map(IpAddr::V6) }
    }

    pub(super) fn is_anycast(&self, address: IpAddr) -> bool {
        self.anycast.contains(&address)
    }
}

fn addresses(nodes: &[NodeConfig]) -> Addresses {
    nodes.iter().map(|node| (node.id, (node.ipv4, node.ipv6))).collect()
}

fn keys(secrets: &Secrets) -> Keys {
    let mut keys = Keys::default();
    for secret in &secrets.encapsulation_keys {
        if let Some(key) = keys.get_mut(usize::from(secret.key_id)) {
            *key = Some(siphash::key(secret.key));
        }
    }
    keys
}
