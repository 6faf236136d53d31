//! Commands about nodes.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use fleet_wire::invitation::Invitation as Token;
use tonic::{Response, Status};

use super::{Operator, done, m, now, refused};
use crate::identity::{hex, sha256};
use crate::ledger::Change;
use crate::limits;
use crate::records::{Invitation, Kind as _, Node, NodeStanding};

/// The last ID: connection IDs have twelve bits for it.
const MAX_ID: u16 = 4095;
/// The standing of a node whose invitation nobody has used.
pub(super) const INVITED: &str = "invited";

impl Operator {
    pub(super) async fn invite(&self, asked: m::Invite) -> Result<Response<m::Invited>, Status> {
        let valid = asked.valid_seconds.clamp(1, limits::MAX_INVITATION.as_secs());
        let node = self.new_node(asked)?;
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret)
            .map_err(|_| Status::internal("the operating system gives no random bytes"))?;
        let expires = now() + valid;
        let token_sha256 = hex(&sha256(&secret));
        let (id, name) = (node.id, node.name.clone());
        let invitation = Invitation { node, token_sha256, expires };
        let change = Change::new().if_absent(&invitation);
        self.ledger.commit(change.put(invitation)).await.map_err(refused)?;
        let token = Token { authority: self.authority, secret }.to_string();
        Ok(Response::new(m::Invited { id: id.into(), name, token, expires }))
    }

    /// A node as it is asked for, where neither its name nor its ID nor an address is another's.
    fn new_node(&self, asked: m::Invite) -> Result<Node, Status> {
        let wrong = |reason: String| Status::invalid_argument(reason);
        let m::Invite { name, site, ipv4, ipv6, id, serves, .. } = asked;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        for word in [&name, &site] {
            if word.is_empty() || word.len() > limits::MAX_ID_BYTES || !word.chars().all(is_plain) {
                return Err(wrong(format!("`{word}` is no name: letters, digits, `-`, `_`, `.`")));
            }
        }
        let ipv4 = optional::<Ipv4Addr>(&ipv4)?;
        let ipv6 = optional::<Ipv6Addr>(&ipv6)?;
        if ipv4.is_none() && ipv6.is_none() {
            return Err(wrong("a node has an address of its own, IPv4 or IPv6".to_owned()));
        }
        let nodes = self.ledger.all::<Node>().into_iter().map(|it| it.value);
        let invited = self.ledger.all::<Invitation>().into_iter().map(|it| it.value.node);
        let others: Vec<Node> = nodes.chain(invited).collect();
        let same = |other: &&Node| {
            other.name == name
                || (ipv4.is_some() && other.ipv4 == ipv4)
                || (ipv6.is_some() && other.ipv6 == ipv6)
        };
        if let Some(other) = others.iter().find(same) {
            return Err(Status::already_exists(format!(
                "node {} ({}) has that name or address: `nodes remove {}` first",
                other.id, other.name, other.name
            )));
        }
        let gone = |id| self.ledger.book(|book| book.gone_since(&format!("{}{id}", Node::PREFIX)));
        let id = free_id(id, &others, gone, self.nodes.everywhere())?;
        let (standing, identities) = (NodeStanding::Joining, Vec::new());
        Ok(Node { id, name, site, ipv4, ipv6, serves, standing, identities, lost: None })
    }

    pub(super) fn node_list(&self) -> Vec<m::Node> {
        let following = self.nodes.following();
        let nodes = self.ledger.all::<Node>().into_iter().map(|stored| {
            let standing = match stored.value.standing {
                NodeStanding::Joining => "joining",
                NodeStanding::Serving => "serving",
                NodeStanding::Drained => "drained",
            };
            let known = following.get(&stored.value.id);
            let mut node = entry(stored.value, standing);
            if let Some((following, live)) = known {
                node.live = *live;
                node.serial = following.serial;
                node.version.clone_from(&following.version);
                let refusal = |(key, (_, reason)): (&String, &(u64, String))| m::Refusal {
                    key: key.clone(),
                    reason: reason.clone(),
                };
                node.refused = following.refused.iter().map(refusal).collect();
            }
            node
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

/// An ID for a node that joins: the one that is asked for, or the one that has been nobody's for
/// longest. `gone` says at which serial an ID's last node was removed, `everywhere` what every live
/// node has: until that removal is in it, some of them would send the new node's traffic to the old
/// one.
fn free_id(
    asked: Option<u32>,
    others: &[Node],
    gone: impl Fn(u16) -> Option<u64>,
    everywhere: Option<u64>,
) -> Result<u16, Status> {
    let is_free = |id: &u16| others.iter().all(|other| other.id != *id);
    let is_known = |id: u16| gone(id).is_some_and(|gone| everywhere.is_some_and(|it| it < gone));
    let taken =
        || Status::invalid_argument(format!("IDs are 0 to {MAX_ID}, and this one is taken"));
    match asked {
        Some(asked) => {
            let id = u16::try_from(asked).ok().filter(|id| *id <= MAX_ID && is_free(id));
            let id = id.ok_or_else(taken)?;
            if is_known(id) {
                return Err(Status::failed_precondition(format!(
                    "ID {id} was another node's, and a live node has not heard yet that it is gone: try again soon, or without `--id`"
                )));
            }
            Ok(id)
        }
        None => {
            let free = (0..=MAX_ID).filter(|id| is_free(id) && !is_known(*id));
            free.min_by_key(|id| gone(*id)).ok_or_else(taken)
        }
    }
}

fn optional<T: FromStr>(text: &str) -> Result<Option<T>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Status::invalid_argument(format!("`{text}` is no address of that family"))
        }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_to_another_node_last_of_all_and_not_while_a_live_one_knows_its_former() {
        let node = |id| Node {
            id,
            name: format!("n{id}"),
            site: "s".into(),
            ipv4: None,
            ipv6: None,
            serves: Vec::new(),
            standing: NodeStanding::Serving,
            identities: Vec::new(),
            lost: None,
        };
        let others = [node(1), node(3)];
        let gone = |id| [(0, 9), (2, 5)].into_iter().find(|it| it.0 == id).map(|it| it.1);
        let given = |asked, others: &[Node], everywhere| {
            free_id(asked, others, gone, everywhere).map_err(|status| status.code())
        };
        assert_eq!(given(None, &others, Some(9)), Ok(4), "nobody ever had it");
        let full: Vec<_> = (1..=MAX_ID).filter(|id| *id != 2).map(node).collect();
        assert_eq!(given(None, &full, Some(9)), Ok(2), "gone for longer than 0");
        assert_eq!(given(None, &full, Some(4)), Err(tonic::Code::InvalidArgument));
        assert_eq!(given(Some(0), &others, Some(9)), Ok(0));
        assert_eq!(given(Some(0), &others, Some(8)), Err(tonic::Code::FailedPrecondition));
        assert_eq!(given(Some(0), &others, None), Ok(0), "nobody lives");
        for taken in [1, 3, 4096, u32::MAX] {
            assert_eq!(given(Some(taken), &others, None), Err(tonic::Code::InvalidArgument));
        }
    }
}
