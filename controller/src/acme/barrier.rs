//! Whether the authority may be told: pure.
//!
//! It may knock on any node the moment it is told, so it is told once every live node holds the
//! answers *and* gives them when asked over the network, and there is one at least. A node that does
//! not is waited for until the deadline; then there are ways out, in this order:
//!
//! 1. where the old certificate is near its end, the authority is told anyway;
//! 2. where more than a tenth of the nodes are late (and more than one), the order waits: this is
//!    no fault of a node;
//! 3. a late node is drained of new traffic where its site has others that are not late;
//! 4. a late node that is the last of its site is not, and the order waits.
//!
//! An order that waits has one of its issuer's places: after [`limits::BARRIER_PATIENCE_DEADLINES`] it gives it up.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::limits;

/// Whether a node has the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Has {
    /// It said so.
    Yes,
    /// It has not said so yet.
    NotYet,
    /// It cannot take one, and why.
    Refused(String),
}

/// What a node answered when asked over the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It has not been asked yet.
    NotAsked,
    /// What it should.
    Right,
    /// Something else, or nothing, and what.
    Wrong(String),
}

/// A node whose lease is valid, or may be. Others do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSeen {
    /// Its number.
    pub node: u16,
    /// Where it stands.
    pub site: String,
    /// Whether it takes no new traffic: it has joined only now, or was drained already.
    pub drained: bool,
    /// Whether it has the answers.
    pub has: Has,
    /// What it answered.
    pub answered: Answered,
}

impl NodeSeen {
    /// Whether an authority that knocks here gets its answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.has == Has::Yes && self.answered == Answered::Right
    }

    /// What it lacks, for people.
    #[must_use]
    pub fn lacks(&self) -> String {
        let what = match (&self.has, &self.answered) {
            (Has::NotYet, _) => "has not acknowledged the answer",
            (Has::Refused(why), _) => why,
            (Has::Yes, Answered::NotAsked) => "has not been asked yet",
            (Has::Yes, Answered::Wrong(what)) => what,
            (Has::Yes, Answered::Right) => "is ready",
        };
        format!("node {} at {}: {what}", self.node, self.site)
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Tell the authority.
    Go,
    /// Tell it, although these are late.
    GoWithout(Vec<u16>),
    /// Wait for these: there is time.
    Wait(Vec<u16>),
    /// Take new traffic away from these, then look again.
    Drain(Vec<u16>),
    /// Wait for these although the deadline is over.
    Hold(Vec<u16>),
}

