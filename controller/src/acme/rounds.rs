//! Round after round: what is due is begun, what was left in progress is gone on with.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::carry::{self, End};
use super::order::{Phase, State};
use super::windows::Windows;
use super::{Ask, Context, now, operator};
use crate::certificate::Wanted;
use crate::certificate::import::Watched;
use crate::config::{ChallengeKind, Issuer};
use crate::internal;
use crate::ledger::Change;
use crate::limits;
use crate::records::{self, Certificate, Request};
use crate::renew::{self, Attempts, Busy, Known, Limits, Plan};

/// The internal issuer is this machine: it may always, but not in a loop.
const INTERNAL_LIMITS: Limits =
    Limits { concurrent: limits::INTERNAL_ORDERS, an_hour: limits::MAX_ORDERS_REMEMBERED };

/// An order at work.
struct Running {
    issuer: String,
    task: task::Id,
}

/// What is going on.
pub(super) struct Rounds {
    context: Arc<Context>,
    asks: mpsc::Receiver<Ask>,
    /// Orders at work: the request's ID, and how it ended.
    orders: JoinSet<(String, End)>,
    /// By the request's ID.
    running: BTreeMap<String, Running>,
    /// What operators asked for, and authorities are asked for.
    deeds: JoinSet<()>,
    windows: Windows,
    made: BTreeMap<String, Vec<Instant>>,
    issued: BTreeMap<String, Instant>,
    imported: Vec<Watched>,
    files_at: Option<Instant>,
}

impl Rounds {
    pub(super) fn new(context: Arc<Context>, asks: mpsc::Receiver<Ask>) -> Self {
        let imported = context.settings.imported.iter().cloned().map(Watched::new).collect();
        Self {
            context,
            asks,
            orders: JoinSet::new(),
            running: BTreeMap::new(),
            deeds: JoinSet::new(),
            windows: Windows::default(),
            made: BTreeMap::new(),
            issued: BTreeMap::new(),
            imported,
            files_at: None,
        }
    }

    pub(super) async fn run(mut self) -> Infallible {
        let mut moved = self.context.ledger.moved();
        let mut open = true;
        loop {
            moved.mark_unchanged();
            let began = Instant::now();
            let look_again = self.round().await;
            // A round costs by the number of requests: with many, at most a tenth of the time.
            let rested = sleep(limits::ROUNDS_APART.max(began.elapsed() * 10));
            let look = sleep(look_again);
            tokio::pin!(rested, look);
            let (mut is_rested, mut news) = (false, false);
            // What comes meanwhile is taken at once; only the next round waits.
            while !(is_rested && news) {
                tokio::select! {
                    ask = self.asks.recv(), if open => {
                        match ask {
                            Some(ask) => self.serve(ask).await,
                            None => open = false,
                        }
                        news = true;
                    }
                    Some(ended) = self.orders.join_next_with_id() => {
                        self.ended(ended.map(|(_, end)| end)).await;
                        news = true;
                    }
                    Some(_) = self.deeds.join_next() => news = true,
                    Some(()) = self.windows.answered(self.context.settings.seed) => news = true,
                    _ = moved.changed(), if !news => news = true,
                    () = &mut look, if !news => news = true,
                    () = &mut rested, if !is_rested => is_rested = true,
                }
            }
        }
    }

    /// Begins what is due, and goes on with what is not at work; returns when to look again.
    async fn round(&mut self) -> Duration {
        self.look_at_files().await;
        let ledger = &self.context.ledger;
        let requests: Vec<Request> =
            ledger.all::<Request>().into_iter().map(|stored| stored.value).collect();
        let states: BTreeMap<String, State> = ledger
            .all::<records::Order>()
            .into_iter()
            .map(|stored| (stored.value.id.clone(), State::of(&stored.value)))
            .collect();
        for (id, state) in &states {
            if self.running.contains_key(id) {
                continue;
            }
            match requests.iter().find(|request| request.id == *id) {
                Some(request) if is_for(state, request) => {
                    if state.is_in_progress() {
                        self.begin(request, false);
                    }
                }
                // Nobody wants it any more, or something else.
                _ => self.give_up(id, state),
            }
        }
        let certificates: BTreeMap<String, Certificate> = self
            .context
            .ledger
            .all::<Certificate>()
            .into_iter()
            .map(|stored| (stored.value.id.clone(), stored.value))
            .collect();
        // What is not renewed here is not asked for either.
        let renewed = requests.iter().filter_map(|request| certificates.get(&request.id));
        let ask_again = self.windows.ask(&self.context, renewed);
        let plan = self.plan(&requests, &states, &certificates);
        for (id, why) in &plan.begin {
            let Some(request) = requests.iter().find(|request| request.id == *id) else { continue };
            tracing::info!(order = id, issuer = request.issuer, ?why, "a certificate is due");
            if request.issuer == internal::NAME {
                self.issue(request).await;
            } else {
                self.begin(request, true);
            }
        }
        plan.look_again.min(ask_again).min(self.context.settings.times.look_at_files)
    }

