//! What orders show in the metrics.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};

/// Seconds of the barrier and of propagation: from one round trip to the deadline and beyond.
const SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 300.0];

/// Counted by the task of orders.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Orders that came to an end, by issuer and result.
    pub orders: IntCounterVec,
    /// From when answers were stored to when the authority was told.
    pub barrier_seconds: Histogram,
    /// Nodes that a barrier waits for at this moment.
    pub barrier_waits_for: IntGauge,
    /// From when a certificate was stored to when the last live node served it.
    pub propagation_seconds: Histogram,
}

impl Observed {
    /// Counters, registered.
    ///
    /// # Errors
    /// Where names are taken.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let histogram = |name, help| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
        };
        let this = Self {
            orders: IntCounterVec::new(
                Opts::new("landfast_controller_orders_total", "Orders, by issuer and result."),
                &["issuer", "result"],
            )?,
            barrier_seconds: histogram(
                "landfast_controller_barrier_seconds",
                "From when answers were stored to when the authority was told.",
            )?,
            barrier_waits_for: IntGauge::new(
                "landfast_controller_barrier_waits_for",
                "Nodes that orders wait for.",
            )?,
            propagation_seconds: histogram(
                "landfast_controller_propagation_seconds",
                "From when a certificate was stored to when the last live node served it.",
            )?,
        };
        registry.register(Box::new(this.orders.clone()))?;
        registry.register(Box::new(this.barrier_seconds.clone()))?;
        registry.register(Box::new(this.barrier_waits_for.clone()))?;
        registry.register(Box::new(this.propagation_seconds.clone()))?;
        Ok(this)
    }
}
