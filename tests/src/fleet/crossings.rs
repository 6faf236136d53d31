//! Packets that nodes forward to others, by the counters of both ends.

use std::time::Duration;

use anyhow::{Context as _, Result};
use edge_wire::Reason;

use super::eventually;
use super::node::Node;

/// What crosses from some nodes to others, from the making of this value on.
#[derive(Debug)]
pub struct Crossings<'a> {
    from: Vec<&'a Node>,
    to: Vec<&'a Node>,
    before: Counts,
}

/// Counters of both ends, of whichever program did it: that in the kernel, or the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    forwarded: u64,
    stripped: u64,
}

impl<'a> Crossings<'a> {
    pub(super) fn begin(from: Vec<&'a Node>, to: Vec<&'a Node>) -> Result<Self> {
        let before = Counts::read(&from, &to)?;
        Ok(Self { from, to, before })
    }

    /// Waits until at least `packets` were forwarded, and every one of them was taken out at the
    /// other end.
    ///
    /// # Errors
    /// Where that does not come about, or a node does not answer.
    pub fn expect(&self, packets: u64) -> Result<()> {
        let mut crossed = Counts { forwarded: 0, stripped: 0 };
        let timeout = Duration::from_secs(2);
        let all_crossed = eventually("all that is forwarded is taken out", timeout, || {
            if let Ok(now) = Counts::read(&self.from, &self.to) {
                crossed.forwarded = now.forwarded - self.before.forwarded;
                crossed.stripped = now.stripped - self.before.stripped;
            }
            crossed.forwarded >= packets && crossed.stripped == crossed.forwarded
        });
        all_crossed.with_context(|| format!("{crossed:?}, at least {packets} expected"))
    }
}

impl Counts {
    fn read(from: &[&Node], to: &[&Node]) -> Result<Self> {
        Ok(Self { forwarded: sum(from, Reason::Forwarded)?, stripped: sum(to, Reason::Stripped)? })
    }
}

fn sum(nodes: &[&Node], reason: Reason) -> Result<u64> {
    let of = |node: &&Node| {
        let metrics = node.metrics()?;
        Ok(metrics.packets("steer_node", reason) + metrics.packets("relay", reason))
    };
    nodes.iter().map(of).sum()
}
