//! Frames of a client that cost more than they say.
//!
//! h2 bounds what it holds: streams, resets that wait, header blocks, small DATA. What costs time
//! alone (PING, SETTINGS, WINDOW_UPDATE, resets one after the other) it answers for as long as it
//! comes. This looks at the header of each frame on its way in, and says when it was too much
//! (RFC 9113 section 10.5).

use std::cell::RefCell;
use std::rc::Rc;

use tokio::time::Instant;

use crate::http::bucket::Bucket;
use crate::limits;
use crate::tcp::tally::Refusal;

/// Shared by whoever reads and whoever acts.
pub(crate) type SharedMeter = Rc<RefCell<Meter>>;

/// The client's preface comes before all frames (RFC 9113 section 3.4).
const PREFACE_LEN: usize = 24;
/// Length, type, flags, stream (RFC 9113 section 4.1).
const HEADER_LEN: usize = 9;
// Types (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
/// The code of an RST_STREAM.
const CODE_LEN: usize = 4;
/// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR (RFC 9113 section 7).
const BROKEN: [u32; 4] = [1, 3, 5, 6];
/// Of HEADERS and CONTINUATION (RFC 9113 section 6.2).
const END_HEADERS: u8 = 4;

/// What a client has sent, and may send.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes before the next frame header.
    skip: usize,
    header: [u8; HEADER_LEN],
    filled: usize,
    /// Whether a header block has begun, and has not ended.
    in_block: bool,
    /// Since when the client owes the rest of what it has begun.
    owes_since: Option<Instant>,
    control: Bucket,
    resets: Bucket,
    /// Bytes that the client got and that were not counted yet.
    written: usize,
    exceeded: Option<Refusal>,
    /// What we send.
    sent: Sent,
}

/// Frames on their way out. h2 resets a stream whose client broke a rule by itself, and tells nobody.
#[derive(Debug, Default)]
struct Sent {
    /// Bytes before the next frame header.
    skip: usize,
    /// A header, and the code of an RST_STREAM.
    head: [u8; HEADER_LEN + CODE_LEN],
    filled: usize,
    broken: Vec<Broken>,
}

/// A stream that was reset because its client broke a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) stream: u32,
    /// The code (RFC 9113 section 7).
    pub(crate) code: u32,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        let control = (limits::CONTROL_FRAMES_AT_ONCE, limits::CONTROL_FRAMES_PER_SECOND);
        let resets = (limits::CLIENT_RESETS_AT_ONCE, limits::CLIENT_RESETS_PER_SECOND);
        Self {
            skip: PREFACE_LEN,
            header: [0; HEADER_LEN],
            filled: 0,
            in_block: false,
            owes_since: Some(now),
            control: Bucket::new(control, now),
            resets: Bucket::new(resets, now),
            written: 0,
            exceeded: None,
            sent: Sent::default(),
        }
    }

    /// What there was too much of.
    pub(crate) fn exceeded(&self) -> Option<Refusal> {
        self.exceeded
    }

    /// Since when the client owes the rest of its preface, of a frame other than DATA, or of a header
    /// block, which nothing else may interrupt (RFC 9113 section 4.3).
    pub(crate) fn owes_since(&self) -> Option<Instant> {
        self.owes_since
    }

    /// Streams that were reset since the last time because their clients broke a rule. h2 ends a
    /// connection that has many of them.
    pub(crate) fn take_broken(&mut self) -> Vec<Broken> {
        std::mem::take(&mut self.sent.broken)
    }

    /// These bytes went to the client.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) {
        self.sent.wrote(bytes);
        self.written += bytes.len();
        let earned = self.written / limits::BYTES_PER_CONTROL_FRAME;
        self.written %= limits::BYTES_PER_CONTROL_FRAME;
        self.control.put(u32::try_from(earned).unwrap_or(u32::MAX));
    }

    /// These bytes came from it.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
            } else {
                self.owes_since.get_or_insert(now);
                let taken = (HEADER_LEN - self.filled).min(bytes.len());
                self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
                self.filled += taken;
                bytes = &bytes[taken..];
                if self.filled < HEADER_LEN {
                    return;
                }
                self.filled = 0;
                self.frame(now);
            }
            if self.skip == 0 && !self.in_block {
                self.owes_since = None;
            }
        }
    }

    fn frame(&mut self, now: Instant) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let refusal = match kind {
            // h2 counts the empty and the small ones. They may come as slowly as they do.
            DATA => {
                self.owes_since = None;
                return;
            }
            HEADERS | CONTINUATION => {
                self.in_block = flags & END_HEADERS == 0;
                self.control.put(limits::CONTROL_FRAMES_PER_REQUEST);
                return;
            }
            RST_STREAM if !self.resets.take(now) => Refusal::HttpsResets,
            RST_STREAM => return,
            _ if !self.control.take(now) => Refusal::HttpsControl,
            _ => return,
        };
        self.exceeded.get_or_insert(refusal);
    }
}

impl Sent {
    fn wrote(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (self.wanted() - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == self.wanted() {
                self.frame();
            }
        }
    }

    fn wanted(&self) -> usize {
        match self.filled >= HEADER_LEN && self.head[3] == RST_STREAM {
            true => HEADER_LEN + CODE_LEN,
            false => HEADER_LEN,
        }
    }

    fn frame(&mut self) {
        let [a, b, c, kind, _, s0, s1, s2, s3, code @ ..] = self.head;
        self.filled = 0;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind == RST_STREAM {
            self.skip = 0;
            let code = u32::from_be_bytes(code);
            if BROKEN.contains(&code) {
                self.broken.push(Broken { stream: u32::from_be_bytes([s0, s1, s2, s3]), code });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

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
            self.meter.read(bytes, self.now);
        }

        fn frame(&mut self, kind: u8, flags: u8, length: u8) {
            self.send(&[0, 0, length, kind, flags, 0, 0, 0, 1]);
            self.send(&vec![0xff; length.into()]);
        }

        /// How many of them pass.
        fn passes(&mut self, kind: u8) -> u32 {
            let mut count = 0;
            while self.meter.exceeded().is_none() {
                self.frame(kind, 0, 8);
                count += 1;
            }
            count - 1
        }
    }

    #[test]
    fn so_many_frames_pass_and_no_more() {
        let mut client = Client::new();
        assert_eq!(client.passes(PING), limits::CONTROL_FRAMES_AT_ONCE);
        assert_eq!(client.meter.exceeded(), Some(Refusal::HttpsControl));
        let mut client = Client::new();
        assert_eq!(client.passes(RST_STREAM), limits::CLIENT_RESETS_AT_ONCE);
        assert_eq!(client.meter.exceeded(), Some(Refusal::HttpsResets));
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
            assert_eq!(client.meter.exceeded(), Some(Refusal::HttpsResets));
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
}
