//! Frames of a client that cost more than they say.
//!
//! h2 bounds what it holds: streams, resets that wait, header blocks, small DATA. What costs time
//! alone (PING, SETTINGS, WINDOW_UPDATE, resets one after the other) it answers for as long as it
//! comes. This looks at the header of each frame on its way in, and says when it was too much
//! (RFC 9113 section 10.5). It also keeps from h2 what h2 would end the connection for by another code
//! than the RFC names: frames of another size than their type has, and windows that cannot be.

use std::cell::RefCell;
use std::rc::Rc;

use h2::Reason;
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
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Of SETTINGS.
const ACK: u8 = 1;
/// Of DATA and HEADERS.
const PADDED: u8 = 8;
/// Of HEADERS.
const HAS_PRIORITY: u8 = 0x20;
/// Identifier and value (RFC 9113 section 6.5.1).
const SETTING_LEN: usize = 6;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// RFC 9113 section 6.5.2.
const WINDOW_MAX: u32 = (1 << 31) - 1;
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
    /// Of SETTINGS that are read.
    setting: Vec<u8>,
    exceeded: Option<Excess>,
    /// What we send.
    sent: Sent,
}

/// Why a connection is to be ended, and by which code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) refusal: Refusal,
    pub(crate) code: Reason,
    pub(crate) rule: &'static str,
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
            setting: Vec::new(),
            exceeded: None,
            sent: Sent::default(),
        }
    }

    /// What there was too much of, or what was wrong.
    pub(crate) fn exceeded(&self) -> Option<Excess> {
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

    /// These bytes came from it. Says how many of them h2 may see: all, but for a frame that is wrong
    /// and what follows it.
    pub(crate) fn read(&mut self, bytes: &[u8], now: Instant) -> usize {
        let (mut at, mut frame_at) = (0, 0);
        while at < bytes.len() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len() - at);
                let payload = &bytes[at..at + skipped];
                self.skip -= skipped;
                at += skipped;
                if !self.settings_are_good(payload) {
                    return frame_at;
                }
            } else {
                self.owes_since.get_or_insert(now);
                if self.filled == 0 {
                    frame_at = at;
                }
                let taken = (HEADER_LEN - self.filled).min(bytes.len() - at);
                self.header[self.filled..self.filled + taken]
                    .copy_from_slice(&bytes[at..at + taken]);
                self.filled += taken;
                at += taken;
                if self.filled < HEADER_LEN {
                    break;
                }
                self.filled = 0;
                if !self.frame(now) {
                    return frame_at;
                }
            }
            if self.skip == 0 && !self.in_block {
                self.owes_since = None;
            }
        }
        bytes.len()
    }

    /// Looks at the header of a frame. Whether h2 may see it.
    fn frame(&mut self, now: Instant) -> bool {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        self.setting.clear();
        // What interrupts a header block is another error.
        if !self.in_block && !has_size_of_its_type(kind, flags, self.skip) {
            self.break_off(Reason::FRAME_SIZE_ERROR, "a frame has the size of its type");
            return false;
        }
        self.count(kind, flags, now);
        true
    }

    /// RFC 9113 section 6.5.2, as bytes of a frame come. What h2 looks at is left to it.
    fn settings_are_good(&mut self, mut payload: &[u8]) -> bool {
        if self.header[3] != SETTINGS {
            return true;
        }
        while !payload.is_empty() {
            let taken = (SETTING_LEN - self.setting.len()).min(payload.len());
            self.setting.extend_from_slice(&payload[..taken]);
            payload = &payload[taken..];
            let Ok([i, d, value @ ..]) = <[u8; SETTING_LEN]>::try_from(&self.setting[..]) else {
                return true;
            };
            let (id, value) = (u16::from_be_bytes([i, d]), u32::from_be_bytes(value));
            if id == INITIAL_WINDOW_SIZE && value > WINDOW_MAX {
                self.break_off(Reason::FLOW_CONTROL_ERROR, "a window has 31 bits");
                return false;
            }
            self.setting.clear();
        }
        true
    }

    fn break_off(&mut self, code: Reason, rule: &'static str) {
        let refusal = Refusal::HttpsMalformed;
        self.exceeded.get_or_insert(Excess { refusal, code, rule });
    }

    fn count(&mut self, kind: u8, flags: u8, now: Instant) {
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
        let rule = "more frames than they are worth";
        self.exceeded.get_or_insert(Excess { refusal, code: Reason::ENHANCE_YOUR_CALM, rule });
    }
}

/// RFC 9113 sections 6.1 to 6.9.
const fn has_size_of_its_type(kind: u8, flags: u8, length: usize) -> bool {
    let padding = if flags & PADDED != 0 { 1 } else { 0 };
    match kind {
        DATA => length >= padding,
        HEADERS => length >= padding + if flags & HAS_PRIORITY != 0 { 5 } else { 0 },
        PRIORITY => length == 5,
        RST_STREAM | WINDOW_UPDATE => length == 4,
        SETTINGS if flags & ACK != 0 => length == 0,
        SETTINGS => length.is_multiple_of(SETTING_LEN),
        PING => length == 8,
        GOAWAY => length >= 8,
        _ => true,
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
mod tests;
