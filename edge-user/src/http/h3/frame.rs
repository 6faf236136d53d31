//! Frames of a request stream (RFC 9114 section 7), encoder beside decoder.
//!
//! The decoder is given bytes as they come, in any pieces, and copies none of a DATA frame. Only
//! HEADERS are collected, and only where they are shorter than their bound.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::refusal::{Excess, FrameRefusal, Refusal};
use crate::limits;

/// DATA (RFC 9114 section 7.2.1).
pub const DATA: u64 = 0x00;
/// HEADERS (RFC 9114 section 7.2.2).
pub const HEADERS: u64 = 0x01;
/// PUSH_PROMISE (RFC 9114 section 7.2.5).
pub const PUSH_PROMISE: u64 = 0x05;

/// Type and length at most.
pub const MAX_HEAD_BYTES: usize = 16;

/// Who receives the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server, from clients.
    Server,
    /// A client, from servers.
    Client,
}

/// What a request stream is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A field section, whole.
    Fields(Bytes),
    /// A DATA frame of so many bytes begins; none of them are with it.
    Content(u64),
    /// The next bytes of that DATA frame: as many as there were, a slice of what was given.
    Data(Bytes),
}

#[derive(Clone, Debug)]
enum State {
    Head,
    Headers { left: usize, collected: BytesMut },
    Data { left: u64 },
    Skipped { left: u64 },
}

/// Reads the frames of one direction of a request stream.
#[derive(Clone, Debug)]
pub struct Decoder {
    role: Role,
    state: State,
    /// Type and length, where they came in pieces.
    partial: [u8; MAX_HEAD_BYTES],
    partial_bytes: u8,
    /// Frames that carried nothing, since the last one that did.
    empty: u32,
}

impl Decoder {
    /// At the start of a stream.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self { role, state: State::Head, partial: [0; MAX_HEAD_BYTES], partial_bytes: 0, empty: 0 }
    }

    /// Whether the stream may end here (RFC 9114 section 7.1).
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head) && self.partial_bytes == 0
    }

    /// Takes what is next off the front of `input`; `None` when it needs more, and `input` is empty.
    ///
    /// # Errors
    /// At the head of a frame that may not be here or declares too much.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, Refusal> {
        loop {
            match &mut self.state {
                State::Head => {
                    let Some((kind, length)) = self.head(input) else { return Ok(None) };
                    if let Some(piece) = self.begin(kind, length)? {
                        return Ok(Some(piece));
                    }
                }
                _ if input.is_empty() => return Ok(None),
                State::Data { left } => {
                    let taken = (input.len() as u64).min(*left);
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    return Ok(Some(Piece::Data(input.split_to(taken as usize))));
                }
                State::Skipped { left } => {
                    let taken = (input.len() as u64).min(*left);
                    *left -= taken;
                    input.advance(taken as usize);
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Headers { left, collected } => {
                    let Some(fields) = collect(left, collected, input) else { return Ok(None) };
                    self.state = State::Head;
                    return Ok(Some(Piece::Fields(fields)));
                }
            }
        }
    }

    /// Type and length of the next frame, when they are whole.
    fn head(&mut self, input: &mut Bytes) -> Option<(u64, u64)> {
        if self.partial_bytes == 0
            && let Some((kind, length, used)) = read_head(input)
        {
            input.advance(used);
            return Some((kind, length));
        }
        while input.has_remaining() {
            self.partial[usize::from(self.partial_bytes)] = input.get_u8();
            self.partial_bytes += 1;
            // Two integers are whole after 16 bytes at the latest.
            let partial = &self.partial[..usize::from(self.partial_bytes)];
            if let Some((kind, length, _)) = read_head(partial) {
                self.partial_bytes = 0;
                return Some((kind, length));
            }
        }
        None
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<Option<Piece>, Refusal> {
        match kind {
            DATA => {
                if length == 0 {
                    self.count_empty()?;
                } else {
                    self.empty = 0;
                    self.state = State::Data { left: length };
                }
                Ok(Some(Piece::Content(length)))
            }
            HEADERS if length > limits::MAX_HEADERS_FRAME_BYTES => Err(Excess::HeadersFrame.into()),
            // Refused by QPACK, which wants a prefix.
            HEADERS if length == 0 => Ok(Some(Piece::Fields(Bytes::new()))),
            HEADERS => {
                let left = length as usize;
                self.state = State::Headers { left, collected: BytesMut::new() };
                Ok(None)
            }
            kind => {
                if let Some(refusal) = forbidden(kind, self.role) {
                    return Err(refusal.into());
                }
                if length > limits::MAX_CONTROL_FRAME_BYTES {
                    return Err(Excess::UnknownFrame.into());
                }
                self.count_empty()?;
                if length > 0 {
                    self.state = State::Skipped { left: length };
                }
                Ok(None)
            }
        }
    }

    fn count_empty(&mut self) -> Result<(), Excess> {
        self.empty += 1;
        if self.empty > limits::MAX_EMPTY_FRAMES { Err(Excess::EmptyFrames) } else { Ok(()) }
    }
}

