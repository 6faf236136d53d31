//! A worker that panics takes nobody with it, and is seen to be gone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tests::credentials::{Fleet, SERVER_NAME};
use tests::loopback::Node;

/// A fault of ours that a client's first packet brings to light.
#[derive(Debug)]
struct Fault;

impl ResolvesServerCert for Fault {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        panic!("on purpose");
    }
}

/// The process ends then, to be started anew: `serve` waits for exactly this.
#[tokio::test]
async fn a_panic_ends_one_worker_and_closes_its_inbox() {
    let mut fleet = Fleet::new(&[1]);
    let mut tls = rustls::ServerConfig::clone(&fleet.server_tls);
    tls.cert_resolver = Arc::new(Fault);
    fleet.server_tls = Arc::new(tls);
    let mut node = Node::of(fleet, 2);
    let client = node.client();
    let connecting = client.connect(node.address, SERVER_NAME).expect("a config");

    let ends = node.workers.iter().map(|worker| Box::pin(worker.inbox.closed()));
    let ((), ended, _) = tokio::time::timeout(Duration::from_secs(30), select_all(ends))
        .await
        .expect("its inbox is closed");
    let gone = node.workers.swap_remove(ended);
    let joined = tokio::task::spawn_blocking(|| gone.thread.join()).await.expect("joined");
    assert!(joined.is_err(), "it did not end well");
    drop((client, connecting));
    // The other one answers.
    assert_eq!(node.report().await.len(), 1);
    node.begin_drain(Duration::ZERO).await;
    node.ended().await;
}
