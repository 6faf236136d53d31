//! Commands about accounts at authorities, and about what only their account can do.

use tonic::{Response, Status};

use super::{Operator, m};
use crate::acme::{Deed, RevocationReason};
use crate::internal;
use crate::records::Account;

impl Operator {
    pub(super) fn account_list(&self) -> Vec<m::Account> {
        let accounts = self.ledger.find(|account: &Account| account.issuer != internal::NAME);
        let shown = accounts.into_iter().map(|stored| {
            let Account { issuer, credentials, stateless_thumbprint, next_key } = stored.value;
            m::Account {
                issuer,
                url: credentials["id"].as_str().unwrap_or_default().to_owned(),
                stateless: stateless_thumbprint.is_some(),
                is_rolling: next_key.is_some(),
            }
        });
        shown.collect()
    }

    pub(super) async fn revoke(&self, asked: m::Revocation) -> Result<Response<m::Done>, Status> {
        let m::Revocation { id, reason } = asked;
        let Some(reason) = RevocationReason::ALL.into_iter().find(|it| it.name() == reason) else {
            let known = RevocationReason::ALL.map(RevocationReason::name).join(", ");
            return Err(Status::invalid_argument(format!("`{reason}` is none of: {known}")));
        };
        let word = format!("{id} is revoked ({}), and a new one ordered", reason.name());
        self.ask(Deed::Revoke { id, reason }, word).await
    }
}
