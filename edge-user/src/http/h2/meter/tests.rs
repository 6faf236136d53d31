use std::time::Duration;

use super::*;

struct Client {
    meter: Meter,
    now: Instant,
}

impl Client {
    fn new() -> Self {
        let now = Instant::now();
        let mut client = Self { meter: Meter::new(now), now };
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        let _ = self.meter.read(bytes, self.now);
    }

    fn frame(&mut self, kind: u8, flags: u8, length: u8) {
        self.send(&[0, 0, length, kind, flags, 0, 0, 0, 1]);
        self.send(&vec![0xff; length.into()]);
    }

    fn refusal(&self) -> Option<Refusal> {
        self.meter.exceeded().map(|excess| excess.refusal)
    }

    /// How many of them pass.
    fn passes(&mut self, kind: u8) -> u32 {
        let mut count = 0;
        let length = if kind == PING { 8 } else { 4 };
        while self.meter.exceeded().is_none() {
            self.frame(kind, 0, length);
            count += 1;
        }
        count - 1
    }
}

#[test]
fn so_many_frames_pass_and_no_more() {
    let mut client = Client::new();
    assert_eq!(client.passes(PING), limits::CONTROL_FRAMES_AT_ONCE);
    assert_eq!(client.refusal(), Some(Refusal::HttpsControl));
    let mut client = Client::new();
    assert_eq!(client.passes(RST_STREAM), limits::CLIENT_RESETS_AT_ONCE);
    assert_eq!(client.refusal(), Some(Refusal::HttpsResets));
}

#[test]
fn time_requests_and_bytes_that_are_taken_allow_for_more() {
    let mut client = Client::new();
    let empty = |client: &mut Client| {
        for _ in 0..limits::CONTROL_FRAMES_AT_ONCE {
            client.frame(PING, 0, 8);
        }
        assert_eq!(client.meter.exceeded(), None);
    };
    empty(&mut client);
    client.now += Duration::from_secs(1);
    for _ in 0..limits::CONTROL_FRAMES_PER_SECOND {
        client.frame(PING, 0, 8);
    }
    client.frame(HEADERS, END_HEADERS, 10);
    for _ in 0..limits::CONTROL_FRAMES_PER_REQUEST {
        client.frame(PING, 0, 8);
    }
    let data = [&[0, 0x40, 0, DATA, 0, 0, 0, 0, 1], &[0; 16 << 10][..]].concat();
    // A gigabyte in DATA of 16 KiB, each with two updates of windows.
    for _ in 0..1 << 16 {
        client.meter.wrote(&data);
        client.frame(WINDOW_UPDATE, 0, 4);
        client.frame(WINDOW_UPDATE, 0, 4);
    }
    assert_eq!(client.meter.exceeded(), None);
}

/// However it comes, h2 sees what is before it and not the frame itself.
#[test]
fn a_frame_of_another_size_than_its_type_is_kept_from_h2() {
    let frame = |kind, flags, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat()
    };
    let window = |value: u32| [&[0, 1, 0, 0, 0, 0, 0, 4], &value.to_be_bytes()[..]].concat();
    let size = Reason::FRAME_SIZE_ERROR;
    for (bad, code) in [
        (frame(DATA, PADDED, &[]), size),
        (frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, &[0; 5]), size),
        (frame(PRIORITY, 0, &[0; 4]), size),
        (frame(RST_STREAM, 0, &[0; 3]), size),
        (frame(SETTINGS, 0, &[0; 5]), size),
        (frame(SETTINGS, ACK, &[0; 6]), size),
        (frame(PING, 0, &[0; 9]), size),
        (frame(GOAWAY, 0, &[0; 7]), size),
        (frame(WINDOW_UPDATE, 0, &[0; 5]), size),
        (frame(SETTINGS, 0, &window(1 << 31)), Reason::FLOW_CONTROL_ERROR),
    ] {
        let good = [frame(SETTINGS, 0, &window(WINDOW_MAX)), frame(0xbe, 0, &[0; 3])].concat();
        let bytes = [&good[..], &bad, b"and what follows"].concat();
        for part in 1..40 {
            let (mut client, mut passed) = (Client::new(), 0);
            for part in bytes.chunks(part) {
                passed += client.meter.read(part, client.now);
                if client.meter.exceeded().is_some() {
                    break;
                }
            }
            let code_told = client.meter.exceeded().map(|excess| excess.code);
            assert_eq!(code_told, Some(code), "{bad:?}");
            // Never whole; nothing of it, where it came in one part.
            assert!(passed >= good.len() && passed < good.len() + bad.len(), "{bad:?}");
        }
    }
}

#[test]
fn streams_that_we_reset_because_of_a_broken_rule_are_told_of() {
    let reset = |stream, code| [0, 0, 4, RST_STREAM, 0, 0, 0, 0, stream, 0, 0, 0, code];
    let data = [0, 0, 13, DATA, 0, 0, 0, 0, 1];
    let bytes = [
        &reset(1, 1)[..],
        // What is in this one is no frame.
        &data,
        &reset(3, 1),
        // NO_ERROR, CANCEL.
        &reset(5, 0),
        &reset(7, 8),
        &reset(9, 5),
    ]
    .concat();
    for part in 1..40 {
        let mut client = Client::new();
        for part in bytes.chunks(part) {
            client.meter.wrote(part);
        }
        let broken = |stream, code| Broken { stream, code };
        assert_eq!(client.meter.take_broken(), [broken(1, 1), broken(9, 5)]);
        assert_eq!(client.meter.take_broken(), []);
    }
}

/// Whatever the parts in which they come.
#[test]
fn frames_are_counted_in_any_parts() {
    let reset = [0, 0, 4, RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for _ in 0..limits::CLIENT_RESETS_AT_ONCE {
        bytes.extend(reset);
        // What is in this one is no frame.
        bytes.extend([0, 0, 13, DATA, 0, 0, 0, 0, 1]);
        bytes.extend(reset);
    }
    for part in 1..40 {
        let mut client = Client { meter: Meter::new(Instant::now()), now: Instant::now() };
        for part in bytes.chunks(part) {
            client.send(part);
        }
        assert_eq!(client.meter.exceeded(), None, "in parts of {part}");
        assert_eq!(client.meter.owes_since(), None);
        client.send(&reset);
        assert_eq!(client.refusal(), Some(Refusal::HttpsResets));
    }
}

#[test]
fn what_has_begun_must_end() {
    let mut client = Client { meter: Meter::new(Instant::now()), now: Instant::now() };
    let mut at = |bytes: &[u8]| {
        client.now += Duration::from_secs(1);
        client.send(bytes);
        client.meter.owes_since().map(|since| (client.now - since).as_secs())
    };
    assert_eq!(at(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), Some(1), "the preface");
    assert_eq!(at(b"\n"), None);
    assert_eq!(at(&[0, 0, 1, HEADERS, 0, 0, 0, 0, 1, 0x82]), Some(0), "a header block");
    assert_eq!(at(&[0, 0, 1, CONTINUATION, END_HEADERS, 0, 0, 0, 1]), Some(1));
    assert_eq!(at(&[0x82, 0, 0]), Some(0), "the header of the next frame");
    assert_eq!(at(&[9, DATA, 0, 0, 0, 0, 1, 1]), None, "content takes its time");
    assert_eq!(at(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, PING]), Some(0));
    assert_eq!(at(&[0, 0, 0, 0, 0, 1, 2, 3]), Some(1), "a frame");
    assert_eq!(at(&[4, 5, 6, 7, 8]), None);
}
