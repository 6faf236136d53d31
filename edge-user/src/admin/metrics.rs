//! Reports of this moment -> the text that Prometheus reads.
//!
//! There is no registry that lives on: the workers count for themselves, without an atomic on the
//! way of a packet, and are asked at the scrape.

use std::sync::Arc;
use std::time::SystemTime;

use edge_wire::Reason;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use super::control::mode_name;
use crate::access_log::LogCounts;
use crate::admission::Rules;
use crate::config::SteeringMode;
use crate::follow::view::View;
use crate::http::Version;
use crate::http::h3::tally::Refused;
use crate::nodes::Liveness;
use crate::quic::driver::WorkerReport;
use crate::relay::RelayReport;
use crate::sandbox::Landlock;
use crate::steering::{Attachment, SteeringReport};
use crate::tcp::listener::TcpReport;
use crate::tcp::tally::{Refusal, Tally};
use crate::tls::challenges::Asked;
use crate::tls::live::Summary;

/// All figures of one moment. `None` stands for what does not run, or does not answer.
pub struct Snapshot {
    /// By worker.
    pub workers: Vec<Option<WorkerReport>>,
    /// The encapsulation port in user space.
    pub relay: Option<RelayReport>,
    /// The programs in the kernel.
    pub steering: Option<SteeringReport>,
    /// Every node of the fleet.
    pub nodes: Vec<(u16, Liveness)>,
    /// By which means packets find their owner.
    pub mode: SteeringMode,
    /// Early drops and budgets.
    pub rules: Rules,
    /// How far the process is confined.
    pub landlock: Landlock,
    /// Interfaces that are to have XDP.
    pub attachments: Vec<(String, Attachment)>,
    /// How certificates stand.
    pub certificates: Summary,
    /// What authorities asked.
    pub challenges: Asked,
    /// What came of TCP connections.
    pub tcp: Arc<Tally>,
    /// How the node stands with its controller, where it has one.
    pub controller: Option<View>,
    /// What became of lines of the access log, where there is one.
    pub access_log: Option<LogCounts>,
}

/// The content type of [`render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

pub(super) type Result<T> = prometheus::Result<T>;
type Reasons = [u64; Reason::COUNT as usize];

