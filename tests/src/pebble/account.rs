//! An account at an ACME server, for tests of the server itself: it signs what it asks (RFC 8555
//! section 6.2), and knows no more of the protocol.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{Endpoint, Response};

/// Who sends a request: method, path, body.
pub type Send<'a> = &'a dyn Fn(&str, &str, Option<String>) -> Result<Response>;

/// An account.
pub struct Account<'a> {
    send: Send<'a>,
    /// What the URLs of the server begin with: scheme, host and port.
    server: String,
    key: EcdsaKeyPair,
    /// The account's URL.
    id: String,
}

impl<'a> Account<'a> {
    /// Registers a new key (RFC 8555 section 7.3) with the server whose directory is at
    /// `directory_url`.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn register(directory_url: &str, send: Send<'a>) -> Result<Self> {
        let server = directory_url.strip_suffix(Endpoint::Directory.path());
        let server = server.context("pebble's directory has another path")?.to_owned();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let mut account = Self { send, server, key, id: String::new() };
        let wanted = json!({ "termsOfServiceAgreed": true });
        let response = account.post(Endpoint::NewAccount, &wanted)?;
        ensure!(response.status == 201, "new account: {}", response.status);
        account.id = response.header("location").context("an account has a URL")?.to_owned();
        Ok(account)
    }

    /// Orders a certificate for `name` (RFC 8555 section 7.4); the order as it begins.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn order(&self, name: &str) -> Result<Value> {
        let wanted = json!({ "identifiers": [{ "type": "dns", "value": name }] });
        let response = self.post(Endpoint::NewOrder, &wanted)?;
        ensure!(response.status == 201, "new order: {}", response.status);
        Ok(serde_json::from_slice(&response.body)?)
    }

    /// Sends a signed request.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn post(&self, endpoint: Endpoint, payload: &Value) -> Result<Response> {
        let nonce = (self.send)("HEAD", Endpoint::NewNonce.path(), None)?;
        let nonce = nonce.header("replay-nonce").context("no nonce")?;
        let url = format!("{}{}", self.server, endpoint.path());
        let mut protected = json!({ "alg": "ES256", "nonce": nonce, "url": url });
        match self.id.as_str() {
            "" => protected["jwk"] = self.public_key(),
            id => protected["kid"] = id.into(),
        }
        let [protected, payload] = [&protected, payload].map(|part| base64url(part.to_string()));
        let signed = format!("{protected}.{payload}");
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes())?;
        let signature = base64url(signature);
        let body = json!({ "protected": protected, "payload": payload, "signature": signature });
        (self.send)("POST", endpoint.path(), Some(body.to_string()))
    }

    /// RFC 7518 section 6.2.1. The key is an uncompressed point: 4, and 32 bytes of each coordinate.
    fn public_key(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
    }
}

/// RFC 4648 section 5, without padding.
fn base64url(data: impl AsRef<[u8]>) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in data.as_ref().chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        let sextets = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize]);
        text.extend(sextets[..=group.len()].iter().map(|letter| char::from(*letter)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64url;

    /// RFC 4648 section 10, without its padding; and the two letters of section 5.
    #[test]
    fn base64url_is_as_its_rfc_shows_it() {
        let vectors =
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (data, text) in vectors {
            assert_eq!(base64url(data), text);
        }
        assert_eq!(base64url([0xfb, 0xff]), "-_8");
    }
}
