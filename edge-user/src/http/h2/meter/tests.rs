use std::time::Duration;

use super::sent::{LARGE_HEAD, Why};
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
        let _ = self.meter.read(&mut bytes.to_vec(), self.now);
    }

    fn frame(&mut self, kind: u8, flags: u8, length: u8) {
        self.send(&[0, 0, length, kind, flags, 0, 0, 0, 1]);
        // A header block of `:method` over and over.
        let byte = if kind == HEADERS { 0x82 } else { 0xff };
        self.send(&vec![byte; length.into()]);
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
                passed += client.meter.read(&mut part.to_vec(), client.now);
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
        let refusal = Refusal::HttpsMalformed;
        let broken = |stream, code| Broken { refusal, stream, why: Why::Code(code) };
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

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What h2 sees of these bytes, which come at once, and why the connection is to end.
fn seen(client: &mut Client, bytes: &[u8]) -> (Vec<u8>, Option<(Reason, &'static str)>) {
    let mut bytes = bytes.to_vec();
    let count = client.meter.read(&mut bytes, client.now);
    bytes.truncate(count);
    (bytes, client.meter.exceeded().map(|excess| (excess.code, excess.rule)))
}

/// `:method: GET`, which is enough of a request for whoever follows blocks.
const BLOCK: &[u8] = &[0x82];
const WHOLE: u8 = END_HEADERS | END_STREAM;

/// RFC 9113 section 5.1, as far back as is remembered.
#[test]
fn what_follows_the_end_of_a_stream_is_kept_from_h2() {
    let get = |stream| frame(HEADERS, WHOLE, stream, BLOCK);
    let post = |stream| frame(HEADERS, END_HEADERS, stream, BLOCK);
    let data = |flags, stream| frame(DATA, flags, stream, b"x");
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let trailers = |stream| frame(HEADERS, WHOLE, stream, &[]);
    let update = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]);
    let later: Vec<_> = (0..limits::ENDED_STREAMS as u8).map(|nth| get(2 * nth + 3)).collect();
    let later = later.concat();
    let closed = Some((Reason::STREAM_CLOSED, "nothing follows the end of a stream"));
    for (before, behind, expected) in [
        (vec![get(1)], data(0, 1), closed),
        (vec![get(1)], get(1), closed),
        (vec![get(1), reset(1)], get(1), closed),
        (vec![post(1), data(0, 1), data(END_STREAM, 1)], data(0, 1), closed),
        (vec![post(1), trailers(1)], data(0, 1), closed),
        (vec![post(1), reset(1)], get(1), closed),
        (vec![get(1), later[..later.len() - 10].to_vec()], data(0, 1), closed),
        // These h2 knows how to answer, or is to ignore.
        (vec![get(1)], [update(1), reset(1)].concat(), None),
        (vec![post(1), reset(1)], data(0, 1), None),
        (vec![get(1), later], data(0, 1), None),
        (vec![reset(1)], get(1), None),
        (vec![get(3)], get(1), None),
        (vec![post(1), post(3), data(END_STREAM, 3)], data(0, 1), None),
        (vec![], data(0, 0), None),
    ] {
        let (mut client, before) = (Client::new(), before.concat());
        let told = seen(&mut client, &[&before[..], &behind].concat());
        let all = [&before[..], if expected.is_none() { &behind } else { &[] }].concat();
        assert_eq!(told, (all, expected), "{behind:x?} behind {before:x?}");
    }
}

/// A stream that we reset is forgotten: its client may not know yet.
#[test]
fn what_follows_our_own_reset_is_left_to_h2() {
    let mut client = Client::new();
    client.send(&frame(HEADERS, END_HEADERS, 1, BLOCK));
    client.meter.wrote(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 0]));
    let late = [frame(DATA, 0, 1, b"x"), frame(HEADERS, WHOLE, 1, BLOCK)].concat();
    assert_eq!(seen(&mut client, &late), (late, None));
    assert_eq!(client.meter.take_broken(), []);
}

/// RFC 9113 section 8.1: pseudo-header fields are no trailers'. h2 resets a stream whose trailers do
/// not end it, and the log has the rule.
#[test]
fn trailers_with_pseudo_fields_do_not_end_their_stream() {
    let post = frame(HEADERS, END_HEADERS, 1, BLOCK);
    let data = frame(DATA, 0, 1, b"some");
    for (good, block) in [(true, &b"\0\x01x\x01y"[..]), (false, BLOCK), (false, b"\0\x02:x\x01y")] {
        let mut client = Client::new();
        let trailers = |flags| frame(HEADERS, flags, 1, block);
        let sent = [&post[..], &data, &trailers(WHOLE), &frame(PING, 0, 0, &[0; 8])].concat();
        let passed = if good { trailers(WHOLE) } else { trailers(END_HEADERS) };
        let passed = [&post[..], &data, &passed, &frame(PING, 0, 0, &[0; 8])].concat();
        assert_eq!(seen(&mut client, &sent), (passed, None));
        client.meter.wrote(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 1]));
        let told = client.meter.take_broken().iter().map(Broken::to_string).collect::<Vec<_>>();
        let expected = if good { "stream 1 ends by code 1" } else { PSEUDO_TRAILERS };
        assert_eq!(told, [expected]);
    }
}

