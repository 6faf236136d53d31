//! Budgets of Initials are enforced while handshakes in progress are above the threshold of Retry.

use std::convert::Infallible;
use std::sync::Arc;

use edge_wire::Reason;
use tokio::sync::watch;

use crate::admin::control::Control;
use crate::admission::pressure;

/// Switches them on and off, as the workers tell, and says so in the log.
pub(super) async fn follow(
    control: Arc<Control>,
    workers: Vec<watch::Receiver<u64>>,
) -> Infallible {
    let mut at_start = [0; 2];
    let threshold = control.config().quic.retry_threshold;
    pressure::follow(workers, threshold, async |handshakes: Option<u64>| {
        let rules = control.rules().with_pressure(handshakes.is_some());
        let enforced = rules.config().initials_per_second;
        if let Err(error) = control.set_rules(rules) {
            tracing::error!(%error, "budgets of Initials cannot be switched: trying again");
            return false;
        }
        let now = counts(&control).await;
        match handshakes {
            Some(handshakes) => {
                at_start = now;
                tracing::warn!(
                    handshakes,
                    threshold,
                    initials_per_second = enforced,
                    "handshakes in progress are at the threshold: new clients get a Retry, and each \
                     network its budget of Initials"
                );
            }
            None => {
                let [limited, retries] =
                    std::array::from_fn(|which| now[which].saturating_sub(at_start[which]));
                tracing::info!(
                    limited,
                    retries,
                    "handshakes are few again: no budgets of Initials"
                );
            }
        }
        true
    })
    .await
}

/// Packets so far that were over a budget of Initials, in the kernel and in the workers, and that
/// were answered by a Retry.
async fn counts(control: &Control) -> [u64; 2] {
    let snapshot = control.snapshot().await;
    [Reason::InitialLimited, Reason::RetrySent].map(|reason| {
        let kernel = snapshot.steering.map_or(0, |steering| steering.node[reason as usize]);
        let workers = snapshot.workers.iter().flatten().map(|w| w.reasons[reason as usize]);
        kernel + workers.sum::<u64>()
    })
}
