//! Accounts at authorities: made once, kept in the ledger, and restored from there.

mod rollover;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;

use super::client::{Client, Said};
use super::signed::{self, Signer};
use super::words::{Kind, Trouble};
use crate::config::Issuer;
use crate::ledger::{Change, Ledger, LedgerError, Stored};
use crate::records;

/// Accounts are made one at a time at each authority, so that two orders do not make two.
#[derive(Default)]
pub(super) struct Accounts(Mutex<BTreeMap<String, Arc<Mutex<()>>>>);

/// An account, and how its authority is asked.
pub(super) struct Opened {
    pub(super) account: Account,
    /// What the authority says beside its answers.
    pub(super) said: Said,
    /// Of its record.
    pub(super) revision: u64,
}

impl Accounts {
    /// The account at an issuer, made now where there is none. A change of key that was begun is
    /// ended first: nobody knows under which of two keys the authority has the account.
    pub(super) async fn open(
        &self,
        ledger: &Ledger,
        name: &str,
        issuer: &Issuer,
        timeout: Duration,
    ) -> Result<Opened, Trouble> {
        let client = Client::new(issuer.root.as_deref(), timeout).map_err(Trouble::ours)?;
        // Nobody waits for another's turn at an authority that hangs, but where a record changes.
        let is_settled = |stored: &Stored<records::Account>| {
            stored.value.next_key.is_none()
                && is_at(&stored.value, issuer)
                && stored.value.stateless_thumbprint.is_some() == issuer.stateless
        };
        if let Some(stored) = ledger.get::<records::Account>(name).filter(is_settled) {
            return restore(client, &stored).await;
        }
        let turn = self.turn(name).await;
        let _turn = turn.lock().await;
        let stored = match ledger.get::<records::Account>(name) {
            Some(stored) if is_at(&stored.value, issuer) => stored,
            Some(stored) => {
                tracing::warn!(issuer = name, "it is another authority now: it gets a new account");
                let change = Change::new().if_unchanged(&stored).delete(&stored.value);
                ledger.commit(change).await.map_err(Trouble::ours)?;
                return create(ledger, name, issuer, client).await;
            }
            None => return create(ledger, name, issuer, client).await,
        };
        let stored = match rollover::finish(ledger, &stored, issuer, &client).await {
            Ok(stored) => stored,
            Err(trouble) if trouble.kind == Kind::Refused => {
                tracing::warn!(issuer = name, "the account keeps its key: {}", trouble.why);
                rollover::give_up(ledger, &stored).await?
            }
            Err(trouble) => return Err(trouble),
        };
        let opened = restore(client, &stored).await?;
        let thumbprint = issuer.stateless.then(|| opened.account.key_thumbprint().to_owned());
        if stored.value.stateless_thumbprint == thumbprint {
            return Ok(opened);
        }
        let record = records::Account { stateless_thumbprint: thumbprint, ..stored.value.clone() };
        let stored = replace(ledger, &stored, record).await?;
        Ok(Opened { revision: stored.revision, ..opened })
    }

    /// The URL of an order of the account's for `names` that can go on, and is none of `others`; if
    /// there is one, and the authority lists orders.
    pub(super) async fn open_order(
        &self,
        ledger: &Ledger,
        name: &str,
        issuer: &Issuer,
        timeout: Duration,
        names: &[String],
        others: &[String],
    ) -> Result<Option<String>, Trouble> {
        let stored = ledger.get::<records::Account>(name);
        let Some(stored) = stored.filter(|stored| stored.value.next_key.is_none()) else {
            return Ok(None);
        };
        let Some(url) = rollover::url(&stored.value) else { return Ok(None) };
        let client = Client::new(issuer.root.as_deref(), timeout).map_err(Trouble::ours)?;
        let key = credentials(&stored.value)?;
        let looked = async {
            let key = signed::Key::new(key.private_key().secret_pkcs8_der())?;
            let signer = Signer::new(&client, &issuer.directory, url, key).await?;
            signer.open_order(names, |url| others.iter().any(|other| other == url)).await
        };
        looked.await.map_err(|error| Trouble::of(&error, &client.said()))
    }

    /// Gives an account a new key (RFC 8555 section 7.3.5).
    pub(super) async fn roll(
        &self,
        ledger: &Ledger,
        name: &str,
        issuer: &Issuer,
        timeout: Duration,
    ) -> Result<(), Trouble> {
        let turn = self.turn(name).await;
        let _turn = turn.lock().await;
        let stored = ledger.get::<records::Account>(name);
        let stored = stored.ok_or_else(|| {
            Trouble::ours(format!("there is no account at {name} yet: its first order makes one"))
        })?;
        let client = Client::new(issuer.root.as_deref(), timeout).map_err(Trouble::ours)?;
        let begun = rollover::begin(ledger, &stored).await?;
        match rollover::finish(ledger, &begun, issuer, &client).await {
            Ok(_) => Ok(()),
            Err(trouble) if trouble.kind == Kind::Refused => {
                rollover::give_up(ledger, &begun).await?;
                Err(trouble)
            }
            Err(trouble) => {
                let why = "; the next order or rollover finds out which key is in force";
                Err(Trouble { why: format!("{}{why}", trouble.why), ..trouble })
            }
        }
    }

