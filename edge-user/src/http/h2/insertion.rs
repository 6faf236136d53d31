//! A frame of ours among those that h2 writes, which knows none of its type.
//!
//! It goes behind our SETTINGS, the first frame that a server sends (RFC 9113 section 3.4): where
//! that ends is the one boundary of frames that bytes show before any of them was written.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes before the content of a frame (RFC 9113 section 4.1).
const HEAD_BYTES: usize = 9;
/// SETTINGS, of the connection, without flags (RFC 9113 section 6.5).
const SETTINGS: [u8; HEAD_BYTES - 3] = [0x04, 0, 0, 0, 0, 0];

/// Takes the first frame, and gives it back with another one behind it.
#[derive(Debug)]
pub(crate) struct Insertion {
    head: [u8; HEAD_BYTES],
    /// Bytes of the first frame that were taken.
    seen: usize,
    /// Taken, and not written yet.
    waiting: BytesMut,
    /// Ours, until it is among these.
    frame: Option<Bytes>,
}

impl Insertion {
    /// Of `frame`, which is whole.
    pub(crate) fn new(frame: Bytes) -> Self {
        Self { head: [0; HEAD_BYTES], seen: 0, waiting: BytesMut::new(), frame: Some(frame) }
    }

    /// Takes what belongs to the first frame from the front of `bytes`, and says how much that is:
    /// at least one byte, where there is one, until it is over.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some(left) = self.left().filter(|_| !rest.is_empty()) {
            let (taken, others) = rest.split_at(left.min(rest.len()));
            for (byte, place) in taken.iter().zip(self.head.iter_mut().skip(self.seen)) {
                *place = *byte;
            }
            self.seen += taken.len();
            self.waiting.extend_from_slice(taken);
            rest = others;
            if self.left().is_none()
                && let Some(frame) = self.frame.take()
                && self.head.ends_with(&SETTINGS)
            {
                self.waiting.extend_from_slice(&frame);
            }
        }
        bytes.len() - rest.len()
    }

    /// What is to be written before anything else.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// So much of it was written.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.waiting.advance(count);
    }

    /// Whether nothing is to be taken any more, nor to be written.
    pub(crate) fn is_over(&self) -> bool {
        self.frame.is_none() && self.waiting.is_empty()
    }

    /// Bytes of the first frame's head that are not known, or then of its content. Nothing, where it
    /// is whole.
    fn left(&self) -> Option<usize> {
        let length = u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]]) as usize;
        let end = if self.seen < HEAD_BYTES { HEAD_BYTES } else { HEAD_BYTES + length };
        Some(end - self.seen).filter(|left| *left > 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: &[u8] = b"the whole of a frame";

    fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u32).to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], content].concat()
    }

    /// What is written of `bytes`, which come in pieces of these lengths, and are written in others.
    fn written(bytes: &[u8], pieces: &[usize], writes: &[usize]) -> Vec<u8> {
        let mut insertion = Insertion::new(Bytes::from_static(FRAME));
        let (mut pieces, mut writes) = (pieces.iter().cycle(), writes.iter().cycle());
        let (mut rest, mut written) = (bytes, Vec::new());
        while !rest.is_empty() {
            if insertion.is_over() {
                written.extend_from_slice(rest);
                break;
            }
            let count = rest.len().min(*pieces.next().expect("for ever"));
            let taken = insertion.take(&rest[..count]);
            assert!((1..=count).contains(&taken));
            rest = &rest[taken..];
            while !insertion.waiting().is_empty() {
                let waiting = insertion.waiting();
                let count = waiting.len().min(*writes.next().expect("for ever"));
                written.extend_from_slice(&waiting[..count]);
                insertion.wrote(count);
            }
        }
        written
    }

    proptest! {
        /// Whatever h2 writes in one call, and whatever of it TLS takes.
        #[test]
        fn the_frame_is_behind_the_first_one_and_no_byte_is_lost(
            content in proptest::collection::vec(any::<u8>(), 0..60),
            rest in proptest::collection::vec(any::<u8>(), 0..60),
            pieces in proptest::collection::vec(1..80_usize, 1..9),
            writes in proptest::collection::vec(1..80_usize, 1..9),
        ) {
            let settings = frame(4, &content);
            let expected = [&settings, FRAME, &rest].concat();
            prop_assert_eq!(written(&[settings, rest].concat(), &pieces, &writes), expected);
        }
    }

    #[test]
    fn behind_another_frame_there_is_nothing() {
        let other = frame(6, b"a ping..");
        assert_eq!(written(&other, &[99], &[99]), other);
    }

    #[test]
    fn it_is_over_when_all_is_written() {
        let mut insertion = Insertion::new(Bytes::from_static(FRAME));
        let settings = frame(4, b"");
        assert_eq!(insertion.take(&[&settings[..], b"x"].concat()), settings.len());
        assert!(!insertion.is_over(), "nothing is written");
        insertion.wrote(settings.len() + FRAME.len() - 1);
        assert!(!insertion.is_over(), "a byte is missing");
        insertion.wrote(1);
        assert!(insertion.is_over());
    }
}
