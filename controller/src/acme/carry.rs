//! Carries one order from where it stands to its end. Each step does one thing outside, which may
//! have been done before, and then commits what came of it.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus,
};
use tokio::time::{Instant, sleep};

use super::challenge::{Answer, new_key, signing_request};
use super::client::Said;
use super::gate::Gate;
use super::hook::{self, Deed};
use super::order::{Event, Failure, Phase, State};
use super::words::Kind;
use super::{Context, Trouble, barrier::Has, now};
use crate::certificate::{Wanted, examine};
use crate::config::{ChallengeKind, Issuer};
use crate::ledger::{Change, Stored};
use crate::records::{self, Certificate, Kind as _, Node, NodeStanding, Request};
use crate::renew;

/// How often the same step is tried at once after `badNonce` (RFC 8555 section 6.5), on top of what
/// the library does.
const NONCE_ATTEMPTS: u32 = 8;
/// The first wait between two looks at an order, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Every live node has the certificate.
    Issued,
    /// It failed; the next attempt is in the ledger.
    Failed,
}

/// What a step came to.
enum Step {
    Next(Event, Change),
    Done(Change),
}

/// An order at work.
struct Carrier<'a> {
    context: &'a Context,
    request: &'a Request,
    issuer: &'a Issuer,
    session: Option<Session>,
    gate: Gate,
}

struct Session {
    account: Account,
    said: Said,
    order: Option<Order>,
}

/// Carries the order for a request to its end, beginning one where there is none.
pub(super) async fn carry(context: &Context, request: &Request, issuer: &Issuer) -> End {
    let mut carrier = Carrier { context, request, issuer, session: None, gate: Gate::default() };
    let mut nonces = 0;
    loop {
        let stored = context.ledger.get::<records::Order>(&request.id);
        let state = stored.as_ref().map(|stored| State::of(&stored.value)).unwrap_or_default();
        let trouble = match carrier.step(&state).await {
            Ok(Step::Next(event, change)) => {
                let issued = event == Event::Downloaded;
                match carrier.commit(stored.as_ref(), &state, event, change).await {
                    Ok(()) => {
                        if issued {
                            tracing::info!(order = request.id, "a certificate is stored");
                        }
                        nonces = 0;
                        continue;
                    }
                    Err(trouble) => trouble,
                }
            }
            Ok(Step::Done(change)) => {
                let change = stored.iter().fold(change, |change, stored| {
                    change.if_unchanged(stored).delete(&stored.value)
                });
                match context.ledger.commit(change).await {
                    Ok(_) => return End::Issued,
                    Err(error) => Trouble::ours(error),
                }
            }
            Err(trouble) if trouble.kind == Kind::BadNonce && nonces < NONCE_ATTEMPTS => {
                nonces += 1;
                carrier.session = None;
                continue;
            }
            Err(trouble) => trouble,
        };
        carrier.fail(stored.as_ref(), state, trouble).await;
        return End::Failed;
    }
}

