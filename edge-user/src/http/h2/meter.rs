//! Frames of a client that cost more than they say.
//!
//! h2 bounds what it holds: streams, resets that wait, header blocks, small DATA. What costs time
//! alone (PING, SETTINGS, WINDOW_UPDATE, resets one after the other) it answers for as long as it
//! comes. This looks at the header of each frame on its way in, and says when it was too much
//! (RFC 9113 section 10.5). It also keeps from h2 what h2 would end the connection for by another code
//! than the RFC names (frames of another size than their type has, windows that cannot be, header
//! blocks that HPACK has not, frames behind the end of their stream), and knows of broken rules that
//! h2 does not speak of.
//!
//! | module | job |
//! |---|---|
//! | [`sent`] | what h2 does by itself where a client broke a rule, as it is sent |

mod sent;

use std::cell::RefCell;
use std::rc::Rc;

use h2::Reason;
use tokio::time::Instant;

use super::blocks::{Block, Blocks};
use super::streams::{Role, Streams, TooMany, What};
use crate::http::bucket::Bucket;
use crate::limits;
use crate::tcp::tally::Refusal;
use sent::{Broken, LARGE_TRAILERS, PSEUDO_TRAILERS, Sent};

/// Shared by whoever reads and whoever acts.
pub(crate) type SharedMeter = Rc<RefCell<Meter>>;

/// The client's preface comes before all frames (RFC 9113 section 3.4).
const PREFACE_LEN: usize = 24;
/// Length, type, flags, stream (RFC 9113 section 4.1).
const HEADER_LEN: usize = 9;
// Types (RFC 9113 section 6).
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Where the flags are, and of DATA and HEADERS the one for the end of the stream.
const FLAGS_AT: usize = 4;
const END_STREAM: u8 = 1;
/// What a frame may carry: we ask for no more than all must take (RFC 9113 section 6.5.2).
const FRAME_MAX: usize = 16_384;
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
/// The bits of a stream (RFC 9113 section 4.1).
const STREAM_MAX: u32 = (1 << 31) - 1;
/// Of HEADERS and CONTINUATION (RFC 9113 section 6.2).
const END_HEADERS: u8 = 4;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// h2 reads it.
    Good,
    /// It does, but the stream shall not end with this header block, by this rule.
    NoEnd(&'static str),
    /// Neither this nor what follows.
    Bad,
}

/// What a client has sent, and may send.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes before the next frame header.
    skip: usize,
    header: [u8; HEADER_LEN],
    filled: u8,
    /// Whether a header block has begun, and has not ended.
    in_block: bool,
    /// Whether this frame is of one, as it should be.
    follows: bool,
    /// Since when the client owes the rest of what it has begun.
    owes_since: Option<Instant>,
    control: Bucket,
    resets: Bucket,
    /// Bytes that the client got and that were not counted yet.
    written: u32,
    /// Of SETTINGS that are read: so many bytes of one.
    setting: [u8; SETTING_LEN],
    setting_filled: u8,
    exceeded: Option<Excess>,
    blocks: Blocks,
    streams: Streams,
    /// What we send.
    sent: Sent,
}