    /// Forgets an account that its authority does not know, unless its record has changed since.
    pub(super) async fn forget(
        &self,
        ledger: &Ledger,
        name: &str,
        revision: u64,
    ) -> Result<(), Trouble> {
        let stored = ledger.get::<records::Account>(name);
        let Some(stored) = stored.filter(|stored| stored.revision == revision) else {
            return Ok(());
        };
        let change = Change::new().if_unchanged(&stored).delete(&stored.value);
        ledger.commit(change).await.map_err(Trouble::ours)?;
        Ok(())
    }

    async fn turn(&self, name: &str) -> Arc<Mutex<()>> {
        Arc::clone(self.0.lock().await.entry(name.to_owned()).or_default())
    }
}

/// Whether an account is at the authority that its issuer is now, by the configuration.
fn is_at(account: &records::Account, issuer: &Issuer) -> bool {
    account.credentials["directory"] == issuer.directory.as_str()
}

/// Nodes answer for any token only for issuers that are to: an account of another has none of it
/// left, from the start on.
pub(super) async fn answer_for_no_other(
    ledger: &Ledger,
    issuers: &BTreeMap<String, Issuer>,
) -> Result<(), LedgerError> {
    let is_other = |account: &records::Account| {
        let is_wanted = issuers.get(&account.issuer).is_some_and(|issuer| issuer.stateless);
        account.stateless_thumbprint.is_some() && !is_wanted
    };
    for stored in ledger.find(is_other) {
        let record = records::Account { stateless_thumbprint: None, ..stored.value.clone() };
        ledger.commit(Change::new().if_unchanged(&stored).put(record)).await?;
    }
    Ok(())
}

/// A record in the place of another; as it is stored then.
async fn replace(
    ledger: &Ledger,
    stored: &Stored<records::Account>,
    record: records::Account,
) -> Result<Stored<records::Account>, Trouble> {
    let change = Change::new().if_unchanged(stored).put(record);
    ledger.commit(change).await.map_err(Trouble::ours)?;
    let there = ledger.get::<records::Account>(&stored.value.issuer);
    there.ok_or_else(|| Trouble::ours("the account's record is gone"))
}

async fn restore(client: Client, stored: &Stored<records::Account>) -> Result<Opened, Trouble> {
    let said = client.said();
    let account = Account::builder_with_http(Box::new(client))
        .from_credentials(credentials(&stored.value)?)
        .await
        .map_err(|error| Trouble::of(&error, &said))?;
    Ok(Opened { account, said, revision: stored.revision })
}

fn credentials(stored: &records::Account) -> Result<AccountCredentials, Trouble> {
    serde_json::from_value(stored.credentials.clone())
        .map_err(|_| Trouble::ours("the account's record cannot be read"))
}

async fn create(
    ledger: &Ledger,
    name: &str,
    issuer: &Issuer,
    client: Client,
) -> Result<Opened, Trouble> {
    let said = client.said();
    let external = external_key(issuer)?;
    let contact: Vec<&str> = issuer.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = Account::builder_with_http(Box::new(client))
        .create(&new, issuer.directory.clone(), external.as_ref())
        .await
        .map_err(|error| Trouble::of(&error, &said))?;
    let record = records::Account {
        issuer: name.to_owned(),
        credentials: serde_json::to_value(&credentials).map_err(Trouble::ours)?,
        stateless_thumbprint: issuer.stateless.then(|| account.key_thumbprint().to_owned()),
        next_key: None,
    };
    let change = Change::new().if_absent(&record).put(record);
    ledger.commit(change).await.map_err(Trouble::ours)?;
    tracing::info!(issuer = name, account = account.id(), "an account is made");
    let revision = ledger.get::<records::Account>(name).map_or(0, |stored| stored.revision);
    Ok(Opened { account, said, revision })
}

/// RFC 8555 section 7.3.4.
fn external_key(issuer: &Issuer) -> Result<Option<ExternalAccountKey>, Trouble> {
    let Some(external) = &issuer.external_account else { return Ok(None) };
    let path = external.key_file.display();
    let text = fs::read_to_string(&external.key_file)
        .map_err(|error| Trouble::ours(format!("{path} cannot be read: {error}")))?;
    let key = BASE64_URL_SAFE_NO_PAD
        .decode(text.trim().trim_end_matches('='))
        .map_err(|_| Trouble::ours(format!("{path} holds no key in base64url")))?;
    Ok(Some(ExternalAccountKey::new(external.key_id.clone(), &key)))
}
