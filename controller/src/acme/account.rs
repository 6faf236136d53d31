//! Accounts at authorities: made once, kept in the ledger, and restored from there.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;

use super::client::{Client, Said};
use super::words::Trouble;
use crate::config::Issuer;
use crate::ledger::{Change, Ledger};
use crate::records;

/// Accounts are made one at a time at each authority, so that two orders do not make two.
#[derive(Default)]
pub(super) struct Accounts(Mutex<BTreeMap<String, std::sync::Arc<Mutex<()>>>>);

impl Accounts {
    /// The account at an issuer, made now where there is none, and what the authority says beside
    /// its answers.
    pub(super) async fn open(
        &self,
        ledger: &Ledger,
        name: &str,
        issuer: &Issuer,
        timeout: Duration,
    ) -> Result<(Account, Said), Trouble> {
        let client = Client::new(issuer.root.as_deref(), timeout).map_err(Trouble::ours)?;
        let said = client.said();
        let turn = self.turn(name).await;
        let _turn = turn.lock().await;
        let account = match ledger.get::<records::Account>(name) {
            Some(stored) => restore(client, &stored.value, &said).await?,
            None => create(ledger, name, issuer, client, &said).await?,
        };
        Ok((account, said))
    }

    /// Gives an account a new key (RFC 8555 section 7.3.5).
    pub(super) async fn roll(
        &self,
        ledger: &Ledger,
        name: &str,
        issuer: &Issuer,
        timeout: Duration,
    ) -> Result<(), Trouble> {
        let (mut account, said) = self.open(ledger, name, issuer, timeout).await?;
        let turn = self.turn(name).await;
        let _turn = turn.lock().await;
        let credentials = account.update_key().await.map_err(|error| Trouble::of(&error, &said))?;
        // Between here and there the authority knows a key that we would lose in a crash: then the
        // account is lost, and a new one is made. Certificates and names do not depend on it.
        let record = record(name, issuer, &account, &credentials)?;
        ledger.commit(Change::new().put(record)).await.map_err(Trouble::ours)?;
        Ok(())
    }

    /// Forgets an account that its authority does not know.
    pub(super) async fn forget(&self, ledger: &Ledger, name: &str) -> Result<(), Trouble> {
        let Some(stored) = ledger.get::<records::Account>(name) else { return Ok(()) };
        let change = Change::new().if_unchanged(&stored).delete(&stored.value);
        ledger.commit(change).await.map_err(Trouble::ours)?;
        Ok(())
    }

    async fn turn(&self, name: &str) -> std::sync::Arc<Mutex<()>> {
        std::sync::Arc::clone(self.0.lock().await.entry(name.to_owned()).or_default())
    }
}

async fn restore(
    client: Client,
    stored: &records::Account,
    said: &Said,
) -> Result<Account, Trouble> {
    let credentials: AccountCredentials = serde_json::from_value(stored.credentials.clone())
        .map_err(|_| Trouble::ours("the account's record cannot be read"))?;
    Account::builder_with_http(Box::new(client))
        .from_credentials(credentials)
        .await
        .map_err(|error| Trouble::of(&error, said))
}

async fn create(
    ledger: &Ledger,
    name: &str,
    issuer: &Issuer,
    client: Client,
    said: &Said,
) -> Result<Account, Trouble> {
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
        .map_err(|error| Trouble::of(&error, said))?;
    let record = record(name, issuer, &account, &credentials)?;
    ledger.commit(Change::new().if_absent(&record).put(record)).await.map_err(Trouble::ours)?;
    tracing::info!(issuer = name, account = account.id(), "an account is made");
    Ok(account)
}

fn record(
    name: &str,
    issuer: &Issuer,
    account: &Account,
    credentials: &AccountCredentials,
) -> Result<records::Account, Trouble> {
    let thumbprint = issuer.stateless.then(|| account.key_thumbprint().to_owned());
    Ok(records::Account {
        issuer: name.to_owned(),
        credentials: serde_json::to_value(credentials).map_err(Trouble::ours)?,
        stateless_thumbprint: thumbprint,
    })
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