/// What h2 has seen of a frame cannot be changed any more.
#[test]
fn trailers_with_pseudo_fields_that_come_in_parts_end_the_connection() {
    let post = frame(HEADERS, END_HEADERS, 1, BLOCK);
    let trailers = [
        frame(HEADERS, END_STREAM, 1, b"\0\x01x\x01y"),
        frame(CONTINUATION, END_HEADERS, 1, BLOCK),
    ]
    .concat();
    for cut in 1..trailers.len() {
        let mut client = Client::new();
        client.send(&post);
        let (first, second) = trailers.split_at(cut);
        assert_eq!(seen(&mut client, first), (first.to_vec(), None));
        let (passed, why) = seen(&mut client, second);
        assert_eq!(why, Some((Reason::PROTOCOL_ERROR, PSEUDO_TRAILERS)), "cut at {cut}");
        assert!(passed.len() < second.len());
    }
    let mut client = Client::new();
    let changed =
        [frame(HEADERS, 0, 1, b"\0\x01x\x01y"), frame(CONTINUATION, END_HEADERS, 1, BLOCK)]
            .concat();
    client.send(&post);
    assert_eq!(seen(&mut client, &trailers), (changed, None));
}

#[test]
fn a_fragment_is_told_of_once() {
    let with = |path: &str, stream| {
        let block = [&[0x82, 0x04, path.len() as u8][..], path.as_bytes()].concat();
        frame(HEADERS, WHOLE, stream, &block)
    };
    let mut client = Client::new();
    client.send(&[with("/a#b", 1), with("/a", 3), with("/#", 5), with("/#", 7)].concat());
    for (stream, expected) in [(3, false), (5, true), (5, false), (1, false), (7, true)] {
        assert_eq!(client.meter.take_fragment(stream), expected, "{stream}");
    }
    assert_eq!(client.meter.exceeded(), None);
}

/// h2 answers 431, and resets the stream where the request goes on.
#[test]
fn a_head_that_is_too_large_is_told_of_once() {
    // 1,024 fields of 64 bytes, by an entry.
    let block =
        [&[0x82, 0x40, 4, b'x', b'-', b'a', b'b', 28], &[b'y'; 28][..], &[0xbe; 1023]].concat();
    let header = |flags, length: usize| {
        let [.., b, c] = length.to_be_bytes();
        [0, b, c, HEADERS, flags, 0, 0, 0, 1]
    };
    for (flags, count) in [(WHOLE, 1023), (WHOLE, 1024), (END_HEADERS, 1024)] {
        let block = &block[..36 + count - 1];
        let mut client = Client::new();
        client.send(&[&header(flags, block.len())[..], block].concat());
        client.meter.wrote(&frame(HEADERS, WHOLE, 1, &[0x88]));
        if flags == END_HEADERS {
            client.meter.wrote(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 1]));
        }
        let told = client.meter.take_broken();
        let told: Vec<_> = told.iter().map(|it| (it.refusal, it.to_string())).collect();
        let expected = [(Refusal::HttpsFields, LARGE_HEAD.to_owned())];
        assert_eq!(told, &expected[..usize::from(count == 1024)]);
    }
}

#[test]
fn streams_to_be_remembered_have_a_bound() {
    let mut client = Client::new();
    let post =
        |stream: u32| [&[0, 0, 1, HEADERS, END_HEADERS][..], &stream.to_be_bytes(), BLOCK].concat();
    let count = limits::NOTED_STREAMS as u32;
    (0..count).for_each(|nth| client.send(&post(2 * nth + 1)));
    assert_eq!(client.meter.exceeded(), None);
    client.send(&post(2 * count + 1));
    assert_eq!(client.refusal(), Some(Refusal::HttpsFlood));
}

/// Each idle connection has one. With the counts of an `Rc` and a `RefCell` it fits 320 bytes, which
/// is what an allocator gives next above 256.
#[test]
fn a_meter_is_small() {
    assert!(size_of::<Meter>() <= 296, "{}", size_of::<Meter>());
}
