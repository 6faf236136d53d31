//! The barrier at work: looks at nodes, asks them, and does what [`barrier::judge`] says.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;

use super::barrier::{self, Answered, Has, NodeSeen, Verdict};
use super::challenge::Answer;
use super::order::{Event, State};
use super::probe;
use super::{Context, Trouble};
use crate::ledger::Change;
use crate::limits;
use crate::records::{Certificate, Kind as _, Node, NodeStanding};

/// What the barrier of one order remembers from step to step.
#[derive(Default)]
pub(super) struct Gate {
    since: Option<Instant>,
    said: Option<Instant>,
    answered: BTreeMap<u16, Answered>,
    /// Who was late at the last look: whom it waited for in the end.
    last: Vec<u16>,
}

impl Gate {
    /// Waits until the authority may be told, or until nodes must be drained for that.
    pub(super) async fn pass(
        &mut self,
        context: &Context,
        id: &str,
        state: &State,
    ) -> Result<(Event, Change), Trouble> {
        // By DNS-01 no node is asked anything.
        if state.answers.iter().all(|answer| matches!(answer, Answer::Dns01 { .. })) {
            return Ok((Event::Passed, Change::new()));
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = context.settings.times.barrier;
        loop {
            let mut changed = context.fleet.changed();
            changed.mark_unchanged();
            let nodes = self.look(context, state);
            let waited = since.elapsed();
            let pressed = is_pressed(context, id, waited);
            let verdict = barrier::judge(waited, deadline, pressed, &nodes);
            self.tell(id, waited, &verdict, &nodes);
            match verdict {
                Verdict::Go | Verdict::GoWithout(_) => {
                    context.observed.barrier_seconds.observe(waited.as_secs_f64());
                    return Ok((Event::Passed, Change::new()));
                }
                Verdict::Drain(ids) => {
                    return Ok((Event::Drained(ids.clone()), drain(context, &ids)));
                }
                // Its place is another's by then; it comes again with the backoff of failures.
                Verdict::Hold(for_whom)
                    if waited > deadline.saturating_mul(limits::BARRIER_PATIENCE_DEADLINES) =>
                {
                    return Err(Trouble::ours(format!(
                        "nodes do not answer what the authority would ask: {}",
                        lacking(&nodes, &for_whom)
                    )));
                }
                Verdict::Wait(for_whom) | Verdict::Hold(for_whom) => {
                    // Where no node takes traffic, it waits for the first.
                    let waits = i64::try_from(for_whom.len().max(1)).unwrap_or(i64::MAX);
                    context.observed.barrier_waits_for.add(waits);
                    if !self.ask(context, state, &nodes).await {
                        // Somebody says something, or it is time to ask again.
                        let _ = tokio::time::timeout(limits::PROBE_AGAIN, changed.changed()).await;
                    }
                    context.observed.barrier_waits_for.sub(waits);
                }
            }
        }
    }

    fn look(&self, context: &Context, state: &State) -> Vec<NodeSeen> {
        let all = context.fleet.live().into_iter().chain(context.not_back_yet());
        let mut has: BTreeMap<u16, Has> = all.map(|node| (node, Has::NotYet)).collect();
        for (at, key) in keys(context, state).iter().enumerate() {
            let Some(serial) = context.ledger.book(|book| book.serial_of(key)) else { continue };
            let holds: BTreeMap<_, _> = context.fleet.holds(key, serial).into_iter().collect();
            for (node, so_far) in &mut has {
                let this = holds.get(node).cloned().unwrap_or(Has::NotYet);
                if at == 0 || *so_far == Has::Yes {
                    *so_far = this;
                }
            }
        }
        let seen = has.into_iter().filter_map(|(node, has)| {
            let record = context.ledger.get::<Node>(&node.to_string())?.value;
            Some(NodeSeen {
                node,
                site: record.site,
                // One that joins is announced once all know it.
                drained: record.standing != NodeStanding::Serving,
                has,
                answered: self.answered.get(&node).cloned().unwrap_or(Answered::NotAsked),
            })
        });
        seen.collect()
    }

    /// Asks those that have the answers and did not give them yet; whether one does now.
    async fn ask(&mut self, context: &Context, state: &State, nodes: &[NodeSeen]) -> bool {
        let due = nodes.iter().filter(|node| node.has == Has::Yes && !node.is_ready());
        let due: Vec<_> = due.map(|node| ask_one(context, node.node, &state.answers)).collect();
        let asked: Vec<(u16, Answered)> =
            stream::iter(due).buffer_unordered(limits::PROBES_AT_A_TIME).collect().await;
        let news = asked.iter().any(|(_, answered)| *answered == Answered::Right);
        self.answered.extend(asked);
        news
    }

    fn tell(&mut self, id: &str, waited: Duration, verdict: &Verdict, nodes: &[NodeSeen]) {
        let (what, whom) = match verdict {
            Verdict::Go => {
                let (nodes, last) = (nodes.len(), &self.last);
                tracing::info!(order = id, ?waited, nodes, ?last, "every node answers");
                return;
            }
            Verdict::GoWithout(whom) => ("the authority is told although nodes are late", whom),
            Verdict::Drain(whom) => ("late nodes are drained", whom),
            Verdict::Wait(whom) => ("the order waits for nodes", whom),
            Verdict::Hold(whom) => ("the order waits for nodes beyond its deadline", whom),
        };
        self.last = whom.iter().copied().take(limits::BARRIER_SHOWN_NODES).collect();
        let waiting = matches!(verdict, Verdict::Wait(_) | Verdict::Hold(_));
        // The first look is always early: nobody is named before a second has passed.
        let early = waited < Duration::from_secs(1);
        if waiting
            && (early || self.said.is_some_and(|said| said.elapsed() < limits::BARRIER_SAID_EVERY))
        {
            return;
        }
        self.said = Some(Instant::now());
        if whom.is_empty() {
            tracing::warn!(order = id, ?waited, "{what}: no node takes traffic");
            return;
        }
        let late = lacking(nodes, whom);
        tracing::warn!(order = id, ?waited, late = whom.len(), "{what}: {late}");
    }
}

/// Of some of these nodes, what each lacks.
fn lacking(nodes: &[NodeSeen], whom: &[u16]) -> String {
    let late =
        nodes.iter().filter(|node| whom.contains(&node.node)).take(limits::BARRIER_SHOWN_NODES);
    late.map(NodeSeen::lacks).collect::<Vec<_>>().join("; ")
}

/// The items that a node must hold.
fn keys(context: &Context, state: &State) -> Vec<String> {
    if context.is_stateless(&state.issuer) {
        return vec![format!("{}{}", fleet_wire::key::ACCOUNT, state.issuer)];
    }
    state.answers.iter().filter_map(Answer::record).map(|record| record.key()).collect()
}

async fn ask_one(context: &Context, node: u16, answers: &[Answer]) -> (u16, Answered) {
    (node, all_answers(context, node, answers).await)
}

async fn all_answers(context: &Context, node: u16, answers: &[Answer]) -> Answered {
    let Some(record) = context.ledger.get::<Node>(&node.to_string()) else {
        return Answered::Wrong("is not enrolled any more".into());
    };
    let address = record.value.ipv4.map(Into::into).or(record.value.ipv6.map(Into::into));
    let Some(address) = address else {
        return Answered::Wrong("has no address to be asked at".into());
    };
    for answer in answers {
        match probe::ask(address, context.settings.ports, answer).await {
            Answered::Right => {}
            other => return other,
        }
    }
    Answered::Right
}

fn drain(context: &Context, nodes: &[u16]) -> Change {
    nodes.iter().fold(Change::new(), |change, node| {
        match context.ledger.get::<Node>(&node.to_string()) {
            Some(stored) if stored.value.standing == NodeStanding::Serving => {
                let drained = Node { standing: NodeStanding::Drained, ..stored.value.clone() };
                change.if_unchanged(&stored).put(drained)
            }
            _ => change,
        }
    })
}

/// Whether waiting costs more than an attempt that fails: a sixth of the certificate's life is
/// left, or there is none that works and everybody has been waited for long enough.
fn is_pressed(context: &Context, id: &str, waited: Duration) -> bool {
    let now = super::now();
    let certificate = context.ledger.get::<Certificate>(id).map(|stored| stored.value);
    match certificate.filter(|certificate| certificate.not_after > now) {
        Some(certificate) => {
            let life = certificate.not_after.saturating_sub(certificate.not_before);
            certificate.not_after - now < life / 6
        }
        None => waited > context.settings.times.barrier * limits::BARRIER_PATIENCE_DEADLINES,
    }
}
