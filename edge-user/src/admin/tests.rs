//! A control with workers that are tasks here, asked over its real sockets.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use edge_wire::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::client::{self, ClientError};
use super::control::{Control, Parts, Phase};
use super::protocol::{Answer, Request};
use super::samples;
use super::socket::AdminSocket;
use crate::config::{self, Config, Host};
use crate::follow::view::View;
use crate::nodes::Liveness;
use crate::proxy::durations::DurationsReport;
use crate::proxy::in_force::AnsweredReport;
use crate::proxy::origins::counts::{OriginReport, ServerReport};
use crate::quic::driver::{ToWorker, WorkerReport};
use fleet_wire::message::{Position, Refused, Standing};
use fleet_wire::secrets::{IdMode, Secrets};

const CONFIG: &str = r#"
    node = 1
    fleet_file = "/f"
    listen = { anycast = ["192.0.2.1"] }
    steering = { mode = "off" }
    tls = { certificate = "/c", key = "/k" }
    nodes = [
        { id = 1, name = "ams1", site = "ams", ipv4 = "198.51.100.1" },
        { id = 2, name = "fra1", site = "fra", ipv4 = "198.51.100.2" },
    ]
"#;

fn config() -> Arc<Config> {
    let config = config::parse("edge.toml".as_ref(), CONFIG, &Host::elsewhere());
    Arc::new(config.expect("good"))
}

/// A worker that answers every report, with one packet of each Reason.
fn answering(worker: u8) -> mpsc::Sender<ToWorker> {
    let (inbox, mut orders) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            if let ToWorker::Report(answer) = order {
                let _ = answer.send(WorkerReport {
                    worker,
                    reasons: [1; Reason::COUNT as usize],
                    connections: 7,
                    handshakes_completed: 0,
                    handshakes_failed: 0,
                    handshakes_in_progress: 0,
                    bytes_received: 0,
                    bytes_sent: 0,
                    datagrams_received: 0,
                    datagrams_sent: 0,
                    requests: 9,
                    requests_cut: 0,
                    resumed: 0,
                    frames_refused: 4,
                    refused: std::array::from_fn(|reason| reason as u64),
                    tcp: Default::default(),
                    answered: vec![AnsweredReport {
                        distribution: "www.example.com".into(),
                        by_version: [[1, 0, 0, 0], [0; 4], [2, 3, 4, 5]],
                        durations: DurationsReport {
                            buckets: [1, 2, 0, 0, 0, 0, 0, 0, 0, 4],
                            sum_microseconds: 40_250_000,
                        },
                    }],
                    origins: vec![asked()],
                });
            }
        }
    });
    inbox
}

/// What a worker knows of an origin with one server.
fn asked() -> OriginReport {
    OriginReport {
        origin: "app".into(),
        by_class: [4, 3, 2, 1],
        by_failure: std::array::from_fn(|failure| failure as u64),
        retried: 5,
        cut: 6,
        connected: 7,
        durations: DurationsReport { buckets: [10; 10], sum_microseconds: 500_000 },
        servers: vec![ServerReport {
            server: "192.0.2.7:8080".into(),
            well: true,
            ejected: true,
            requests: 8,
            idle_connections: 9,
        }],
    }
}

/// A worker that never looks into its inbox.
fn stuck() -> mpsc::Sender<ToWorker> {
    let (inbox, orders) = mpsc::channel(4);
    tokio::spawn(async move {
        let _orders = orders;
        std::future::pending::<()>().await;
    });
    inbox
}

fn control(workers: Vec<mpsc::Sender<ToWorker>>) -> Arc<Control> {
    followed(workers, None)
}

/// With a controller, with which it stands as `view` shows.
fn followed(
    workers: Vec<mpsc::Sender<ToWorker>>,
    view: Option<watch::Receiver<View>>,
) -> Arc<Control> {
    let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
    let parts = samples::parts(Config::clone(&config()), &secrets);
    Arc::new(Control::new(Parts { workers, controller: view, ..parts }))
}

