//! The early drops of a worker: what `steer_node` does, in the process.
//!
//! Without XDP they are all there is. With XDP they judge what `steer_node` could not: fragments and
//! packets with IP options, which the kernel's stack made datagrams of, what came by an interface
//! without XDP, and Initials that another node forwarded, whose pressure is its own.
//!
//! Without XDP each worker has its even share of a network's budget of Initials: a hash spreads the
//! clients of a network over the workers, and a shared budget would cost every packet.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use edge_wire::Reason;
use edge_wire::admit::{self, Budget, Limit};
use edge_wire::dissect::{self, Addresses, MIN_INITIAL_LEN};
use edge_wire::maps::PORT_WORDS;
use tokio::sync::watch;

use super::{Rules, port_words};
use crate::limits;
use crate::quic::{Datagram, Via};

/// Judges what comes from a worker's own socket.
pub struct Door {
    rules: watch::Receiver<Rules>,
    now: Rules,
    switches: u8,
    amplifier_ports: Box<[u64; PORT_WORDS as usize]>,
    limit: Limit,
    budgets: HashMap<u64, Budget>,
    /// What budgets count their time from.
    epoch: Instant,
}

impl Door {
    /// For one of `workers` that share the budgets. `epoch` is before any time that it will be told.
    #[must_use]
    pub fn new(mut rules: watch::Receiver<Rules>, workers: u8, epoch: Instant) -> Self {
        let now = rules.borrow_and_update().clone();
        let mut amplifier_ports = Box::new([0; PORT_WORDS as usize]);
        for (word, bits) in port_words(&now.config().amplifier_ports) {
            amplifier_ports[word as usize] = bits;
        }
        let config = now.config();
        let workers = u64::from(workers.max(1));
        let limit = Limit::per_second(
            config.initials_per_second.div_ceil(workers),
            config.initials_burst.div_ceil(workers),
        );
        let switches = now.switches();
        Self { rules, now, switches, amplifier_ports, limit, budgets: HashMap::new(), epoch }
    }

    /// Takes the rules of this moment, for what is judged from now on.
    pub fn new_turn(&mut self) {
        if self.rules.has_changed().unwrap_or(false) {
            self.now = self.rules.borrow_and_update().clone();
            self.switches = self.now.switches();
            if self.switches & admit::INITIALS == 0 {
                self.budgets = HashMap::new();
            }
        }
    }

    /// Lets a datagram in, or not. What another worker handed over was let in there.
    ///
    /// # Errors
    /// The Reason to drop it, the same that `steer_node` would count.
    pub fn admit(&mut self, now: Instant, datagram: &Datagram) -> Result<(), Reason> {
        if self.switches == 0 || datagram.via == Via::Worker {
            return Ok(());
        }
        let port = datagram.client.port();
        let word = self.amplifier_ports[usize::from(port / 64)];
        if self.switches & admit::AMPLIFIER_PORTS != 0 && (word >> (port % 64)) & 1 == 1 {
            return Err(Reason::AmplifierPort);
        }
        let client = datagram.client.ip();
        if self.switches & admit::BLOCKLIST != 0 && self.now.blocklist().contains(client) {
            return Err(Reason::Blocklisted);
        }
        self.initial(now, client, &datagram.payload)
    }

    fn initial(&mut self, now: Instant, client: IpAddr, payload: &[u8]) -> Result<(), Reason> {
        if self.switches & (admit::SMALL_INITIALS | admit::INITIALS) == 0 {
            return Ok(());
        }
        let mut cursor = payload;
        if !dissect::quic(&mut cursor).is_ok_and(|quic| quic.is_initial()) {
            return Ok(());
        }
        if self.switches & admit::SMALL_INITIALS != 0
            && payload.len() < usize::from(MIN_INITIAL_LEN)
        {
            return Err(Reason::SmallInitial);
        }
        if self.switches & admit::INITIALS != 0 && !self.spend(now, network(client)) {
            return Err(Reason::InitialLimited);
        }
        Ok(())
    }

    fn spend(&mut self, now: Instant, network: u64) -> bool {
        let now_ns = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        if self.budgets.len() >= limits::MAX_INITIAL_BUDGETS && !self.budgets.contains_key(&network)
        {
            // Everybody gets a fresh burst, which is never a wrong drop. To look for entries that
            // have run out would let each forged sender cost a walk over the whole table.
            self.budgets.clear();
        }
        self.budgets.entry(network).or_default().spend(&self.limit, now_ns)
    }
}

