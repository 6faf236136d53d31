//! Identities that a store made of a backup cannot know, because they were given after the backup.
//!
//! Nodes renew every sixteen hours: to a backup of yesterday each of them is a stranger. So in a
//! restored store a node may come with a key that its record lacks, where its certificate says that
//! we made it in the lost time. What that opens to somebody who stole a key:
//!
//! - Keys of before the backup stay as they were in it: what had been replaced, or belonged to a
//!   node that was removed, is not of the lost time. The times are ours, signed in the certificate
//!   and sealed in the backup.
//! - Of several keys of the lost time the latest wins, whoever comes first: a node comes with its
//!   last one, and then every other is a stranger's, also the identities that were got by it.
//! - A node that is invited anew has a record without a lost time: no earlier key is its own.
//! - A node that was removed in the lost time is back. Who restores is told to remove it again.

use time::OffsetDateTime;

use super::Peer;
use crate::records::{Lost, Node};

impl Node {
    /// The same node, known by this identity and by no other from now on; `None` where it is not
    /// one of the lost time.
    #[must_use]
    pub fn found_again(mut self, peer: &Peer, now: OffsetDateTime) -> Option<Self> {
        let Lost { from, until } = self.lost?;
        // The handshake has seen that it is valid: a connection may be older than that.
        let is_over = i64::try_from(peer.ends).is_ok_and(|ends| ends <= now.unix_timestamp());
        if peer.node != self.id || is_over || !(from..=until).contains(&peer.issued) {
            return None;
        }
        self.identities = vec![peer.key_sha256.clone()];
        self.lost = Some(Lost { from: peer.issued + 1, until });
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::NodeStanding;

    /// The backup was made at 100 and the store of it at 200.
    fn restored() -> Node {
        Node {
            id: 7,
            name: "a".into(),
            site: "s".into(),
            ipv4: None,
            ipv6: None,
            serves: Vec::new(),
            standing: NodeStanding::Serving,
            identities: vec!["old".into(), "of the backup".into()],
            lost: Some(Lost { from: 100, until: 200 }),
        }
    }

    fn peer(key: &str, issued: u64) -> Peer {
        Peer { node: 7, key_sha256: key.into(), issued, ends: issued + 1000 }
    }

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).expect("a time")
    }

    #[test]
    fn an_identity_of_the_lost_time_is_the_nodes_only_one_from_then_on() {
        for issued in [100, 150, 200] {
            let peer = peer("new", issued);
            assert!(!peer.is(&restored()));
            let again = restored().found_again(&peer, at(300)).expect("of the lost time");
            assert!(peer.is(&again));
            assert_eq!(again.identities, ["new"]);
        }
    }

    #[test]
    fn what_was_given_before_the_backup_or_after_the_restore_stays_a_strangers() {
        for issued in [0, 99, 201] {
            assert_eq!(restored().found_again(&peer("k", issued), at(300)), None, "{issued}");
        }
        let never_restored = Node { lost: None, ..restored() };
        assert_eq!(never_restored.found_again(&peer("k", 150), at(300)), None);
        let another = Peer { node: 8, ..peer("k", 150) };
        assert_eq!(restored().found_again(&another, at(300)), None);
    }

    #[test]
    fn an_identity_whose_time_is_over_is_not_found_again() {
        let peer = peer("k", 150);
        assert!(restored().found_again(&peer, at(1149)).is_some());
        assert_eq!(restored().found_again(&peer, at(1150)), None);
    }

    #[test]
    fn the_latest_identity_of_the_lost_time_wins_whoever_comes_first() {
        let (stolen, own) = (peer("stolen", 150), peer("own", 180));
        let first = restored().found_again(&own, at(300)).expect("the node came first");
        assert_eq!(first.found_again(&stolen, at(300)), None);

        let thief = restored().found_again(&stolen, at(300)).expect("the thief came first");
        let thief = thief.with_identity(Some("stolen"), "got by it".into());
        let node = thief.found_again(&own, at(400)).expect("and the node after all");
        assert_eq!(node.identities, ["own"]);
        assert_eq!(node.found_again(&own, at(400)), None, "once: it is known now");
    }
}
