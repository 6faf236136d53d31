//! What is good, or is made good on its way: what the origin gets of it, whole and once.

use std::io::Write as _;

use rustls::version::TLS13;
use tests::credentials::SERVER_NAME;

use super::{Room, http11};

/// Requests by HTTP/1.1 and their content. `PATH` is the case's own. None of the fields that begin
/// with `x-no` reaches the origin.
const REQUESTS: &[(&str, &str)] = &[
    ("GET https://landfast.testPATH HTTP/1.1\r\nHOST\r\n\r\n", ""),
    ("\r\n\r\nGET PATH HTTP/1.1\r\nhOST: LANDFAST.test:443\r\n\r\n", ""),
    // RFC 9110 section 8.6, RFC 9112 sections 6.3 and 7.1: one length, or chunks alone.
    ("POST PATH HTTP/1.1\r\nHOST\r\ncontent-length:003\t \r\n\r\nabc", "abc"),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n00\r\n\r\n",
        "abc",
    ),
    // RFC 9110 section 7.6.1.
    (
        "GET PATH HTTP/1.1\r\nHOST\r\nConnection: x-no, keep-alive\r\nx-no: 1\r\nKeep-Alive: 9\r\n\r\n",
        "",
    ),
    (
        "GET PATH HTTP/1.1\r\nHOST\r\nConnection: X-No\r\nConnection: x-no-2\r\nx-no: 1\r\nx-no-2: 1\r\n\r\n",
        "",
    ),
    ("GET PATH HTTP/1.1\r\nHOST\r\nConnection: host, via\r\n\r\n", ""),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc",
        "abc",
    ),
    (
        "POST PATH HTTP/1.1\r\nHOST\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "abc",
    ),
    (
        "GET PATH HTTP/1.1\r\nHOST\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        "",
    ),
];

#[test]
fn what_is_good_reaches_the_origin_once_without_what_is_about_a_connection() {
    let mut room = Room::new();
    for (case, content) in REQUESTS {
        let (path, good) = (room.path(), room.path());
        let request = http11::made(case, &path);
        let mut stream = room.edge.http11();
        let said = http11::asked(&mut stream, &request, &good);
        room.same(http11::statuses(&said), vec!["200", "200"], &(&request, &said));
        let reached = room.reached(&path);
        let [reached] = &reached[..] else { panic!("{request:?}: {reached:?}") };
        room.same((&*reached.target, &*reached.content), (&*path, *content), &request);
        for name in ["connection", "keep-alive", "proxy-connection", "te", "upgrade"] {
            room.same(reached.field(name), vec![], &(&request, name));
        }
        let hidden = reached.fields.iter().any(|(name, _)| name.starts_with("x-no"));
        room.same(hidden, false, &request);
        room.reaches(&good, 1, &request);
    }
    assert!(room.wrong.is_empty(), "{}", room.wrong.join("\n"));
}

/// A request in early data can be sent again by whoever heard it (RFC 8446 section 8): there is none.
#[tokio::test]
async fn a_ticket_allows_no_early_data() {
    let room = Room::new();
    let mut config = room.edge.client_tls(&TLS13, &[b"http/1.1"]);
    config.enable_early_data = true;
    for resumed in [false, true] {
        let mut stream = room.edge.tls(config.clone(), SERVER_NAME).expect("a handshake");
        assert!(stream.conn.early_data().is_none(), "none may be sent");
        assert_eq!(
            matches!(stream.conn.handshake_kind(), Some(rustls::HandshakeKind::Resumed)),
            resumed
        );
        let request = format!("GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        // With the answer comes a ticket.
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }
    let (endpoint, connection) = super::http3::connect(&room).await;
    let answer = tests::raw::ask(&connection, "/").await.read_to_end(10_000).await;
    assert!(answer.is_ok_and(|answer| !answer.is_empty()), "and with it a ticket");
    let again = endpoint.connect(room.edge.address(), SERVER_NAME).expect("a config");
    assert!(again.into_0rtt().is_err(), "none may be sent");
}