/// See [`admit::network`].
fn network(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(client) => {
            let any = Ipv4Addr::UNSPECIFIED.octets();
            admit::network(&Addresses::V4 { source: &client.octets(), destination: &any })
        }
        IpAddr::V6(client) => {
            let any = Ipv6Addr::UNSPECIFIED.octets();
            admit::network(&Addresses::V6 { source: &client.octets(), destination: &any })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use edge_wire::dissect::{VERSION_1, VERSION_2};

    use super::*;
    use crate::admission::blocklist::Blocklist;
    use crate::config::AdmissionConfig;

    /// A door and what changes its rules.
    fn door(change: impl FnOnce(&mut AdmissionConfig)) -> (Door, watch::Sender<Rules>, Instant) {
        let mut config =
            AdmissionConfig { initials_per_second: 10, initials_burst: 3, ..Default::default() };
        change(&mut config);
        let rules = watch::Sender::new(Rules::new(config, Blocklist::default(), false));
        let epoch = Instant::now();
        (Door::new(rules.subscribe(), 1, epoch), rules, epoch)
    }

    fn datagram(client: &str, payload: &[u8]) -> Datagram {
        Datagram {
            client: client.parse().expect("address and port"),
            destination: "192.0.2.1:443".parse().expect("address and port"),
            ecn: None,
            payload: BytesMut::from(payload),
            via: Via::Wire,
        }
    }

    fn initial(version: u32, length: usize) -> Vec<u8> {
        let first = if version == VERSION_2 { 0xd0 } else { 0xc0 };
        let mut payload = [&[first][..], &version.to_be_bytes(), &[8, 1, 2, 3]].concat();
        payload.resize(length, 0);
        payload
    }

    const SHORT: &[u8] = &[0x40; 40];

    #[test]
    fn ports_of_amplifiers_are_refused_unless_switched_off() {
        let (mut on, _rules, now) = door(|_| ());
        assert_eq!(on.admit(now, &datagram("203.0.113.1:123", SHORT)), Err(Reason::AmplifierPort));
        assert_eq!(on.admit(now, &datagram("203.0.113.1:40000", SHORT)), Ok(()));
        let (mut off, _rules, now) = door(|config| config.amplifier_ports.clear());
        assert_eq!(off.admit(now, &datagram("203.0.113.1:123", SHORT)), Ok(()));
    }

    #[test]
    fn small_initials_are_refused_unless_switched_off() {
        let (mut on, _rules, now) = door(|_| ());
        let (mut off, _rules, _) = door(|config| config.small_initials = false);
        for version in [VERSION_1, VERSION_2] {
            let small = datagram("203.0.113.1:40000", &initial(version, 1199));
            assert_eq!(on.admit(now, &small), Err(Reason::SmallInitial));
            assert_eq!(off.admit(now, &small), Ok(()));
            let whole = datagram("203.0.113.1:40000", &initial(version, 1200));
            assert_eq!(on.admit(now, &whole), Ok(()));
        }
        assert_eq!(on.admit(now, &datagram("203.0.113.1:40000", SHORT)), Ok(()));
    }

    #[test]
    fn a_blocklist_comes_and_goes_between_turns() {
        let (mut door, rules, now) = door(|_| ());
        let blocked = datagram("203.0.113.1:40000", SHORT);
        let list = Blocklist::parse("203.0.113.0/24").expect("good");
        rules.send_modify(|rules| *rules = rules.with_blocklist(list));
        assert_eq!(door.admit(now, &blocked), Ok(()));
        door.new_turn();
        assert_eq!(door.admit(now, &blocked), Err(Reason::Blocklisted));
        assert_eq!(door.admit(now, &datagram("198.51.100.1:40000", SHORT)), Ok(()));
        rules.send_modify(|rules| *rules = rules.with_blocklist(Blocklist::default()));
        door.new_turn();
        assert_eq!(door.admit(now, &blocked), Ok(()));
    }

    #[test]
    fn under_pressure_a_network_has_its_budget_and_its_neighbours_theirs() {
        let (mut door, rules, now) = door(|_| ());
        let payload = initial(VERSION_1, 1200);
        let flood = |door: &mut Door, client: &str, now| {
            (0..10).filter(|_| door.admit(now, &datagram(client, &payload)).is_ok()).count()
        };
        assert_eq!(flood(&mut door, "203.0.113.1:40000", now), 10, "no limit in peace");
        rules.send_modify(|rules| *rules = rules.with_pressure(true));
        door.new_turn();
        assert_eq!(flood(&mut door, "203.0.113.1:40000", now), 3);
        assert_eq!(flood(&mut door, "203.0.113.200:40000", now), 0, "the same /24");
        assert_eq!(flood(&mut door, "203.0.112.1:40000", now), 3);
        assert_eq!(flood(&mut door, "[2001:db8::1]:40000", now), 3);
        let later = now + Duration::from_millis(200);
        assert_eq!(flood(&mut door, "203.0.113.1:40000", later), 2, "at the rate");
        assert_eq!(door.admit(now, &datagram("203.0.113.1:40000", SHORT)), Ok(()));
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory() {
        let (mut door, rules, now) = door(|_| ());
        rules.send_modify(|rules| *rules = rules.with_pressure(true));
        door.new_turn();
        for network in 0..3 * limits::MAX_INITIAL_BUDGETS as u64 {
            assert!(door.spend(now, network));
            assert!(door.budgets.len() <= limits::MAX_INITIAL_BUDGETS);
        }
    }

    #[test]
    fn what_another_worker_let_in_is_not_judged_again_but_what_a_node_sent_is() {
        let (mut door, _rules, now) = door(|_| ());
        let judged = [Via::Node, Via::Worker]
            .map(|via| door.admit(now, &Datagram { via, ..datagram("203.0.113.1:123", SHORT) }));
        assert_eq!(judged, [Err(Reason::AmplifierPort), Ok(())]);
    }
}
