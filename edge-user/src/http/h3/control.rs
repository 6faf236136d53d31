//! The unidirectional streams of a client: its control stream (RFC 9114 section 6.2.1), those of
//! QPACK (RFC 9204 section 4.2), and what has no meaning.
//!
//! Reads no clock and no socket. Nothing is held but a control frame that is not whole, which is
//! short; a dynamic table is not offered, so that QPACK has next to nothing to say.

use super::frame::{DATA, HEADERS, MAX_HEAD_BYTES, PUSH_PROMISE, read_varint};
use super::refusal::ControlRefusal;
use crate::http::priority::Priority;
use crate::limits;

// Types of streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
const CONTROL: u64 = 0x00;
const PUSH: u64 = 0x01;
const ENCODER: u64 = 0x02;
const DECODER: u64 = 0x03;

// Types of frames (RFC 9114 section 7.2, RFC 9218 section 7.2).
const CANCEL_PUSH: u64 = 0x03;
const SETTINGS: u64 = 0x04;
const GOAWAY: u64 = 0x07;
const MAX_PUSH_ID: u64 = 0x0d;
const PRIORITY_UPDATE: u64 = 0xf_0700;
const PRIORITY_UPDATE_OF_PUSH: u64 = 0xf_0701;

/// Settings that are 0 or 1: extended CONNECT (RFC 9220 section 3), datagrams (RFC 9297 section
/// 2.1.1).
const FLAGS: [u64; 2] = [0x08, 0x33];
/// Settings of HTTP/2 that HTTP/3 has reserved (RFC 9114 section 11.2.2).
const OF_HTTP2: [u64; 5] = [0x00, 0x02, 0x03, 0x04, 0x05];

/// What a client has said so far.
#[derive(Debug, Default)]
pub struct Peer {
    /// Streams there may be one of: control, encoder, decoder.
    critical: [bool; 3],
    max_push_id: Option<u64>,
    goaway: Option<u64>,
    /// What PRIORITY_UPDATE has said since the last time somebody looked, by request stream.
    priorities: Vec<(u64, Priority)>,
    /// Frames, instructions and streams since the last time somebody looked.
    count: u32,
}

impl Peer {
    /// How many frames, instructions and streams there were since the last time.
    pub fn take_count(&mut self) -> u32 {
        std::mem::take(&mut self.count)
    }

    /// What the client has said about request streams since the last time.
    pub fn take_priorities(&mut self) -> Vec<(u64, Priority)> {
        std::mem::take(&mut self.priorities)
    }

    fn open(&mut self, critical: usize) -> Result<(), ControlRefusal> {
        match std::mem::replace(&mut self.critical[critical], true) {
            false => Ok(()),
            true => Err(ControlRefusal::SecondStream),
        }
    }
}

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is read on.
    Read,
    /// It has no meaning (RFC 9114 section 6.2.3).
    Unwanted,
}

/// One unidirectional stream.
#[derive(Debug)]
pub struct Incoming {
    state: State,
    /// A type, or the head of a frame, that is not whole.
    partial: [u8; MAX_HEAD_BYTES],
    partial_bytes: usize,
}

#[derive(Debug)]
enum State {
    Type,
    Control(Control),
    Encoder,
    /// Bytes of an integer that may follow.
    Decoder(u8),
}

#[derive(Debug)]
enum Control {
    /// Before SETTINGS.
    Start,
    Head,
    Payload {
        kind: u64,
        left: usize,
        collected: Vec<u8>,
    },
    Skipped {
        left: usize,
    },
}

impl Default for Incoming {
    fn default() -> Self {
        Self { state: State::Type, partial: [0; MAX_HEAD_BYTES], partial_bytes: 0 }
    }
}

