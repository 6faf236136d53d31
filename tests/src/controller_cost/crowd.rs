//! Simulated nodes, many of them: invited by commands, enrolled by their tokens, following.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ::controller::operator::message::operator_client::OperatorClient;
use ::controller::operator::message::{Invite, NodeList, NodesRequest};
use anyhow::{Context as _, Result};
use fleet_wire::invitation::Invitation;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use super::progress;
use crate::fleet::Controller;
use crate::simulated_node::enrolled::Enrolled;
use crate::simulated_node::{Conduct, SimulatedNode};

/// Nodes that enrol or connect at once: below what the controller has room for.
const AT_ONCE: usize = 16;
/// All of them get the whole state within this, also on a machine that is busy.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);
/// How often is asked whether the controller has heard all acknowledgements.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// The same, where it takes long.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Of an invitation.
const VALID_SECONDS: u64 = 3_600;

/// The nodes.
pub(super) struct Crowd {
    operator: OperatorClient<Channel>,
    following: Vec<SimulatedNode>,
}

impl Crowd {
    /// So many nodes with an identity, which follow.
    pub(super) async fn gather(
        controller: &Controller,
        operator: OperatorClient<Channel>,
        size: u16,
    ) -> Result<Self> {
        // All enrol before any follows: each that joins is news for all that follow.
        let address = controller.address();
        let enrol = |id| enrol(operator.clone(), id, address);
        let enrolled = stream::iter(0..size).map(enrol).buffer_unordered(AT_ONCE);
        let enrolled: Vec<Enrolled> = enrolled.try_collect().await.context("enrol")?;
        progress(format_args!("  {size} nodes have enrolled"));
        let follow = async |enrolled: Enrolled| {
            let channel = enrolled.connect(address).await?;
            let conduct = Conduct { forgets: true, ..Conduct::default() };
            Ok::<_, anyhow::Error>(SimulatedNode::follow(channel, conduct))
        };
        let following = stream::iter(enrolled).map(follow).buffer_unordered(AT_ONCE);
        let following = following.try_collect().await.context("follow")?;
        progress(format_args!("  {size} nodes follow"));
        Ok(Self { operator, following })
    }

    /// Waits until every node takes traffic and has everything, as the controller sees it.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let settled = async {
            loop {
                let (nodes, serial) = self.seen().await?;
                let behind = nodes.iter().filter(|node| node.serial != Some(serial)).count();
                let waiting = nodes.iter().filter(|node| node.standing != "serving").count();
                if behind + waiting == 0 {
                    return Ok(());
                }
                progress(format_args!("  {waiting} to be let in, {behind} behind"));
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(SETTLED_WITHIN, settled).await.context("not every node has everything")?
    }

    /// Waits until every node has acknowledged `serial`: first by what they say, then by what the
    /// controller has heard.
    pub(super) async fn acknowledge(&mut self, serial: u64) -> Result<()> {
        for node in &mut self.following {
            node.until(|held| held.position.is_some_and(|at| at.serial >= serial)).await?;
        }
        loop {
            let nodes = self.nodes().await?;
            if nodes.iter().all(|node| node.live && node.serial >= Some(serial)) {
                return Ok(());
            }
            sleep(ASK_EVERY).await;
        }
    }

    async fn nodes(&mut self) -> Result<Vec<::controller::operator::message::Node>> {
        let NodeList { nodes } = self.operator.list_nodes(NodesRequest {}).await?.into_inner();
        Ok(nodes)
    }

    /// The nodes, and the latest serial that one of them has.
    async fn seen(&mut self) -> Result<(Vec<::controller::operator::message::Node>, u64)> {
        let nodes = self.nodes().await?;
        let serial = nodes.iter().filter_map(|node| node.serial).max().unwrap_or(0);
        Ok((nodes, serial))
    }
}

async fn enrol(
    mut operator: OperatorClient<Channel>,
    id: u16,
    address: SocketAddr,
) -> Result<Enrolled> {
    let [high, low] = id.to_be_bytes();
    let invite = Invite {
        name: format!("node-{id}"),
        site: format!("site-{}", id % 32),
        ipv4: Ipv4Addr::new(10, 0, high, low).to_string(),
        id: Some(id.into()),
        valid_seconds: VALID_SECONDS,
        ..Invite::default()
    };
    let invited = operator.invite_node(invite).await?.into_inner();
    let invitation: Invitation = invited.token.parse()?;
    Enrolled::by(&invitation, address).await
}
