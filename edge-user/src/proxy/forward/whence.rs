//! What an origin is told of where a request comes from.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{From, join};

/// Clients are answered over TLS alone: whoever asks in clear is shown the way there.
const SCHEME: &str = "https";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// `Forwarded` (RFC 7239), and what stood for it before and mostly still does. What there is already
/// is believed. `by` is left out: it would name an address of ours, which is that of every node.
pub(super) fn say_whence(fields: &mut HeaderMap, from: &From<'_>) {
    let address = from.client.ip().to_canonical();
    // RFC 7239 section 6: an IPv6 address is in brackets, and in quotes because of the colons.
    let [before, behind] =
        if address.is_ipv6() { ["for=\"[", "]\";host="] } else { ["for=", ";host="] };
    let mut forwarded = String::with_capacity(96 + from.authority.len());
    forwarded.push_str(before);
    push_address(&mut forwarded, address);
    let address = before.len()..forwarded.len();
    forwarded.push_str(behind);
    push_value(&mut forwarded, from.authority);
    forwarded.extend([";proto=", SCHEME]);
    // A host that was routed by is a value, and an address is.
    let forwarded = Bytes::from(forwarded);
    let [forwarded, address, authority] = [
        forwarded.clone(),
        forwarded.slice(address),
        Bytes::copy_from_slice(from.authority.as_bytes()),
    ]
    .map(|text| HeaderValue::from_maybe_shared(text).ok());
    join(fields, header::FORWARDED, b", ", forwarded);
    join(fields, X_FORWARDED_FOR, b", ", address);
    fields.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(SCHEME));
    if let Some(authority) = authority {
        fields.entry(X_FORWARDED_HOST).or_insert(authority);
    }
}

/// As `Display` writes it, which takes ten times as long over IPv4: each request comes by here.
fn push_address(text: &mut String, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        let _ = write!(text, "{address}");
        return;
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for (least, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
}

/// `token / quoted-string` (RFC 7239 section 4).
fn push_value(text: &mut String, value: &str) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !value.is_empty() && value.bytes().all(is_token) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for letter in value.chars() {
        if matches!(letter, '"' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        for address in ["0.0.0.0", "1.20.255.100", "127.0.0.1", "99.100.101.9", "2001:db8::1"] {
            let mut text = String::new();
            push_address(&mut text, address.parse().expect("an address"));
            assert_eq!(text, address);
        }
    }
}
