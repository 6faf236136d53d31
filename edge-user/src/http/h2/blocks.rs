//! The header blocks of a client, followed without building fields (RFC 7541), before h2 reads them.
//!
//! h2 gives every error of HPACK another code than the RFC, and does not say of a request that its
//! target had a fragment, or of trailers that they had pseudo-header fields. Of each entry of the
//! dynamic table its lengths are enough to follow it, and a bit for each rule.
//!
//! | module | job |
//! |---|---|
//! | [`table`] | the static and the dynamic table |
//! | [`mod@line`] | one field line, or a change of the table |

mod line;
mod table;

use h2::Reason;

use super::meter::{FrameHead, HEADERS};
use crate::http::primitive::huffman::NoHuffman;
use crate::http::primitive::integer::NoInteger;
use crate::limits;
use table::{FRAGMENT, Field, PSEUDO, Table};

/// Of HEADERS and CONTINUATION (RFC 9113 section 6.2).
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const HAS_PRIORITY: u8 = 0x20;
/// The stream that one depends on, and a weight (RFC 7540 section 6.2).
const PRIORITY_LEN: usize = 5;

/// What a header block was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stream: u32,
    /// Nothing follows it on its stream.
    pub(super) ends_stream: bool,
    /// Whether a name begins with a colon.
    pub(super) has_pseudo: bool,
    /// Whether a `:path` has a number sign.
    pub(super) has_fragment: bool,
    /// The size of its fields (RFC 9113 section 10.5.1).
    pub(super) list_bytes: u32,
    /// Whether a field has come.
    has_begun: bool,
    /// Whether the dynamic table is another one.
    changes_table: bool,
}

impl Block {
    fn add(&mut self, field: Field) {
        self.has_begun = true;
        self.has_pseudo |= field.traits & PSEUDO != 0;
        self.has_fragment |= field.traits & FRAGMENT != 0;
        self.list_bytes = self.list_bytes.saturating_add(field.size());
    }
}

/// Why a block cannot be followed. The connection ends by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends within a line.
    Cut,
    /// An entry that is in neither table.
    Index,
    Integer,
    Huffman,
    /// The table is to be larger than we said.
    TableSize,
    /// It is to be another behind fields.
    LateTableSize,
    /// h2 resets the stream, and does not read the block.
    Unread,
    /// A field without a name. h2 takes it for a block that is cut off, and loses count.
    NoName,
    /// More frames than anybody needs.
    ManyFrames,
    /// Padding that is longer than the frame.
    Padding,
}

impl Fault {
    /// RFC 9113 section 4.3, but for what is an error whatever the block has in it.
    pub(super) const fn code(self) -> Reason {
        match self {
            Self::NoName | Self::Padding => Reason::PROTOCOL_ERROR,
            Self::ManyFrames => Reason::ENHANCE_YOUR_CALM,
            _ => Reason::COMPRESSION_ERROR,
        }
    }

    /// The rule that was broken, for logs.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Cut => "a header block ends with a line",
            Self::Index => "an index is that of an entry",
            Self::Integer => "an integer of a header block has five bytes at most",
            Self::Huffman => "a string is Huffman code, and less than a byte of ones",
            Self::TableSize => "a table is as large as we said at most",
            Self::LateTableSize => "a table changes before all fields",
            Self::Unread => "a header block that changes the table is not skipped",
            Self::NoName => "a field has a name",
            Self::ManyFrames => "a header block has more frames than it needs",
            Self::Padding => "padding is shorter than its frame",
        }
    }
}

impl From<NoInteger> for Fault {
    fn from(why: NoInteger) -> Self {
        match why {
            NoInteger::Cut => Self::Cut,
            NoInteger::TooLong => Self::Integer,
        }
    }
}

impl From<NoHuffman> for Fault {
    fn from(_: NoHuffman) -> Self {
        Self::Huffman
    }
}

/// The state of a connection: its table, and a block that is not whole.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    table: Table,
    /// On the heap, and there while it is needed alone: most blocks are whole where they are read.
    open: Option<Box<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    block: Block,
    /// What was read of a frame that is not whole.
    frame: Vec<u8>,
    /// What was whole frames, and is no whole line.
    line: Vec<u8>,
    /// CONTINUATION frames of it.
    continuations: usize,
}

impl Blocks {
    /// Whether a block of this stream is under way.
    pub(super) fn is_open(&self, stream: u32) -> bool {
        self.open.as_ref().is_some_and(|open| open.block.stream == stream)
    }

    /// The next part of the payload of a frame, HEADERS or the CONTINUATION of a block under way;
    /// the last one where the frame `ends`. Gives the block that ends with it.
    ///
    /// # Errors
    /// Where h2 would end the connection.
    pub(super) fn take(
        &mut self,
        head: FrameHead,
        part: &[u8],
        ends: bool,
    ) -> Result<Option<Block>, Fault> {
        if !ends {
            self.open.get_or_insert_default().frame.extend_from_slice(part);
            return Ok(None);
        }
        let mut frame = self.open.as_mut().map(|open| std::mem::take(&mut open.frame));
        match &mut frame {
            Some(frame) if !frame.is_empty() => {
                frame.extend_from_slice(part);
                self.frame(head, frame)
            }
            _ => self.frame(head, part),
        }
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Result<Option<Block>, Fault> {
        let Open { mut block, mut line, mut continuations, .. } =
            self.open.take().map(|open| *open).unwrap_or_default();
        if head.kind != HEADERS {
            continuations += 1;
            // The line that is not whole is followed from its beginning with each of them.
            if continuations > limits::MAX_CONTINUATIONS && head.flags & END_HEADERS == 0 {
                return Err(Fault::ManyFrames);
            }
        }
        let mut fragment = payload;
        let mut depends_on_itself = false;
        if head.kind == HEADERS {
            block.stream = head.stream;
            block.ends_stream = head.flags & END_STREAM != 0;
            let (dependency, rest) = inside(head.flags, payload).ok_or(Fault::Padding)?;
            (depends_on_itself, fragment) = (dependency == Some(head.stream), rest);
        }
        if !line.is_empty() {
            line.extend_from_slice(fragment);
            fragment = &line;
        }
        let followed = self.table.follow(fragment, &mut block)?;
        let left = &fragment[followed..];
        if depends_on_itself {
            // h2 resets the stream. What is not decompressed is an error of the connection (RFC 9113
            // section 4.3), where it matters.
            return if block.changes_table { Err(Fault::Unread) } else { Ok(None) };
        }
        if head.flags & END_HEADERS != 0 {
            return if left.is_empty() { Ok(Some(block)) } else { Err(Fault::Cut) };
        }
        let line = left.to_vec();
        self.open = Some(Box::new(Open { block, frame: Vec::new(), line, continuations }));
        Ok(None)
    }
}

/// What HEADERS have between their own fields and padding, and the stream that theirs depends on
/// (RFC 9113 section 6.2).
fn inside(flags: u8, payload: &[u8]) -> Option<(Option<u32>, &[u8])> {
    let (padding, payload) = match flags & PADDED {
        0 => (0, payload),
        _ => payload.split_first().map(|(padding, rest)| (usize::from(*padding), rest))?,
    };
    let (dependency, payload) = match flags & HAS_PRIORITY {
        0 => (None, payload),
        _ => {
            let (priority, rest) = payload.split_at_checked(PRIORITY_LEN)?;
            let stream = u32::from_be_bytes(*priority.first_chunk()?);
            (Some(stream & (u32::MAX >> 1)), rest)
        }
    };
    Some((dependency, &payload[..payload.len().checked_sub(padding)?]))
}

#[cfg(test)]
mod tests;
