//! Commands about the fleet's secrets.

use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Response, Status};

use super::{Operator, done, m, now};
use crate::records;
use crate::rotation::{Answer, Ask, Kind, Proof, Schedule, Stage, State};

impl Operator {
    pub(super) fn secret_list(&self) -> Result<Vec<m::Secret>, Status> {
        let stored = self.ledger.get::<records::Secrets>("");
        let stored = stored.ok_or_else(|| Status::not_found("there are no secrets"))?;
        let schedule = Schedule::new(self.config.rotation);
        let state = State::read(&stored.value, now(), &schedule)
            .map_err(|error| Status::internal(error.to_string()))?;
        let Proof { awaited, refused } = self.prover.proof(stored.revision, Instant::now());
        let lacking = awaited.into_iter().chain(refused.into_iter().map(|(node, _)| node));
        let waits_for: Vec<u32> = lacking.map(u32::from).collect();
        let secret = |(&kind, &stage): (&Kind, &Stage)| m::Secret {
            kind: kind.name().to_owned(),
            stage: stage.name().to_owned(),
            since: stage.since(),
            next: schedule.next(kind, stage),
            previous_until: match stage {
                Stage::Aging { until, .. } => Some(until),
                _ => None,
            },
            waits_for: match stage {
                Stage::Readable { .. } | Stage::Making { .. } => waits_for.clone(),
                _ => Vec::new(),
            },
        };
        Ok(state.stages.iter().map(secret).collect())
    }

    pub(super) async fn rotate(&self, kind: &str) -> Result<Response<m::Done>, Status> {
        let kind: Kind = kind.parse().map_err(|()| {
            let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            Status::invalid_argument(format!("`{kind}` is none of: {}", kinds.join(", ")))
        })?;
        let (answer, answered) = oneshot::channel();
        let busy = || Status::unavailable("the rotation does not answer");
        self.rotation.try_send(Ask { kind, answer }).map_err(|_| busy())?;
        match answered.await.map_err(|_| busy())? {
            Answer::Begun => done(format!("{kind}: the next key is on its way to every node")),
            Answer::Waits(proof) => done(format!("{kind}: begins once {}", awaits(&proof))),
            Answer::InProgress(stage) => Err(Status::failed_precondition(format!(
                "{kind}: a rotation is in progress ({}); `secrets list` shows what it waits for",
                stage.name()
            ))),
            Answer::Failed(reason) => Err(Status::internal(reason)),
        }
    }
}

fn awaits(proof: &Proof) -> String {
    let awaited = proof.awaited.iter().map(|node| format!("node {node}"));
    let refused = proof.refused.iter().map(|(node, why)| format!("node {node} (refused: {why})"));
    let nodes: Vec<_> = awaited.chain(refused).collect();
    format!("the secrets in force are held by {}", nodes.join(", "))
}
