//! What is remembered of a client's streams, which is little: those whose content is under way, the
//! last that have ended, and those of which something is to be said that h2 does not say.

use crate::limits;

/// In what is remembered of a stream that has ended: by RST_STREAM.
const RESET: u32 = 1 << 31;

/// What a header block is to its stream (RFC 9113 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Head,
    Trailers,
    /// The stream is not open: h2 knows why.
    Neither,
}

/// What is to be remembered of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its content is under way.
    Open,
    /// The target of its request has a fragment.
    Fragment,
    /// Its trailers have pseudo-header fields.
    PseudoTrailers,
    /// They are larger than we said.
    LargeTrailers,
    /// The fields of its head are larger than we said. h2 answers by itself, and resets the stream
    /// where it does not end with them.
    LargeHead { ends: bool },
    /// h2 has answered, and resets the stream.
    Answered,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    stream: u32,
    what: What,
}

/// The streams of a connection.
#[derive(Debug)]
pub(super) struct Streams {
    /// The last one that was opened.
    last: u32,
    /// In the order in which they ended, from `oldest` on and round.
    ended: [u32; limits::ENDED_STREAMS],
    oldest: u8,
    notes: Vec<Note>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { last: 0, ended: [0; limits::ENDED_STREAMS], oldest: 0, notes: Vec::new() }
    }
}

/// There are more streams to be remembered than there may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Streams {
    /// A header block that is whole.
    pub(super) fn block(&mut self, stream: u32, ends: bool) -> Result<Role, TooMany> {
        if stream > self.last {
            self.last = stream;
            match ends {
                true => self.ended(stream),
                false => self.note(stream, What::Open)?,
            }
            return Ok(Role::Head);
        }
        if !self.notes.iter().any(|note| note.is(stream, What::Open)) {
            return Ok(Role::Neither);
        }
        if ends {
            self.end(stream);
        }
        Ok(Role::Trailers)
    }

    /// The client sends no more content.
    pub(super) fn end(&mut self, stream: u32) {
        if self.take(stream, What::Open) {
            self.ended(stream);
        }
    }

    /// The client has reset it.
    pub(super) fn reset(&mut self, stream: u32) {
        self.take(stream, What::Open);
        if stream <= self.last {
            self.ended(stream | RESET);
        }
    }

    fn ended(&mut self, stream: u32) {
        self.ended[usize::from(self.oldest)] = stream;
        self.oldest = (self.oldest + 1) % limits::ENDED_STREAMS as u8;
    }

    /// Whether the client has ended this stream, as far as we remember; where `by_reset` is not
    /// asked for, by END_STREAM.
    pub(super) fn has_ended(&self, stream: u32, by_reset: bool) -> bool {
        let is = |ended: &u32| *ended == stream || by_reset && *ended == stream | RESET;
        stream != 0 && self.ended.iter().any(is)
    }

    /// Remembers this, within bounds.
    pub(super) fn note(&mut self, stream: u32, what: What) -> Result<(), TooMany> {
        if self.notes.len() >= limits::NOTED_STREAMS {
            return Err(TooMany);
        }
        self.notes.push(Note { stream, what });
        Ok(())
    }

    /// Whether this was remembered. It is no more.
    pub(super) fn take(&mut self, stream: u32, what: What) -> bool {
        let found = self.notes.iter().position(|note| note.is(stream, what));
        if let Some(at) = found {
            self.notes.swap_remove(at);
            self.tidy();
        }
        found.is_some()
    }

    /// As [`Self::take`], of a request that is to be answered. Those before it are all known: h2 gives
    /// them in their order, or resets them.
    pub(super) fn take_fragment(&mut self, stream: u32) -> bool {
        if self.notes.is_empty() {
            return false;
        }
        let found = self.take(stream, What::Fragment);
        self.notes.retain(|note| note.what != What::Fragment || note.stream > stream);
        self.tidy();
        found
    }

    /// We answer it.
    pub(super) fn answered(&mut self, stream: u32) -> Option<What> {
        let large =
            |note: &&mut Note| note.stream == stream && matches!(note.what, What::LargeHead { .. });
        let note = self.notes.iter_mut().find(large)?;
        let what = std::mem::replace(&mut note.what, What::Answered);
        if what == (What::LargeHead { ends: true }) {
            self.take(stream, What::Answered);
        }
        Some(what)
    }

    /// We have reset it. Gives what was remembered of it that says why.
    pub(super) fn forget(&mut self, stream: u32) -> Option<What> {
        if self.notes.is_empty() {
            return None;
        }
        let tells = [What::PseudoTrailers, What::LargeTrailers, What::Answered];
        let of = |note: &&Note| note.stream == stream && tells.contains(&note.what);
        let why = self.notes.iter().find(of).map(|note| note.what);
        self.notes.retain(|note| note.stream != stream);
        self.tidy();
        why
    }

    /// What is idle holds little.
    fn tidy(&mut self) {
        if self.notes.is_empty() && self.notes.capacity() > 4 {
            self.notes = Vec::new();
        }
    }
}

impl Note {
    fn is(&self, stream: u32, what: What) -> bool {
        self.stream == stream && self.what == what
    }
}
