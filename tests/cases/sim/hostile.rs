//! Clients that mean no good.

use std::time::Duration;

use edge_user::limits;
use quinn::{ConnectionError, ReadError, VarInt};
use tests::credentials::SERVER_NAME;
use tests::loopback::Node;
use tests::raw;

const HEADERS: u64 = 0x01;
const SETTINGS: u64 = 0x04;
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
const GENERAL_PROTOCOL_ERROR: VarInt = VarInt::from_u32(0x101);

async fn connect(node: &Node) -> (quinn::Endpoint, quinn::Connection) {
    let endpoint = node.client();
    let connecting = endpoint.connect(node.address, SERVER_NAME).expect("a config");
    (endpoint, connecting.await.expect("a handshake"))
}

fn gibibyte(kind: u64) -> Vec<u8> {
    [raw::varint(kind), raw::varint(1 << 30), vec![0; 100]].concat()
}

/// And the connection goes on.
#[tokio::test]
async fn a_request_that_declares_a_gibibyte_of_headers_is_refused_at_once() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let (mut send, mut receive) = connection.open_bi().await.expect("allowed");
    send.write_all(&gibibyte(HEADERS)).await.expect("written");
    let answer = receive.read_chunk(100, true).await;
    assert_eq!(answer.expect_err("reset"), ReadError::Reset(EXCESSIVE_LOAD));
    assert_eq!(send.stopped().await, Ok(Some(EXCESSIVE_LOAD)));
    let answer = raw::ask(&connection, "/").await.read_to_end(10_000).await;
    assert!(answer.is_ok_and(|answer| !answer.is_empty()));
    assert_eq!(node.report().await[0].frames_refused, 1);
}

#[tokio::test]
async fn a_control_stream_that_does_ends_the_connection() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let mut control = connection.open_uni().await.expect("allowed");
    control.write_all(&[vec![0x00], gibibyte(SETTINGS)].concat()).await.expect("written");
    let ConnectionError::ApplicationClosed(close) = connection.closed().await else { panic!() };
    assert_eq!(close.error_code, EXCESSIVE_LOAD);
    assert_eq!(node.report().await[0].frames_refused, 1);
}

/// Half a request's head, and a connection kept busy for as long as it takes: what is held for it is
/// given up, and the connection goes on.
#[tokio::test]
async fn a_head_that_does_not_come_is_given_up() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let (mut send, mut receive) = connection.open_bi().await.expect("allowed");
    send.write_all(&raw::get("/")[..5]).await.expect("written");
    let given_up = async {
        let mut pulse = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                answer = receive.read_chunk(100, true) => break answer,
                _ = pulse.tick() => {
                    let beside = raw::ask(&connection, "/").await.read_to_end(10_000).await;
                    assert!(beside.is_ok_and(|answer| !answer.is_empty()));
                }
            }
        }
    };
    let answer = tokio::time::timeout(3 * limits::REQUEST_HEAD_WITHIN, given_up).await;
    assert!(matches!(answer.expect("in time"), Err(ReadError::Reset(_))));
    let answer = raw::ask(&connection, "/").await.read_to_end(10_000).await;
    assert!(answer.is_ok_and(|answer| !answer.is_empty()));
}

/// RFC 9114 section 6.2 asks a client for at least three; one that gives none, and sends PING, would
/// otherwise keep its place and hold up every drain.
#[tokio::test]
async fn a_client_without_room_for_control_streams_is_closed() {
    let node = Node::start(1);
    let mut endpoint = node.client();
    let mut transport = quinn::TransportConfig::default();
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.keep_alive_interval(Some(Duration::from_secs(1)));
    endpoint.set_default_client_config(node.client_config(transport));
    let connecting = endpoint.connect(node.address, SERVER_NAME).expect("a config");
    let connection = connecting.await.expect("a handshake");
    let closed = tokio::time::timeout(3 * limits::REQUEST_HEAD_WITHIN, connection.closed()).await;
    let ConnectionError::ApplicationClosed(close) = closed.expect("in time") else { panic!() };
    assert_eq!(close.error_code, GENERAL_PROTOCOL_ERROR);
}

/// Requests that end before their headers, are reset, or are nonsense: more of them than may be
/// open at a time, so that each must have been forgotten.
#[tokio::test]
async fn requests_that_come_to_nothing_are_forgotten() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    for round in 0..400 {
        let (mut send, mut receive) = connection.open_bi().await.expect("allowed again");
        match round % 3 {
            0 => send.finish().expect("open"),
            1 => {
                send.write_all(&raw::get("/")[..5]).await.expect("written");
                send.reset(VarInt::from_u32(0x10c)).expect("open");
            }
            _ => {
                // A request without a method is malformed (RFC 9114 section 4.3.1).
                let nothing = raw::frame(HEADERS, &[0, 0]);
                send.write_all(&nothing).await.expect("written");
                send.finish().expect("open");
            }
        }
        assert!(receive.read_to_end(1000).await.is_err(), "reset, not answered");
    }
    let answer = raw::ask(&connection, "/").await.read_to_end(10_000).await;
    assert!(answer.is_ok_and(|answer| !answer.is_empty()));
}