impl Incoming {
    /// Takes in the next bytes of the stream.
    ///
    /// # Errors
    /// Where the connection is to be closed for them.
    pub fn handle_bytes(
        &mut self,
        peer: &mut Peer,
        mut bytes: &[u8],
    ) -> Result<Verdict, ControlRefusal> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Type => {
                    bytes = rest;
                    let Some([kind]) = self.integers(byte) else { continue };
                    peer.count += 1;
                    self.state = match kind {
                        CONTROL => State::Control(Control::Start),
                        ENCODER => State::Encoder,
                        DECODER => State::Decoder(0),
                        // RFC 9114 section 6.2.2.
                        PUSH => return Err(ControlRefusal::PushStream),
                        _ => return Ok(Verdict::Unwanted),
                    };
                    // 0 is the control stream, 2 and 3 are those of QPACK.
                    peer.open(kind.saturating_sub(1) as usize)?;
                }
                State::Control(Control::Payload { kind, left, collected }) => {
                    let taken = bytes.len().min(*left);
                    collected.extend_from_slice(&bytes[..taken]);
                    *left -= taken;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        peer.frame(*kind, collected)?;
                        self.state = State::Control(Control::Head);
                    }
                }
                State::Control(Control::Skipped { left }) => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.state = State::Control(Control::Head);
                    }
                }
                State::Control(Control::Start | Control::Head) => {
                    bytes = rest;
                    let Some([kind, length]) = self.integers(byte) else { continue };
                    peer.count += 1;
                    self.begin(peer, kind, length)?;
                }
                State::Encoder => {
                    bytes = rest;
                    peer.count += 1;
                    encoder_instruction(byte)?;
                }
                State::Decoder(left) => {
                    bytes = rest;
                    peer.count += 1;
                    *left = decoder_instruction(byte, *left)?;
                }
            }
        }
        Ok(Verdict::Read)
    }

    /// The stream has ended, or was reset.
    ///
    /// # Errors
    /// Where the connection cannot be without it (RFC 9114 section 6.2.1, RFC 9204 section 4.2).
    pub fn handle_end(&self) -> Result<(), ControlRefusal> {
        match self.state {
            State::Type => Ok(()),
            State::Control(_) | State::Encoder | State::Decoder(_) => {
                Err(ControlRefusal::ClosedStream)
            }
        }
    }

    /// So many integers, when they are whole.
    fn integers<const COUNT: usize>(&mut self, byte: u8) -> Option<[u64; COUNT]> {
        self.partial[self.partial_bytes] = byte;
        self.partial_bytes += 1;
        let mut rest = &self.partial[..self.partial_bytes];
        let mut integers = [0; COUNT];
        for integer in &mut integers {
            (*integer, rest) = read_varint(rest)?;
        }
        self.partial_bytes = 0;
        Some(integers)
    }

    fn begin(&mut self, peer: &mut Peer, kind: u64, length: u64) -> Result<(), ControlRefusal> {
        let is_first = matches!(self.state, State::Control(Control::Start));
        match kind {
            SETTINGS if !is_first => return Err(ControlRefusal::RepeatedSettings),
            SETTINGS => {}
            _ if is_first => return Err(ControlRefusal::MissingSettings),
            DATA | HEADERS | PUSH_PROMISE => return Err(ControlRefusal::RequestFrame),
            0x02 | 0x06 | 0x08 | 0x09 => return Err(ControlRefusal::Http2Frame),
            _ => {}
        }
        if length > limits::MAX_CONTROL_FRAME_BYTES {
            return Err(ControlRefusal::FrameTooLong);
        }
        let left = length as usize;
        let is_ours = matches!(
            kind,
            CANCEL_PUSH
                | SETTINGS
                | GOAWAY
                | MAX_PUSH_ID
                | PRIORITY_UPDATE
                | PRIORITY_UPDATE_OF_PUSH
        );
        self.state = State::Control(match (left, is_ours) {
            (0, true) => {
                peer.frame(kind, &[])?;
                Control::Head
            }
            (0, false) => Control::Head,
            (_, true) => Control::Payload { kind, left, collected: Vec::new() },
            (_, false) => Control::Skipped { left },
        });
        Ok(())
    }
}

