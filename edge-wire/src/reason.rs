//! Why a packet ended as it did. Each packet ends in exactly one counted [`Reason`] in each
//! program that sees it: `steer_node` (XDP), `steer_worker` (reuseport) and the edge process.
//! The same Reason is the same thing in whichever program it happened.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $verdict:ident;)+) => {
        /// Why a packet ended as it did. The discriminant is the index in the counter map.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every Reason, in the order of the counter map.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The value of the `reason` label in metrics, and the word in traces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }

            /// What becomes of the packet.
            #[must_use]
            pub const fn verdict(self) -> Verdict {
                match self { $(Reason::$variant => Verdict::$verdict,)+ }
            }

            /// What the Reason means, as the documentation has it.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

/// What a Reason does with its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It goes on: to the kernel's stack, to a worker's socket, or into the engine.
    Pass,
    /// It is sent to another node, or handed to another worker.
    Send,
    /// It ends here.
    Drop,
}

reasons! {
    // What the dissector found (steer_node).
    /// Neither IPv4 nor IPv6.
    NotIp = "not_ip", Pass;
    /// An IP fragment: its ports, or its length, are elsewhere.
    Fragment = "fragment", Pass;
    /// IPv4 options or IPv6 extension headers, which are not followed.
    IpOptions = "ip_options", Pass;
    /// Headers that end early, or lengths that disagree with the frame.
    Malformed = "malformed", Pass;
    /// Another protocol than UDP.
    NotUdp = "not_udp", Pass;
    /// UDP to a port that is not ours.
    OtherPort = "other_port", Pass;

    // What the connection ID said (steer_node, the edge).
    /// UDP to our port, too short for a QUIC header with a connection ID of ours.
    NotQuic = "not_quic", Pass;
    /// The connection ID is not one of ours: a new connection, which stays where it landed.
    NewConnection = "new_connection", Pass;
    /// The connection ID names another node, but the packet is not for an anycast address: whoever
    /// it is for, it is never sent to a node.
    OtherAddress = "other_address", Pass;
    /// The owner is this node, and in the edge this worker.
    Local = "local", Pass;
    /// The owner is a live node: encapsulated and sent there.
    Forwarded = "forwarded", Send;
    /// The owner is a node agreed dead: passed, so that this node resets the connection.
    OwnerDead = "owner_dead", Pass;
    /// The owner is no node that we know of: silence, never a reset (RFC 9000 section 21.11).
    OwnerUnknown = "owner_unknown", Pass;
    /// The owner is a live node, but the way there is not known yet.
    NoNextHop = "no_next_hop", Pass;
    /// With the outer headers the packet would exceed the link's MTU.
    TooBig = "too_big", Pass;
    /// The kernel refused to make room in front of the packet.
    NoHeadroom = "no_headroom", Pass;

    // What came from another node (steer_node, the edge without XDP).
    /// From a node, tag valid: outer headers taken off.
    Stripped = "stripped", Pass;
    /// To the encapsulation port, but not our encapsulation: wrong version or length, or not
    /// around a datagram to an anycast address.
    EncapsulationMalformed = "encapsulation_malformed", Drop;
    /// Encapsulated under a key that this node does not hold.
    EncapsulationKey = "encapsulation_key", Drop;
    /// Encapsulated, from an address that is not the named node's.
    EncapsulationSender = "encapsulation_sender", Drop;
    /// Encapsulated, with a tag that does not fit: forged or damaged.
    EncapsulationForged = "encapsulation_forged", Drop;

    // Which worker got it (steer_worker).
    /// To the worker that the connection ID names.
    WorkerOwner = "worker_owner", Pass;
    /// To a worker chosen by the keyed hash of the connection ID.
    WorkerHash = "worker_hash", Pass;
    /// The chosen worker has no socket: to the first one that has.
    WorkerFallback = "worker_fallback", Pass;
    /// No worker could be selected: left to the kernel's own hash.
    WorkerNone = "worker_none", Pass;

    // What the edge process did with it.
    /// Arrived at another worker of this process (receive offload merges connections of one
    /// 4-tuple): handed over.
    HandedOver = "handed_over", Send;
    /// To be handed to a worker, or relayed to a node, whose queue is full.
    QueueFull = "queue_full", Drop;
    /// Of another node's connection, after one forwarding or with forwarding off: never sent on.
    OwnerElsewhere = "owner_elsewhere", Drop;
    /// Answered with Retry (RFC 9000 section 8.1.2).
    RetrySent = "retry_sent", Pass;
    /// A new connection beyond the bound: refused.
    ConnectionLimit = "connection_limit", Drop;
    /// Answered with a stateless reset (RFC 9000 section 10.3).
    ResetSent = "reset_sent", Pass;
    /// Would be answered with a stateless reset, but the budget for them is spent.
    ResetLimited = "reset_limited", Drop;
    /// The engine had no use for it: not QUIC, or of no connection it knows.
    Ignored = "ignored", Drop;
}

impl Reason {
    /// How many there are: the size of the counter map.
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// The Reason at `index` of the counter map.
    #[must_use]
    pub fn from_index(index: u32) -> Option<Self> {
        Self::ALL.get(index as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_index_in_the_map_is_the_place_in_the_list() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(Reason::from_index(index as u32), Some(*reason));
        }
        assert_eq!(Reason::from_index(Reason::COUNT), None);
    }

    #[test]
    fn names_are_distinct_and_fit_a_metric_label() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
