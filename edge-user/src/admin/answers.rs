//! What was answered under which names, and what became of requests to origins.
//!
//! Of all workers together: a thousand distributions have some twenty series each, and workers would
//! make many times that of it.

use std::collections::{BTreeMap, HashMap};

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::metrics::{Result, counter, gauge, register};
use crate::http::Version;
use crate::proxy::durations::{BOUND_MILLISECONDS, DurationsReport};
use crate::proxy::in_force::CLASS_NAMES;
use crate::proxy::origins::counts::OriginReport;
use crate::proxy::origins::failure::Failure;
use crate::quic::driver::WorkerReport;

pub(super) fn metrics(registry: &Registry, workers: &[&WorkerReport]) -> Result<()> {
    distributions(registry, workers)?;
    let origins: Vec<_> = workers.iter().flat_map(|worker| &worker.origins).collect();
    responses(registry, &origins)?;
    servers(registry, &origins)
}

fn distributions(registry: &Registry, workers: &[&WorkerReport]) -> Result<()> {
    let answered = counter(
        registry,
        "landfast_distribution_requests_total",
        "Requests that were answered, by distribution (its first name), version and status class",
        &["distribution", "version", "status"],
    )?;
    let mut durations = Histograms::new(
        "landfast_distribution_answer_seconds",
        "From the head of a request to the head of its answer, by distribution",
        "distribution",
    )?;
    for report in workers.iter().flat_map(|worker| &worker.answered) {
        let distribution = &*report.distribution;
        for (version, by_class) in Version::ALL.iter().zip(report.by_version) {
            for (class, count) in CLASS_NAMES.iter().zip(by_class) {
                answered.with_label_values(&[distribution, version.name(), class]).inc_by(count);
            }
        }
        durations.add(distribution, &report.durations);
    }
    durations.register(registry)
}

fn responses(registry: &Registry, origins: &[&OriginReport]) -> Result<()> {
    let by_origin: &[&str] = &["origin"];
    let counter = |name, help, labels| counter(registry, name, help, labels);
    let responses = counter(
        "landfast_origin_responses_total",
        "Responses of an origin, by status class",
        &["origin", "status"],
    )?;
    let failures = counter(
        "landfast_origin_failures_total",
        "Requests that an origin has not answered, by reason",
        &["origin", "reason"],
    )?;
    let retries = counter(
        "landfast_origin_retries_total",
        "Requests that were sent to a second server, or a second time",
        by_origin,
    )?;
    let cut = counter(
        "landfast_origin_responses_cut_total",
        "Responses of which the rest could not be had",
        by_origin,
    )?;
    let connections =
        counter("landfast_origin_connections_total", "Connections that were made", by_origin)?;
    let mut durations = Histograms::new(
        "landfast_origin_response_seconds",
        "From a request that is asked of an origin to the head of its response",
        "origin",
    )?;
    for report in origins {
        let origin = &*report.origin;
        for (class, count) in CLASS_NAMES.iter().zip(report.by_class) {
            responses.with_label_values(&[origin, class]).inc_by(count);
        }
        for (failure, count) in Failure::ALL.iter().zip(report.by_failure) {
            failures.with_label_values(&[origin, failure.name()]).inc_by(count);
        }
        retries.with_label_values(&[origin]).inc_by(report.retried);
        cut.with_label_values(&[origin]).inc_by(report.cut);
        connections.with_label_values(&[origin]).inc_by(report.connected);
        durations.add(origin, &report.durations);
    }
    durations.register(registry)
}

fn servers(registry: &Registry, origins: &[&OriginReport]) -> Result<()> {
    let gauge = |name, help| gauge(registry, name, help, &["origin", "server"]);
    let up = gauge(
        "landfast_origin_server_up",
        "Whether the last checks of a server's health were good: 1 or 0",
    )?;
    let ejected = gauge(
        "landfast_origin_server_ejected",
        "Workers that leave a server alone, because requests to it have failed",
    )?;
    let requests = gauge("landfast_origin_requests", "Requests that are with a server")?;
    let idle = gauge(
        "landfast_origin_idle_connections",
        "Connections to a server that wait for a request",
    )?;
    for report in origins {
        for known in &report.servers {
            let labels = [&*report.origin, known.server.as_str()];
            // Known once for all workers.
            up.with_label_values(&labels).set(known.well.into());
            ejected.with_label_values(&labels).add(known.ejected.into());
            requests.with_label_values(&labels).add(known.requests.cast_signed());
            idle.with_label_values(&labels).add(known.idle_connections.cast_signed());
        }
    }
    Ok(())
}

/// Histograms of one name, by one label, of figures that were counted elsewhere.
#[derive(Clone)]
struct Histograms {
    of: Desc,
    label: &'static str,
    by_label: BTreeMap<String, DurationsReport>,
}

impl Histograms {
    fn new(name: &str, help: &str, label: &'static str) -> Result<Self> {
        let of = Desc::new(name.into(), help.into(), vec![label.into()], HashMap::new())?;
        Ok(Self { of, label, by_label: BTreeMap::new() })
    }

    fn add(&mut self, value: &str, report: &DurationsReport) {
        self.by_label.entry(value.to_owned()).or_default().add(report);
    }

    fn register(self, registry: &Registry) -> Result<()> {
        register(registry, self).map(drop)
    }

    fn metric(&self, value: &str, report: &DurationsReport) -> Metric {
        let mut label = LabelPair::default();
        label.set_name(self.label.into());
        label.set_value(value.into());
        let mut cumulative = 0;
        let bucket = |(bound, count): (&u64, &u64)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e3);
            bucket.set_cumulative_count(cumulative);
            bucket
        };
        let buckets = BOUND_MILLISECONDS.iter().zip(&report.buckets).map(bucket).collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(report.buckets.iter().sum());
        histogram.set_sample_sum(report.sum_microseconds as f64 / 1e6);
        let mut metric = Metric::from_label(vec![label]);
        metric.set_histogram(histogram);
        metric
    }
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.of]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.of.fq_name.clone());
        family.set_help(self.of.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        let metrics = self.by_label.iter().map(|(value, report)| self.metric(value, report));
        family.set_metric(metrics.collect());
        vec![family]
    }
}
