//! QUIC: the rules of streams and of flow control.

use edge_user::limits::{
    CONNECTION_RECEIVE_WINDOW_BYTES, FIRST_REQUEST_STREAMS, MAX_UNIDIRECTIONAL_STREAMS,
    STREAM_RECEIVE_WINDOW_BYTES,
};

use super::quic_frames::{Case, MOST, RESET_STREAM, STREAM_DATA_BLOCKED, frame, packet, stream};

// Codes (RFC 9000 section 20.1).
const FLOW_CONTROL: u64 = 0x03;
const STREAM_LIMIT: u64 = 0x04;
const STREAM_STATE: u64 = 0x05;
const FINAL_SIZE: u64 = 0x06;

// Types of frames (RFC 9000 section 19).
const STOP_SENDING: u64 = 0x05;
const MAX_STREAM_DATA: u64 = 0x11;
/// A bit of STREAM.
const FIN: u64 = 0x01;

/// A request that the client has not begun.
pub(super) const REQUEST: u64 = 4;
/// The first bidirectional one of the server's, which opens none.
const OF_SERVER: u64 = 1;
/// A unidirectional one of the client's, which it has opened.
const OF_CLIENT_UNI: u64 = 2;
/// The server's control stream.
const OF_SERVER_UNI: u64 = 3;
const OF_SERVER_UNI_UNOPENED: u64 = 4 * 1000 + 3;

const REQUESTS: u64 = FIRST_REQUEST_STREAMS as u64;
const UNIDIRECTIONAL: u64 = MAX_UNIDIRECTIONAL_STREAMS as u64;
const WINDOW: u64 = STREAM_RECEIVE_WINDOW_BYTES as u64;
/// How many windows of streams the window of the connection has room for.
const WINDOWS: u64 = CONNECTION_RECEIVE_WINDOW_BYTES as u64 / WINDOW;

