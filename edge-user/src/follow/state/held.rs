//! Items that are held, with their size, and whose address is whose among the nodes of them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use fleet_wire::key;
use fleet_wire::message::item::Body;
use fleet_wire::message::{Item, Node};
use prost::Message;

use crate::follow::item::{Unusable, Value};
use crate::limits;

/// Items with their size.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) items: BTreeMap<String, Arc<Item>>,
    pub(super) bytes: usize,
}

impl Held {
    pub(super) fn put(&mut self, item: Arc<Item>) {
        self.bytes += item.encoded_len();
        if let Some(old) = self.items.insert(item.key.clone(), item) {
            self.bytes -= old.encoded_len();
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(old) = self.items.remove(key) {
            self.bytes -= old.encoded_len();
        }
    }

    pub(super) fn is_other(&self, item: &Item) -> bool {
        self.items.get(&item.key).is_none_or(|held| **held != *item)
    }

    /// Whether `item` fits beside what is held, and beside what will be.
    pub(super) fn room_for(&self, item: &Item, items: usize, bytes: usize) -> Result<(), Unusable> {
        let new = !self.items.contains_key(&item.key);
        if new && self.items.len() + items >= fleet_wire::MAX_ITEMS {
            return Err(Unusable::ManyItems);
        }
        match self.bytes + bytes + item.encoded_len() > limits::MAX_HELD_BYTES {
            true => Err(Unusable::ManyBytes),
            false => Ok(()),
        }
    }
}

/// Whose address is whose.
pub(super) fn addresses(held: &Held) -> HashMap<IpAddr, u16> {
    let nodes = held.items.range(key::NODE.to_owned()..).map(|(_, item)| &item.body);
    let mut addresses = HashMap::new();
    for node in nodes.map_while(|body| match body {
        Some(Body::Node(node)) => Some(node),
        _ => None,
    }) {
        for address in addresses_of(node) {
            addresses.insert(address, node.id as u16);
        }
    }
    addresses
}

fn addresses_of(node: &Node) -> impl Iterator<Item = IpAddr> {
    let ipv4 = <[u8; 4]>::try_from(node.ipv4.as_ref()).ok().map(IpAddr::from);
    let ipv6 = <[u8; 16]>::try_from(node.ipv6.as_ref()).ok().map(IpAddr::from);
    ipv4.into_iter().chain(ipv6)
}

/// Gives a node its addresses, unless another one has them: its packets would go there.
pub(super) fn claim(addresses: &mut HashMap<IpAddr, u16>, value: &Value) -> Result<(), Unusable> {
    let Value::Node(node, _) = value else { return Ok(()) };
    let own = [node.ipv4.map(IpAddr::from), node.ipv6.map(IpAddr::from)];
    for address in own.iter().flatten() {
        match addresses.get(address) {
            Some(other) if *other != node.id => return Err(Unusable::AddressOf(*other)),
            _ => {}
        }
    }
    addresses.retain(|_, owner| *owner != node.id);
    addresses.extend(own.into_iter().flatten().map(|address| (address, node.id)));
    Ok(())
}
