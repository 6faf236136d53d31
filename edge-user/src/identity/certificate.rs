//! What a node's certificate says (RFC 5280).

use std::time::{Duration, SystemTime};

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Unsound;

/// Whom a certificate makes its owner, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// 0 to 4095.
    pub(super) node: u16,
    pub(super) begins: SystemTime,
    pub(super) ends: SystemTime,
}

impl Facts {
    /// Of this certificate, DER.
    pub(super) fn of(certificate: &[u8]) -> Result<Self, Unsound> {
        let (rest, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| Unsound::Certificate)?;
        let names = parsed.subject_alternative_name().map_err(|_| Unsound::Certificate)?;
        let names = names.ok_or(Unsound::NotANode)?;
        if !rest.is_empty() {
            return Err(Unsound::Certificate);
        }
        let node = names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(fleet_wire::NODE_URI)?.parse().ok(),
            _ => None,
        });
        let node = node.filter(|node| u32::from(*node) < edge_wire::maps::MAX_NODES);
        Ok(Self {
            node: node.ok_or(Unsound::NotANode)?,
            begins: time(parsed.validity().not_before.timestamp()),
            ends: time(parsed.validity().not_after.timestamp()),
        })
    }
}

fn time(seconds: i64) -> SystemTime {
    // No node has an identity of before 1970.
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0))
}