/// What to do, after waiting for so long. `pressed` is where waiting costs more than an attempt
/// that fails: the old certificate is near its end, or patience is.
#[must_use]
pub fn judge(waited: Duration, deadline: Duration, pressed: bool, nodes: &[NodeSeen]) -> Verdict {
    let late: Vec<&NodeSeen> =
        nodes.iter().filter(|node| !node.is_ready() && !node.drained).collect();
    let ids = |of: &[&NodeSeen]| of.iter().map(|node| node.node).collect();
    let is_anybody_ready = nodes.iter().any(|node| node.is_ready() && !node.drained);
    if late.is_empty() && is_anybody_ready {
        return Verdict::Go;
    }
    if waited < deadline {
        return Verdict::Wait(ids(&late));
    }
    if pressed {
        return Verdict::GoWithout(ids(&late));
    }
    if !is_anybody_ready || late.len() > 1.max(nodes.len() / limits::BARRIER_LATE_ONE_IN) {
        return Verdict::Hold(ids(&late));
    }
    let others: BTreeSet<&str> = nodes
        .iter()
        .filter(|node| node.is_ready() && !node.drained)
        .map(|node| node.site.as_str())
        .collect();
    let (drain, last): (Vec<_>, Vec<_>) =
        late.into_iter().partition(|node| others.contains(node.site.as_str()));
    if drain.is_empty() { Verdict::Hold(ids(&last)) } else { Verdict::Drain(ids(&drain)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::DEFAULT_BARRIER as DEADLINE;

    fn node() -> impl Strategy<Value = NodeSeen> {
        let has = prop_oneof![
            8 => Just(Has::Yes),
            1 => Just(Has::NotYet),
            1 => Just(Has::Refused("no".into()))
        ];
        let answered = prop_oneof![
            8 => Just(Answered::Right),
            1 => Just(Answered::NotAsked),
            1 => Just(Answered::Wrong("404".into()))
        ];
        (0..4_u8, prop::bool::weighted(0.05), has, answered).prop_map(
            |(site, drained, has, answered)| NodeSeen {
                node: 0,
                site: site.to_string(),
                drained,
                has,
                answered,
            },
        )
    }

    fn fleet() -> impl Strategy<Value = Vec<NodeSeen>> {
        proptest::collection::vec(node(), 0..60).prop_map(|mut nodes| {
            for (id, node) in (0..).zip(&mut nodes) {
                node.node = id;
            }
            nodes
        })
    }

    proptest! {
        #[test]
        fn nobody_is_left_behind_without_a_reason(
            nodes in fleet(), waited in 0..60_u64, pressed: bool,
        ) {
            let late: Vec<u16> = nodes
                .iter()
                .filter(|node| !node.is_ready() && !node.drained)
                .map(|node| node.node)
                .collect();
            let over = waited >= 30;
            match judge(Duration::from_secs(waited), DEADLINE, pressed, &nodes) {
                Verdict::Go => {
                    prop_assert!(late.is_empty());
                    let is_ready = |node: &NodeSeen| node.is_ready() && !node.drained;
                    prop_assert!(nodes.iter().any(is_ready), "nobody would answer");
                }
                Verdict::Wait(for_whom) => prop_assert!(!over && for_whom == late),
                Verdict::GoWithout(whom) => prop_assert!(over && pressed && whom == late),
                Verdict::Hold(for_whom) => {
                    prop_assert!(over && !pressed);
                    prop_assert!(for_whom.iter().all(|node| late.contains(node)));
                }
                Verdict::Drain(drained) => {
                    prop_assert!(over && !pressed && !drained.is_empty());
                    prop_assert!(late.len() <= 1.max(nodes.len() / 10));
                    for id in drained {
                        let site = &nodes[usize::from(id)].site;
                        let stays = |node: &&NodeSeen| {
                            node.site == *site && node.is_ready() && !node.drained
                        };
                        prop_assert!(nodes.iter().any(|node| stays(&node)), "a site's last");
                    }
                }
            }
        }
    }

    fn at(node: u16, site: &str, answered: Answered) -> NodeSeen {
        NodeSeen { node, site: site.into(), drained: false, has: Has::Yes, answered }
    }

    /// As after the start of a controller, whose nodes are not back yet.
    #[test]
    fn where_nobody_would_answer_the_authority_is_told_only_when_patience_is_over() {
        for nodes in [vec![], vec![NodeSeen { drained: true, ..at(1, "a", Answered::Right) }]] {
            assert_eq!(judge(Duration::ZERO, DEADLINE, false, &nodes), Verdict::Wait(vec![]));
            assert_eq!(judge(DEADLINE, DEADLINE, false, &nodes), Verdict::Hold(vec![]));
            assert_eq!(judge(DEADLINE, DEADLINE, true, &nodes), Verdict::GoWithout(vec![]));
        }
    }

    #[test]
    fn a_node_that_acknowledges_but_cannot_be_reached_is_drained_where_its_site_has_others() {
        let wrong = || Answered::Wrong("does not answer".into());
        let mut nodes =
            [at(1, "a", Answered::Right), at(2, "a", wrong()), at(3, "b", Answered::Right)];
        assert_eq!(judge(DEADLINE, DEADLINE, false, &nodes), Verdict::Drain(vec![2]));
        nodes[1].drained = true;
        assert_eq!(judge(DEADLINE, DEADLINE, false, &nodes), Verdict::Go);
        let nodes = [at(1, "a", Answered::Right), at(3, "b", wrong())];
        assert_eq!(judge(DEADLINE, DEADLINE, false, &nodes), Verdict::Hold(vec![3]));
        assert_eq!(judge(DEADLINE, DEADLINE, true, &nodes), Verdict::GoWithout(vec![3]));
    }
}