/// Frames that have no place on a request stream. What has no meaning (RFC 9114 section 7.2.8), or
/// is to be ignored where it does not belong (ORIGIN: RFC 8336 section 2.1), is not among them.
fn forbidden(kind: u64, role: Role) -> Option<FrameRefusal> {
    match kind {
        // CANCEL_PUSH, SETTINGS, GOAWAY, MAX_PUSH_ID; PRIORITY_UPDATE of requests and pushes.
        0x03 | 0x04 | 0x07 | 0x0d | 0xf_0700 | 0xf_0701 => Some(FrameRefusal::ControlFrame),
        PUSH_PROMISE if role == Role::Client => Some(FrameRefusal::Push),
        PUSH_PROMISE => Some(FrameRefusal::PushFromClient),
        // PRIORITY, PING, WINDOW_UPDATE, CONTINUATION.
        0x02 | 0x06 | 0x08 | 0x09 => Some(FrameRefusal::Http2Frame),
        _ => None,
    }
}

/// A frame that is in one piece is not copied. Memory is taken as bytes come, not as they are
/// declared.
fn collect(left: &mut usize, collected: &mut BytesMut, input: &mut Bytes) -> Option<Bytes> {
    let taken = input.split_to(input.len().min(*left));
    *left -= taken.len();
    match (*left, collected.is_empty()) {
        (0, true) => Some(taken),
        (left, _) => {
            collected.extend_from_slice(&taken);
            (left == 0).then(|| std::mem::take(collected).freeze())
        }
    }
}

/// Type, length, and the bytes they take up; `None` where they are not whole.
fn read_head(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let (kind, rest) = read_varint(bytes)?;
    let (length, rest) = read_varint(rest)?;
    Some((kind, length, bytes.len() - rest.len()))
}

/// A variable-length integer (RFC 9000 section 16), and what follows it.
pub(super) fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, _) = bytes.split_first()?;
    if first < 0x40 {
        return Some((u64::from(first), &bytes[1..]));
    }
    let (value, rest) = bytes.split_at_checked(1 << (first >> 6))?;
    let rest_of = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    Some((value[1..].iter().fold(u64::from(first & 0x3f), rest_of), rest))
}

