//! Requests that the ACME library has no words for, signed by an account's key (RFC 8555 section
//! 6.2): a change to a key that is stored already, and the orders of an account.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;
use instant_acme::{BodyWrapper, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{Client, read};
use crate::certificate::names;
use crate::limits;

/// A key of an account, ECDSA on P-256 as the library makes them.
pub(super) struct Key(EcdsaKeyPair);

impl Key {
    /// Out of PKCS #8 in DER.
    pub(super) fn new(pkcs8: &[u8]) -> Result<Self, Error> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        Ok(Self(key.map_err(|_| Error::Crypto)?))
    }

    /// RFC 7518 section 6.2.1: an uncompressed point is 4 and two coordinates of 32 bytes.
    fn public(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
    }

    /// The flattened form of RFC 7515 section 7.2.2. No payload is the empty one of POST-as-GET
    /// (RFC 8555 section 6.3).
    fn sign(&self, mut header: Value, payload: Option<&Value>) -> Result<Value, Error> {
        header["alg"] = "ES256".into();
        let header = base64url(header.to_string());
        let payload = payload.map(|payload| base64url(payload.to_string())).unwrap_or_default();
        let signed = format!("{header}.{payload}");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = base64url(signature.map_err(|_| Error::Crypto)?);
        Ok(json!({ "protected": header, "payload": payload, "signature": signature }))
    }
}

/// An account, as it signs.
pub(super) struct Signer<'a> {
    client: &'a Client,
    urls: Urls,
    /// The account's URL.
    account: &'a str,
    key: Key,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Urls {
    new_nonce: String,
    key_change: Option<String>,
}

impl<'a> Signer<'a> {
    /// The account at the URL `account`, at the authority whose directory is at `directory`.
    pub(super) async fn new(
        client: &'a Client,
        directory: &str,
        account: &'a str,
        key: Key,
    ) -> Result<Self, Error> {
        Ok(Self { client, urls: client.get(directory).await?, account, key })
    }

    /// Tells the authority that the account has a new key (RFC 8555 section 7.3.5).
    pub(super) async fn change_key(&self, new: &Key) -> Result<(), Error> {
        let url = self.urls.key_change.as_deref().ok_or("the authority changes no keys")?;
        let wanted = json!({ "account": self.account, "oldKey": self.key.public() });
        let inner = new.sign(json!({ "jwk": new.public(), "url": url }), Some(&wanted))?;
        self.post(url, Some(&inner)).await.map(drop)
    }

    /// An order of the account for these names that can go on (RFC 8555 section 7.1.2.1); none
    /// where the authority lists no orders, as many do. `is_known` says of a URL that it is another
    /// order's.
    pub(super) async fn open_order(
        &self,
        wanted: &[String],
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Account {
            orders: Option<String>,
        }
        #[derive(Deserialize)]
        struct Listed {
            orders: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Order {
            status: String,
            identifiers: Vec<Identifier>,
        }
        #[derive(Deserialize)]
        struct Identifier {
            value: String,
        }
        let account: Account = self.look(self.account).await?;
        let Some(list) = account.orders else { return Ok(None) };
        let listed: Listed = self.look(&list).await?;
        for url in listed.orders.into_iter().rev().take(limits::LISTED_ORDERS) {
            if is_known(&url) {
                continue;
            }
            let Order { status, identifiers } = self.look(&url).await?;
            let there: Vec<_> = identifiers.into_iter().map(|it| it.value).collect();
            if ["pending", "ready"].contains(&&*status) && names::same(&there, wanted) {
                return Ok(Some(url));
            }
        }
        Ok(None)
    }

    /// POST-as-GET (RFC 8555 section 6.3).
    async fn look<T: DeserializeOwned>(&self, url: &str) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.post(url, None).await?)?)
    }

    async fn post(&self, url: &str, payload: Option<&Value>) -> Result<Bytes, Error> {
        let mut attempt = 1;
        loop {
            let head = Request::head(&self.urls.new_nonce).body(BodyWrapper::default());
            let (parts, _) = self.client.exchange(head.map_err(Error::Http)?).await?;
            let nonce = parts.headers.get("replay-nonce").and_then(|nonce| nonce.to_str().ok());
            let nonce = nonce.ok_or("the authority gives no nonce")?;
            let header = json!({ "kid": self.account, "nonce": nonce, "url": url });
            let body = self.key.sign(header, payload)?.to_string().into_bytes();
            let request =
                Request::post(url).header(CONTENT_TYPE, "application/jose+json").body(body.into());
            let (parts, body) = self.client.exchange(request.map_err(Error::Http)?).await?;
            if parts.status.is_success() {
                return Ok(body);
            }
            let problem = read::<Value>(&parts, &body);
            let is_nonce = |error: &Error| {
                matches!(error, Error::Api(problem) if problem.r#type.as_deref()
                    == Some("urn:ietf:params:acme:error:badNonce"))
            };
            match problem {
                Err(error) if is_nonce(&error) && attempt < limits::NONCE_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(_) => return Err("an error without a problem".into()),
            }
        }
    }
}

fn base64url(data: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(data)
}
