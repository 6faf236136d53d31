//! Heads that are small on their way and large when they are read, or larger than any: by HTTP/1.1 and
//! HTTP/3. Each is refused by itself, however many there are.

use std::io::{Read as _, Write as _};

use edge_user::limits;
use tests::credentials::SERVER_NAME;
use tests::raw;

use super::http3::{Scene, connect};

/// Bombs of each kind. If each left behind what it is, they would pass every bound.
const BOMBS: usize = 100;

#[test]
fn heads_beyond_their_bounds_are_refused_over_http11() {
    let mut scene = super::Scene::new();
    let head = format!("GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n");
    let many = format!("{head}{}\r\n", "x:\r\n".repeat(limits::HTTP1_BUFFER_BYTES / 5));
    let long = format!("{head}x: {}\r\n\r\n", "a".repeat(1 << 20));
    for turn in 0..BOMBS {
        for bomb in [&many, &long] {
            let mut stream = scene.edge.http11();
            // It may be closed before all of it was sent.
            let _ = stream.write_all(bomb.as_bytes());
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            let said = String::from_utf8_lossy(&said);
            assert!(said.starts_with("HTTP/1.1 431 "), "{turn}: {said}");
        }
    }
    assert_eq!(scene.edge.refused("malformed"), 2 * BOMBS as u64);
    scene.good_is_answered();
}

/// RFC 9114 section 4.2.2: 431 where nothing is out of order, else an error of the stream. The
/// connection goes on.
#[tokio::test]
async fn heads_beyond_their_bounds_are_refused_over_http3() {
    let scene = Scene::new().await;
    let (_endpoint, connection) = connect(&scene.edge, quinn::TransportConfig::default()).await;
    let own =
        [(":method", "GET"), (":scheme", "https"), (":authority", SERVER_NAME), (":path", "/")];
    let own = own.map(|(name, value)| raw::field(name.as_bytes(), value.as_bytes())).concat();
    // A row of the static table takes a byte: `accept: */*`.
    let rows = vec![0xc0 | 29; limits::MAX_HEADERS_FRAME_BYTES as usize - own.len() - 2];
    let many = raw::frame(0x01, &[&[0, 0], &own[..], &rows].concat());
    let text = "a".repeat(limits::MAX_HEADERS_FRAME_BYTES as usize);
    let long = raw::request("GET", SERVER_NAME, "/", &[("x", &text)]);
    for _ in 0..BOMBS {
        let answer = sent(&connection, &many).await.read_to_end(10_000).await.expect("an answer");
        assert!(answer.windows(3).any(|status| status == b"431"), "{answer:02x?}");
        let reset = sent(&connection, &long).await.read_to_end(10_000).await.expect_err("none");
        let code = quinn::VarInt::from_u32(0x107);
        assert_eq!(reset, quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)));
    }
    assert_eq!(scene.refused("fields"), BOMBS as u64);
    scene.good_is_answered().await;
}

/// Sends a request, as much of it as the edge takes.
async fn sent(connection: &quinn::Connection, bytes: &[u8]) -> quinn::RecvStream {
    let (mut send, receive) = connection.open_bi().await.expect("allowed");
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    receive
}
