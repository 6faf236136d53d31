//! Clients that mean no good.

use std::time::Duration;

use edge_user::http::h3::tally::Refused;
use edge_user::limits;
use quinn::{ConnectionError, ReadError, VarInt};
use tests::credentials::SERVER_NAME;
use tests::loopback::Node;
use tests::raw;

const HEADERS: u64 = 0x01;
const SETTINGS: u64 = 0x04;
const EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
const FRAME_UNEXPECTED: VarInt = VarInt::from_u32(0x105);
const FRAME_ERROR: VarInt = VarInt::from_u32(0x106);
const REQUEST_INCOMPLETE: VarInt = VarInt::from_u32(0x10d);
const MESSAGE_ERROR: VarInt = VarInt::from_u32(0x10e);
const DECOMPRESSION_FAILED: VarInt = VarInt::from_u32(0x200);
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

/// A HEADERS frame that asks for `/`, with more lines.
fn get_and(lines: &[(&str, &str)]) -> Vec<u8> {
    raw::request("GET", SERVER_NAME, "/", lines)
}

async fn sent(connection: &quinn::Connection, bytes: &[u8]) -> quinn::RecvStream {
    let (mut send, receive) = connection.open_bi().await.expect("allowed");
    // A server that refuses the request stops it.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    receive
}

/// RFC 9114 section 4.1.2; and the connection goes on.
#[tokio::test]
async fn a_malformed_request_is_reset_and_the_next_one_is_answered() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let data = |content: &[u8]| raw::frame(0x00, content);
    for (request, code) in [
        (get_and(&[("transfer-encoding", "chunked")]), MESSAGE_ERROR),
        (get_and(&[("connection", "x-a"), ("x-a", "b")]), MESSAGE_ERROR),
        (get_and(&[("x-a", "b\r\nc: d")]), MESSAGE_ERROR),
        (get_and(&[("X-A", "b")]), MESSAGE_ERROR),
        (get_and(&[("x-a", "b"), (":path", "/b")]), MESSAGE_ERROR),
        (get_and(&[(":path", "/b")]), MESSAGE_ERROR),
        (get_and(&[("host", "another.example")]), MESSAGE_ERROR),
        (get_and(&[("content-length", "4")]), MESSAGE_ERROR),
        ([get_and(&[("content-length", "4")]), data(b"some1")].concat(), MESSAGE_ERROR),
        ([get_and(&[("content-length", "4")]), data(b"som")].concat(), MESSAGE_ERROR),
        ([raw::get("/"), get_and(&[])].concat(), MESSAGE_ERROR),
        (raw::get("//a"), MESSAGE_ERROR),
        (vec![], REQUEST_INCOMPLETE),
    ] {
        let answer = sent(&connection, &request).await.read_to_end(10_000).await;
        let Err(quinn::ReadToEndError::Read(ReadError::Reset(reset))) = answer else {
            panic!("{request:02x?}: {answer:?}")
        };
        assert_eq!(reset, code, "{request:02x?}");
        let answer = raw::ask(&connection, "/").await.read_to_end(10_000).await;
        assert!(answer.is_ok_and(|answer| !answer.is_empty()));
    }
    assert_eq!(node.report().await[0].frames_refused, 0);
}

/// RFC 9114 sections 4.1 and 7.1, RFC 9204 section 2.2.
#[tokio::test]
async fn what_is_no_request_stream_of_http3_ends_the_connection() {
    let node = Node::start(1);
    for (stream, code) in [
        (raw::frame(0x00, b"content"), FRAME_UNEXPECTED),
        (raw::frame(SETTINGS, &[]), FRAME_UNEXPECTED),
        ([raw::get("/"), raw::frame(0x09, &[])].concat(), FRAME_UNEXPECTED),
        (raw::get("/")[..5].to_vec(), FRAME_ERROR),
        (raw::frame(HEADERS, &[0, 0, 0x80]), DECOMPRESSION_FAILED),
        (raw::frame(HEADERS, &[0x02, 0]), DECOMPRESSION_FAILED),
    ] {
        let (_endpoint, connection) = connect(&node).await;
        let _receive = sent(&connection, &stream).await;
        let ConnectionError::ApplicationClosed(close) = connection.closed().await else {
            panic!("{stream:02x?}")
        };
        assert_eq!(close.error_code, code, "{stream:02x?}");
    }
}

/// As over TCP (RFC 9110 sections 7.4, 10.1.1 and 15.5.20); and the connection goes on.
#[tokio::test]
async fn what_is_no_error_of_http3_is_answered_by_a_status() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let http = [(":method", "GET"), (":scheme", "http"), (":authority", SERVER_NAME)];
    for (request, status, reason) in [
        (raw::request("GET", "other.test", "/", &[]), "421", Refused::Name),
        (raw::request("GET", "127.0.0.1", "/", &[]), "421", Refused::Name),
        (raw::headers(&[&http[..], &[(":path", "/")]].concat()), "421", Refused::Name),
        (get_and(&[("expect", "200-ok")]), "417", Refused::Expectation),
        (raw::request("GET", "a+b.test:443", "/", &[]), "400", Refused::Host),
    ] {
        let before = node.report().await[0].refused;
        let answer = sent(&connection, &request).await.read_to_end(10_000).await;
        let answer = answer.expect("an answer");
        // 400 and 421 are rows of the static table (RFC 9204 appendix A), 417 is a literal.
        let said = match status {
            "400" => vec![0xff, 67 - 63],
            "421" => vec![0xff, 69 - 63],
            _ => [b"\x5f\x09\x03", status.as_bytes()].concat(),
        };
        assert_eq!(answer[4..4 + said.len()], said, "{status}: {answer:02x?}");
        let mut after = node.report().await[0].refused;
        after[reason as usize] -= 1;
        assert_eq!(after, before, "{status}");
        let answer = raw::ask(&connection, "/").await.read_to_end(10_000).await;
        assert!(answer.is_ok_and(|answer| !answer.is_empty()));
    }
}

/// RFC 9114 section 4.2.2: answered with 431, as nothing of it is out of order.
#[tokio::test]
async fn a_request_with_too_many_fields_is_told_so() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let request = get_and(&[("a", "b"); limits::MAX_FIELDS]);
    let answer = sent(&connection, &request).await.read_to_end(10_000).await.expect("an answer");
    // HEADERS and their length, no insert count, no base; the name of row 24, and three bytes.
    assert!(answer[4..].starts_with(b"\x5f\x09\x03431"), "{answer:02x?}");
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
    for round in 0..2 * limits::MAX_REQUEST_STREAMS {
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