    fn plan(
        &self,
        requests: &[Request],
        states: &BTreeMap<String, State>,
        certificates: &BTreeMap<String, Certificate>,
    ) -> Plan {
        let attempts = requests.iter().map(|request| {
            let state = states.get(&request.id).cloned().unwrap_or_default();
            let not_before = match state.phase {
                Phase::Waiting { not_before } => not_before,
                _ => 0,
            };
            let attempts = Attempts {
                in_progress: state.is_in_progress() || self.running.contains_key(&request.id),
                not_before,
                failed_at: state.failure.as_ref().map_or(0, |failure| failure.at),
                issued_ago: self.issued.get(&request.id).map(Instant::elapsed),
                asked: state.asked,
            };
            (request.id.clone(), attempts)
        });
        let settings = &self.context.settings;
        let limits: BTreeMap<String, Limits> = settings
            .by_name
            .iter()
            .map(|(name, issuer)| (name.clone(), issuer.limits))
            .chain([(internal::NAME.to_owned(), INTERNAL_LIMITS)])
            .collect();
        let busy = limits.keys().map(|issuer| {
            let orders = self.at_work(issuer);
            let made = self.made.get(issuer).map(Vec::as_slice).unwrap_or_default();
            (issuer.clone(), Busy { orders, made_ago: made.iter().map(Instant::elapsed).collect() })
        });
        renew::plan(&Known {
            now: now(),
            requests,
            certificates,
            attempts: &attempts.collect(),
            windows: &self.windows.suggested(),
            limits: &limits,
            busy: &busy.collect(),
            seed: settings.seed,
        })
    }

    /// Starts a task for an order. One that goes on is not counted again.
    fn begin(&mut self, request: &Request, anew: bool) {
        let Some(issuer) = self.context.settings.by_name.get(&request.issuer).cloned() else {
            return; // `status` shows it, until the configuration knows the issuer again
        };
        let at_work = self.at_work(&request.issuer);
        if at_work >= issuer.limits.concurrent || self.takes_turns(request, &issuer) {
            return;
        }
        if anew {
            self.count(&request.issuer);
        }
        let (context, asked) = (Arc::clone(&self.context), request.clone());
        let carried = async move { carry::carry(&context, &asked, &issuer).await };
        self.spawn(&request.id, &request.issuer, carried);
    }

    /// Forgets an order that is not at work. Its hook may take a while.
    fn give_up(&mut self, id: &str, state: &State) {
        let (context, order) = (Arc::clone(&self.context), id.to_owned());
        let given_up = async move {
            carry::give_up(&context, &order).await;
            End::GivenUp
        };
        self.spawn(id, &state.issuer, given_up);
    }

    fn spawn(&mut self, id: &str, issuer: &str, order: impl Future<Output = End> + Send + 'static) {
        let request = id.to_owned();
        let task = self.orders.spawn(async move { (request, order.await) }).id();
        self.running.insert(id.to_owned(), Running { issuer: issuer.to_owned(), task });
    }

    fn at_work(&self, issuer: &str) -> usize {
        self.running.values().filter(|order| order.issuer == issuer).count()
    }

