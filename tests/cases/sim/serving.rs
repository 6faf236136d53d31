//! Real workers on a real socket.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use edge_user::quic::driver::WorkerReport;
use edge_wire::Reason;
use tests::loopback::{Node, ask, connect};

fn sum(reports: &[WorkerReport], count: impl Fn(&WorkerReport) -> u64) -> u64 {
    reports.iter().map(count).sum()
}

#[tokio::test]
async fn a_get_says_who_answered_whom() {
    let node = Node::start(2);
    let endpoint = node.client();
    let (_connection, mut requests) = connect(&endpoint, node.address).await;
    let (response, body) = ask(&mut requests, "GET", "/").await;
    assert_eq!(response.status(), 200);
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let worker = body["worker"].as_u64().expect("a worker");
    assert_eq!(body["owner"], format!("1/{worker}/3"));
    assert_eq!(body["protocol"], "h3");
    let port = endpoint.local_addr().expect("bound").port();
    assert_eq!(body["client"], format!("127.0.0.1:{port}"));

    let (response, body) = ask(&mut requests, "GET", "/bytes/5000000").await;
    assert_eq!((response.status().as_u16(), body.len()), (200, 5_000_000));
    let (response, _) = ask(&mut requests, "POST", "/").await;
    assert_eq!(response.status(), 405);
    let (response, body) = ask(&mut requests, "HEAD", "/bytes/77").await;
    assert_eq!(response.headers()["content-length"], "77");
    assert!(response.headers().contains_key("date"));
    assert!(body.is_empty());

    let reports = node.report().await;
    assert_eq!(sum(&reports, |report| report.connections), 1);
    assert_eq!(sum(&reports, |report| report.handshakes_completed), 1);
    assert_eq!(sum(&reports, |report| report.requests), 4);
    assert_eq!(
        sum(&reports, |report| report.reasons.iter().sum::<u64>()),
        sum(&reports, |report| report.datagrams_received
            + report.reasons[Reason::HandedOver as usize]),
        "each datagram ends in one Reason in each worker that sees it"
    );
    node.begin_drain(Duration::from_secs(5)).await;
    let reports = node.ended().await;
    assert!(reports.iter().all(|report| report.connections == 0));
}

#[tokio::test]
async fn both_families_are_served_and_seen_as_themselves() {
    let node = Node::start(2);
    let endpoint = node.client();
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, node.address.port()));
    for (address, expected) in [(node.address, "127.0.0.1:"), (six, "[::1]:")] {
        endpoint
            .rebind(UdpSocket::bind((address.ip(), 0)).expect("a port"))
            .expect("a socket of that family");
        let (_connection, mut requests) = connect(&endpoint, address).await;
        let (_, body) = ask(&mut requests, "GET", "/").await;
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let client = body["client"].as_str().expect("an address");
        assert!(client.starts_with(expected), "{client}");
    }
}

/// Without the kernel's help a new port may lead to another worker, which hands over.
#[tokio::test]
async fn connections_survive_every_change_of_worker() {
    let node = Node::start(2);
    let endpoint = node.client();
    let (connection, mut requests) = connect(&endpoint, node.address).await;
    let first = ask(&mut requests, "GET", "/").await.1;
    let worker = |body: &[u8]| {
        serde_json::from_slice::<serde_json::Value>(body).expect("JSON")["worker"].clone()
    };
    for _ in 0..12 {
        endpoint
            .rebind(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port"))
            .expect("a new socket");
        let (response, body) = ask(&mut requests, "GET", "/").await;
        assert_eq!(response.status(), 200);
        assert_eq!(worker(&body), worker(&first), "the owner stays");
    }
    assert!(connection.close_reason().is_none());
    let reports = node.report().await;
    assert!(sum(&reports, |report| report.reasons[Reason::HandedOver as usize]) > 0);
}