impl Peer {
    /// A frame that we know, whole.
    fn frame(&mut self, kind: u64, payload: &[u8]) -> Result<(), ControlRefusal> {
        match kind {
            SETTINGS => settings(payload),
            PRIORITY_UPDATE => {
                let (element, value) = read_varint(payload).ok_or(ControlRefusal::FrameForm)?;
                // RFC 9218 section 7.2: a request stream's.
                if element % 4 != 0 {
                    return Err(ControlRefusal::Priority);
                }
                self.priorities.extend(Priority::parse(value).map(|priority| (element, priority)));
                Ok(())
            }
            // Nothing is pushed: there is nothing to cancel (RFC 9114 section 7.2.3), and nothing to
            // prefer (RFC 9218 section 7.2).
            CANCEL_PUSH => only_integer(payload).and(Err(ControlRefusal::Push)),
            PRIORITY_UPDATE_OF_PUSH => {
                read_varint(payload).ok_or(ControlRefusal::FrameForm)?;
                Err(ControlRefusal::Push)
            }
            GOAWAY => {
                // RFC 9114 section 5.2.
                let id = only_integer(payload)?;
                match self.goaway.replace(id) {
                    Some(before) if id > before => Err(ControlRefusal::GoawayGrows),
                    _ => Ok(()),
                }
            }
            // RFC 9114 section 7.2.7.
            _ => {
                let id = only_integer(payload)?;
                match self.max_push_id.replace(id) {
                    Some(before) if id < before => Err(ControlRefusal::MaxPushIdShrinks),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// RFC 9114 section 7.1: a frame whose fields end elsewhere than itself.
fn only_integer(payload: &[u8]) -> Result<u64, ControlRefusal> {
    match read_varint(payload) {
        Some((integer, [])) => Ok(integer),
        _ => Err(ControlRefusal::FrameForm),
    }
}

/// RFC 9114 section 7.2.4.
fn settings(mut payload: &[u8]) -> Result<(), ControlRefusal> {
    let mut seen = Vec::new();
    while !payload.is_empty() {
        let (identifier, rest) = read_varint(payload).ok_or(ControlRefusal::FrameForm)?;
        let (value, rest) = read_varint(rest).ok_or(ControlRefusal::FrameForm)?;
        payload = rest;
        if OF_HTTP2.contains(&identifier) {
            return Err(ControlRefusal::Http2Setting);
        }
        if FLAGS.contains(&identifier) && value > 1 {
            return Err(ControlRefusal::SettingValue);
        }
        seen.push(identifier);
    }
    seen.sort_unstable();
    match seen.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(ControlRefusal::RepeatedSetting),
        false => Ok(()),
    }
}

/// RFC 9204 section 4.3: a table without capacity takes nothing, and its capacity may be said.
fn encoder_instruction(byte: u8) -> Result<(), ControlRefusal> {
    const CAPACITY_ZERO: u8 = 0x20;
    if byte == CAPACITY_ZERO { Ok(()) } else { Err(ControlRefusal::EncoderStream) }
}

/// RFC 9204 section 4.4: sections that refer to nothing are not acknowledged, and there are no
/// insertions to count. Streams may be cancelled. Gives how many bytes of an integer may follow.
fn decoder_instruction(byte: u8, left: u8) -> Result<u8, ControlRefusal> {
    /// Of an integer of 62 bits (RFC 9204 section 4.1.1), beyond its prefix.
    const MOST: u8 = 9;
    match (left, byte) {
        (0, 0x40..0x7f) => Ok(0),
        (0, 0x7f) => Ok(MOST),
        (0, _) => Err(ControlRefusal::DecoderStream),
        (_, 0..0x80) => Ok(0),
        (1, _) => Err(ControlRefusal::DecoderStream),
        (left, _) => Ok(left - 1),
    }
}

#[cfg(test)]
mod tests;
