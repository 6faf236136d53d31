//! Another key for an account (RFC 8555 section 7.3.5), so that no crash loses the account: the new
//! key is in the ledger before the authority is told. Whoever finds it there asks the authority
//! which of the two it knows.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, Error, Key};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{credentials, replace};
use crate::acme::client::Client;
use crate::acme::signed::{self, Signer};
use crate::acme::words::{Kind, Trouble};
use crate::config::Issuer;
use crate::ledger::{Ledger, Stored};
use crate::records;

type Record = Stored<records::Account>;

/// Makes the new key, unless one is waiting already.
pub(super) async fn begin(ledger: &Ledger, stored: &Record) -> Result<Record, Trouble> {
    if stored.value.next_key.is_some() {
        return Ok(stored.clone());
    }
    let (_, key) = Key::generate_pkcs8().map_err(Trouble::ours)?;
    let next_key = Some(BASE64_URL_SAFE_NO_PAD.encode(key.secret_pkcs8_der()));
    replace(ledger, stored, records::Account { next_key, ..stored.value.clone() }).await
}

/// Ends a change of key that was begun, however far it was.
pub(super) async fn finish(
    ledger: &Ledger,
    stored: &Record,
    issuer: &Issuer,
    client: &Client,
) -> Result<Record, Trouble> {
    let Some(next) = &stored.value.next_key else { return Ok(stored.clone()) };
    let broken = |_| Trouble::ours("the account's new key cannot be read");
    let next = BASE64_URL_SAFE_NO_PAD.decode(next).map_err(broken)?;
    let of = |error: Error| Trouble::of(&error, &client.said());
    let found = match find(client, issuer, &next).await.map_err(of) {
        Err(trouble) if trouble.kind == Kind::NoAccount => {
            tell(client, issuer, &stored.value, &next).await?;
            find(client, issuer, &next).await.map_err(of)
        }
        found => found,
    };
    let (account, credentials) = found?;
    if Some(account.id()) != url(&stored.value) {
        return Err(Trouble::refused("the authority has another account under the new key"));
    }
    let record = records::Account {
        credentials: serde_json::to_value(&credentials).map_err(Trouble::ours)?,
        stateless_thumbprint: issuer.stateless.then(|| account.key_thumbprint().to_owned()),
        next_key: None,
        ..stored.value.clone()
    };
    let stored = replace(ledger, stored, record).await?;
    tracing::info!(issuer = stored.value.issuer, account = account.id(), "it has a new key");
    Ok(stored)
}

/// Stays with the present key, where the authority will not have the new one.
pub(super) async fn give_up(ledger: &Ledger, stored: &Record) -> Result<Record, Trouble> {
    let record = records::Account { next_key: None, ..stored.value.clone() };
    replace(ledger, stored, record).await
}

/// The account that the authority has under this key, if it has one (RFC 8555 section 7.3.1).
async fn find(
    client: &Client,
    issuer: &Issuer,
    pkcs8: &[u8],
) -> Result<(Account, AccountCredentials), Error> {
    let der = || PrivatePkcs8KeyDer::from(pkcs8.to_vec());
    let key = Key::from_pkcs8_der(der())?;
    Account::builder_with_http(Box::new(client.clone()))
        .from_key((key, PrivateKeyDer::Pkcs8(der())), issuer.directory.clone())
        .await
}

async fn tell(
    client: &Client,
    issuer: &Issuer,
    stored: &records::Account,
    next: &[u8],
) -> Result<(), Trouble> {
    let account = url(stored).ok_or_else(|| Trouble::ours("the account has no URL"))?;
    let present = credentials(stored)?;
    let told = async {
        let present = signed::Key::new(present.private_key().secret_pkcs8_der())?;
        let signer = Signer::new(client, &issuer.directory, account, present).await?;
        signer.change_key(&signed::Key::new(next)?).await
    };
    told.await.map_err(|error| Trouble::of(&error, &client.said()))
}

/// The account's URL at its authority, which stays whatever its key.
pub(super) fn url(stored: &records::Account) -> Option<&str> {
    stored.credentials["id"].as_str()
}
