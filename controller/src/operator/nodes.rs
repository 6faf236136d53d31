//! Commands about nodes.

use tonic::{Response, Status};

use super::{Operator, done, m, refused};
use crate::ledger::Change;
use crate::records::{Invitation, Node, NodeStanding};

/// The standing of a node whose invitation nobody has used.
pub(super) const INVITED: &str = "invited";

impl Operator {
    pub(super) fn node_list(&self) -> Vec<m::Node> {
        let nodes = self.ledger.all::<Node>().into_iter().map(|stored| {
            let standing = match stored.value.standing {
                NodeStanding::Joining => "joining",
                NodeStanding::Serving => "serving",
                NodeStanding::Drained => "drained",
            };
            entry(stored.value, standing)
        });
        let invitations = self.ledger.all::<Invitation>();
        let invited = invitations.into_iter().map(|stored| entry(stored.value.node, INVITED));
        nodes.chain(invited).collect()
    }

    pub(super) async fn remove(&self, name: &str) -> Result<Response<m::Done>, Status> {
        let mut change = Change::new();
        let invitation = self.ledger.get::<Invitation>(name);
        let node = self.ledger.all::<Node>().into_iter().find(|node| node.value.name == name);
        if invitation.is_none() && node.is_none() {
            return Err(Status::not_found(format!(
                "there is no node `{name}`; `nodes list` shows what there is"
            )));
        }
        if let Some(it) = &invitation {
            change = change.if_unchanged(it).delete(&it.value);
        }
        if let Some(it) = &node {
            change = change.if_unchanged(it).delete(&it.value);
        }
        self.ledger.commit(change).await.map_err(refused)?;
        done(match node {
            Some(_) => format!("{name}: removed; its identity opens nothing any more"),
            None => format!("{name}: the invitation is worth nothing any more"),
        })
    }
}

fn entry(node: Node, standing: &str) -> m::Node {
    let addresses = [node.ipv4.map(|it| it.to_string()), node.ipv6.map(|it| it.to_string())];
    m::Node {
        id: node.id.into(),
        name: node.name,
        site: node.site,
        addresses: addresses.into_iter().flatten().collect(),
        serves: node.serves,
        standing: standing.to_owned(),
        ..Default::default()
    }
}