/// Bytes of an integer in its shortest form.
const fn varint_bytes(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

fn put_varint(value: u64, out: &mut BytesMut) {
    match varint_bytes(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(value as u16 | 0x4000),
        4 => out.put_u32(value as u32 | 0x8000_0000),
        _ => out.put_u64(value | 0xc000_0000_0000_0000),
    }
}

/// Writes the head of a frame: its type, and how many bytes follow, both below 2^62.
pub fn put_head(kind: u64, length: u64, out: &mut BytesMut) {
    debug_assert!(kind < 1 << 62 && length < 1 << 62);
    put_varint(kind, out);
    put_varint(length, out);
}

/// Writes a HEADERS frame around what `block` writes.
pub fn put_headers(out: &mut BytesMut, block: impl FnOnce(&mut BytesMut)) {
    // Most blocks have 64 bytes to 16,383, whose length takes two.
    const GUESS: usize = 2;
    let start = out.len();
    out.put_bytes(HEADERS as u8, 1 + GUESS);
    block(out);
    let length = out.len() - start - 1 - GUESS;
    let from = start + 1 + GUESS;
    let to = start + 1 + varint_bytes(length as u64);
    out.resize(out.len().max(to + length), 0);
    if from != to {
        out.copy_within(from..from + length, to);
        out.truncate(to + length);
    }
    let mut head = BytesMut::with_capacity(8);
    put_varint(length as u64, &mut head);
    out[start + 1..to].copy_from_slice(&head);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_head(kind, payload.len() as u64, &mut out);
        [&out[..], payload].concat()
    }

    /// What the decoder makes of the bytes, cut into chunks, DATA joined again.
    fn read(role: Role, bytes: &[u8], chunk: usize) -> Result<Vec<Piece>, Refusal> {
        let mut decoder = Decoder::new(role);
        let mut pieces: Vec<Piece> = Vec::new();
        for chunk in bytes.chunks(chunk) {
            let mut input = Bytes::copy_from_slice(chunk);
            while let Some(piece) = decoder.next(&mut input)? {
                match (pieces.last_mut(), &piece) {
                    (Some(Piece::Data(before)), Piece::Data(more)) => {
                        *before = [&before[..], more].concat().into();
                    }
                    _ => pieces.push(piece),
                }
            }
            assert!(input.is_empty());
        }
        assert!(decoder.is_between_frames(), "whole frames were given");
        Ok(pieces)
    }

    fn refused(role: Role, bytes: &[u8]) -> Refusal {
        Decoder::new(role).next(&mut Bytes::copy_from_slice(bytes)).expect_err("refused")
    }

    /// Frames, and the pieces that they are.
    fn frames() -> impl Strategy<Value = (Vec<u8>, Vec<Piece>)> {
        let kind = prop_oneof![
            3 => Just(DATA), 2 => Just(HEADERS), 1 => Just(0x21), 1 => Just(0x0c),
            1 => (0u64..1 << 40).prop_map(|n| 0x1f * n + 0x21),
        ];
        let payload = prop::collection::vec(any::<u8>(), 0..3000);
        let frames = prop::collection::vec((kind, payload), 0..6);
        frames.prop_map(|frames| {
            let mut bytes = Vec::new();
            let mut pieces = Vec::new();
            for (kind, payload) in frames {
                bytes.extend(frame(kind, &payload));
                match kind {
                    DATA => {
                        pieces.push(Piece::Content(payload.len() as u64));
                        if !payload.is_empty() {
                            pieces.push(Piece::Data(payload.into()));
                        }
                    }
                    HEADERS => pieces.push(Piece::Fields(payload.into())),
                    _ => {}
                }
            }
            (bytes, pieces)
        })
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            (bytes, pieces) in frames(), chunk in 1usize..4000,
        ) {
            prop_assert_eq!(read(Role::Server, &bytes, chunk), Ok(pieces));
        }

        /// RFC 9114 section 7.1: a frame that the end of the stream cuts off is seen as such.
        #[test]
        fn no_stream_may_end_inside_a_frame((bytes, _) in frames(), end in any::<prop::sample::Index>()) {
            let whole: Vec<usize> = boundaries(&bytes);
            let end = end.index(bytes.len() + 1);
            let mut decoder = Decoder::new(Role::Server);
            let mut input = Bytes::copy_from_slice(&bytes[..end]);
            while decoder.next(&mut input).expect("legal").is_some() {}
            prop_assert_eq!(decoder.is_between_frames(), whole.contains(&end));
        }
    }

    fn boundaries(bytes: &[u8]) -> Vec<usize> {
        let mut at = 0;
        let mut all = vec![0];
        while let Some((_, length, head)) = read_head(&bytes[at..]) {
            at += head + length as usize;
            all.push(at);
        }
        all
    }

    #[test]
    fn data_is_not_copied() {
        let bytes = Bytes::from(frame(DATA, &[7; 1000]));
        let mut input = bytes.clone();
        let mut decoder = Decoder::new(Role::Server);
        assert_eq!(decoder.next(&mut input), Ok(Some(Piece::Content(1000))));
        let Ok(Some(Piece::Data(data))) = decoder.next(&mut input) else { panic!() };
        assert_eq!(data.as_ptr(), bytes[3..].as_ptr());
    }

    /// RFC 9114 sections 7.2.3 to 7.2.8, RFC 9218 section 7.2.
    #[test]
    fn frames_of_other_streams_and_of_http2_are_refused_at_their_head() {
        for kind in [0x03, 0x04, 0x07, 0x0d, 0xf_0700, 0xf_0701] {
            assert_eq!(refused(Role::Server, &frame(kind, &[])), FrameRefusal::ControlFrame.into());
        }
        for kind in [0x02, 0x06, 0x08, 0x09] {
            assert_eq!(refused(Role::Server, &frame(kind, &[])), FrameRefusal::Http2Frame.into());
        }
        let push = frame(PUSH_PROMISE, &[0, 0, 0]);
        assert_eq!(refused(Role::Server, &push), FrameRefusal::PushFromClient.into());
        assert_eq!(refused(Role::Client, &push), FrameRefusal::Push.into());
    }

    #[test]
    fn a_length_beyond_its_bound_is_refused_before_a_byte_of_it() {
        let head = |kind, length| {
            let mut out = BytesMut::new();
            put_head(kind, length, &mut out);
            out
        };
        let most = limits::MAX_HEADERS_FRAME_BYTES;
        assert_eq!(refused(Role::Server, &head(HEADERS, most + 1)), Excess::HeadersFrame.into());
        let within = &mut head(HEADERS, most).freeze();
        assert_eq!(Decoder::new(Role::Server).next(within), Ok(None));
        let most = limits::MAX_CONTROL_FRAME_BYTES;
        assert_eq!(refused(Role::Server, &head(0x21, most + 1)), Excess::UnknownFrame.into());
        let within = &mut head(0x21, most).freeze();
        assert_eq!(Decoder::new(Role::Server).next(within), Ok(None));
    }

    #[test]
    fn frames_that_carry_nothing_are_counted_until_one_carries_something() {
        for nothing in [frame(DATA, &[]), frame(0x21, &[]), frame(0x21, &[0])] {
            let most = nothing.repeat(limits::MAX_EMPTY_FRAMES as usize);
            let again = [&most[..], &frame(DATA, b"x"), &most].concat();
            assert!(read(Role::Server, &again, 1000).is_ok());
            let more = [&most[..], &nothing].concat();
            assert_eq!(read(Role::Server, &more, 1000), Err(Excess::EmptyFrames.into()));
        }
    }

    #[test]
    fn the_head_of_headers_fits_every_length() {
        for length in [0, 1, 63, 64, 16_383, 16_384, 60_000] {
            let mut out = BytesMut::from(&b"before"[..]);
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            put_headers(&mut out, |out| out.extend_from_slice(&payload));
            assert_eq!(out, [b"before", &frame(HEADERS, &payload)[..]].concat());
        }
    }
}