async fn request(control: &Arc<Control>, request: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(super::http::serve(listener, Arc::clone(control)));
    let mut stream = TcpStream::connect(address).await.expect("listening");
    let request = format!("{request} HTTP/1.1\r\nhost: edge\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    server.abort();
    answer
}

#[tokio::test]
async fn every_reason_of_every_program_is_in_the_metrics() {
    let answer = request(&control(vec![answering(0), answering(1)]), "GET /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for reason in Reason::ALL {
        let name = reason.name();
        let line = format!("landfast_packets_total{{program=\"edge\",reason=\"{name}\"}} 2\n");
        assert!(answer.contains(&line), "no {line}");
    }
    for line in [
        "landfast_connections{worker=\"1\"} 7\n",
        "landfast_requests_total{worker=\"0\"} 9\n",
        "landfast_handshakes_total{result=\"completed\",worker=\"0\"} 0\n",
        "landfast_bytes_total{direction=\"sent\",worker=\"1\"} 0\n",
        "landfast_datagrams_total{direction=\"received\",worker=\"1\"} 0\n",
        "landfast_node_live{node=\"2\"} 1\n",
        "landfast_steering_mode{mode=\"off\"} 1\n",
        "landfast_landlock{enforced=\"partial\"} 1\n",
        "landfast_pressure 0\n",
        "landfast_blocklist_networks 0\n",
        "landfast_worker_up{worker=\"0\"} 1\n",
        "landfast_frames_refused_total{worker=\"1\"} 4\n",
        "landfast_http3_refused_total{reason=\"malformed\",worker=\"1\"} 5\n",
        concat!("landfast_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n"),
    ] {
        assert!(answer.contains(line), "no {line} in {answer}");
    }
}

/// Two workers: counts and what they hold are sums, whether a server is well is known once.
#[tokio::test]
async fn answers_and_origins_are_in_the_metrics_for_all_workers_together() {
    let answer = request(&control(vec![answering(0), answering(1)]), "GET /metrics").await;
    let requests = "landfast_distribution_requests_total{distribution=\"www.example.com\"";
    let seconds = "landfast_distribution_answer_seconds";
    let of_server = "{origin=\"app\",server=\"192.0.2.7:8080\"}";
    for line in [
        format!("{requests},status=\"2xx\",version=\"http/1.1\"}} 2\n"),
        format!("{requests},status=\"3xx\",version=\"h3\"}} 6\n"),
        format!("{requests},status=\"5xx\",version=\"h2\"}} 0\n"),
        format!("# TYPE {seconds} histogram\n"),
        format!("{seconds}_bucket{{distribution=\"www.example.com\",le=\"0.001\"}} 2\n"),
        format!("{seconds}_bucket{{distribution=\"www.example.com\",le=\"10\"}} 6\n"),
        format!("{seconds}_bucket{{distribution=\"www.example.com\",le=\"+Inf\"}} 14\n"),
        format!("{seconds}_sum{{distribution=\"www.example.com\"}} 80.5\n"),
        format!("{seconds}_count{{distribution=\"www.example.com\"}} 14\n"),
        "landfast_origin_responses_total{origin=\"app\",status=\"5xx\"} 2\n".into(),
        // The sixteenth reason, of two workers.
        "landfast_origin_failures_total{origin=\"app\",reason=\"client_share\"} 30\n".into(),
        "landfast_origin_retries_total{origin=\"app\"} 10\n".into(),
        "landfast_origin_responses_cut_total{origin=\"app\"} 12\n".into(),
        "landfast_origin_connections_total{origin=\"app\"} 14\n".into(),
        "landfast_origin_response_seconds_sum{origin=\"app\"} 1\n".into(),
        format!("landfast_origin_server_up{of_server} 1\n"),
        format!("landfast_origin_server_ejected{of_server} 2\n"),
        format!("landfast_origin_requests{of_server} 16\n"),
        format!("landfast_origin_idle_connections{of_server} 18\n"),
    ] {
        assert!(answer.contains(&line), "no {line} in {answer}");
    }
}

#[tokio::test]
async fn a_stuck_worker_makes_the_process_unhealthy_and_leaves_a_gap_in_the_sum() {
    let control = control(vec![answering(0), stuck()]);
    control.advance(Phase::Serving);
    // All at once: each waits until the worker's time is up.
    let (health, ready, metrics) = tokio::join!(
        request(&control, "GET /healthz"),
        request(&control, "GET /readyz"),
        request(&control, "GET /metrics"),
    );
    for answer in [health, ready] {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("no answer from worker 1\n"), "{answer}");
    }
    assert!(metrics.contains("landfast_worker_up{worker=\"1\"} 0\n"), "{metrics}");
    for missing in ["program=\"edge\"", "distribution=", "origin="] {
        assert!(!metrics.contains(missing), "{metrics}");
    }
}

