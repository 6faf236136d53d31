//! Items of a bundle, checked: what can be told of one from itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use distributions::Served;
use fleet_wire::key;
use fleet_wire::message::item::Body;
use fleet_wire::message::{self, Item, Standing};
use fleet_wire::secrets::{FleetError, Secrets};
use prost::Message;

use crate::config::NodeConfig;
use crate::limits;
use crate::nodes::Liveness;

/// A checked item's value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A node of the fleet.
    Node(NodeConfig, Standing),
    /// The fleet's secrets.
    Secrets(Arc<Secrets>),
    /// A certificate, which only TLS can judge.
    Certificate(message::Certificate),
    /// An answer for HTTP-01.
    Http01(message::Http01),
    /// A certificate for TLS-ALPN-01, which only TLS can judge.
    TlsAlpn01(message::TlsAlpn01),
    /// What is answered under which names.
    Distributions(Arc<Served>),
    /// An account for whose challenges no token is needed.
    Account(message::Account),
}

/// Why an item is not taken. What there was of it stays. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// From a later version, most likely.
    #[error("a kind that this version does not know")]
    UnknownKind,
    /// A body of one kind under the key of another, or of another one of its kind.
    #[error("its key does not fit what it holds")]
    Key,
    /// No fleet needs one as large.
    #[error("it has {0} bytes: at most {most} are taken", most = fleet_wire::MAX_ITEM_BYTES)]
    Large(usize),
    /// There are as many items as a fleet may have.
    #[error("{most} items are held already", most = fleet_wire::MAX_ITEMS)]
    ManyItems,
    /// What is held fills the memory that it may.
    #[error("the items that are held would have more than {most} bytes", most = limits::MAX_HELD_BYTES)]
    ManyBytes,
    /// A node's ID is above the highest.
    #[error("{0} is no ID of a node")]
    NodeId(u32),
    /// Another node, or nobody, could be meant.
    #[error("its {0} is not 1 to {most} bytes of printable text", most = limits::MAX_NAME_BYTES)]
    Name(&'static str),
    /// Packets cannot be sent there.
    #[error("its {family} address is {why}")]
    Address {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// What it is instead.
        why: &'static str,
    },
    /// No packet could be sent to it.
    #[error("it has no address")]
    NoAddress,
    /// Packets for one node would reach another.
    #[error("it has the address of node {0}")]
    AddressOf(u16),
    /// A standing that this version does not know.
    #[error("a standing that this version does not know")]
    Standing,
    /// Not in the form of a fleet file.
    #[error("the fleet's secrets: {0}")]
    Secrets(#[from] FleetError),
    /// Not text at all.
    #[error("{0} are not text")]
    NotText(&'static str),
    /// Larger than any that a controller stores.
    #[error("the distributions have {0} bytes: at most {most} are taken", most = fleet_wire::MAX_DISTRIBUTIONS_BYTES)]
    LargeDistributions(usize),
    /// A file with mistakes, each of them.
    #[error("{0}")]
    Distributions(String),
    /// This process could not go on without it.
    #[error("it cannot be taken away while this node serves")]
    Needed,
}

/// Checks one item by itself.
///
/// # Errors
/// Where it is none that can be used.
pub fn check(item: &Item) -> Result<Value, Unusable> {
    let bytes = item.encoded_len();
    if bytes > fleet_wire::MAX_ITEM_BYTES {
        return Err(Unusable::Large(bytes));
    }
    if item.key.len() > limits::MAX_ITEM_KEY_BYTES {
        return Err(Unusable::Key);
    }
    let body = item.body.as_ref().ok_or(Unusable::UnknownKind)?;
    let (prefix, name) = match body {
        Body::Node(node) => (key::NODE, Some(node.id.to_string())),
        Body::Secrets(_) => (key::SECRETS, Some(String::new())),
        Body::Certificate(_) => (key::CERTIFICATE, None),
        Body::Http01(answer) => (key::HTTP_01, Some(answer.token.clone())),
        Body::TlsAlpn01(answer) => (key::TLS_ALPN_01, Some(answer.name.clone())),
        Body::Account(_) => (key::ACCOUNT, None),
        Body::Distributions(_) => (key::DISTRIBUTIONS, Some(String::new())),
    };
    match (item.key.strip_prefix(prefix), name) {
        (Some(in_key), Some(name)) if in_key == name => {}
        (Some(in_key), None) if !in_key.is_empty() => {}
        _ => return Err(Unusable::Key),
    }
    Ok(match body {
        Body::Node(entry) => node(entry)?,
        Body::Secrets(secrets) => Value::Secrets(Arc::new(fleet_secrets(secrets)?)),
        Body::Certificate(certificate) => Value::Certificate(certificate.clone()),
        Body::Http01(answer) => Value::Http01(answer.clone()),
        Body::TlsAlpn01(answer) => Value::TlsAlpn01(answer.clone()),
        Body::Account(account) => Value::Account(account.clone()),
        Body::Distributions(given) => Value::Distributions(Arc::new(served(given)?)),
    })
}

fn fleet_secrets(secrets: &message::Secrets) -> Result<Secrets, Unusable> {
    let text = std::str::from_utf8(&secrets.fleet_file)
        .map_err(|_| Unusable::NotText("the fleet's secrets"))?;
    Ok(Secrets::parse(Path::new("of the controller"), text)?)
}

/// The rules of the same tables in the configuration.
fn served(given: &message::Distributions) -> Result<Served, Unusable> {
    if given.file.len() > fleet_wire::MAX_DISTRIBUTIONS_BYTES {
        return Err(Unusable::LargeDistributions(given.file.len()));
    }
    let text = std::str::from_utf8(&given.file);
    let text = text.map_err(|_| Unusable::NotText("the distributions"))?;
    let served = distributions::parse(Path::new("the controller's distributions"), text);
    served.map_err(|error| Unusable::Distributions(error.to_string()))
}

/// The rules of `[[nodes]]` in the configuration, for an entry on its own.
fn node(entry: &message::Node) -> Result<Value, Unusable> {
    let id = u16::try_from(entry.id).ok().filter(|id| u32::from(*id) < edge_wire::maps::MAX_NODES);
    let id = id.ok_or(Unusable::NodeId(entry.id))?;
    for (text, what) in [(&entry.name, "name"), (&entry.site, "site")] {
        let length = 1..=limits::MAX_NAME_BYTES;
        if !length.contains(&text.len()) || text.contains(char::is_control) {
            return Err(Unusable::Name(what));
        }
    }
    let ipv4 = address::<4, Ipv4Addr>(&entry.ipv4, "IPv4")?;
    let ipv6 = address::<16, Ipv6Addr>(&entry.ipv6, "IPv6")?;
    if ipv4.is_none() && ipv6.is_none() {
        return Err(Unusable::NoAddress);
    }
    let standing = Standing::try_from(entry.standing).map_err(|_| Unusable::Standing)?;
    if standing == Standing::Unspecified {
        return Err(Unusable::Standing);
    }
    let (name, site) = (entry.name.clone(), entry.site.clone());
    let node = NodeConfig { id, name, site, ipv4, ipv6, liveness: Liveness::Live };
    Ok(Value::Node(node, standing))
}

fn address<const N: usize, T>(bytes: &Bytes, family: &'static str) -> Result<Option<T>, Unusable>
where
    T: From<[u8; N]> + Copy + Into<IpAddr>,
{
    if bytes.is_empty() {
        return Ok(None);
    }
    let octets = <[u8; N]>::try_from(bytes.as_ref());
    let octets = octets.map_err(|_| Unusable::Address { family, why: "of another length" })?;
    let address = T::from(octets);
    match distributions::names::unfit(address.into()) {
        Some(why) => Err(Unusable::Address { family, why }),
        None => Ok(Some(address)),
    }
}
