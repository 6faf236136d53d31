//! It serves until it is told to stop, and stops without cutting a request.

use std::os::unix::process::ExitStatusExt;

use bytes::Buf as _;
use nix::sys::signal::Signal;

use super::{Edge, eventually, stderr};

#[tokio::test]
async fn a_get_is_answered_and_sigterm_ends_it_well() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let identity = client.identity().await.expect("an answer");
    assert_eq!((identity.node, identity.name.as_str(), identity.site.as_str()), (1, "here", "lab"));
    assert_eq!(identity.client, client_address(&identity.client.port()));
    assert_eq!(edge.get("/healthz"), Some((200, "healthy\n".into())));
    let (_, metrics) = edge.get("/metrics").expect("answered");
    let of_worker = |name: &str| format!("{name}{{worker=\"{}\"}} 1\n", identity.worker);
    for name in ["landfast_connections", "landfast_requests_total"] {
        assert!(metrics.contains(&of_worker(name)), "no {name} in {metrics}");
    }
    client.close();

    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
    assert!(!edge.directory.path().join("admin.sock").exists());
    let log = edge.log();
    let steps = ["starting", "serving", "told to stop", "draining", "worker ended", "stopped"];
    let places: Vec<_> = steps.map(|step| log.find(step)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{log}");
}

fn client_address(port: &u16) -> std::net::SocketAddr {
    (std::net::Ipv4Addr::LOCALHOST, *port).into()
}

#[tokio::test]
async fn a_request_in_progress_outlives_the_signal_and_readiness_does_not() {
    const BYTES: usize = 20_000_000;
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let mut stream = client.send(&format!("/bytes/{BYTES}")).await.expect("sent");
    assert_eq!(stream.recv_response().await.expect("begun").status(), 200);

    edge.signal(Signal::SIGTERM);
    let not_ready =
        || matches!(edge.get("/readyz"), Some((503, reason)) if reason.starts_with("draining"));
    eventually("it is not ready any more", not_ready, || edge.log());
    let mut received = 0;
    while let Some(mut part) = stream.recv_data().await.expect("the rest") {
        received += part.remaining();
        part.advance(part.remaining());
    }
    assert_eq!(received, BYTES);
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
}

/// What the deadline cuts off is counted.
#[tokio::test]
async fn a_drain_that_is_too_short_says_what_it_cut() {
    let mut edge = Edge::new();
    let config = std::fs::read_to_string(edge.path("edge.toml")).expect("written");
    let config = config.replace("drain_seconds = 20", "drain_seconds = 1");
    std::fs::write(edge.path("edge.toml"), config).expect("written");
    edge.start();
    let client = edge.connect().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = client.send("/bytes/1000000000").await.expect("sent");
        assert_eq!(stream.recv_response().await.expect("begun").status(), 200);
        held.push(stream);
    }
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
    let warning = "requests were cut off: the drain was too short requests=2 drain_seconds=1";
    assert!(edge.log().contains(warning), "{}", edge.log());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let _held = client.send("/bytes/1000000000").await.expect("sent");
    edge.signal(Signal::SIGTERM);
    eventually("it drains", || edge.log().contains("draining"), || edge.log());
    edge.signal(Signal::SIGINT);
    assert_eq!(edge.ended().code(), Some(1), "{}", edge.log());
    assert!(edge.log().contains("told to stop a second time"), "{}", edge.log());
}

/// `landfast-edge drain`, then `systemctl stop`: the request in progress ends as it would have.
#[tokio::test]
async fn a_signal_that_follows_a_drain_by_command_joins_it() {
    let mut edge = Edge::new();
    edge.start();
    let client = edge.connect().await;
    let mut download = client.send("/bytes/20000000").await.expect("sent");
    assert_eq!(download.recv_response().await.expect("a head").status(), 200);
    let output = edge.run(&["drain", "--config", &edge.path("edge.toml")]);
    assert!(output.status.success(), "{}", stderr(&output));
    edge.signal(Signal::SIGTERM);
    eventually("it joins", || edge.log().contains("draining already"), || edge.log());
    let mut received = 0;
    while let Some(chunk) = download.recv_data().await.expect("not cut") {
        received += chunk.remaining();
    }
    assert_eq!(received, 20_000_000);
    drop((download, client));
    assert_eq!(edge.ended().code(), Some(0), "{}", edge.log());
}

#[tokio::test]
async fn after_a_crash_it_starts_again_with_another_generation() {
    let mut edge = Edge::new();
    edge.start();
    let before = edge.connect().await.identity().await.expect("an answer");
    edge.signal(Signal::SIGKILL);
    assert_eq!(edge.ended().signal(), Some(Signal::SIGKILL as i32));
    assert!(edge.directory.path().join("admin.sock").exists(), "left behind, to be replaced");
    edge.start();
    let after = edge.connect().await.identity().await.expect("an answer");
    let generation = |owner: &str| {
        let (_, generation) = owner.rsplit_once('/').expect("node/worker/generation");
        generation.parse::<u8>().expect("a number")
    };
    assert_eq!(generation(&after.owner), generation(&before.owner).wrapping_add(1));
}
