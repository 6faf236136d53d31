//! What is dropped before anything is decoded, and budgets: all that a flood meets first.
//!
//! A budget is a virtual clock (GCRA): it holds the time up to which it is spent, each packet
//! moves that on by its cost, and a packet is refused where the time would be more than the burst
//! ahead of now. One word of state, no division, and no refill to run.

use crate::dissect::Addresses;

/// Switch: packets from [`crate::maps::BLOCKLIST`] are dropped.
pub const BLOCKLIST: u8 = 1;
/// Switch: packets from [`crate::maps::AMPLIFIER_PORTS`] are dropped.
pub const AMPLIFIER_PORTS: u8 = 2;
/// Switch: Initials in datagrams that are too short are dropped (RFC 9000 section 14.1).
pub const SMALL_INITIALS: u8 = 4;
/// Switch: Initials cost their sender's network its budget. User space has it on only while
/// handshakes in progress are above the threshold of Retry, so that many clients behind one
/// carrier NAT are not hurt in peace.
pub const INITIALS: u8 = 8;

/// How much, in time: the cost of one packet, and how many costs may be spent at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Nanoseconds that one packet costs: a second divided by the rate. 0: no limit.
    pub cost_ns: u64,
    /// Nanoseconds that may be spent ahead: the cost times the burst.
    pub burst_ns: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { cost_ns: 0, burst_ns: 0 };

    /// `rate` packets a second, `burst` of them at once; a rate of 0 is no limit, and one above
    /// 10^9 as good as none.
    #[must_use]
    pub const fn per_second(rate: u64, burst: u64) -> Self {
        if rate == 0 {
            return Self::NONE;
        }
        let cost_ns = 1_000_000_000 / rate;
        Self { cost_ns, burst_ns: cost_ns.saturating_mul(burst) }
    }
}

/// What is spent of a [`Limit`]: the time, in nanoseconds, up to which it is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget(pub u64);

impl Budget {
    /// Spends one packet at the time `now_ns`. `false`, and nothing spent, where the limit is
    /// reached. `now_ns` is of a clock that never goes back; it may stand still between packets.
    #[inline(always)]
    #[must_use]
    pub const fn spend(&mut self, limit: &Limit, now_ns: u64) -> bool {
        let from = if self.0 > now_ns { self.0 } else { now_ns };
        // A burst may be as good as endless; a sum that wrapped would refuse everything.
        let until = from.saturating_add(limit.cost_ns);
        if until > now_ns.saturating_add(limit.burst_ns) {
            return false;
        }
        self.0 = until;
        true
    }
}

/// The network that a packet's sender belongs to: /24 in IPv4, /56 in IPv6, as providers give them out.
#[inline(always)]
#[must_use]
pub const fn network(addresses: &Addresses<'_>) -> u64 {
    match *addresses {
        Addresses::V4 { source: &[a, b, c, _], .. } => u64::from_be_bytes([4, 0, 0, 0, 0, a, b, c]),
        Addresses::V6 { source: &[a, b, c, d, e, f, g, ..], .. } => {
            u64::from_be_bytes([6, a, b, c, d, e, f, g])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let limit = Limit::per_second(100, 3);
        let mut budget = Budget::default();
        let start = 5_000_000_000;
        let spent = (0..10).filter(|_| budget.spend(&limit, start)).count();
        assert_eq!(spent, 3);
        assert!(!budget.spend(&limit, start + 9_999_999));
        assert!(budget.spend(&limit, start + 10_000_000));
        assert!(!budget.spend(&limit, start + 10_000_000));
    }

    #[test]
    fn no_limit_refuses_nothing() {
        let mut budget = Budget::default();
        assert!((0..1000).all(|_| budget.spend(&Limit::NONE, 1)));
    }

    #[test]
    fn an_endless_burst_refuses_nothing() {
        let limit = Limit::per_second(1, u64::MAX);
        assert_eq!(limit.burst_ns, u64::MAX);
        for start in [0, 1, u64::MAX / 2, u64::MAX] {
            let mut budget = Budget::default();
            assert!((0..1000).all(|_| budget.spend(&limit, start)), "from {start} on");
        }
    }

    #[test]
    fn neighbours_share_a_budget_and_families_do_not() {
        let v4 =
            |source: [u8; 4]| network(&Addresses::V4 { source: &source, destination: &[0; 4] });
        let v6 =
            |source: [u8; 16]| network(&Addresses::V6 { source: &source, destination: &[0; 16] });
        assert_eq!(v4([203, 0, 113, 1]), v4([203, 0, 113, 254]));
        assert_ne!(v4([203, 0, 113, 1]), v4([203, 0, 112, 1]));
        let mut address = [0x20; 16];
        let before = v6(address);
        address[7..].fill(9);
        assert_eq!(v6(address), before, "the same /56");
        address[6] = 9;
        assert_ne!(v6(address), before, "another /56");
        assert_ne!(v4([0, 0, 0, 0]), v6([0; 16]));
    }

    proptest! {
        /// Over any time, no more than the burst and what the rate gives.
        #[test]
        fn never_more_than_rate_and_burst(
            rate in 1u64..100_000, burst in 1u64..1000,
            steps in prop::collection::vec(0u64..50_000_000, 1..200),
        ) {
            let limit = Limit::per_second(rate, burst);
            let (mut budget, mut now, mut spent) = (Budget::default(), 1u64 << 40, 0);
            let start = now;
            for step in steps {
                now += step;
                spent += u64::from(budget.spend(&limit, now));
            }
            prop_assert!(spent <= burst + (now - start) / limit.cost_ns);
        }
    }
}
