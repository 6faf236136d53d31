//! HTTP/2: windows (RFC 9113 sections 5.2 and 6.9), which either side keeps to.

use std::future::pending;

use edge_user::limits;
use h2::RecvStream;
use http::Request;
use rustls::version::TLS13;
use tests::http2::{END_STREAM, Raw, code, frame, kind};
use tests::http2_origin::Http2Origin;

use super::Room;
use super::h2_frames::{get, post, settings, window};
use super::http2::{Said, connect, said};
use crate::process::{Edge, WITHIN};

/// RFC 9113 section 6.9.2: a window that the client makes smaller, below zero even, is kept to.
#[test]
fn no_byte_of_an_answer_is_sent_beyond_the_window() {
    let room = Room::new();
    let mut client = connect(&room);
    client.send(&[settings(&[(4, 3)]), get(1)].concat()).expect("sent");
    let of = |client: &mut Raw| loop {
        let data = client.next_of(kind::DATA).expect("within the window");
        if data.stream == 1 {
            break (data.payload, data.flags & END_STREAM != 0);
        }
    };
    // The origin says "good".
    assert_eq!(of(&mut client), (b"goo".to_vec(), false));
    client.send(&[settings(&[(4, 0)]), window(1, 3)].concat()).expect("sent");
    client.is_read().expect("the window is 0 now");
    client.send(&window(1, 1)).expect("sent");
    assert_eq!(of(&mut client), (b"d".to_vec(), true));
}

/// An edge whose origin takes no content beyond the 64 KiB of its connection's first window.
fn full() -> (Edge, Http2Origin) {
    let origin = Http2Origin::start(None, async |request: Request<RecvStream>, _respond| {
        let _content = request;
        pending().await
    });
    let origin = origin.expect("a port");
    let mut edge = Edge::new();
    edge.listen_by_tcp();
    edge.distribute(&super::super::origins::proxying_to(origin.address(), "protocol = \"h2\""));
    edge.start();
    (edge, origin)
}

/// So many bytes of content, in frames.
fn content(stream: u32, bytes: u32) -> Vec<u8> {
    let part = frame(kind::DATA, 0, stream, &[b'x'; 16 << 10]);
    part.repeat(bytes as usize / (16 << 10))
}

/// RFC 9113 section 6.9.1: an error of the stream, and what else is on the connection goes on.
#[test]
fn content_beyond_the_window_of_a_stream_ends_the_stream() {
    let (edge, _origin) = full();
    let mut client =
        Raw::connect(edge.address(), &edge.client_tls(&TLS13, &[]), WITHIN).expect("connected");
    // What the origin and its connection hold is less than a window.
    let beyond = content(1, 2 * limits::STREAM_RECEIVE_WINDOW_BYTES);
    client.send(&[post(1), beyond].concat()).expect("sent");
    assert_eq!(said(&mut client, 1), Said::Reset(code::FLOW_CONTROL_ERROR));
    client.is_read().expect("the connection goes on");
    assert_eq!(edge.refused("malformed"), 1);
}

/// Each stream keeps to its own window; together they don't.
#[test]
fn content_beyond_the_window_of_the_connection_ends_the_connection() {
    let (edge, _origin) = full();
    let mut client =
        Raw::connect(edge.address(), &edge.client_tls(&TLS13, &[]), WITHIN).expect("connected");
    let window = limits::STREAM_RECEIVE_WINDOW_BYTES;
    let streams = limits::CONNECTION_RECEIVE_WINDOW_BYTES / window + 2;
    for stream in (0..streams).map(|nth| 2 * nth + 1) {
        // It may be closed before all of it was sent.
        let _ = client.send(&[post(stream), content(stream, window)].concat());
    }
    assert_eq!(said(&mut client, 0), Said::Closed(code::FLOW_CONTROL_ERROR));
    assert_eq!(edge.refused("malformed"), 1);
}