    /// Whether another order at work is for one of its names, and they cannot both be answered: by
    /// TLS-ALPN-01 a name has one answer (RFC 8737 section 3). Its turn is in a later round.
    fn takes_turns(&self, request: &Request, issuer: &Issuer) -> bool {
        let is_shared = |other: &str| {
            let other = self.context.ledger.get::<Request>(other);
            other.is_some_and(|it| it.value.names.iter().any(|name| request.names.contains(name)))
        };
        issuer.challenge == ChallengeKind::TlsAlpn01
            && self.running.keys().any(|other| *other != request.id && is_shared(other))
    }

    fn count(&mut self, issuer: &str) {
        let made = self.made.entry(issuer.to_owned()).or_default();
        made.retain(|at| at.elapsed() < Duration::from_secs(60 * 60));
        if made.len() < limits::MAX_ORDERS_REMEMBERED {
            made.push(Instant::now());
        }
    }

    async fn ended(&mut self, ended: Result<(String, End), task::JoinError>) {
        match ended {
            Ok((id, end)) => {
                let order = self.running.remove(&id);
                if end == End::Issued {
                    self.issued.insert(id, Instant::now());
                    let issuer = order.as_ref().map_or("", |order| &order.issuer);
                    self.context.observed.orders.with_label_values(&[issuer, "issued"]).inc();
                }
            }
            Err(error) => {
                tracing::error!("an order ended by a mistake of ours: {error}");
                let mut at_work = self.running.iter();
                let id = at_work.find(|(_, order)| order.task == error.id()).map(|(id, _)| id);
                let Some(id) = id.cloned() else { return };
                self.running.remove(&id);
                let why = format!("a mistake of ours: {error}");
                self.fail(&id, why).await;
            }
        }
    }

    /// Notes that an order failed that nobody carries.
    async fn fail(&self, id: &str, why: String) {
        let stored = self.context.ledger.get::<records::Order>(id);
        let state = stored.as_ref().map(|stored| State::of(&stored.value)).unwrap_or_default();
        let change = carry::leave(&self.context, &state);
        carry::note_failure(&self.context, id, stored, why, None, change).await;
    }

    async fn issue(&mut self, request: &Request) {
        self.count(&request.issuer);
        let result = match operator::issue_internally(&self.context, request).await {
            Ok(()) => {
                self.issued.insert(request.id.clone(), Instant::now());
                "issued"
            }
            Err(why) => {
                tracing::warn!(order = request.id, "the internal issuer does not issue: {why}");
                self.fail(&request.id, why).await;
                "refused"
            }
        };
        self.context.observed.orders.with_label_values(&[internal::NAME, result]).inc();
    }

    async fn look_at_files(&mut self) {
        let every = self.context.settings.times.look_at_files;
        if self.files_at.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.files_at = Some(Instant::now());
        let policy = &self.context.settings.policy;
        let wanted = Wanted { id: "", names: None, policy, source: "", now: now() };
        for watched in &mut self.imported {
            let id = watched.files().id.clone();
            if self.context.ledger.get::<Request>(&id).is_some() {
                continue; // it is ordered: both would take each other's place for ever
            }
            match watched.look(&wanted) {
                None => {}
                Some(Ok(certificate)) => {
                    let there = self.context.ledger.get::<Certificate>(&id);
                    if there.is_some_and(|there| there.value == certificate) {
                        continue;
                    }
                    tracing::info!(certificate = id, "it is imported from its files");
                    let change = Change::new().put(certificate);
                    if let Err(error) = self.context.ledger.commit(change).await {
                        tracing::error!(certificate = id, "it cannot be kept: {error}");
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(certificate = id, "what was there stays: {error}");
                }
            }
        }
    }

    /// Does what an operator asks. What takes an authority's answer is a task of its own.
    async fn serve(&mut self, ask: Ask) {
        let Ask { deed, reply } = ask;
        let context = Arc::clone(&self.context);
        self.deeds.spawn(async move {
            let limit = context.settings.times.settle;
            let done = timeout(limit, operator::serve(&context, deed)).await;
            let done = done.unwrap_or_else(|_| Err(format!("it took more than {limit:?}")));
            let _ = reply.send(done); // who asked may have gone
        });
    }
}

/// Whether an order is what its request wants now.
fn is_for(state: &State, request: &Request) -> bool {
    !state.is_in_progress() || (state.issuer == request.issuer && state.names == request.names)
}
