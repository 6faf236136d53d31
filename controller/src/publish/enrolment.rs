//! From an invitation to a node. The invitation goes and the node comes in one transaction, so a
//! token works once, whatever two of its holders do at the same time.

use std::time::{SystemTime, UNIX_EPOCH};

use fleet_wire::message::enrolment_server::Enrolment;
use fleet_wire::message::{EnrolRequest, Identity};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use super::Publisher;
use super::listener::Caller;
use crate::identity::{hex, sha256};
use crate::ledger::{Change, LedgerError, Stored};
use crate::records::{Invitation, Node};
use crate::store::StoreError;

/// One answer for every token that is not good: who guesses learns nothing.
fn refused() -> Status {
    Status::permission_denied(
        "the invitation is not good: used already, expired, or not ours. `landfast-controller nodes invite` makes another",
    )
}

#[tonic::async_trait]
impl Enrolment for Publisher {
    async fn enrol(&self, request: Request<EnrolRequest>) -> Result<Response<Identity>, Status> {
        let from = request.extensions().get::<Caller>().map(|caller| caller.address);
        let EnrolRequest { token, request } = request.into_inner();
        let Some(invitation) = self.invitation(&token) else {
            tracing::warn!(?from, "an invitation that is not good was shown");
            return Err(refused());
        };
        let invited = &invitation.value.node;
        let made = self.authority.identify(invited.id, &request, OffsetDateTime::now_utc());
        let made = made.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let node: Node = invited.clone().with_identity(None, made.key_sha256.clone());
        let (id, name) = (node.id, node.name.clone());
        let change = Change::new()
            .if_unchanged(&invitation)
            .if_absent(&node)
            .delete(&invitation.value)
            .put(node);
        match self.ledger.commit(change).await {
            Ok(_) => {}
            Err(LedgerError::Store(StoreError::Conflict(_))) => return Err(refused()),
            Err(error) => return Err(Status::internal(error.to_string())),
        }
        tracing::info!(node = id, name, ?from, "a node has enrolled");
        Ok(Response::new(self.identity(id, made)))
    }
}

impl Publisher {
    /// The invitation that a token is for. Compared by its hash: how long that takes tells nothing
    /// about the token.
    fn invitation(&self, token: &[u8]) -> Option<Stored<Invitation>> {
        let hash = hex(&sha256(token));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let is_shown =
            |invitation: &Invitation| invitation.token_sha256 == hash && invitation.expires > now;
        self.ledger.find(is_shown).pop()
    }
}
