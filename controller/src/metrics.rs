//! What a controller counts, for Prometheus. Other modules increment the fields.

mod http;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Encoder as _, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::acme::observed::Observed;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::records::{Certificate, Node, NodeStanding, Request, Secrets};
use crate::rotation::{self, Stage};

pub use http::{CONTENT_TYPE, serve};

/// Everything that is counted, and its registry.
pub struct Metrics {
    registry: Registry,
    nodes: IntGaugeVec,
    serial: IntGauge,
    node_serial: IntGaugeVec,
    refused_items: IntGaugeVec,
    certificates: IntGaugeVec,
    certificate_expiry: IntGauge,
    rotation_stage: IntGaugeVec,
    /// Keys that every node has come to make with, by kind of secret.
    pub rotations: IntCounterVec,
    /// Of orders.
    pub orders: Arc<Observed>,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Panics
    /// Never: the names are valid and differ, which the tests look at.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Self {
            nodes: gauges("nodes", "Nodes, by whether they live and what they do.", &["state"]),
            serial: gauge("serial", "The serial of the state."),
            node_serial: gauges("node_serial", "What a node has acknowledged.", &["node"]),
            refused_items: gauges("refused_items", "Items that a node refuses.", &["node"]),
            certificates: gauges(
                "certificates",
                "Certificates by their dates, and those that are missing.",
                &["state"],
            ),
            certificate_expiry: gauge(
                "certificate_expiry_seconds",
                "Seconds until the first of all certificates ends; below zero once one has.",
            ),
            rotation_stage: gauges(
                "rotation_stage",
                "1 for the stage that a kind of secret is in, 0 for the others.",
                &["kind", "stage"],
            ),
            rotations: IntCounterVec::new(
                options("rotations_total", "Keys that every node has come to make with."),
                &["kind"],
            )
            .expect("valid names"),
            orders: Arc::new(Observed::new(&registry).expect("the names differ")),
            registry,
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let all: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(self.nodes.clone()),
            Box::new(self.serial.clone()),
            Box::new(self.node_serial.clone()),
            Box::new(self.refused_items.clone()),
            Box::new(self.certificates.clone()),
            Box::new(self.certificate_expiry.clone()),
            Box::new(self.rotation_stage.clone()),
            Box::new(self.rotations.clone()),
        ];
        for collector in all {
            self.registry.register(collector).expect("the names differ");
        }
    }

    /// The text that Prometheus reads, of this moment.
    ///
    /// # Errors
    /// Where it cannot be written, which memory alone would be a reason for.
    pub fn render(&self, ledger: &Ledger, nodes: &Nodes) -> Result<Vec<u8>, prometheus::Error> {
        self.look(ledger, nodes);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    fn look(&self, ledger: &Ledger, nodes: &Nodes) {
        let (live, records) = (nodes.live(), ledger.all::<Node>());
        let mut states = [("lost", 0), ("joining", 0), ("serving", 0), ("drained", 0)];
        for node in &records {
            let state = match node.value.standing {
                _ if !live.contains(&node.value.id) => 0,
                NodeStanding::Joining => 1,
                NodeStanding::Serving => 2,
                NodeStanding::Drained => 3,
            };
            states[state].1 += 1;
        }
        for (state, count) in states {
            self.nodes.with_label_values(&[state]).set(count);
        }
        self.serial.set(whole(ledger.position().serial));
        // Nodes that are gone leave no series behind.
        self.node_serial.reset();
        self.refused_items.reset();
        for (node, (following, _)) in nodes.following() {
            let node = [node.to_string()];
            self.node_serial.with_label_values(&node).set(whole(following.serial.unwrap_or(0)));
            self.refused_items.with_label_values(&node).set(whole(following.refused.len() as u64));
        }
        self.look_at_certificates(ledger);
        self.look_at_rotation(ledger);
    }

    fn look_at_rotation(&self, ledger: &Ledger) {
        let Some(secrets) = ledger.get::<Secrets>("") else { return };
        // A record that cannot be read is in the log of the rotation itself.
        for (kind, stage) in rotation::stages(&secrets.value).unwrap_or_default() {
            for name in Stage::NAMES {
                let is_in = i64::from(stage.name() == name);
                self.rotation_stage.with_label_values(&[kind.name(), name]).set(is_in);
            }
        }
    }

    fn look_at_certificates(&self, ledger: &Ledger) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (mut valid, mut expired, mut first) = (0, 0, None);
        for certificate in ledger.all::<Certificate>() {
            let left = whole(certificate.value.not_after) - whole(now);
            *(if left > 0 { &mut valid } else { &mut expired }) += 1;
            first = Some(first.map_or(left, |first: i64| first.min(left)));
        }
        let is_missing = |request: &Request| ledger.get::<Certificate>(&request.id).is_none();
        let missing = ledger.find(is_missing).len();
        let missing = i64::try_from(missing).unwrap_or(i64::MAX);
        self.certificates.with_label_values(&["missing"]).set(missing);
        self.certificates.with_label_values(&["valid"]).set(valid);
        self.certificates.with_label_values(&["expired"]).set(expired);
        self.certificate_expiry.set(first.unwrap_or(0));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("landfast_controller_{name}"), help)
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::with_opts(options(name, help)).expect("a valid name")
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(options(name, help), labels).expect("valid names")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_registered_once_and_in_the_docs() {
        let metrics = Metrics::new();
        // A metric with labels is shown once it has been counted.
        metrics.orders.orders.with_label_values(&["an issuer", "issued"]).inc();
        for gauges in [&metrics.nodes, &metrics.certificates] {
            gauges.with_label_values(&["state"]).set(1);
        }
        for gauges in [&metrics.node_serial, &metrics.refused_items] {
            gauges.with_label_values(&["1"]).set(1);
        }
        metrics.rotation_stage.with_label_values(&["tickets", "resting"]).set(1);
        metrics.rotations.with_label_values(&["tickets"]).inc();
        let docs = include_str!("../../docs/metrics.md");
        let families = metrics.registry.gather();
        assert_eq!(families.len(), 12);
        for family in families {
            assert!(docs.contains(&format!("| `{}` |", family.name())), "{}", family.name());
        }
    }
}