#[tokio::test]
async fn ready_is_who_serves_and_healthy_is_who_answers() {
    let control = control(vec![answering(0)]);
    let phases = [
        (Phase::Starting, "503", "starting: not everything is attached yet\n"),
        (Phase::Serving, "200", "ready\n"),
        (Phase::Draining, "503", "draining: told to stop\n"),
        (Phase::Serving, "503", "draining: told to stop\n"), // a drain is not undone
    ];
    for (phase, status, body) in phases {
        control.advance(phase);
        let answer = request(&control, "GET /readyz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{phase:?}: {answer}");
        assert!(answer.ends_with(body), "{phase:?}: {answer}");
        assert!(request(&control, "GET /healthz").await.ends_with("healthy\n"));
    }
}

#[tokio::test]
async fn a_node_is_ready_by_its_controllers_last_word_whether_or_not_that_is_there() {
    let view = View {
        addresses: vec!["c.example:4840".into()],
        connected: None,
        last_error: Some("no controller is reached".into()),
        position: Some(Position { epoch: 3, term: 2, serial: 7 }),
        standing: Standing::Serving,
        refused: vec![Refused { key: "node/9".into(), reason: "no address".into() }],
        identity_ends: SystemTime::now() - Duration::from_secs(100),
        bundles: 5,
        failures: 4,
    };
    let (shown, view) = watch::channel(view);
    let control = followed(vec![answering(0)], Some(view));
    control.advance(Phase::Serving);
    for (standing, status, body) in [
        (Standing::Serving, "200", "ready\n"),
        (Standing::Joining, "503", "joining: not every live node knows this one yet\n"),
        (Standing::Drained, "503", "drained: by the controller's word\n"),
    ] {
        shown.send_modify(|view| view.standing = standing);
        let answer = request(&control, "GET /readyz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{standing:?}: {answer}");
        assert!(answer.ends_with(body), "{standing:?}: {answer}");
        assert!(request(&control, "GET /healthz").await.ends_with("healthy\n"));
    }
    let answer = request(&control, "GET /metrics").await;
    for line in [
        "landfast_follow_connected 0\n",
        "landfast_follow_serial 7\n",
        "landfast_follow_refused_items 1\n",
        "landfast_follow_bundles_total 5\n",
        "landfast_follow_failures_total 4\n",
        "landfast_follow_identity_ends_seconds -10",
        "landfast_follow_standing{standing=\"drained\"} 1\n",
    ] {
        assert!(answer.contains(line), "no {line} in {answer}");
    }
    let Answer::Status(status) = control.answer(Request::Status {}).await else {
        panic!("not a status");
    };
    let said = status.controller.expect("it has one");
    assert_eq!((said.standing.as_str(), said.followed_seconds), ("drained", None));
    assert_eq!(said.position.map(|position| position.serial), Some(7));
    assert_eq!(said.refused[0].item, "node/9");
    assert_eq!(said.last_error.as_deref(), Some("no controller is reached"));
}

#[tokio::test]
async fn a_worker_that_was_told_to_end_is_not_missed() {
    let control = control(vec![answering(0), mpsc::channel(1).0]);
    assert_eq!(control.stuck().await, [1u8], "ended by itself");
    control.advance(Phase::Draining);
    assert!(control.stuck().await.is_empty());
    assert!(request(&control, "GET /healthz").await.ends_with("healthy\n"));
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let control = control(vec![answering(0)]);
    let answer = request(&control, "POST /metrics").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
    assert!(request(&control, "GET /").await.starts_with("HTTP/1.1 404 "));
    let long = format!("GET /{}", "a".repeat(crate::limits::ADMIN_HEAD_BYTES));
    let answer = request(&control, &long).await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
}