impl Carrier<'_> {
    async fn step(&mut self, state: &State) -> Result<Step, Trouble> {
        let next = |event| Step::Next(event, Change::new());
        Ok(match &state.phase {
            Phase::Waiting { .. } => {
                let key = new_key(self.request.key_type).map_err(Trouble::ours)?.serialize_pem();
                let (issuer, names) = (self.request.issuer.clone(), self.request.names.clone());
                next(Event::Begun { issuer, names, key })
            }
            Phase::Intended => next(Event::Ordered(self.order_anew(state).await?)),
            Phase::Ordered => self.answer(state).await?,
            Phase::Answering => {
                self.set_records(state).await?;
                let (event, change) = self.gate.pass(self.context, &self.request.id, state).await?;
                Step::Next(event, change)
            }
            Phase::Open => {
                if !state.drained.is_empty() {
                    sleep(self.context.settings.times.drain_settles).await;
                }
                self.tell(state).await?;
                next(Event::Told)
            }
            Phase::Told => {
                self.finalise(state).await?;
                next(Event::Finalised)
            }
            Phase::Finalised => {
                let certificate = self.download(state).await?;
                Step::Next(Event::Downloaded, Change::new().put(certificate))
            }
            Phase::Stored => {
                self.await_nodes().await;
                Step::Done(self.tidy_up(state).await)
            }
        })
    }

    async fn commit(
        &self,
        stored: Option<&Stored<records::Order>>,
        state: &State,
        event: Event,
        change: Change,
    ) -> Result<(), Trouble> {
        let state = state.clone().after(event).map_err(Trouble::ours)?;
        let record = state.record(&self.request.id);
        let change = match stored {
            Some(stored) => change.if_unchanged(stored),
            None => change.if_absent(&record),
        };
        self.context.ledger.commit(change.put(record)).await.map_err(Trouble::ours)?;
        tracing::debug!(order = self.request.id, phase = state.phase.name(), "the order goes on");
        Ok(())
    }

    /// Takes back what the order has left outside, and notes when to try again.
    async fn fail(&self, stored: Option<&Stored<records::Order>>, state: State, trouble: Trouble) {
        let Trouble { kind, why, retry_after } = trouble;
        let phase = state.phase.name();
        tracing::warn!(order = self.request.id, phase, kind = kind.name(), "{why}");
        let context = self.context;
        context.observed.orders.with_label_values(&[&self.request.issuer, kind.name()]).inc();
        if kind == Kind::NoAccount
            && let Err(trouble) =
                context.accounts.forget(&context.ledger, &self.request.issuer).await
        {
            tracing::warn!("{}", trouble.why);
        }
        let life = context.ledger.get::<Certificate>(&self.request.id).map(|stored| {
            Duration::from_secs(stored.value.not_after.saturating_sub(stored.value.not_before))
        });
        let wait = renew::backoff(state.failures + 1, life, retry_after, context.settings.seed);
        let failure = Failure { at: now(), phase: phase.to_owned(), why };
        let change = self.tidy_up(&state).await;
        let failed = State {
            phase: Phase::Waiting { not_before: now() + wait.as_secs() },
            failures: state.failures.saturating_add(1),
            failure: Some(failure),
            ..State::default()
        };
        let change = match stored {
            Some(stored) => change.if_unchanged(stored),
            None => change,
        };
        let change = change.put(failed.record(&self.request.id));
        if let Err(error) = context.ledger.commit(change).await {
            tracing::error!(order = self.request.id, "its failure cannot be kept: {error}");
        }
    }

    async fn session(&mut self) -> Result<&mut Session, Trouble> {
        let opened = match self.session.take() {
            Some(session) => session,
            None => {
                let context = self.context;
                let timeout = context.settings.times.request;
                let (account, said) = context
                    .accounts
                    .open(&context.ledger, &self.request.issuer, self.issuer, timeout)
                    .await?;
                Session { account, said, order: None }
            }
        };
        Ok(self.session.insert(opened))
    }

    /// A new order at the authority; its URL.
    async fn order_anew(&mut self, state: &State) -> Result<String, Trouble> {
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
    async fn answer(&mut self, state: &State) -> Result<Step, Trouble> {
        let (kind, stateless) = (self.issuer.challenge, self.context.is_stateless(&state.issuer));
        let (order, said) = self.order(state).await?;
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| Trouble::of(&error, &said))?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                other => return Err(Trouble::refused(format!("an authorization is {other:?}"))),
            }
            let name = authorization.identifier().identifier.authorized(false).to_string();
            let challenge = authorization.challenge(acme_kind(kind)).ok_or_else(|| {
                Trouble::refused(format!(
                    "the authority has no {kind} for {name}: wildcards need dns-01"
                ))
            })?;
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

    /// Runs the hook for what is answered in DNS.
    async fn set_records(&self, state: &State) -> Result<(), Trouble> {
        for answer in &state.answers {
            let Answer::Dns01 { name, value } = answer else { continue };
            let hook = self.issuer.dns_hook.as_ref();
            let hook = hook.ok_or_else(|| Trouble::ours("dns-01 needs a dns_hook"))?;
            hook::run(hook, Deed::Present, name, value).await?;
        }
        Ok(())
    }

    /// Tells the authority that it may knock, where it has not been told before.
    async fn tell(&mut self, state: &State) -> Result<(), Trouble> {
        let kind = self.issuer.challenge;
        let (order, said) = self.order(state).await?;
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
        let mut wait = LOOK.0;
        let (order, said) = self.order(state).await?;
        loop {
            let now = order.refresh().await.map_err(|error| Trouble::of(&error, &said))?;
            if now.status != from {
                return Ok(now.status);
            }
            if Instant::now() + wait > end {
                return Err(Trouble::slow(format!("the order stays {from:?}")));
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(LOOK.1);
        }
    }

    /// Sends the signing request once the authority is convinced.
    async fn finalise(&mut self, state: &State) -> Result<(), Trouble> {
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
        if let Some(problem) = order.state().error.clone() {
            return Trouble::of(&problem.into(), &said);
        }
        let mut authorizations = order.authorizations();
        while let Some(Ok(authorization)) = authorizations.next().await {
            let name = authorization.identifier().to_string();
            if let Some(problem) = authorization.challenges.iter().find_map(|c| c.error.clone()) {
                let trouble = Trouble::of(&problem.into(), &said);
                return Trouble { why: format!("{name}: {}", trouble.why), ..trouble };
            }
        }
        Trouble::refused("the authority says no, and not why")
    }

    /// The certificate, where it is what was wanted.
    async fn download(&mut self, state: &State) -> Result<Certificate, Trouble> {
        match self.settle(state, OrderStatus::Processing).await? {
            OrderStatus::Valid => {}
            _ => return Err(self.refusal(state).await),
        }
        let (order, said) = self.order(state).await?;
        let chain = order.certificate().await.map_err(|error| Trouble::of(&error, &said))?;
        let chain = chain.ok_or_else(|| Trouble::slow("the authority has no certificate yet"))?;
        let wanted = Wanted {
            id: &self.request.id,
            names: Some(&state.names),
            policy: &self.context.settings.policy,
            source: &state.issuer,
            now: now(),
        };
        examine(&chain, &state.key, &wanted)
            .map_err(|unfit| Trouble::refused(format!("what was issued is not served: {unfit}")))
    }

    /// Waits until every live node serves the certificate, for a bounded time: one that does not
    /// keeps the old one, and says why.
    async fn await_nodes(&self) {
        let context = self.context;
        let key = format!("{}{}", fleet_wire::key::CERTIFICATE, self.request.id);
        let since = Instant::now();
        let end = since + context.settings.times.barrier;
        let mut changed = context.fleet.changed();
        loop {
            changed.mark_unchanged();
            let Some(serial) = context.ledger.book(|book| book.serial_of(&key)) else { return };
            let holds = context.fleet.holds(&key, serial);
            let late: Vec<_> = holds.iter().filter(|(_, has)| *has != Has::Yes).collect();
            if late.is_empty() {
                let took = since.elapsed().as_secs_f64();
                return context.observed.propagation_seconds.observe(took);
            }
            let only_refused = late.iter().all(|(_, has)| matches!(has, Has::Refused(_)));
            let over = tokio::time::timeout_at(end, changed.changed());
            if only_refused || over.await.is_err() {
                tracing::warn!(order = self.request.id, ?late, "nodes do not serve it yet");
                return;
            }
        }
    }

    /// Takes the answers away, and gives drained nodes their traffic back.
    async fn tidy_up(&self, state: &State) -> Change {
        for answer in &state.answers {
            let (Answer::Dns01 { name, value }, Some(hook)) = (answer, &self.issuer.dns_hook)
            else {
                continue;
            };
            if let Err(trouble) = hook::run(hook, Deed::Cleanup, name, value).await {
                tracing::warn!(order = self.request.id, "{}", trouble.why);
            }
        }
        leave(self.context, state)
    }
}

/// What takes an order's traces out of the ledger.
pub(super) fn leave(context: &Context, state: &State) -> Change {
    let records = state.answers.iter().filter_map(Answer::record);
    let change = records
        .filter(|record| context.ledger.book(|book| book.serial_of(&record.key())).is_some())
        .fold(Change::new(), |change, record| change.delete(&record));
    state.drained.iter().fold(change, |change, node| {
        match context.ledger.get::<Node>(&node.to_string()) {
            Some(stored) if stored.value.standing == NodeStanding::Drained => {
                let serving = Node { standing: NodeStanding::Serving, ..stored.value.clone() };
                change.if_unchanged(&stored).put(serving)
            }
            _ => change,
        }
    })
}

const fn acme_kind(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}