/// The text format of Prometheus, version 0.0.4. Every Reason is in it, at 0 too.
///
/// # Errors
/// Where names or labels contradict each other, which a test would show.
pub fn render(snapshot: &Snapshot) -> Result<String> {
    let registry = Registry::new();
    packets(&registry, snapshot)?;
    workers(&registry, snapshot)?;
    // As with packets: without one of the workers the sums would fall.
    let workers: Option<Vec<_>> = snapshot.workers.iter().map(Option::as_ref).collect();
    super::answers::metrics(&registry, &workers.unwrap_or_default())?;
    fleet(&registry, snapshot)?;
    admission(&registry, snapshot)?;
    certificates(&registry, &snapshot.certificates)?;
    challenges(&registry, &snapshot.challenges)?;
    tcp(&registry, &snapshot.tcp)?;
    if let Some(counts) = snapshot.access_log {
        access_log(&registry, counts)?;
    }
    if let Some(view) = &snapshot.controller {
        super::following::metrics(&registry, view, SystemTime::now())?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// `landfast_packets_total`: each packet counts once in each program that saw it.
fn packets(registry: &Registry, snapshot: &Snapshot) -> Result<()> {
    let packets = counter(
        registry,
        "landfast_packets_total",
        "Packets, by the program that saw them and the reason they ended with there",
        &["program", "reason"],
    )?;
    let add = |program: &str, reasons: &Reasons| {
        for (reason, count) in Reason::ALL.iter().zip(reasons) {
            packets.with_label_values(&[program, reason.name()]).inc_by(*count);
        }
    };
    if let Some(steering) = &snapshot.steering {
        add("steer_node", &steering.node);
        add("steer_worker", &steering.worker);
    }
    // Without one of the workers the sum would fall, and then look like a fresh start: a gap in
    // the series is the truth.
    let workers: Option<Vec<_>> = snapshot.workers.iter().map(Option::as_ref).collect();
    for worker in workers.into_iter().flatten() {
        add("edge", &worker.reasons);
    }
    if let Some(relay) = &snapshot.relay {
        add("relay", &relay.reasons);
    }
    Ok(())
}

fn workers(registry: &Registry, snapshot: &Snapshot) -> Result<()> {
    let by_worker: &[&str] = &["worker"];
    let by_direction: &[&str] = &["worker", "direction"];
    let gauge = |name, help| gauge(registry, name, help, by_worker);
    let counter = |name, help, labels| counter(registry, name, help, labels);
    let answers = gauge("landfast_worker_up", "Whether the worker answers in time: 1 or 0")?;
    let connections = gauge("landfast_connections", "Connections that are up")?;
    let in_progress = gauge("landfast_handshakes_in_progress", "Handshakes in progress")?;
    let handshakes = counter(
        "landfast_handshakes_total",
        "Handshakes that ended: completed (resumed ones among them) or failed",
        &["worker", "result"],
    )?;
    let resumed =
        counter("landfast_resumed_total", "Handshakes that resumed a session", by_worker)?;
    let bytes = counter("landfast_bytes_total", "UDP payload, in bytes", by_direction)?;
    let datagrams = counter("landfast_datagrams_total", "UDP datagrams", by_direction)?;
    let requests = counter("landfast_requests_total", "HTTP requests that were read", by_worker)?;
    let over_tcp = OverTcp::register(registry)?;
    let refused = counter(
        "landfast_frames_refused_total",
        "HTTP/3 frames that declared more than a client may send",
        by_worker,
    )?;
    let refused_http3 = counter(
        "landfast_http3_refused_total",
        "Requests and connections of HTTP/3 that were refused, by reason",
        &["worker", "reason"],
    )?;
    for (worker, report) in snapshot.workers.iter().enumerate() {
        let worker = worker.to_string();
        let label = [worker.as_str()];
        answers.with_label_values(&label).set(i64::from(report.is_some()));
        let Some(report) = report else { continue };
        connections.with_label_values(&label).set(report.connections.cast_signed());
        in_progress.with_label_values(&label).set(report.handshakes_in_progress.cast_signed());
        let of = |counter: &IntCounterVec, second: &str, count| {
            counter.with_label_values(&[worker.as_str(), second]).inc_by(count);
        };
        of(&handshakes, "completed", report.handshakes_completed);
        of(&handshakes, "failed", report.handshakes_failed);
        of(&bytes, "received", report.bytes_received);
        of(&bytes, "sent", report.bytes_sent);
        of(&datagrams, "received", report.datagrams_received);
        of(&datagrams, "sent", report.datagrams_sent);
        requests.with_label_values(&label).inc_by(report.requests);
        resumed.with_label_values(&label).inc_by(report.resumed);
        refused.with_label_values(&label).inc_by(report.frames_refused);
        for (reason, count) in Refused::ALL.iter().zip(report.refused) {
            of(&refused_http3, reason.name(), count);
        }
        over_tcp.add(&worker, &report.tcp);
    }
    Ok(())
}

/// What of a worker's figures is of TCP.
struct OverTcp {
    connections: IntGaugeVec,
    in_progress: IntGaugeVec,
    handshakes: IntCounterVec,
    requests: IntCounterVec,
}

impl OverTcp {
    fn register(registry: &Registry) -> Result<Self> {
        let gauge = |name, help| gauge(registry, name, help, &["worker"]);
        Ok(Self {
            connections: gauge("landfast_tcp_connections", "Connections of TLS over TCP")?,
            in_progress: gauge(
                "landfast_tcp_handshakes_in_progress",
                "Handshakes of TLS over TCP in progress",
            )?,
            handshakes: counter(
                registry,
                "landfast_tcp_handshakes_total",
                "Handshakes of TLS over TCP that ended well: full, or resumed by a ticket",
                &["worker", "kind"],
            )?,
            requests: counter(
                registry,
                "landfast_tcp_requests_total",
                "Requests by HTTP/2 (h2) and HTTP/1.1 (http/1.1), among landfast_requests_total",
                &["worker", "version"],
            )?,
        })
    }

    fn add(&self, worker: &str, report: &TcpReport) {
        self.connections.with_label_values(&[worker]).set(report.connections.cast_signed());
        let in_progress = report.handshakes_in_progress.cast_signed();
        self.in_progress.with_label_values(&[worker]).set(in_progress);
        for (kind, count) in
            [("full", report.handshakes_full), ("resumed", report.handshakes_resumed)]
        {
            self.handshakes.with_label_values(&[worker, kind]).inc_by(count);
        }
        for (version, count) in
            [(Version::Http2, report.requests_http2), (Version::Http11, report.requests_http11)]
        {
            self.requests.with_label_values(&[worker, version.name()]).inc_by(count);
        }
    }
}

fn fleet(registry: &Registry, snapshot: &Snapshot) -> Result<()> {
    let live = gauge(
        registry,
        "landfast_node_live",
        "Liveness of a node, as this node sees it: 1 live, 0 dead, -1 unknown",
        &["node"],
    )?;
    for (id, liveness) in &snapshot.nodes {
        let value = match liveness {
            Liveness::Live => 1,
            Liveness::Dead => 0,
            Liveness::Unknown => -1,
        };
        live.with_label_values(&[&id.to_string()]).set(value);
    }
    let mode = gauge(
        registry,
        "landfast_steering_mode",
        "1 for the means by which packets find their owner",
        &["mode"],
    )?;
    mode.with_label_values(&[mode_name(snapshot.mode)]).set(1);
    let attached = gauge(
        registry,
        "landfast_xdp_attached",
        "1 while steer_node runs on the interface, 0 while it should",
        &["interface"],
    )?;
    for (interface, attachment) in &snapshot.attachments {
        let value = i64::from(*attachment == Attachment::Attached);
        attached.with_label_values(&[interface]).set(value);
    }
    let landlock = gauge(
        registry,
        "landfast_landlock",
        "1 for how much of the rules on files the kernel enforces: full, partial or none",
        &["enforced"],
    )?;
    landlock.with_label_values(&[snapshot.landlock.name()]).set(1);
    let build =
        gauge(registry, "landfast_build_info", "1 for the version that runs", &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

fn admission(registry: &Registry, snapshot: &Snapshot) -> Result<()> {
    let pressure = gauge(
        registry,
        "landfast_pressure",
        "1 while handshakes are so many that budgets of Initials are enforced",
        &[],
    )?;
    pressure.with_label_values::<&str>(&[]).set(snapshot.rules.pressure().into());
    let blocklist = gauge(
        registry,
        "landfast_blocklist_networks",
        "Networks in the blocklist, whose packets are dropped",
        &[],
    )?;
    let networks = snapshot.rules.blocklist().networks().len();
    blocklist.with_label_values::<&str>(&[]).set(networks as i64);
    Ok(())
}

fn certificates(registry: &Registry, summary: &Summary) -> Result<()> {
    let states = gauge(
        registry,
        "landfast_certificates",
        "Certificates in force, by how clients take them: good, ends_soon, ended or not_yet",
        &["state"],
    )?;
    for (state, count) in [
        ("good", summary.good),
        ("ends_soon", summary.ends_soon),
        ("ended", summary.ended),
        ("not_yet", summary.not_yet),
    ] {
        states.with_label_values(&[state]).set(count.cast_signed());
    }
    // Without certificates there is no end: no sample, rather than one that sets off an alert.
    if let Some(seconds) = summary.seconds_to_first_end {
        let help = "Seconds until the first of the certificates in force ends; below 0 since then";
        let first_end = gauge(registry, "landfast_certificate_ends_seconds", help, &[])?;
        first_end.with_label_values::<&str>(&[]).set(seconds);
    }
    let refused = counter(
        registry,
        "landfast_certificates_refused_total",
        "Certificates that were given to us and not put in force",
        &[],
    )?;
    refused.with_label_values::<&str>(&[]).inc_by(summary.candidates_refused);
    let names = counter(
        registry,
        "landfast_names_refused_total",
        "Handshakes that were refused: no certificate for the name (unknown), or no name (missing)",
        &["reason"],
    )?;
    names.with_label_values(&["unknown"]).inc_by(summary.names_unknown);
    names.with_label_values(&["missing"]).inc_by(summary.names_missing);
    Ok(())
}

fn challenges(registry: &Registry, asked: &Asked) -> Result<()> {
    let challenges = counter(
        registry,
        "landfast_challenges_total",
        "Questions of certificate authorities, by kind and whether we had the answer",
        &["kind", "result"],
    )?;
    for (kind, result, count) in [
        ("http-01", "answered", asked.http01_answered),
        ("http-01", "unknown", asked.http01_unknown),
        ("tls-alpn-01", "answered", asked.tls_alpn01_answered),
        ("tls-alpn-01", "unknown", asked.tls_alpn01_unknown),
    ] {
        challenges.with_label_values(&[kind, result]).inc_by(count);
    }
    Ok(())
}

fn tcp(registry: &Registry, tally: &Tally) -> Result<()> {
    let help = "Requests in clear that were sent to https";
    let redirects = counter(registry, "landfast_redirects_total", help, &[])?;
    redirects.with_label_values::<&str>(&[]).inc_by(tally.redirects());
    let refused = counter(
        registry,
        "landfast_tcp_refused_total",
        "What was refused by TCP, by port (http, tls in the handshake, https after it) and reason",
        &["port", "reason"],
    )?;
    for refusal in Refusal::ALL {
        refused.with_label_values(&refusal.labels()).inc_by(tally.refused(refusal));
    }
    Ok(())
}

fn access_log(registry: &Registry, counts: LogCounts) -> Result<()> {
    let help = "Lines of the access log that are in the file";
    let lines = counter(registry, "landfast_access_log_lines_total", help, &[])?;
    lines.with_label_values::<&str>(&[]).inc_by(counts.written);
    let dropped = counter(
        registry,
        "landfast_access_log_dropped_total",
        "Lines that were dropped: too many at a time (full), or not to be written (failed)",
        &["reason"],
    )?;
    dropped.with_label_values(&["full"]).inc_by(counts.full);
    dropped.with_label_values(&["failed"]).inc_by(counts.failed);
    Ok(())
}

pub(super) fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
