//! A worker that stops breaks nothing off (RFC 9114 section 5.2).

use std::time::{Duration, Instant};

use edge_user::limits;
use quinn::{ConnectionError, VarInt};
use tests::credentials::SERVER_NAME;
use tests::loopback::{self, Node};
use tests::raw;

const GOAWAY: u64 = 0x07;
const NO_ERROR: VarInt = VarInt::from_u32(0x100);
const REQUEST_REJECTED: VarInt = VarInt::from_u32(0x10b);
const LONG: Duration = Duration::from_secs(20);

async fn raw_connection(node: &Node) -> (quinn::Endpoint, quinn::Connection) {
    let endpoint = node.client();
    let connecting = endpoint.connect(node.address, SERVER_NAME).expect("a config");
    (endpoint, connecting.await.expect("a handshake"))
}

fn closed_with(reason: &ConnectionError) -> Option<VarInt> {
    match reason {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code),
        _ => None,
    }
}

/// The next GOAWAY, and the stream ID it names.
async fn goaway(control: &mut quinn::RecvStream) -> u64 {
    loop {
        let (kind, payload) = raw::read_frame(control).await;
        if kind == GOAWAY {
            return raw::decode_varint(&payload);
        }
    }
}

#[tokio::test]
async fn goaway_says_exactly_which_requests_are_answered() {
    let node = Node::start(1);
    let (_endpoint, connection) = raw_connection(&node).await;
    let _own = raw::open_control(&connection).await;
    let mut control = raw::control(&connection).await;
    let answered = raw::ask(&connection, "/").await.read_to_end(10_000).await.expect("whole");
    assert!(!answered.is_empty());
    // Under way when the drain begins: more than fits any window, and not read yet.
    let mut download = raw::ask(&connection, "/bytes/20000000").await;
    download.read_chunk(1, true).await.expect("it has begun").expect("data");

    node.begin_drain(LONG).await;
    assert_eq!(goaway(&mut control).await, (1 << 62) - 4, "nothing is refused yet");
    let mut late = raw::ask(&connection, "/").await;
    let first_refused = goaway(&mut control).await;
    // Stream 8 was sent after the first GOAWAY: answered or not, as the second one says.
    let late = late.read_to_end(10_000).await;
    assert_eq!(late.is_ok(), first_refused > 8, "{late:?}, GOAWAY {first_refused}");
    assert!(first_refused >= 8, "streams 0 and 4 were accepted");
    let refused = raw::ask(&connection, "/").await.read_to_end(10_000).await;
    let reset = quinn::ReadToEndError::Read(quinn::ReadError::Reset(REQUEST_REJECTED));
    assert_eq!(refused, Err(reset));

    let rest = download.read_to_end(30_000_000).await.expect("it is not broken off");
    assert!(rest.len() >= 20_000_000, "the body, and the heads of its frames");
    let reason = connection.closed().await;
    assert_eq!(closed_with(&reason), Some(NO_ERROR), "{reason}");
    let reports = node.ended().await;
    assert_eq!(reports[0].connections, 0);
}

#[tokio::test]
async fn clients_of_h3_finish_what_they_asked_for() {
    let node = Node::start(2);
    let endpoint = node.client();
    let (connection, mut requests) = loopback::connect(&endpoint, node.address).await;
    let mut second = requests.clone();
    let download =
        tokio::spawn(async move { loopback::ask(&mut second, "GET", "/bytes/50000000").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    node.begin_drain(LONG).await;
    let (response, body) = download.await.expect("no panic");
    assert_eq!((response.status().as_u16(), body.len()), (200, 50_000_000));
    let reason = connection.closed().await;
    assert_eq!(closed_with(&reason), Some(NO_ERROR), "{reason}");
    let request = http::Request::get("https://localhost/").body(()).expect("a request");
    assert!(requests.send_request(request).await.is_err(), "it knows of the end");
    node.ended().await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let node = Node::start(2);
    let (_endpoint, connection) = raw_connection(&node).await;
    node.begin_drain(LONG).await;
    let begun = Instant::now();
    let reason = connection.closed().await;
    assert_eq!(closed_with(&reason), Some(NO_ERROR), "{reason}");
    node.ended().await;
    assert!(begun.elapsed() < LONG / 2);
}

#[tokio::test]
async fn requests_are_given_up_at_the_deadline() {
    let node = Node::start(1);
    let (_endpoint, connection) = raw_connection(&node).await;
    let _never_read = raw::ask(&connection, "/bytes/1000000000").await;
    let begun = Instant::now();
    let within = Duration::from_millis(500);
    node.begin_drain(within).await;
    let reason = connection.closed().await;
    assert_eq!(closed_with(&reason), Some(NO_ERROR), "{reason}");
    node.ended().await;
    assert!(begun.elapsed() < within + limits::DRAIN_TAIL + Duration::from_secs(2));
}

#[tokio::test]
async fn new_connections_are_refused_meanwhile() {
    let node = Node::start(1);
    let (_endpoint, connection) = raw_connection(&node).await;
    let mut download = raw::ask(&connection, "/bytes/20000000").await;
    node.begin_drain(LONG).await;
    // The drain has begun where the first GOAWAY has come.
    let mut control = raw::control(&connection).await;
    goaway(&mut control).await;
    let late = node.client();
    let refused = late.connect(node.address, SERVER_NAME).expect("a config").await;
    let Err(ConnectionError::ConnectionClosed(close)) = refused else { panic!("{refused:?}") };
    assert_eq!(close.error_code, quinn_proto::TransportErrorCode::CONNECTION_REFUSED);
    download.read_to_end(30_000_000).await.expect("it is not broken off");
    node.ended().await;
}
