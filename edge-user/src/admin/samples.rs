//! A process without workers, for the tests of this crate.

use std::sync::Arc;

use distributions::Served;
use fleet_wire::secrets::Secrets;
use tokio::sync::watch;

use super::control::Parts;
use crate::admission::Rules;
use crate::config::{Config, UnknownNames};
use crate::nodes::NodeTable;
use crate::proxy::Distributions;
use crate::sandbox::Landlock;
use crate::tls::tickets::FleetTickets;
use crate::tls::{Challenges, Live};

/// Its parts: nothing is attached, nobody relays, and there is no controller.
pub(crate) fn parts(config: Config, secrets: &Secrets) -> Parts {
    Parts {
        nodes: Arc::new(NodeTable::new(&config.nodes)),
        steering: None,
        workers: Vec::new(),
        relay: None,
        rules: watch::Sender::new(Rules::load(&config).expect("the blocklist, if any, is good")),
        distributions: watch::Sender::new(Arc::new(
            Distributions::open(&config.distributions, &config.origins)
                .expect("its files are there")
                .coalescing(&config.coalescing),
        )),
        given: Some(Served::default()),
        landlock: Landlock::Partial,
        generation: 3,
        secrets: secrets.clone(),
        tickets: Arc::new(FleetTickets::new(&secrets.tickets)),
        certificates: Arc::new(Live::new(UnknownNames::Refuse)),
        challenges: Arc::new(Challenges::new()),
        tcp: Arc::default(),
        controller: None,
        access_log: None,
        config: Arc::new(config),
    }
}
