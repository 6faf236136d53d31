//! ORIGIN frames: for which other names a connection is good (RFC 8336, RFC 9412).
//!
//! A client that gets one asks its DNS no more, and takes this connection for every name that is in
//! the frame and in the certificate; for another name it takes it no more. So there is none where
//! nothing could be in it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::Place;
use super::host::HTTPS_PORT;
use crate::limits;
use crate::proxy::Distributions;
use crate::tls::Name;

/// The frame's type in HTTP/2 (RFC 8336 section 2.1), and in HTTP/3 (RFC 9412 section 2).
const ORIGIN: u8 = 0x0c;
/// Bytes before the content of a frame of HTTP/2 (RFC 9113 section 4.1).
pub(super) const HTTP2_HEAD_BYTES: usize = 9;

/// For HTTP/2, whole, on stream 0 and without flags (RFC 8336 section 2.1). `asked` is the name that
/// the client asked for by SNI.
pub(super) fn http2(place: &Place, asked: Option<&str>) -> Option<Bytes> {
    let set = of_connection(place, asked)?;
    let mut frame = BytesMut::with_capacity(HTTP2_HEAD_BYTES + set.len());
    frame.put_uint(set.len() as u64, 3);
    frame.put_slice(&[ORIGIN, 0, 0, 0, 0, 0]);
    frame.put(set);
    Some(frame.freeze())
}

/// For HTTP/3, whole (RFC 9412 section 2).
pub(super) fn http3(place: &Place, asked: Option<&str>) -> Option<Bytes> {
    let set = of_connection(place, asked)?;
    let mut frame = BytesMut::with_capacity(set.len() + 3);
    frame.put_u8(ORIGIN);
    // A variable-length integer of two bytes (RFC 9000 section 16).
    frame.put_u16(0x4000 | set.len() as u16);
    frame.put(set);
    Some(frame.freeze())
}

const _: () = assert!(limits::MAX_ORIGIN_SET_BYTES < 0x4000, "a length of two bytes in HTTP/3");

/// By what is in force now: the certificate that this client got, and what is served.
fn of_connection(place: &Place, asked: Option<&str>) -> Option<Bytes> {
    let shown = place.certificates.shown(asked)?;
    entries(shown.names(), place.distributions.load().distributions(), place.port)
}

/// The frame's content, which is the same in both versions: each origin behind its length (RFC 8336
/// section 2.1), in ASCII (RFC 6454 section 6.2). At most [`limits::MAX_ORIGIN_SET_BYTES`]: of more
/// names than fit clients are not told.
fn entries(names: &[Name], distributions: &Distributions, port: u16) -> Option<Bytes> {
    let mut suffix = String::new();
    if port != HTTPS_PORT {
        write!(suffix, ":{port}").expect("a String takes any text");
    }
    let length = |name: &str| SCHEME.len() + name.len() + suffix.len();
    let (mut told, mut bytes) = (BTreeSet::new(), 0);
    for name in distributions.told(names) {
        let more = 2 + length(name);
        if bytes + more > limits::MAX_ORIGIN_SET_BYTES {
            break;
        }
        bytes += if told.insert(name) { more } else { 0 };
    }
    let mut entries = BytesMut::with_capacity(bytes);
    for name in told {
        entries.put_u16(length(name) as u16);
        for part in [SCHEME, name, &suffix] {
            entries.put_slice(part.as_bytes());
        }
    }
    (!entries.is_empty()).then(|| entries.freeze())
}

const SCHEME: &str = "https://";

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(names: impl IntoIterator<Item = String>) -> Vec<Name> {
        names.into_iter().map(|name| Name::Exact(name.into())).collect()
    }

    fn of(names: &[&str], port: u16) -> Option<Bytes> {
        let names = exact(names.iter().map(ToString::to_string));
        entries(&names, &Distributions::default(), port)
    }

    /// RFC 8336 section 2.1, RFC 6454 section 6.2.
    #[test]
    fn each_origin_is_behind_its_length_with_a_port_that_is_not_the_usual_one() {
        let entries = of(&["b.example", "a.example", "b.example"], 443).expect("two");
        assert_eq!(entries, &b"\x00\x11https://a.example\x00\x11https://b.example"[..]);
        let entries = of(&["a.example"], 8443).expect("one");
        assert_eq!(entries, &b"\x00\x16https://a.example:8443"[..]);
    }

    #[test]
    fn nothing_to_say_is_no_frame() {
        assert_eq!(of(&[], 443), None);
    }

    #[test]
    fn names_that_do_not_fit_are_left_out() {
        let names: Vec<_> =
            (0..limits::MAX_CERTIFICATE_NAMES).map(|name| format!("{name:03}.example")).collect();
        let entries = entries(&exact(names), &Distributions::default(), 443).expect("some");
        // 2 + 8 + 11 each.
        assert_eq!(entries.len(), limits::MAX_ORIGIN_SET_BYTES / 21 * 21);
        assert!(entries.starts_with(b"\x00\x13https://000.example"));
    }
}
