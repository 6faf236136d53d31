//! Who is let in: early drops and budgets, in the kernel and in the workers.
//!
//! [`edge_wire::admit`] says how; here is what is switched on, for which addresses, and when. The
//! rules of this moment are one value, [`Rules`]. What changes them while the process runs is the
//! blocklist's file and [`pressure`].
//!
//! | module | job |
//! |---|---|
//! | [`blocklist`] | the file of networks whose packets are dropped |
//! | [`pressure`] | are handshakes in progress so many that budgets of Initials are enforced? |
//! | [`door`] | the early drops of a worker: all of them without XDP, else of what XDP could not judge |

pub mod blocklist;
pub mod door;
pub mod pressure;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use edge_wire::admit::{self, Limit};
use edge_wire::maps;

use crate::config::{AdmissionConfig, Config};
use crate::limits;
use blocklist::{Blocklist, BlocklistError};

/// Early drops and budgets as they are at one moment. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    config: Arc<AdmissionConfig>,
    blocklist: Arc<Blocklist>,
    pressure: bool,
}

impl Rules {
    /// Those of the start, with the blocklist that the configuration names. With a Retry threshold
    /// of 0 there is no peace to tell a flood from: budgets of Initials are always enforced.
    ///
    /// # Errors
    /// Where the blocklist cannot be used.
    pub fn load(config: &Config) -> Result<Self, BlocklistError> {
        let blocklist = match &config.admission.blocklist {
            Some(path) => Blocklist::load(path)?,
            None => Blocklist::default(),
        };
        let pressure = config.quic.retry_threshold == 0;
        Ok(Self::new(config.admission.clone(), blocklist, pressure))
    }

    /// Rules of these parts.
    #[must_use]
    pub fn new(config: AdmissionConfig, blocklist: Blocklist, pressure: bool) -> Self {
        Self { config: Arc::new(config), blocklist: Arc::new(blocklist), pressure }
    }

    /// The switches of [`admit`], one bit each.
    #[must_use]
    pub fn switches(&self) -> u8 {
        let switch = |on: bool, bit: u8| if on { bit } else { 0 };
        switch(!self.blocklist.networks().is_empty(), admit::BLOCKLIST)
            | switch(!self.config.amplifier_ports.is_empty(), admit::AMPLIFIER_PORTS)
            | switch(self.config.small_initials, admit::SMALL_INITIALS)
            | switch(self.pressure && self.config.initials_per_second > 0, admit::INITIALS)
    }

    /// What the operator set.
    #[must_use]
    pub fn config(&self) -> &AdmissionConfig {
        &self.config
    }

    /// The networks whose packets are dropped.
    #[must_use]
    pub fn blocklist(&self) -> &Arc<Blocklist> {
        &self.blocklist
    }

    /// Whether budgets of Initials are enforced.
    #[must_use]
    pub fn pressure(&self) -> bool {
        self.pressure
    }

    /// These rules with pressure or without.
    #[must_use]
    pub fn with_pressure(&self, pressure: bool) -> Self {
        Self { pressure, ..self.clone() }
    }

    /// These rules with another blocklist.
    #[must_use]
    pub fn with_blocklist(&self, blocklist: Blocklist) -> Self {
        Self { blocklist: Arc::new(blocklist), ..self.clone() }
    }

    /// The blocklist's file, where there is one.
    #[must_use]
    pub fn blocklist_path(&self) -> Option<&Path> {
        self.config.blocklist.as_deref()
    }
}

/// What a network may send of Initials, while that is limited.
#[must_use]
pub fn initials(config: &AdmissionConfig) -> Limit {
    Limit::per_second(config.initials_per_second, config.initials_burst)
}

/// What may be forwarded to one node.
#[must_use]
pub fn forwards(config: &AdmissionConfig) -> Limit {
    let rate = config.forwards_per_second;
    let burst = rate / limits::FORWARDS_BURST_PARTS_PER_SECOND;
    Limit::per_second(rate, burst.max(limits::FORWARDS_BURST_MIN))
}

/// A bitmap of ports, only the words that are not zero: bit `port % 64` of word `port / 64`.
#[must_use]
pub fn port_words<'a>(ports: impl IntoIterator<Item = &'a u16>) -> BTreeMap<u32, u64> {
    let mut words = BTreeMap::new();
    for port in ports {
        *words.entry(u32::from(port / 64)).or_default() |= 1u64 << (port % 64);
    }
    words
}

/// The whole bitmap of ports, as the kernel has it.
#[must_use]
pub fn port_bits<'a>(ports: impl IntoIterator<Item = &'a u16>) -> maps::Ports {
    let mut bits = [0; _];
    for (index, word) in port_words(ports) {
        bits[index as usize] = word;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(change: impl FnOnce(&mut AdmissionConfig)) -> Rules {
        let mut config = AdmissionConfig::default();
        change(&mut config);
        Rules::new(config, Blocklist::default(), false)
    }

    #[test]
    fn each_switch_is_a_bit_and_what_has_nothing_to_do_is_off() {
        let usual = admit::AMPLIFIER_PORTS | admit::SMALL_INITIALS;
        assert_eq!(rules(|_| ()).switches(), usual);
        assert_eq!(rules(|_| ()).with_pressure(true).switches(), usual | admit::INITIALS);
        let list = Blocklist::parse("192.0.2.0/24").expect("good");
        assert_eq!(rules(|_| ()).with_blocklist(list).switches(), usual | admit::BLOCKLIST);
        let none = rules(|config| {
            config.amplifier_ports.clear();
            config.small_initials = false;
            config.initials_per_second = 0;
        });
        assert_eq!(none.with_pressure(true).switches(), 0);
    }

    #[test]
    fn a_forward_budget_is_never_less_than_a_batch_at_once() {
        let mut config = AdmissionConfig::default();
        assert_eq!(forwards(&config), Limit::per_second(1_000_000, 100_000));
        config.forwards_per_second = 100;
        assert_eq!(forwards(&config), Limit::per_second(100, 64));
        config.forwards_per_second = 0;
        assert_eq!(forwards(&config), Limit::NONE);
    }
}