/// RFC 9000 sections 3, 4 and 19.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn of_streams() -> Vec<Case> {
    let of = |frames: &[Vec<u8>]| packet("1-rtt", frames);
    let one = |frame: Vec<u8>| of(&[frame]);
    let last = |stream_of: u64| stream(0, stream_of * 4, WINDOW - 1, b"x");
    let whole: Vec<_> = (0..WINDOWS).map(last).collect();
    let beyond = [&whole[..], &[stream(0, WINDOWS * 4, 0, b"x")]].concat();
    let next = REQUESTS * 4;
    let next_uni = UNIDIRECTIONAL * 4 + OF_CLIENT_UNI;
    let two = |first, then| of(&[first, then]);
    vec![
        ("4.1: the last byte that a stream may have", one(last(1)), None),
        (
            "4.1: STREAM beyond the stream's window",
            one(stream(0, REQUEST, WINDOW, b"x")),
            Some(FLOW_CONTROL),
        ),
        ("4.1: STREAM beyond the connection's window", of(&beyond), Some(FLOW_CONTROL)),
        (
            "4.5: RESET_STREAM beyond the stream's window",
            one(frame(RESET_STREAM, &[REQUEST, 0, WINDOW + 1])),
            Some(FLOW_CONTROL),
        ),
        ("19.8: STREAM beyond 2^62", one(stream(0, REQUEST, MOST, b"x")), Some(FLOW_CONTROL)),
        ("4.6: the last request", one(stream(0, next - 4, 0, b"")), None),
        ("4.6: STREAM of one request more", one(stream(0, next, 0, b"x")), Some(STREAM_LIMIT)),
        (
            "4.6: STREAM of one unidirectional more",
            one(stream(0, next_uni, 0, b"x")),
            Some(STREAM_LIMIT),
        ),
        (
            "4.6: RESET_STREAM of one request more",
            one(frame(RESET_STREAM, &[next, 0, 0])),
            Some(STREAM_LIMIT),
        ),
        (
            "4.6: MAX_STREAM_DATA of one request more",
            one(frame(MAX_STREAM_DATA, &[next, 9])),
            Some(STREAM_LIMIT),
        ),
        (
            "4.6: STOP_SENDING of one request more",
            one(frame(STOP_SENDING, &[next, 0])),
            Some(STREAM_LIMIT),
        ),
        (
            "4.6: STREAM_DATA_BLOCKED of one request more",
            one(frame(STREAM_DATA_BLOCKED, &[next, 0])),
            Some(STREAM_LIMIT),
        ),
        (
            "19.4: RESET_STREAM of a send-only stream",
            one(frame(RESET_STREAM, &[OF_SERVER_UNI, 0, 0])),
            Some(STREAM_STATE),
        ),
        (
            "19.4: RESET_STREAM of a stream that the server has not opened",
            one(frame(RESET_STREAM, &[OF_SERVER, 0, 0])),
            Some(STREAM_STATE),
        ),
        (
            "19.5: STOP_SENDING of a receive-only stream",
            one(frame(STOP_SENDING, &[OF_CLIENT_UNI, 0])),
            Some(STREAM_STATE),
        ),
        (
            "19.5: STOP_SENDING of a stream that the server has not opened",
            one(frame(STOP_SENDING, &[OF_SERVER, 0])),
            Some(STREAM_STATE),
        ),
        (
            "19.5: STOP_SENDING of a unidirectional one that it has not opened",
            one(frame(STOP_SENDING, &[OF_SERVER_UNI_UNOPENED, 0])),
            Some(STREAM_STATE),
        ),
        (
            "19.8: STREAM of a send-only stream",
            one(stream(0, OF_SERVER_UNI, 0, b"x")),
            Some(STREAM_STATE),
        ),
        (
            "19.8: STREAM of a stream that the server has not opened",
            one(stream(0, OF_SERVER, 0, b"x")),
            Some(STREAM_STATE),
        ),
        (
            "19.10: MAX_STREAM_DATA of a receive-only stream",
            one(frame(MAX_STREAM_DATA, &[OF_CLIENT_UNI, 9])),
            Some(STREAM_STATE),
        ),
        (
            "19.10: MAX_STREAM_DATA of a stream that the server has not opened",
            one(frame(MAX_STREAM_DATA, &[OF_SERVER, 9])),
            Some(STREAM_STATE),
        ),
        (
            "19.10: MAX_STREAM_DATA of a unidirectional one that it has not opened",
            one(frame(MAX_STREAM_DATA, &[OF_SERVER_UNI_UNOPENED, 9])),
            Some(STREAM_STATE),
        ),
        (
            "19.13: STREAM_DATA_BLOCKED of a send-only stream",
            one(frame(STREAM_DATA_BLOCKED, &[OF_SERVER_UNI, 0])),
            Some(STREAM_STATE),
        ),
        (
            "4.5: STREAM behind the end",
            two(stream(FIN, REQUEST, 0, b"x"), stream(0, REQUEST, 1, b"x")),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: another end",
            two(stream(FIN, REQUEST, 0, b"xx"), stream(FIN, REQUEST, 0, b"x")),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: an end before what was sent",
            two(stream(0, REQUEST, 0, b"xx"), stream(FIN, REQUEST, 0, b"x")),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: RESET_STREAM with another size than the end",
            two(stream(FIN, REQUEST, 0, b"x"), frame(RESET_STREAM, &[REQUEST, 0, 2])),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: RESET_STREAM with less than was sent",
            two(stream(0, REQUEST, 0, b"xx"), frame(RESET_STREAM, &[REQUEST, 0, 1])),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: RESET_STREAM with another size than before",
            two(frame(RESET_STREAM, &[REQUEST, 0, 1]), frame(RESET_STREAM, &[REQUEST, 0, 2])),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: STREAM beyond the size of RESET_STREAM",
            two(frame(RESET_STREAM, &[REQUEST, 0, 1]), stream(0, REQUEST, 1, b"x")),
            Some(FINAL_SIZE),
        ),
        (
            "4.5: the same end again",
            two(stream(FIN, REQUEST, 9, b"x"), stream(FIN, REQUEST, 9, b"x")),
            None,
        ),
    ]
}
