//! Carries one order from where it stands to its end. Each step does one thing outside, which may
//! have been done before, and then commits what came of it.

mod authority;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use authority::Authority;

use super::challenge::{Answer, new_key};
use super::gate::Gate;
use super::hook::{self, Deed};
use super::order::{Event, Phase, State};
use super::words::Kind;
use super::{Context, Trouble, barrier::Has, now};
use crate::config::Issuer;
use crate::ledger::{Change, Stored};
use crate::limits;
use crate::records::{self, Certificate, Kind as _, Node, NodeStanding, Request};
use crate::renew;

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Every live node has the certificate.
    Issued,
    /// It failed; the next attempt is in the ledger.
    Failed,
    /// Nobody wants it any more, or something else.
    GivenUp,
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
    /// As it stood at the beginning: what is stored for it is stored while it stands.
    wanted: Stored<Request>,
    issuer: &'a Issuer,
    authority: Authority<'a>,
    gate: Gate,
    /// It was begun here: nobody can have asked the authority for it before.
    is_new: bool,
}

/// Carries the order for a request to its end, beginning one where there is none.
pub(super) async fn carry(context: &Context, request: &Request, issuer: &Issuer) -> End {
    let wanted = context.ledger.get::<Request>(&request.id);
    let Some(wanted) = wanted.filter(|stored| stored.value == *request) else {
        return End::GivenUp;
    };
    let authority = Authority::new(context, &request.issuer, issuer);
    let mut carrier = Carrier {
        context,
        request,
        wanted,
        issuer,
        authority,
        gate: Gate::default(),
        is_new: false,
    };
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
            Err(trouble) if trouble.kind == Kind::BadNonce && nonces < limits::NONCE_ATTEMPTS => {
                nonces += 1;
                carrier.authority.forget();
                continue;
            }
            Err(trouble) => trouble,
        };
        if !carrier.is_wanted() {
            give_up(context, &request.id).await;
            return End::GivenUp;
        }
        carrier.fail(stored, &state, trouble).await;
        return End::Failed;
    }
}

