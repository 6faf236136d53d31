//! Which of a connection's answers go first (RFC 9218).

use futures_util::future::join;
use quinn::{Connection, RecvStream};
use tests::credentials::SERVER_NAME;
use tests::loopback::Node;
use tests::raw;

/// So long that a head start is nothing.
const DOWNLOAD: &str = "/bytes/30000000";

async fn connect(node: &Node) -> (quinn::Endpoint, Connection) {
    let mut window = quinn::TransportConfig::default();
    // What the client has room for is not what decides.
    window.receive_window(100_000_000_u32.into()).stream_receive_window(100_000_000_u32.into());
    let endpoint = node.client();
    let connecting = endpoint.connect_with(node.client_config(window), node.address, SERVER_NAME);
    let connection = connecting.expect("an address").await.expect("a handshake");
    (endpoint, connection)
}

/// Asks for the download with this priority.
async fn ask(connection: &Connection, priority: &str) -> RecvStream {
    let (mut send, receive) = connection.open_bi().await.expect("allowed");
    let more = [("priority", priority)];
    let more = if priority.is_empty() { &[][..] } else { &more[..] };
    let request = raw::request("GET", SERVER_NAME, DOWNLOAD, more);
    send.write_all(&request).await.expect("taken");
    send.finish().expect("open");
    receive
}

/// Reads both to their ends, and says which ended first.
async fn first_of(mut one: RecvStream, mut other: RecvStream) -> usize {
    let order = std::cell::RefCell::new(Vec::new());
    let read = async |stream: &mut RecvStream, place: usize| {
        while stream.read_chunk(usize::MAX, true).await.expect("an answer").is_some() {}
        order.borrow_mut().push(place);
    };
    join(read(&mut one, 0), read(&mut other, 1)).await;
    order.take()[0]
}

/// RFC 9218 section 10.
#[tokio::test]
async fn the_urgent_answer_comes_first_whichever_was_asked_for_first() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let _control = raw::open_control(&connection).await;
    for (one, other, first) in [("u=6", "u=1", 1), ("u=1", "u=6", 0), ("u=3, i", "u=3", 1)] {
        let streams = (ask(&connection, one).await, ask(&connection, other).await);
        assert_eq!(first_of(streams.0, streams.1).await, first, "{one} beside {other}");
    }
}

/// RFC 9218 section 7.2: it may come before the request.
#[tokio::test]
async fn what_a_client_says_by_a_frame_holds_whatever_the_field_says() {
    let node = Node::start(1);
    let (_endpoint, connection) = connect(&node).await;
    let mut control = raw::open_control(&connection).await;
    // The second request stream.
    let update = [&[4][..], b"u=0"].concat();
    control.write_all(&raw::frame(0xf_0700, &update)).await.expect("taken");
    let streams = (ask(&connection, "u=1").await, ask(&connection, "u=7").await);
    assert_eq!(first_of(streams.0, streams.1).await, 1);
    // While it is under way: the fourth.
    let streams = (ask(&connection, "u=1").await, ask(&connection, "u=7").await);
    let update = [&[12][..], b"u=0"].concat();
    control.write_all(&raw::frame(0xf_0700, &update)).await.expect("taken");
    assert_eq!(first_of(streams.0, streams.1).await, 1);
}
