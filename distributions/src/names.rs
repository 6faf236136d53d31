//! Host names and addresses.

use std::net::IpAddr;

use crate::limits;

/// `text` in the form in which names are compared, where it is a DNS name: in lower case, without
/// dot at its end.
#[must_use]
pub fn host_name(text: &str) -> Option<Box<str>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(in_label);
    let is_name = text.len() <= limits::MAX_HOST_NAME_BYTES && text.split('.').all(is_label);
    is_name.then(|| text.to_ascii_lowercase().into())
}

/// Why an address cannot be one that packets are sent to, in words; `None` where it can.
#[must_use]
pub fn unfit(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_multicast() {
        Some("multicast")
    } else if link_local {
        Some("link-local")
    } else if matches!(address, IpAddr::V4(address) if address.is_broadcast()) {
        Some("broadcast")
    } else if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        Some("an IPv4 address in IPv6 form")
    } else {
        None
    }
}