impl Carrier<'_> {
    /// Whether the request is there still, and the same.
    fn is_wanted(&self) -> bool {
        let there = self.context.ledger.get::<Request>(&self.request.id);
        there.is_some_and(|there| there.revision == self.wanted.revision)
    }

    async fn step(&mut self, state: &State) -> Result<Step, Trouble> {
        let next = |event| Step::Next(event, Change::new());
        Ok(match &state.phase {
            Phase::Waiting { .. } => {
                // What the configuration forbids by now costs the authority no order.
                for name in &self.request.names {
                    let checked = self.context.settings.policy.check(name);
                    checked.map_err(|refusal| Trouble::refused(refusal.to_string()))?;
                }
                let key = new_key(self.request.key_type).map_err(Trouble::ours)?.serialize_pem();
                let (issuer, names) = (self.request.issuer.clone(), self.request.names.clone());
                self.is_new = state.failures == 0;
                next(Event::Begun { issuer, names, key })
            }
            Phase::Intended => {
                let lost = match self.is_new {
                    true => None,
                    false => self.authority.lost_order(state).await,
                };
                next(Event::Ordered(match lost {
                    Some(url) => url,
                    None => self.authority.order_anew(state).await?,
                }))
            }
            Phase::Ordered => self.authority.answer(state).await?,
            Phase::Answering => {
                self.set_records(state).await?;
                let (event, change) = self.gate.pass(self.context, &self.request.id, state).await?;
                Step::Next(event, change)
            }
            Phase::Open => {
                if !state.drained.is_empty() {
                    sleep(self.context.settings.times.drain_settles).await;
                }
                self.authority.tell(state).await?;
                next(Event::Told)
            }
            Phase::Told => {
                self.authority.finalise(state).await?;
                next(Event::Finalised)
            }
            Phase::Finalised => {
                let certificate = self.authority.download(&self.request.id, state).await?;
                Step::Next(Event::Downloaded, Change::new().put(certificate))
            }
            Phase::Stored => {
                self.await_nodes().await;
                Step::Done(tidy_up(self.context, &self.request.id, state).await)
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
        let change = if_as_read(change, stored, &record).if_unchanged(&self.wanted);
        self.context.ledger.commit(change.put(record)).await.map_err(Trouble::ours)?;
        tracing::debug!(order = self.request.id, phase = state.phase.name(), "the order goes on");
        Ok(())
    }

    /// Takes back what the order has left outside, and notes when to try again.
    async fn fail(&self, stored: Option<Stored<records::Order>>, state: &State, trouble: Trouble) {
        let Trouble { kind, why, retry_after } = trouble;
        let (context, id) = (self.context, &self.request.id);
        tracing::warn!(order = id, phase = state.phase.name(), kind = kind.name(), "{why}");
        context.observed.orders.with_label_values(&[&self.request.issuer, kind.name()]).inc();
        if kind == Kind::NoAccount
            && let Err(trouble) = self.authority.forget_account().await
        {
            tracing::warn!("{}", trouble.why);
        }
        let change = tidy_up(context, id, state).await;
        if !note_failure(context, id, stored, why, retry_after, change).await {
            // Nothing says when to try again.
            sleep(limits::KEEP_AGAIN).await;
        }
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

    /// Waits until every live node serves the certificate, for a bounded time: one that does not
    /// keeps the old one, and says why.
    async fn await_nodes(&self) {
        let context = self.context;
        let key = format!("{}{}", fleet_wire::key::CERTIFICATE, self.request.id);
        let since = Instant::now();
        let observe = || {
            context.observed.propagation_seconds.observe(since.elapsed().as_secs_f64());
        };
        let end = since + context.settings.times.barrier;
        let mut changed = context.fleet.changed();
        loop {
            changed.mark_unchanged();
            let Some(serial) = context.ledger.book(|book| book.serial_of(&key)) else { return };
            let holds = context.fleet.holds(&key, serial);
            let late: Vec<_> = holds.iter().filter(|(_, has)| *has != Has::Yes).collect();
            if late.is_empty() {
                return observe();
            }
            let only_refused = late.iter().all(|(_, has)| matches!(has, Has::Refused(_)));
            let over = tokio::time::timeout_at(end, changed.changed());
            if only_refused || over.await.is_err() {
                tracing::warn!(order = self.request.id, ?late, "nodes do not serve it yet");
                // So long at least.
                return observe();
            }
        }
    }
}

/// Keeps why an order failed, with `change`, and when to try again. `stored` is the order as it was
/// read. Whether it is kept.
pub(super) async fn note_failure(
    context: &Context,
    id: &str,
    stored: Option<Stored<records::Order>>,
    why: String,
    retry_after: Option<Duration>,
    change: Change,
) -> bool {
    let state = stored.as_ref().map(|stored| State::of(&stored.value)).unwrap_or_default();
    let life = context.ledger.get::<Certificate>(id).map(|stored| {
        Duration::from_secs(stored.value.not_after.saturating_sub(stored.value.not_before))
    });
    let seed = context.settings.seed;
    let wait = renew::backoff(state.failures.saturating_add(1), life, retry_after, seed);
    let failed = state.failed(why, now(), wait.as_secs()).record(id);
    let change = if_as_read(change, stored.as_ref(), &failed).put(failed);
    if let Err(error) = context.ledger.commit(change).await {
        tracing::error!(order = id, "its failure cannot be kept: {error}");
        return false;
    }
    true
}

fn if_as_read(
    change: Change,
    stored: Option<&Stored<records::Order>>,
    record: &records::Order,
) -> Change {
    match stored {
        Some(stored) => change.if_unchanged(stored),
        None => change.if_absent(record),
    }
}

/// Forgets an order that nobody wants any more, with what it has left outside.
pub(super) async fn give_up(context: &Context, id: &str) {
    let Some(stored) = context.ledger.get::<records::Order>(id) else { return };
    tracing::info!(order = id, "it is given up: nobody asks for it any more, or for another");
    let change = tidy_up(context, id, &State::of(&stored.value)).await;
    let change = change.if_unchanged(&stored).delete(&stored.value);
    if let Err(error) = context.ledger.commit(change).await {
        tracing::warn!(order = id, "it cannot be given up yet: {error}");
        sleep(limits::KEEP_AGAIN).await;
    }
}

/// Takes the answers away, and gives drained nodes their traffic back.
async fn tidy_up(context: &Context, id: &str, state: &State) -> Change {
    let hook = context.settings.by_name.get(&state.issuer).and_then(|it| it.dns_hook.as_ref());
    for answer in &state.answers {
        let (Answer::Dns01 { name, value }, Some(hook)) = (answer, hook) else { continue };
        if let Err(trouble) = hook::run(hook, Deed::Cleanup, name, value).await {
            tracing::warn!(order = id, "{}", trouble.why);
        }
    }
    leave(context, state)
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
