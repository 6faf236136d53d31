//! WebSockets: asked for by Upgrade over HTTP/1.1 (RFC 6455), by extended CONNECT over HTTP/2 and
//! HTTP/3 (RFC 8441, RFC 9220).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};

/// What stands in `Upgrade` and `:protocol`.
pub const NAME: &str = "websocket";
/// RFC 6455 section 1.3: whoever answers knows the protocol.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// RFC 6455 section 4.1.
const KEY_BYTES: usize = 16;

/// What a client asks for instead of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Upgrade<'a> {
    /// A WebSocket over HTTP/1.1, and its key.
    Keyed(&'a HeaderValue),
    /// A WebSocket by extended CONNECT.
    Connect,
    /// Another protocol by extended CONNECT. None is spoken.
    Unknown,
}

impl Upgrade<'_> {
    /// By extended CONNECT, for what `:protocol` says.
    #[must_use]
    pub fn connect(protocol: &str) -> Self {
        // RFC 8441 section 5, and RFC 9110 section 16.7: names of protocols are compared so.
        if protocol.eq_ignore_ascii_case(NAME) { Self::Connect } else { Self::Unknown }
    }
}

/// What a request of HTTP/1.1 asks for. Another protocol in `Upgrade` is nothing to us, and the
/// request is answered as it is, and so is one of HTTP/1.0 (RFC 9110 section 7.8).
///
/// # Errors
/// Where it asks for a WebSocket, and not as RFC 6455 section 4.2.1 has it.
pub fn of_http11<'a>(
    version: http::Version,
    method: &Method,
    headers: &'a HeaderMap,
) -> Result<Option<Upgrade<'a>>, BadHandshake> {
    if version == http::Version::HTTP_10
        || !has_word(headers, header::UPGRADE, NAME)
        || !has_word(headers, header::CONNECTION, "upgrade")
    {
        return Ok(None);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (key, None) = (keys.next(), keys.next()) else { return Err(BadHandshake) };
    let key = key.filter(|key| {
        BASE64_STANDARD.decode(key.as_bytes()).is_ok_and(|nonce| nonce.len() == KEY_BYTES)
    });
    let has_content = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    match key {
        Some(key) if method == Method::GET && !has_content => Ok(Some(Upgrade::Keyed(key))),
        _ => Err(BadHandshake),
    }
}

/// A request for a WebSocket that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a WebSocket is asked for by GET without content and with one key of 16 bytes")]
pub struct BadHandshake;

fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|other| other.trim().eq_ignore_ascii_case(word))
}

/// A key that nobody can foresee, so that no cache on the way has the answer.
#[must_use]
pub fn key() -> HeaderValue {
    let mut nonce = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).expect("the kernel gives random bytes once it has begun to");
    HeaderValue::try_from(BASE64_STANDARD.encode(nonce)).expect("Base64 is good in a value")
}

/// What a key is answered by (RFC 6455 section 4.2.2).
#[must_use]
pub fn accept(key: &HeaderValue) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    HeaderValue::try_from(BASE64_STANDARD.encode(hash)).expect("Base64 is good in a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 section 1.3.
    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_ne!(super::key(), super::key());
    }

    #[test]
    fn a_handshake_is_whole_or_none() {
        let asked = |method: Method, fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            let headers: HeaderMap = fields.collect();
            let versions = [http::Version::HTTP_10, http::Version::HTTP_11];
            let [old, new] = versions.map(|version| {
                of_http11(version, &method, &headers).map(|upgrade| upgrade.is_some())
            });
            assert_eq!(old, Ok(false), "HTTP/1.0 has none");
            new
        };
        let upgrade = ("upgrade", "WebSocket");
        let connection = ("connection", "keep-alive, Upgrade");
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(asked(Method::GET, &[upgrade, connection, key]), Ok(true));
        assert_eq!(asked(Method::GET, &[upgrade, key]), Ok(false));
        assert_eq!(asked(Method::GET, &[("upgrade", "h2c"), connection]), Ok(false));
        assert_eq!(asked(Method::GET, &[]), Ok(false));
        assert_eq!(asked(Method::GET, &[upgrade, connection]), Err(BadHandshake));
        let short = ("sec-websocket-key", "dGhlIHNhbXBs");
        assert_eq!(asked(Method::GET, &[upgrade, connection, short]), Err(BadHandshake));
        assert_eq!(asked(Method::POST, &[upgrade, connection, key]), Err(BadHandshake));
        let length = ("content-length", "4");
        assert_eq!(asked(Method::GET, &[upgrade, connection, key, length]), Err(BadHandshake));
    }
}
