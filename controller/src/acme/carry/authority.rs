//! What one order asks of its authority. Each question may have been asked before, by a controller
//! that died.

use std::net::IpAddr;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus,
};
use tokio::time::{Instant, sleep};

use super::Step;
use crate::acme::account::Opened;
use crate::acme::challenge::{Answer, signing_request};
use crate::acme::client::Said;
use crate::acme::order::{Event, State};
use crate::acme::{Context, Trouble, now};
use crate::certificate::{Wanted, examine};
use crate::config::{ChallengeKind, Issuer};
use crate::ledger::Change;
use crate::limits;
use crate::records::{self, Certificate};

/// The authority of one order.
pub(super) struct Authority<'a> {
    context: &'a Context,
    name: &'a str,
    issuer: &'a Issuer,
    session: Option<Session>,
}

struct Session {
    account: Account,
    said: Said,
    revision: u64,
    order: Option<Order>,
}

impl<'a> Authority<'a> {
    pub(super) const fn new(context: &'a Context, name: &'a str, issuer: &'a Issuer) -> Self {
        Self { context, name, issuer, session: None }
    }

    /// The account is of no use any more: the next order makes another.
    pub(super) async fn forget_account(&self) -> Result<(), Trouble> {
        let Some(Session { revision, .. }) = self.session else { return Ok(()) };
        self.context.accounts.forget(&self.context.ledger, self.name, revision).await
    }

    /// Forgets what it was told, to ask again.
    pub(super) fn forget(&mut self) {
        self.session = None;
    }

    async fn session(&mut self) -> Result<&mut Session, Trouble> {
        let opened = match self.session.take() {
            Some(session) => session,
            None => {
                let context = self.context;
                let timeout = context.settings.times.request;
                let accounts = &context.accounts;
                let Opened { account, said, revision } =
                    accounts.open(&context.ledger, self.name, self.issuer, timeout).await?;
                Session { account, said, revision, order: None }
            }
        };
        Ok(self.session.insert(opened))
    }

    /// The URL of an order that the authority made without our knowing: the controller died, or the
    /// answer was lost. Only authorities that list orders tell; the others forget it in time.
    pub(super) async fn lost_order(&self, state: &State) -> Option<String> {
        let Context { ledger, accounts, settings, .. } = self.context;
        let others: Vec<_> = ledger
            .all::<records::Order>()
            .iter()
            .filter_map(|stored| State::of(&stored.value).url)
            .collect();
        let (names, timeout) = (&state.names, settings.times.request);
        let found = accounts.open_order(ledger, self.name, self.issuer, timeout, names, &others);
        match found.await {
            Ok(found) => {
                if let Some(url) = &found {
                    tracing::info!(url, ?names, "an order that was lost is found again");
                }
                found
            }
            Err(trouble) => {
                tracing::debug!("whether an order was lost cannot be told: {}", trouble.why);
                None
            }
        }
    }

