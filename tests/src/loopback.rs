//! Real workers on a real socket of the loopback, and quinn and h3 as their client.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::credentials::{Fleet, SERVER_NAME};
use bytes::Buf;
use edge_user::admission::Rules;
use edge_user::admission::blocklist::Blocklist;
use edge_user::admission::door::Door;
use edge_user::config::{AdmissionConfig, QuicConfig};
use edge_user::proxy::files::read::OpenFiles;
use edge_user::quic::driver::{ToWorker, WorkerHandle, WorkerReport, WorkerSetup, inboxes, spawn};
use edge_user::quic::socket::bind_group;
use edge_wire::cid::ServerId;
use tokio::sync::{oneshot, watch};

/// Sends requests of a connection.
pub type SendRequest = h3::client::SendRequest<h3_quinn::OpenStreams, bytes::Bytes>;

/// A node of two workers on a port of its own.
pub struct Node {
    /// What it shares with its client.
    pub fleet: Fleet,
    /// Its workers, which run.
    pub workers: Vec<WorkerHandle>,
    /// Where it listens, in IPv4.
    pub address: SocketAddr,
}

impl Node {
    /// Starts it, with so many workers.
    #[must_use]
    pub fn start(workers: u8) -> Self {
        Self::of(Fleet::new(&[1]), workers)
    }

    /// Starts it, with what `fleet` gives its node 1, and so many workers.
    #[must_use]
    pub fn of(fleet: Fleet, workers: u8) -> Self {
        let own = ServerId { node: 1, worker: 0, generation: 3 };
        let owners = fleet.owners(own, workers);
        let sockets = bind_group(0, workers).expect("a free port");
        let port = sockets[0].local_addr().expect("bound").port();
        let (peers, inboxes) = inboxes(workers);
        let rules = Rules::new(AdmissionConfig::default(), Blocklist::default(), false);
        let rules = watch::Sender::new(rules);
        let workers = sockets.into_iter().zip(inboxes).zip(0..);
        let workers = workers.map(|((socket, inbox), worker)| {
            spawn(WorkerSetup {
                worker,
                socket,
                inbox,
                peers: peers.clone(),
                owners: owners.clone(),
                secrets: fleet.secrets.clone(),
                tls: fleet.server_tls.clone(),
                certificates: fleet.certificates.clone(),
                relay: None,
                door: Door::new(rules.subscribe(), 1, Instant::now()),
                distributions: watch::channel(Arc::default()).1,
                open_files: OpenFiles::at_most(99),
                name: "ams1".into(),
                site: "ams".into(),
                config: QuicConfig {
                    max_connections: 1000,
                    retry_threshold: 1000,
                    idle_timeout: Duration::from_secs(10),
                    connection_id_lifetime: Duration::from_secs(3600),
                },
                access_log: None,
                tcp: None,
            })
            .expect("a worker")
        });
        let workers = workers.collect();
        Self { fleet, workers, address: (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// A client that trusts it.
    #[must_use]
    pub fn client(&self) -> quinn::Endpoint {
        let mut endpoint =
            quinn::Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a port");
        endpoint.set_default_client_config(self.client_config(quinn::TransportConfig::default()));
        endpoint
    }

    /// What such a client needs, with settings of its own.
    #[must_use]
    pub fn client_config(&self, transport: quinn::TransportConfig) -> quinn::ClientConfig {
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(self.fleet.client_tls.clone())
            .expect("TLS 1.3");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        config
    }

    /// What each worker has counted.
    pub async fn report(&self) -> Vec<WorkerReport> {
        let mut reports = Vec::new();
        for worker in &self.workers {
            let (to, report) = oneshot::channel();
            worker.inbox.send(ToWorker::Report(to)).await.expect("it runs");
            reports.push(report.await.expect("it answers"));
        }
        reports
    }

    /// Tells the workers to end.
    pub async fn begin_drain(&self, within: Duration) {
        let deadline = Instant::now() + within;
        for worker in &self.workers {
            worker.inbox.send(ToWorker::Drain { deadline }).await.expect("it runs");
        }
    }

    /// Waits until they have, and gives their last reports.
    pub async fn ended(self) -> Vec<WorkerReport> {
        let ended = self.workers.into_iter().map(|worker| {
            tokio::task::spawn_blocking(|| worker.thread.join().expect("it ends well"))
        });
        let mut reports = Vec::new();
        for ended in ended.collect::<Vec<_>>() {
            reports.push(ended.await.expect("joined"));
        }
        reports
    }
}

/// A connection of HTTP/3.
pub async fn connect(
    endpoint: &quinn::Endpoint,
    address: SocketAddr,
) -> (quinn::Connection, SendRequest) {
    let connection =
        endpoint.connect(address, SERVER_NAME).expect("a config").await.expect("a handshake");
    let (mut driver, requests) =
        h3::client::new(h3_quinn::Connection::new(connection.clone())).await.expect("HTTP/3");
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    (connection, requests)
}

/// Asks, and gives head and body of the answer.
pub async fn ask(
    requests: &mut SendRequest,
    method: &str,
    path: &str,
) -> (http::Response<()>, Vec<u8>) {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("https://{SERVER_NAME}{path}"))
        .body(())
        .expect("a request");
    let mut stream = requests.send_request(request).await.expect("sent");
    stream.finish().await.expect("finished");
    let response = stream.recv_response().await.expect("a response");
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await.expect("data") {
        while data.has_remaining() {
            let length = data.chunk().len();
            body.extend_from_slice(data.chunk());
            data.advance(length);
        }
    }
    (response, body)
}