async fn ask(path: &Path, request: Request) -> Result<Answer, ClientError> {
    let path = path.to_owned();
    let asked = tokio::task::spawn_blocking(move || client::ask(&path, &request));
    asked.await.expect("no panic")
}

#[tokio::test]
async fn commands_of_the_socket_take_effect() {
    let directory = tempfile::tempdir().expect("made");
    let path = directory.path().join("admin.sock");
    let control = control(vec![answering(0)]);
    control.advance(Phase::Serving);
    let socket = AdminSocket::bind(&path).expect("bound");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let serving = Arc::clone(&control);
    let server = tokio::spawn(async move { socket.serve(serving).await });

    let dead = Request::Node { id: 2, liveness: Liveness::Dead };
    assert_eq!(ask(&path, dead).await.expect("known"), Answer::Done {});
    let Answer::Nodes(nodes) = ask(&path, Request::Nodes {}).await.expect("listed") else {
        panic!("not a list");
    };
    let nodes: Vec<_> = nodes.iter().map(|node| (node.id, node.liveness, node.this)).collect();
    assert_eq!(nodes, [(1, Liveness::Live, true), (2, Liveness::Dead, false)]);
    let ourselves = Request::Node { id: 1, liveness: Liveness::Dead };
    let error = ask(&path, ourselves).await.expect_err("ourselves").to_string();
    assert!(error.starts_with("node 1 is this node itself"), "{error}");
    let unknown = Request::Node { id: 3, liveness: Liveness::Dead };
    let error = ask(&path, unknown).await.expect_err("no such node").to_string();
    assert_eq!(error, "no node of the fleet has the ID 3");
    let Answer::Status(status) = ask(&path, Request::Status {}).await.expect("told") else {
        panic!("not a status");
    };
    assert_eq!((status.phase.as_str(), status.generation), ("serving", 3));
    assert_eq!(status.workers[0].connections, 7);
    assert_eq!((status.connection_ids.made_under, status.connection_ids.read), (0, vec![0]));
    assert_eq!(ask(&path, Request::Drain {}).await.expect("begun"), Answer::Done {});
    control.draining().await;
    assert_eq!(control.phase(), Phase::Draining);

    server.abort();
    let _ = server.await;
    assert!(!path.exists(), "the socket is removed with its owner");
}

#[tokio::test]
async fn a_line_that_is_no_command_is_answered_and_the_next_one_heard() {
    let directory = tempfile::tempdir().expect("made");
    let path = directory.path().join("admin.sock");
    let socket = AdminSocket::bind(&path).expect("bound");
    let control = control(vec![answering(0)]);
    let server = tokio::spawn(async move { socket.serve(control).await });
    let mut stream = tokio::net::UnixStream::connect(&path).await.expect("listening");
    stream.write_all(b"hello\n{\"command\":\"drain\"}\n").await.expect("sent");
    stream.shutdown().await.expect("shut");
    let mut answers = String::new();
    let read = stream.read_to_string(&mut answers);
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("in time").expect("read");
    let lines: Vec<_> = answers.lines().collect();
    assert!(lines[0].starts_with(r#"{"error":"not a command: "#), "{answers}");
    assert_eq!(lines[1..], [r#"{"done":{}}"#]);
    server.abort();
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_left_alone() {
    let directory = tempfile::tempdir().expect("made");
    let path = directory.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound")); // its file stays
    let socket = AdminSocket::bind(&path).expect("replaced");
    let error = AdminSocket::bind(&path).err().expect("answered by the first").to_string();
    assert_eq!(error, "another edge answers there");
    drop(socket);
    std::fs::write(&path, "notes").expect("written");
    let error = AdminSocket::bind(&path).err().expect("a file").to_string();
    assert_eq!(error, "something else is there already");
}
