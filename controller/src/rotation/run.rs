//! The task that makes a rotation's steps: clock, proof and store around [`step`].

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::IntCounterVec;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{Kind, RotationError, Schedule, Stage, State, Step, step};
use crate::ledger::{Change, Ledger, LedgerError};
use crate::limits;
use crate::records;

/// Which live nodes do not hold the secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// They have not said so yet.
    pub awaited: Vec<u16>,
    /// They could not take them, and why.
    pub refused: Vec<(u16, String)>,
}

impl Proof {
    /// Whether every live node holds them.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.awaited.is_empty() && self.refused.is_empty()
    }
}

/// What a command wants of the rotation.
#[derive(Debug)]
pub struct Ask {
    /// To rotate at once.
    pub kind: Kind,
    /// What becomes of it.
    pub answer: oneshot::Sender<Answer>,
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The rotation has begun.
    Begun,
    /// It begins once every live node holds the secrets that are in force.
    Waits(Proof),
    /// One is in progress; another can begin when it has ended.
    InProgress(Stage),
    /// It cannot be done.
    Failed(String),
}

/// Seconds since 1970 as they were at the start, and what has passed since: a clock that is set
/// while this process runs neither drops a key early nor keeps one long.
struct Clock {
    began: u64,
    since: Instant,
}

impl Clock {
    fn start() -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { began, since: Instant::now() }
    }

    fn now(&self) -> u64 {
        self.began + self.since.elapsed().as_secs()
    }
}

/// Rotates for as long as the process runs. `proof` tells which live nodes hold the secrets as of
/// a serial, `changed` when that may have changed. `rotations` counts, by kind, the keys that every
/// node has come to make with.
pub async fn run(
    ledger: Arc<Ledger>,
    proof: impl Fn(u64) -> Proof,
    mut changed: watch::Receiver<u64>,
    schedule: Schedule,
    mut asks: mpsc::Receiver<Ask>,
    rotations: IntCounterVec,
) -> Infallible {
    let clock = Clock::start();
    let mut asked = BTreeSet::new();
    let mut last_failure = String::new();
    loop {
        match advance(&ledger, &clock, &schedule, &asked, &proof).await {
            Ok(moved) => {
                for (kind, to) in &moved {
                    asked.remove(kind);
                    if let Stage::Aging { .. } = to {
                        rotations.with_label_values(&[kind.name()]).inc();
                    }
                }
                last_failure.clear();
                if !moved.is_empty() {
                    continue;
                }
            }
            Err(failure) => say_once(&mut last_failure, failure.to_string()),
        }
        tokio::select! {
            // Both ends live as long as the process; a closed one must not spin.
            Ok(()) = changed.changed() => {}
            Some(ask) = asks.recv() => {
                let answer = answer(&ledger, &clock, &schedule, ask.kind, &proof);
                if let Answer::Begun | Answer::Waits(_) = answer {
                    asked.insert(ask.kind);
                }
                // Who asked may have gone.
                let _ = ask.answer.send(answer);
            }
            () = tokio::time::sleep(limits::ROTATION_LOOK) => {}
        }
    }
}

fn say_once(last: &mut String, failure: String) {
    if *last != failure {
        tracing::error!("the rotation of the fleet's secrets does not go on: {failure}");
        *last = failure;
    }
}

/// Why it does not go on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("there are none; `landfast-controller init` makes them")]
    NoSecrets,
    #[error(transparent)]
    Rotation(#[from] RotationError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes the next step, if there is one, and tells which kinds moved, and to where.
async fn advance(
    ledger: &Ledger,
    clock: &Clock,
    schedule: &Schedule,
    asked: &BTreeSet<Kind>,
    proof: impl Fn(u64) -> Proof,
) -> Result<Vec<(Kind, Stage)>, Failure> {
    let stored = ledger.get::<records::Secrets>("").ok_or(Failure::NoSecrets)?;
    let now = clock.now();
    let state = State::read(&stored.value, now, schedule)?;
    let proved = proof(stored.revision).is_whole();
    let Some(Step { state: next, moved }) =
        step(&state, now, schedule, proved, asked, &mut operating_system)?
    else {
        return Ok(Vec::new());
    };
    ledger.commit(Change::new().if_unchanged(&stored).put(next.record())).await?;
    for kind in &moved {
        tracing::info!(
            %kind,
            from = state.stages[kind].name(),
            to = next.stages[kind].name(),
            "rotation"
        );
    }
    Ok(moved.into_iter().map(|kind| (kind, next.stages[&kind])).collect())
}

fn answer(
    ledger: &Ledger,
    clock: &Clock,
    schedule: &Schedule,
    kind: Kind,
    proof: impl Fn(u64) -> Proof,
) -> Answer {
    let Some(stored) = ledger.get::<records::Secrets>("") else {
        return Answer::Failed(Failure::NoSecrets.to_string());
    };
    match State::read(&stored.value, clock.now(), schedule) {
        Err(error) => Answer::Failed(error.to_string()),
        Ok(state) => match state.stages[&kind] {
            Stage::Resting { .. } => match proof(stored.revision) {
                proof if proof.is_whole() => Answer::Begun,
                proof => Answer::Waits(proof),
            },
            stage => Answer::InProgress(stage),
        },
    }
}

fn operating_system(key: &mut [u8]) -> Result<(), RotationError> {
    aws_lc_rs::rand::fill(key).map_err(|_| RotationError::Random)
}