    /// A new order at the authority; its URL.
    pub(super) async fn order_anew(&mut self, state: &State) -> Result<String, Trouble> {
        let identifiers: Vec<Identifier> = state
            .names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => Identifier::Ip(address),
                Err(_) => Identifier::Dns(name.clone()),
            })
            .collect();
        let session = self.session().await?;
        let order = session.account.new_order(&NewOrder::new(&identifiers)).await;
        let order = order.map_err(|error| Trouble::of(&error, &session.said))?;
        let url = order.url().to_owned();
        session.order = Some(order);
        Ok(url)
    }

    /// The order as the authority has it now.
    async fn order(&mut self, state: &State) -> Result<(&mut Order, Said), Trouble> {
        let session = self.session().await?;
        let said = session.said.clone();
        let order = match session.order.take() {
            Some(order) => order,
            None => {
                let url = state.url.clone().unwrap_or_default();
                session.account.order(url).await.map_err(|error| Trouble::of(&error, &said))?
            }
        };
        Ok((session.order.insert(order), said))
    }

    /// Answers to what the authority asks, as records.
    pub(super) async fn answer(&mut self, state: &State) -> Result<Step, Trouble> {
        let (kind, stateless) = (self.issuer.challenge, self.context.is_stateless(&state.issuer));
        let (order, said) = self.order(state).await?;
        ensure_no_more_than_asked(order, state)?;
        let mut answers: Vec<Answer> = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| Trouble::of(&error, &said))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(Trouble::refused(format!("an authorization is {other:?}"))),
            }
            ensure_asked(&authorization.identifier().to_string(), state)?;
            let name = authorization.identifier().identifier.authorized(false).to_string();
            let challenge = authorization.challenge(acme_kind(kind)).ok_or_else(|| {
                Trouble::refused(format!(
                    "the authority has no {kind} for {name}: wildcards need dns-01"
                ))
            })?;
            ensure_is_token(&challenge.token)?;
            let authorization = challenge.key_authorization();
            let answer = Answer::new(kind, &name, &challenge.token, &authorization);
            answers.push(answer.map_err(Trouble::ours)?);
        }
        let change = match stateless {
            true => Change::new(),
            false => answers.iter().filter_map(Answer::record).fold(Change::new(), Change::put),
        };
        Ok(Step::Next(Event::Asked(answers), change))
    }

    /// Tells the authority that it may knock, where it has not been told before.
    pub(super) async fn tell(&mut self, state: &State) -> Result<(), Trouble> {
        let kind = self.issuer.challenge;
        let (order, said) = self.order(state).await?;
        ensure_no_more_than_asked(order, state)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| Trouble::of(&error, &said))?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(acme_kind(kind)) else { continue };
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await.map_err(|error| Trouble::of(&error, &said))?;
            }
        }
        Ok(())
    }

    /// Looks until the order leaves `from`, for a bounded time.
    async fn settle(&mut self, state: &State, from: OrderStatus) -> Result<OrderStatus, Trouble> {
        let end = Instant::now() + self.context.settings.times.settle;
        let mut wait = limits::ORDER_LOOK_MIN;
        let (order, said) = self.order(state).await?;
        loop {
            let now = order.refresh().await.map_err(|error| Trouble::of(&error, &said))?;
            if now.status != from {
                return Ok(now.status);
            }
            let asked = said.look_after();
            let this = asked.map_or(wait, |asked| asked.max(wait));
            if Instant::now() + this > end {
                let slow = Trouble::slow(format!("the order stays {from:?}"));
                return Err(Trouble { retry_after: asked, ..slow });
            }
            sleep(this).await;
            wait = (wait * 3 / 2).min(limits::ORDER_LOOK_MAX);
        }
    }

    /// Sends the signing request once the authority is convinced.
    pub(super) async fn finalise(&mut self, state: &State) -> Result<(), Trouble> {
        match self.settle(state, OrderStatus::Pending).await? {
            OrderStatus::Ready => {
                let request = signing_request(&state.names, &state.key).map_err(Trouble::ours)?;
                let (order, said) = self.order(state).await?;
                order.finalize_csr(&request).await.map_err(|error| Trouble::of(&error, &said))
            }
            // It was sent before a crash.
            OrderStatus::Processing | OrderStatus::Valid => Ok(()),
            OrderStatus::Invalid | OrderStatus::Pending => Err(self.refusal(state).await),
        }
    }

    /// Why an order is invalid: its challenges say.
    async fn refusal(&mut self, state: &State) -> Trouble {
        if let Some(session) = &mut self.session {
            session.order = None; // authorizations are fetched once an order
        }
        let Ok((order, said)) = self.order(state).await else {
            return Trouble::refused("the authority says no");
        };
        if let Err(trouble) = ensure_no_more_than_asked(order, state) {
            return trouble;
        }
        if let Some(problem) = order.state().error.clone() {
            return Trouble::of(&problem.into(), &said);
        }
        let mut authorizations = order.authorizations();
        while let Some(Ok(authorization)) = authorizations.next().await {
            let name = authorization.identifier().to_string();
            if let Some(problem) = authorization.challenges.iter().find_map(|c| c.error.clone()) {
                let trouble = Trouble::of(&problem.into(), &said);
                return trouble.of_whom(&name);
            }
        }
        Trouble::refused("the authority says no, and not why")
    }

    /// The certificate, where it is what was wanted.
    pub(super) async fn download(
        &mut self,
        id: &str,
        state: &State,
    ) -> Result<Certificate, Trouble> {
        match self.settle(state, OrderStatus::Processing).await? {
            OrderStatus::Valid => {}
            _ => return Err(self.refusal(state).await),
        }
        let (order, said) = self.order(state).await?;
        let chain = order.certificate().await.map_err(|error| Trouble::of(&error, &said))?;
        let chain = chain.ok_or_else(|| Trouble::slow("the authority has no certificate yet"))?;
        let wanted = Wanted {
            id,
            names: Some(&state.names),
            policy: &self.context.settings.policy,
            source: &state.issuer,
            now: now(),
        };
        examine(&chain, &state.key, &wanted)
            .map_err(|unfit| Trouble::refused(format!("what was issued is not served: {unfit}")))
    }
}

/// One authorization for each name (RFC 8555 section 7.1.3): an authority that wants more would have
/// us fetch and keep what it likes.
fn ensure_no_more_than_asked(order: &mut Order, state: &State) -> Result<(), Trouble> {
    let (wanted, most) = (order.state().authorizations.len(), state.names.len());
    if wanted <= most {
        return Ok(());
    }
    Err(Trouble::refused(format!("the authority wants {wanted} authorizations for {most} names")))
}

/// What is answered is answered for a name of the order: this one goes to the hook, and to nodes.
fn ensure_asked(name: &str, state: &State) -> Result<(), Trouble> {
    // Addresses have more than one form.
    let is_same = |asked: &String| match (asked.parse::<IpAddr>(), name.parse::<IpAddr>()) {
        (Ok(asked), Ok(name)) => asked == name,
        _ => asked == name,
    };
    if state.names.iter().any(is_same) {
        return Ok(());
    }
    Err(Trouble::refused(format!("the authority asks about {name}, which was not ordered")))
}

/// RFC 8555 section 8.3: base64url, 128 bits at least.
fn ensure_is_token(token: &str) -> Result<(), Trouble> {
    let is_fit = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_fit && limits::TOKEN_BYTES.contains(&token.len()) {
        return Ok(());
    }
    Err(Trouble::refused("the token of a challenge is none (RFC 8555 section 8.3)"))
}

const fn acme_kind(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}
