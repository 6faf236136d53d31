//! Why a packet ended as it did. Each packet ends in exactly one counted [`Reason`] in each
//! program that sees it: `steer_node` (XDP), `steer_worker` (reuseport) and the edge process.
//! The same Reason is the same thing in whichever program it happened.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $verdict:ident, $advice:literal;)+) => {
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

            /// What an operator who sees many of them should do.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Reason::$variant => $advice,)+ }
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
    NotIp = "not_ip", Pass,
        "Nothing: ARP and the like.";
    /// An IP fragment: its ports, or its length, are elsewhere.
    Fragment = "fragment", Pass,
        "QUIC is never fragmented. Many of them are an attack or a tunnel with a small MTU on the way: find the sender with `cargo xtask load --trace` or tcpdump.";
    /// IPv4 options or IPv6 extension headers, which are not followed.
    IpOptions = "ip_options", Pass,
        "Rare in honest traffic. Where a provider adds extension headers, steering is lost for these packets: ask them to stop.";
    /// Headers that end early, or lengths that disagree with the frame.
    Malformed = "malformed", Pass,
        "Damaged or crafted packets. Many at once: look at the card's error counters, then at who sends them.";
    /// Another protocol than UDP.
    NotUdp = "not_udp", Pass,
        "Nothing: TCP and ICMP of this host.";
    /// UDP to a port that is not ours.
    OtherPort = "other_port", Pass,
        "Nothing: other services of this host. All of your traffic here: `listen.port` is not the port that clients use.";

    // Early drops, each with a switch (steer_node, the edge without XDP).
    /// From an address in the blocklist.
    Blocklisted = "blocklisted", Drop,
        "The blocklist works. A complaint from a client: look for its address with `landfast-edge blocklist list`.";
    /// From a UDP port that only amplifiers send from (RFC 9308 section 8.1).
    AmplifierPort = "amplifier_port", Drop,
        "Reflected floods end here. Honest clients do not send from these ports; set `admission.amplifier_ports = false` if yours do.";
    /// An Initial packet in a datagram shorter than 1,200 bytes (RFC 9000 section 14.1).
    SmallInitial = "small_initial", Drop,
        "A broken client or a flood; a server must discard them in any case.";
    /// An Initial packet beyond the budget of its sender's network, while handshakes are many.
    InitialLimited = "initial_limited", Drop,
        "A flood of new connections from few networks, while handshakes are above `quic.retry_threshold`. Honest clients of a large carrier NAT among them: raise `admission.initials_per_second`.";

    // What the connection ID said (steer_node, the edge).
    /// UDP to our port, too short for a QUIC header with a connection ID of ours.
    NotQuic = "not_quic", Pass,
        "Probes and scans. Many at once: a flood, which costs little here.";
    /// The connection ID is not one of ours: a new connection, which stays where it landed.
    NewConnection = "new_connection", Pass,
        "Nothing: how every connection starts. Its rate is that of new clients.";
    /// The connection ID names another node, but the packet is not for an anycast address: whoever
    /// it is for, it is never sent to a node.
    OtherAddress = "other_address", Pass,
        "An address that clients come to is missing in `listen.anycast`, or a neighbour routes foreign traffic to this host.";
    /// The owner is this node, and in the edge this worker.
    Local = "local", Pass,
        "Nothing: the usual case.";
    /// The owner is a live node: encapsulated and sent there.
    Forwarded = "forwarded", Send,
        "Expected for minutes after a route change. High for longer: routes flap, or a router spreads packets of one client over nodes; compare the routes of both nodes.";
    /// The owner is a live node, but its budget of forwarded packets is spent.
    ForwardLimited = "forward_limited", Pass,
        "More traffic of one node arrives here than `admission.forwards_per_second` lets through: a flood with a connection ID of that node, or a route that leads all of its clients here. Fix the route, or raise the limit.";
    /// The owner is a node agreed dead: passed, so that this node resets the connection.
    OwnerDead = "owner_dead", Pass,
        "Expected after a node was marked dead, until its clients have connected anew.";
    /// The owner is no node that we know of: silence, never a reset (RFC 9000 section 21.11).
    OwnerUnknown = "owner_unknown", Pass,
        "A node is missing in `[[nodes]]` of this host, or is marked unknown: `landfast-edge node list`. A few are random IDs of scanners.";
    /// The owner is a live node, but the way there is not known yet.
    NoNextHop = "no_next_hop", Pass,
        "The route or neighbour of a live node is missing: `ip route get` and `ip neigh` for its address; the log says which node.";
    /// With the outer headers the packet would exceed the link's MTU.
    TooBig = "too_big", Pass,
        "The MTU between nodes is below 1,500 (IPv6: 64 bytes more than the client's packet must fit): raise it between the nodes.";
    /// The kernel refused to make room in front of the packet.
    NoHeadroom = "no_headroom", Pass,
        "The driver leaves no room in front of packets for XDP: update it, or set `steering.mode = \"generic\"`.";

    // What came from another node (steer_node, the edge without XDP).
    /// From a node, tag valid: outer headers taken off.
    Stripped = "stripped", Pass,
        "Nothing: the other side of `forwarded`.";
    /// To the encapsulation port, but not our encapsulation: wrong version or length, or not
    /// around a datagram to an anycast address.
    EncapsulationMalformed = "encapsulation_malformed", Drop,
        "Somebody sends to the encapsulation port who is no node, or nodes run versions that differ: compare `landfast-edge --version`, then close the port at the border.";
    /// Encapsulated under a key that this node does not hold.
    EncapsulationKey = "encapsulation_key", Drop,
        "The fleet files differ: the sender encapsulates with a key that this node lacks. Add keys on every node before any sends with them.";
    /// Encapsulated, from an address that is not the named node's.
    EncapsulationSender = "encapsulation_sender", Drop,
        "An address in `[[nodes]]` is not the one that the node sends from, or somebody forges: compare the addresses on both nodes.";
    /// Encapsulated, with a tag that does not fit: forged or damaged.
    EncapsulationForged = "encapsulation_forged", Drop,
        "Forgery or damage, or fleet files with different keys under one key ID. All of one node's: compare the fleet files.";

    // Which worker got it (steer_worker).
    /// To the worker that the connection ID names.
    WorkerOwner = "worker_owner", Pass,
        "Nothing: the usual case.";
    /// To a worker chosen by the keyed hash of the connection ID.
    WorkerHash = "worker_hash", Pass,
        "Nothing: how every connection starts.";
    /// The chosen worker has no socket: to the first one that has.
    WorkerFallback = "worker_fallback", Pass,
        "A worker has no socket: look for its error in the log, and restart.";
    /// No worker could be selected: left to the kernel's own hash.
    WorkerNone = "worker_none", Pass,
        "No worker has a socket: expected only in the moment of a start or stop.";

    // What the edge process did with it.
    /// Arrived at another worker of this process (receive offload merges connections of one
    /// 4-tuple): handed over.
    HandedOver = "handed_over", Send,
        "Expected where several clients share an address and port. High: nodes run with different numbers of workers behind one group, or a client reuses its socket a lot.";
    /// Longer than any datagram of a client that Ethernet carries whole: put together from fragments.
    Oversized = "oversized", Drop,
        "Somebody fills queues by fragments: find the sender with tcpdump. Clients on jumbo frames obey `max_udp_payload_size` and never send them.";
    /// To be handed to a worker, or relayed to a node, whose queue is full.
    QueueFull = "queue_full", Drop,
        "A worker or the relay does not keep up: look at its CPU, add workers, or drain the node.";
    /// Of another node's connection, after one forwarding or with forwarding off: never sent on.
    OwnerElsewhere = "owner_elsewhere", Drop,
        "Follows what `steer_node` passed instead of forwarding (`no_next_hop`, `too_big`, `forward_limited`), or mode `off`: mend that.";
    /// Answered with Retry (RFC 9000 section 8.1.2).
    RetrySent = "retry_sent", Pass,
        "More handshakes in progress than `quic.retry_threshold`: a rush or a flood. Nothing to do unless it lasts.";
    /// A new connection beyond the bound: refused.
    ConnectionLimit = "connection_limit", Drop,
        "The node is full: raise `quic.max_connections` if there is memory, or add nodes.";
    /// Answered with a stateless reset (RFC 9000 section 10.3).
    ResetSent = "reset_sent", Pass,
        "Expected after a restart, a crash or a dead node. Steadily: clients come with old connection IDs, see `owner_dead`.";
    /// Would be answered with a stateless reset, but the budget for them is spent.
    ResetLimited = "reset_limited", Drop,
        "Many clients of a dead node or an old process at once; they ask again. Lasting: a flood with stale IDs.";
    /// The engine had no use for it: not QUIC, or of no connection it knows.
    Ignored = "ignored", Drop,
        "Late packets of closed connections, and scans.";
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
