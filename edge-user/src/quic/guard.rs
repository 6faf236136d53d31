//! The frame guard: HTTP/3 frames that declare too much are refused before they are buffered, on
//! the streams that h3 reads.
//!
//! h3 buffers every frame but DATA whole before it looks at it, so SETTINGS that declare 1 GiB would
//! be given 1 GiB. The guard reads only the headers of frames (RFC 9114 section 7.1),
//! beside the bytes that pass by.

use crate::limits;

const DATA: u64 = 0x00;
const HEADERS: u64 = 0x01;
const CONTROL_STREAM: u64 = 0x00;

/// A frame declared more bytes than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Follows the frames of one stream.
#[derive(Clone, Debug)]
pub struct FrameGuard {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// At the start of a unidirectional stream (RFC 9114 section 6.2).
    StreamType(VarInt),
    FrameType(VarInt),
    Length {
        frame: u64,
        length: VarInt,
    },
    Payload {
        left: u64,
    },
    /// No frames here: QPACK, push, greased streams.
    Unframed,
}

impl FrameGuard {
    /// For a unidirectional stream, whose first bytes say what it is.
    #[must_use]
    pub fn unidirectional() -> Self {
        Self { state: State::StreamType(VarInt::default()) }
    }

    /// Looks at the next bytes of the stream.
    ///
    /// # Errors
    /// At the header of a frame that declares too much: no byte of its payload was needed.
    pub fn check(&mut self, mut bytes: &[u8]) -> Result<(), TooLarge> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Unframed => return Ok(()),
                State::Payload { left } => {
                    let passed = (bytes.len() as u64).min(*left);
                    *left -= passed;
                    bytes = &bytes[passed as usize..];
                    if *left == 0 {
                        self.state = State::FrameType(VarInt::default());
                    }
                }
                State::StreamType(kind) => {
                    bytes = rest;
                    match kind.push(byte) {
                        None => {}
                        Some(CONTROL_STREAM) => self.state = State::FrameType(VarInt::default()),
                        Some(_) => self.state = State::Unframed,
                    }
                }
                State::FrameType(frame) => {
                    bytes = rest;
                    if let Some(frame) = frame.push(byte) {
                        self.state = State::Length { frame, length: VarInt::default() };
                    }
                }
                State::Length { frame, length } => {
                    bytes = rest;
                    if let Some(length) = length.push(byte) {
                        self.state = payload(*frame, length)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn payload(frame: u64, length: u64) -> Result<State, TooLarge> {
    let most = match frame {
        DATA => u64::MAX,
        HEADERS => limits::MAX_HEADERS_FRAME_BYTES,
        _ => limits::MAX_CONTROL_FRAME_BYTES,
    };
    match length {
        0 => Ok(State::FrameType(VarInt::default())),
        _ if length > most => Err(TooLarge),
        left => Ok(State::Payload { left }),
    }
}

/// A variable-length integer (RFC 9000 section 16), a byte at a time.
#[derive(Clone, Debug, Default)]
struct VarInt {
    value: u64,
    /// Bytes still to come; `None` before the first.
    left: Option<u8>,
}

impl VarInt {
    /// Takes the next byte; gives the integer with the last one.
    fn push(&mut self, byte: u8) -> Option<u64> {
        let left = match self.left {
            None => {
                self.value = u64::from(byte & 0x3f);
                (1 << (byte >> 6)) - 1
            }
            Some(left) => {
                self.value = (self.value << 8) | u64::from(byte);
                left - 1
            }
        };
        self.left = Some(left);
        (left == 0).then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn varint(value: u64) -> Vec<u8> {
        match value {
            0..0x40 => vec![value as u8],
            0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
            0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
            _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
        }
    }

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
    }

    /// Legal frames: DATA of any size, HEADERS and others below their limits.
    fn legal() -> impl Strategy<Value = Vec<u8>> {
        let one = (0u64..0x40, 0usize..70_000).prop_map(|(kind, length)| {
            let most = match kind {
                DATA => usize::MAX,
                HEADERS => limits::MAX_HEADERS_FRAME_BYTES as usize,
                _ => limits::MAX_CONTROL_FRAME_BYTES as usize,
            };
            frame(kind, &vec![0xc1; length.min(most)])
        });
        prop::collection::vec(one, 0..6).prop_map(|frames| frames.concat())
    }

    fn check(guard: &mut FrameGuard, bytes: &[u8], chunk: usize) -> Result<(), TooLarge> {
        bytes.chunks(chunk).try_for_each(|chunk| guard.check(chunk))
    }

    proptest! {
        #[test]
        fn legal_frames_pass_in_any_chunking(frames in legal(), chunk in 1usize..3000) {
            let control = [varint(CONTROL_STREAM), frames].concat();
            prop_assert_eq!(check(&mut FrameGuard::unidirectional(), &control, chunk), Ok(()));
        }

        /// Whatever went before, and however it is cut: the header of the frame is enough.
        #[test]
        fn a_gibibyte_is_refused_at_its_header(
            frames in legal(), kind in 1u64..1 << 62, chunk in 1usize..3000,
        ) {
            let declared = [varint(CONTROL_STREAM), frames, varint(kind), varint(1 << 30)].concat();
            let mut guard = FrameGuard::unidirectional();
            prop_assert_eq!(check(&mut guard, &declared, chunk), Err(TooLarge));
        }
    }

    #[test]
    fn the_limit_itself_passes_and_one_more_does_not() {
        for (kind, most) in
            [(HEADERS, limits::MAX_HEADERS_FRAME_BYTES), (0x04, limits::MAX_CONTROL_FRAME_BYTES)]
        {
            let check = |length| {
                let header = [varint(CONTROL_STREAM), varint(kind), varint(length)].concat();
                FrameGuard::unidirectional().check(&header)
            };
            assert_eq!(check(most), Ok(()));
            assert_eq!(check(most + 1), Err(TooLarge));
        }
    }

    #[test]
    fn streams_without_frames_are_not_read_as_frames() {
        let qpack = [varint(0x02), varint(1), varint(1 << 30)].concat();
        assert_eq!(FrameGuard::unidirectional().check(&qpack), Ok(()));
    }
}