/// What the header of a frame says, but for its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// Why a connection is to be ended, and by which code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) refusal: Refusal,
    pub(crate) code: Reason,
    pub(crate) rule: &'static str,
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
            follows: false,
            setting: [0; SETTING_LEN],
            setting_filled: 0,
            exceeded: None,
            blocks: Blocks::default(),
            streams: Streams::default(),
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

    /// Streams that were reset or answered by h2 since the last time because their clients broke a
    /// rule. h2 ends a connection that has many of them.
    pub(crate) fn take_broken(&mut self) -> Vec<Broken> {
        std::mem::take(&mut self.sent.broken)
    }

    /// Whether the target of the request on this stream has a fragment. It is asked once of each, in
    /// their order.
    pub(crate) fn take_fragment(&mut self, stream: u32) -> bool {
        self.streams.take_fragment(stream)
    }

    /// These bytes went to the client.
    pub(crate) fn wrote(&mut self, bytes: &[u8]) {
        self.sent.wrote(bytes, &mut self.streams);
        let written = self.written as usize + bytes.len();
        let earned = written / limits::BYTES_PER_CONTROL_FRAME;
        self.written = (written % limits::BYTES_PER_CONTROL_FRAME) as u32;
        self.control.put(u32::try_from(earned).unwrap_or(u32::MAX));
    }

    /// These bytes came from it. Says how many of them h2 may see: all, but for a frame that is wrong
    /// and what follows it. Trailers that are wrong do not end their stream any more, so that h2 resets
    /// it (RFC 9113 section 8.1), and whoever reads their content sees no end.
    pub(crate) fn read(&mut self, bytes: &mut [u8], now: Instant) -> usize {
        // `headers_at`: where the last HEADERS frame is, unless it began before these bytes.
        let (mut at, mut frame_at, mut headers_at) = (0, 0, None);
        while at < bytes.len() {
            let verdict = if self.skip > 0 {
                let part = at..at + self.skip.min(bytes.len() - at);
                self.skip -= part.len();
                at = part.end;
                self.payload(&bytes[part])
            } else {
                self.owes_since.get_or_insert(now);
                if self.filled == 0 {
                    frame_at = at;
                }
                at += self.fill_header(&bytes[at..]);
                if usize::from(self.filled) < HEADER_LEN {
                    break;
                }
                self.filled = 0;
                if self.header[3] == HEADERS {
                    headers_at = at.checked_sub(HEADER_LEN);
                }
                self.frame(now)
            };
            match (verdict, headers_at) {
                (Verdict::Good, _) => {}
                (Verdict::NoEnd(_), Some(at)) => bytes[at + FLAGS_AT] &= !END_STREAM,
                // h2 has its beginning. The connection instead, as RFC 9113 section 5.4.1 allows.
                (Verdict::NoEnd(rule), None) => {
                    self.break_off(Reason::PROTOCOL_ERROR, rule);
                    return frame_at;
                }
                (Verdict::Bad, _) => return frame_at,
            }
            if self.skip == 0 && !self.in_block {
                self.owes_since = None;
            }
        }
        bytes.len()
    }

    fn fill_header(&mut self, bytes: &[u8]) -> usize {
        let filled = usize::from(self.filled);
        let taken = (HEADER_LEN - filled).min(bytes.len());
        self.header[filled..filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken as u8;
        taken
    }

    fn head(&self) -> FrameHead {
        let [_, _, _, kind, flags, s0, s1, s2, s3] = self.header;
        FrameHead { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_MAX }
    }

    /// Looks at the header of a frame.
    fn frame(&mut self, now: Instant) -> Verdict {
        let [a, b, c, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        self.setting_filled = 0;
        let head = self.head();
        let FrameHead { kind, flags, stream } = head;
        // What interrupts a header block is another error.
        if self.skip > FRAME_MAX || !self.in_block && !has_size_of_its_type(kind, flags, self.skip)
        {
            return self.break_off(Reason::FRAME_SIZE_ERROR, "a frame has the size of its type");
        }
        if !self.in_block && self.is_behind_the_end(head) {
            // RFC 9113 section 5.1.
            return self.break_off(Reason::STREAM_CLOSED, "nothing follows the end of a stream");
        }
        self.follows = match kind {
            HEADERS => !self.in_block && stream != 0,
            CONTINUATION => self.in_block && self.blocks.is_open(stream),
            _ => false,
        };
        match kind {
            DATA if flags & END_STREAM != 0 => self.streams.end(stream),
            RST_STREAM => self.streams.reset(stream),
            _ => {}
        }
        self.count(kind, flags, now);
        if self.skip == 0 { self.payload(&[]) } else { Verdict::Good }
    }

    /// DATA behind RST_STREAM is left to h2: it resets the stream by the right code.
    fn is_behind_the_end(&self, head: FrameHead) -> bool {
        match head.kind {
            DATA => self.streams.has_ended(head.stream, false),
            HEADERS => self.streams.has_ended(head.stream, true),
            _ => false,
        }
    }

    /// Looks at what follows the header of a frame, as it comes; when `skip` is 0, the last of it.
    fn payload(&mut self, part: &[u8]) -> Verdict {
        match self.header[3] {
            SETTINGS => self.settings(part),
            HEADERS | CONTINUATION if self.follows => {
                match self.blocks.take(self.head(), part, self.skip == 0) {
                    Ok(None) => Verdict::Good,
                    Ok(Some(block)) => self.block(block),
                    Err(fault) => self.break_off(fault.code(), fault.rule()),
                }
            }
            _ => Verdict::Good,
        }
    }

    /// RFC 9113 section 6.5.2. What h2 looks at is left to it.
    fn settings(&mut self, mut payload: &[u8]) -> Verdict {
        while !payload.is_empty() {
            let filled = usize::from(self.setting_filled);
            let taken = (SETTING_LEN - filled).min(payload.len());
            self.setting[filled..filled + taken].copy_from_slice(&payload[..taken]);
            self.setting_filled += taken as u8;
            payload = &payload[taken..];
            if filled + taken < SETTING_LEN {
                break;
            }
            self.setting_filled = 0;
            let [i, d, value @ ..] = self.setting;
            let (id, value) = (u16::from_be_bytes([i, d]), u32::from_be_bytes(value));
            if id == INITIAL_WINDOW_SIZE && value > WINDOW_MAX {
                return self.break_off(Reason::FLOW_CONTROL_ERROR, "a window has 31 bits");
            }
        }
        Verdict::Good
    }

    /// A header block that is whole.
    fn block(&mut self, block: Block) -> Verdict {
        let Block { stream, ends_stream: ends, .. } = block;
        let is_large = u64::from(block.list_bytes) >= limits::MAX_FIELD_SECTION_BYTES;
        let noted = self.streams.block(stream, ends).and_then(|role| match role {
            // h2 resets those that do not end their stream.
            Role::Trailers if ends && block.has_pseudo => {
                self.streams.note(stream, What::PseudoTrailers)?;
                Ok(Verdict::NoEnd(PSEUDO_TRAILERS))
            }
            // It cuts these off.
            Role::Trailers if ends && is_large => {
                self.streams.note(stream, What::LargeTrailers)?;
                Ok(Verdict::NoEnd(LARGE_TRAILERS))
            }
            Role::Head if is_large => {
                self.streams.note(stream, What::LargeHead { ends })?;
                Ok(Verdict::Good)
            }
            Role::Head if block.has_fragment => {
                self.streams.note(stream, What::Fragment)?;
                Ok(Verdict::Good)
            }
            _ => Ok(Verdict::Good),
        });
        noted.unwrap_or_else(|TooMany| {
            let rule = "more streams are under way than may be";
            self.break_off(Reason::ENHANCE_YOUR_CALM, rule)
        })
    }

    fn break_off(&mut self, code: Reason, rule: &'static str) -> Verdict {
        let refusal = match code {
            Reason::ENHANCE_YOUR_CALM => Refusal::HttpsFlood,
            _ => Refusal::HttpsMalformed,
        };
        self.exceeded.get_or_insert(Excess { refusal, code, rule });
        Verdict::Bad
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

#[cfg(test)]
mod tests;
