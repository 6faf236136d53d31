//! What an operator asks for.

use instant_acme::RevocationRequest;

use super::account::Opened;
use super::order::{Phase, State};
use super::{Context, Deed, Pems, RevocationReason, Trouble, now};
use crate::certificate::import::SOURCE;
use crate::certificate::{self, Wanted};
use crate::config::Issuer;
use crate::internal;
use crate::ledger::Change;
use crate::limits;
use crate::records::{self, Account, Certificate, Request};

/// Does it, or begins it.
pub(super) async fn serve(context: &Context, deed: Deed) -> Result<(), String> {
    match deed {
        Deed::Request(request) => request_one(context, request).await,
        Deed::Renew(id) => renew(context, &id).await,
        Deed::Revoke { id, reason } => revoke(context, &id, reason).await,
        Deed::Remove(id) => remove(context, &id).await,
        Deed::Import(pems) => import_one(context, &pems).await,
        Deed::RollAccount(name) => roll(context, &name).await,
    }
}

async fn request_one(context: &Context, request: Request) -> Result<(), String> {
    let most = limits::MAX_CERTIFICATE_NAMES;
    if request.names.is_empty() || request.names.len() > most {
        return Err(format!("a certificate is for 1 to {most} names"));
    }
    let is_internal = request.issuer == internal::NAME;
    if !is_internal {
        issuer(context, &request.issuer)?;
    }
    for name in &request.names {
        context.settings.policy.check(name).map_err(|refusal| refusal.to_string())?;
    }
    // Asked for again as it is, an order for it goes on.
    if context.ledger.get::<Request>(&request.id).is_some_and(|there| there.value == request) {
        return Ok(());
    }
    commit(context, Change::new().put(request)).await
}

async fn renew(context: &Context, id: &str) -> Result<(), String> {
    if context.ledger.get::<Request>(id).is_none() {
        return Err(format!(
            "there is no request {id}: imported certificates are not renewed here"
        ));
    }
    let stored = context.ledger.get::<records::Order>(id);
    let state = stored.as_ref().map(|stored| State::of(&stored.value)).unwrap_or_default();
    if state.is_in_progress() {
        return Ok(()); // that is what is wanted
    }
    let asked = State { asked: true, phase: Phase::Waiting { not_before: 0 }, ..state };
    let record = asked.record(id);
    let change = match &stored {
        Some(stored) => Change::new().if_unchanged(stored),
        None => Change::new().if_absent(&record),
    };
    commit(context, change.put(record)).await
}

async fn revoke(context: &Context, id: &str, reason: RevocationReason) -> Result<(), String> {
    let stored = context.ledger.get::<Certificate>(id);
    let stored = stored.ok_or_else(|| format!("there is no certificate {id}"))?.value;
    if [internal::NAME, SOURCE].contains(&stored.source.as_str()) {
        return Err(format!(
            "{id} is {}: only what an authority has issued by an order of ours is revoked here; \
             `certificates renew` or `import` puts another in its place, `remove` takes it away",
            stored.source
        ));
    }
    let issuer = issuer(context, &stored.source)?;
    let timeout = context.settings.times.request;
    let Opened { account, said, .. } = context
        .accounts
        .open(&context.ledger, &stored.source, issuer, timeout)
        .await
        .map_err(|trouble| trouble.why)?;
    let leaf = certificate::leaf(&stored.chain).map_err(|unfit| unfit.to_string())?;
    let request = RevocationRequest { certificate: &leaf, reason: Some(reason.acme()) };
    account.revoke(&request).await.map_err(|error| Trouble::of(&error, &said).why)?;
    tracing::info!(
        certificate = id,
        fingerprint = stored.fingerprint,
        reason = reason.name(),
        "it is revoked"
    );
    if context.ledger.get::<Request>(id).is_some() {
        return renew(context, id).await;
    }
    Ok(())
}

async fn roll(context: &Context, name: &str) -> Result<(), String> {
    let timeout = context.settings.times.request;
    let issuer = issuer(context, name)?;
    // Answers are made of the account's key (RFC 8555 section 8.1).
    let at_work = context.ledger.all::<records::Order>().into_iter().filter(|stored| {
        let state = State::of(&stored.value);
        state.is_in_progress() && state.issuer == name && !matches!(state.phase, Phase::Stored)
    });
    match at_work.count() {
        0 => {}
        count => {
            return Err(format!(
                "{count} orders at {name} are in progress, and their answers are made of the old \
                 key: try again when they have ended"
            ));
        }
    }
    let rolled = context.accounts.roll(&context.ledger, name, issuer, timeout).await;
    rolled.map_err(|trouble| trouble.why)
}

async fn remove(context: &Context, id: &str) -> Result<(), String> {
    let (request, certificate) =
        (context.ledger.get::<Request>(id), context.ledger.get::<Certificate>(id));
    if request.is_none() && certificate.is_none() {
        return Err(format!("there is no certificate {id}"));
    }
    let change = Change::new();
    let change = request.iter().fold(change, |change, stored| change.delete(&stored.value));
    let change = certificate.iter().fold(change, |change, stored| change.delete(&stored.value));
    commit(context, change).await // an order in progress is given up when it goes on
}

async fn import_one(context: &Context, Pems { id, chain, key }: &Pems) -> Result<(), String> {
    if context.ledger.get::<Request>(id).is_some() {
        return Err(format!("{id} is ordered already: remove it, or import as another"));
    }
    let policy = &context.settings.policy;
    let wanted = Wanted { id, names: None, policy, source: SOURCE, now: now() };
    let certificate = certificate::examine(chain, key, &wanted).map_err(|it| it.to_string())?;
    commit(context, Change::new().put(certificate)).await
}

/// Issues by the internal authority, which is made now where there is none.
pub(super) async fn issue_internally(context: &Context, request: &Request) -> Result<(), String> {
    let text = |error: internal::InternalError| error.to_string();
    let authority = match context.ledger.get::<Account>(internal::NAME) {
        Some(stored) => stored.value,
        None => {
            let authority = internal::create(now()).map_err(text)?;
            let change = Change::new().if_absent(&authority).put(authority.clone());
            commit(context, change).await?;
            authority
        }
    };
    if let Some(path) = &context.settings.internal_file {
        let pem = internal::certificate(&authority).map_err(text)?;
        internal::publish(pem, path)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    let wanted = Wanted {
        id: &request.id,
        names: Some(&request.names),
        policy: &context.settings.policy,
        source: internal::NAME,
        now: now(),
    };
    let certificate = internal::issue(&authority, request, &wanted).map_err(text)?;
    let change = Change::new().put(certificate);
    let asked = context.ledger.get::<records::Order>(&request.id);
    let change = asked.iter().fold(change, |change, stored| change.delete(&stored.value));
    commit(context, change).await
}

fn issuer<'a>(context: &'a Context, name: &str) -> Result<&'a Issuer, String> {
    let issuers = &context.settings.by_name;
    issuers.get(name).ok_or_else(|| {
        let known: Vec<_> = issuers.keys().map(String::as_str).collect();
        format!("the configuration has no issuer {name:?}; it has: {}", known.join(", "))
    })
}

async fn commit(context: &Context, change: Change) -> Result<(), String> {
    context.ledger.commit(change).await.map(|_| ()).map_err(|error| error.to_string())
}
