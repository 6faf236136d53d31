//! What a request is for: authorities (RFC 3986 section 3.2) and paths (RFC 9114 section 4.3.1).

use bytes::Bytes;
use http::Method;
use http::uri::{Authority, PathAndQuery};

use super::super::refusal::Malformed;

/// Reads a host with or without a port. Userinfo is refused (RFC 9114 section 4.3.1), and so is what
/// means nothing: an empty host, a port that is none.
pub(super) fn authority(text: Bytes) -> Result<Authority, Malformed> {
    let (host, port) = split_port(&text).ok_or(Malformed::Authority)?;
    if !is_host(host) || !port.is_none_or(is_port) {
        return Err(Malformed::Authority);
    }
    Authority::from_maybe_shared(text).map_err(|_| Malformed::Authority)
}

fn split_port(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_bytes = match text.first()? {
        b'[' => text.iter().position(|byte| *byte == b']')? + 1,
        _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(host_bytes);
    match rest.split_first() {
        None => Some((host, None)),
        Some((b':', port)) => Some((host, Some(port))),
        Some(_) => None,
    }
}

/// An IPv6 address in brackets, or what a name may have in it, though names of DNS have less.
fn is_host(host: &[u8]) -> bool {
    if let Some(inside) = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
        let inside = std::str::from_utf8(inside).unwrap_or_default();
        return inside.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
    !host.is_empty() && host.iter().all(is_allowed)
}

fn is_port(port: &[u8]) -> bool {
    let is_number = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    is_number && std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok())
}

/// Reads origin form, or `*` for OPTIONS. `//` at the start would be an authority to whoever
/// resolves it (RFC 3986 section 4.2); a fragment, a space or a byte beyond ASCII is in no URI.
pub(super) fn path(text: Bytes, method: &Method) -> Result<PathAndQuery, Malformed> {
    if &text[..] == b"*" && method == Method::OPTIONS {
        return Ok(PathAndQuery::from_static("*"));
    }
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    let is_origin_form = text.first() == Some(&b'/') && text.get(1) != Some(&b'/');
    if !is_origin_form || !text.iter().all(is_allowed) {
        return Err(Malformed::Path);
    }
    PathAndQuery::from_maybe_shared(text).map_err(|_| Malformed::Path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_with_or_without_a_port() {
        for good in [
            "a",
            "example.com",
            "example.com:443",
            "192.0.2.1:1",
            "[2001:db8::1]",
            "[::1]:65535",
            "a_b",
        ] {
            let read = authority(Bytes::from_static(good.as_bytes()));
            assert_eq!(read.expect(good).as_str(), good);
        }
        for bad in [
            "",
            ":",
            ":443",
            "user@a",
            "user:word@a",
            "@a",
            "a@",
            "a:",
            "a:b",
            "a:65536",
            "a:443:1",
            "a:+1",
            "a b",
            " a",
            "a ",
            "a/",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "[::1",
            "::1",
            "[::1]a",
            "[]",
            "[1.2.3.4]",
            "[::1%25a]",
            "a,b@c",
            "a\r\nb",
            "a\0",
            "\u{e9}",
            "a%00",
            "https://a",
            "[a]",
            "a]",
            "<a>",
        ] {
            assert_eq!(
                authority(Bytes::from_static(bad.as_bytes())),
                Err(Malformed::Authority),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_path_is_in_origin_form() {
        let long = format!("/{}", "a".repeat(8000));
        for good in
            ["/", "/a", "/a//b", "/a?b=c&d", "/?", "/a%20b", "/a|b", "/%", "/a?http://b/", &long]
        {
            let read = path(Bytes::copy_from_slice(good.as_bytes()), &Method::GET);
            assert_eq!(read.expect(good).as_str(), good);
        }
        for bad in [
            "",
            "*",
            "//",
            "//a",
            "a",
            "?a",
            "https://a/",
            "http:/a",
            "/a#b",
            "/#",
            "/a b",
            " /",
            "/ ",
            "/\r\n",
            "/\0",
            "/\t",
            "/\u{7f}",
            "/\u{e9}",
            "#",
            "/a HTTP/1.1",
        ] {
            let read = path(Bytes::copy_from_slice(bad.as_bytes()), &Method::GET);
            assert_eq!(read, Err(Malformed::Path), "{bad:?}");
        }
        assert!(path(Bytes::from_static(b"*"), &Method::OPTIONS).is_ok());
        assert!(path(Bytes::from_static(b"*/"), &Method::OPTIONS).is_err());
    }
}
