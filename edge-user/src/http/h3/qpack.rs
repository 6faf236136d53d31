//! Field sections in QPACK (RFC 9204), with the static table alone: we announce a dynamic table
//! without capacity, so a section means the same whatever came before it.
//!
//! | module | job |
//! |---|---|
//! | [`static_table`] | the static table, by index and by name |
//! | [`encoder`] | field lines out, remembered where they recur |

pub mod encoder;
pub mod static_table;

use bytes::{Bytes, BytesMut};

use super::refusal::QpackRefusal;
use crate::http::primitive::huffman::{self, NoHuffman};
use crate::http::primitive::integer::{self, NoInteger};
use static_table::Entry;

/// The first bits of a field line with an index (RFC 9204 section 4.5.2).
const INDEXED: u8 = 0x80;
/// In [`INDEXED`]: of the static table.
const INDEXED_STATIC: u8 = 0x40;
/// The first bits of a literal with the name of an entry (RFC 9204 section 4.5.4).
const NAME_REFERENCE: u8 = 0x40;
/// In [`NAME_REFERENCE`]: never to be indexed.
const NAME_REFERENCE_NEVER: u8 = 0x20;
/// In [`NAME_REFERENCE`]: of the static table.
const NAME_REFERENCE_STATIC: u8 = 0x10;
/// The first bits of a literal with a literal name (RFC 9204 section 4.5.6).
const LITERAL_NAME: u8 = 0x20;
/// In [`LITERAL_NAME`]: never to be indexed.
const LITERAL_NAME_NEVER: u8 = 0x10;
/// The sign of the base (RFC 9204 section 4.5.1.2).
const BASE_SIGN: u8 = 0x80;

/// A field line, as it was sent.
#[derive(Clone, Debug)]
pub enum Line {
    /// A row of the static table.
    Indexed(&'static Entry),
    /// A value with the name of a row.
    NameReference {
        /// The row; its value does not matter.
        name: &'static Entry,
        /// The value.
        value: Bytes,
        /// The N bit: it must be passed on as a literal, too (RFC 9204 section 4.5.4).
        never_indexed: bool,
    },
    /// Name and value.
    Literal {
        /// The name.
        name: Bytes,
        /// The value.
        value: Bytes,
        /// The N bit.
        never_indexed: bool,
    },
}

impl Line {
    /// Its size as RFC 9114 section 4.2.2 has it.
    #[must_use]
    pub fn size(&self) -> u64 {
        let text = match self {
            Self::Indexed(row) => row.name_text.len() + row.value_text.len(),
            Self::NameReference { name, value, .. } => name.name_text.len() + value.len(),
            Self::Literal { name, value, .. } => name.len() + value.len(),
        };
        text as u64 + 32
    }
}

/// Reads the lines of a field section. Strings that are not Huffman code are slices of the section;
/// the others share one allocation.
#[derive(Clone, Debug)]
pub struct Lines {
    section: Bytes,
    at: usize,
    decoded: BytesMut,
}

impl Lines {
    /// Reads the prefix of a section (RFC 9204 section 4.5.1).
    ///
    /// # Errors
    /// Where it needs a dynamic table, or is no prefix.
    pub fn new(section: Bytes) -> Result<Self, QpackRefusal> {
        let mut at = 0;
        if integer::read(&section, &mut at, 8)? != 0 {
            return Err(QpackRefusal::DynamicReference);
        }
        // Without references any base will do (section 4.5.1.2), but none is below zero.
        let sign = section.get(at).is_some_and(|byte| byte & BASE_SIGN != 0);
        integer::read(&section, &mut at, 7)?;
        if sign {
            return Err(QpackRefusal::NegativeBase);
        }
        Ok(Self { section, at, decoded: BytesMut::new() })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Where it refers to a dynamic table, to no entry, or is not a line.
    pub fn next_line(&mut self) -> Result<Option<Line>, QpackRefusal> {
        let Some(&first) = self.section.get(self.at) else { return Ok(None) };
        if first & INDEXED != 0 {
            return Ok(Some(Line::Indexed(self.row(first & INDEXED_STATIC != 0, 6)?)));
        }
        if first & NAME_REFERENCE != 0 {
            let name = self.row(first & NAME_REFERENCE_STATIC != 0, 4)?;
            let never_indexed = first & NAME_REFERENCE_NEVER != 0;
            return Ok(Some(Line::NameReference { name, value: self.string(7)?, never_indexed }));
        }
        if first & LITERAL_NAME != 0 {
            let never_indexed = first & LITERAL_NAME_NEVER != 0;
            let (name, value) = (self.string(3)?, self.string(7)?);
            return Ok(Some(Line::Literal { name, value, never_indexed }));
        }
        // Two more, whose indices are behind the base (sections 4.5.3 and 4.5.5).
        Err(QpackRefusal::DynamicReference)
    }

    fn row(&mut self, is_static: bool, prefix: u32) -> Result<&'static Entry, QpackRefusal> {
        if !is_static {
            return Err(QpackRefusal::DynamicReference);
        }
        let index = integer::read(&self.section, &mut self.at, prefix)?;
        static_table::entry(index).ok_or(QpackRefusal::StaticIndex)
    }

    /// A string whose length has so many bits in the first byte, with the Huffman bit before them.
    fn string(&mut self, prefix: u32) -> Result<Bytes, QpackRefusal> {
        let first = *self.section.get(self.at).ok_or(QpackRefusal::Truncated)?;
        let length = integer::read(&self.section, &mut self.at, prefix)?;
        let left = self.section.len() - self.at;
        let length = usize::try_from(length).ok().filter(|length| *length <= left);
        let length = length.ok_or(QpackRefusal::Truncated)?;
        let range = self.at..self.at + length;
        self.at = range.end;
        if first & (1 << prefix) == 0 {
            return Ok(self.section.slice(range));
        }
        if self.decoded.capacity() == 0 {
            // Enough for this and all that follow.
            self.decoded.reserve(huffman::decoded_most(left));
        }
        huffman::decode(&self.section[range], &mut self.decoded)?;
        Ok(self.decoded.split().freeze())
    }
}

impl From<NoInteger> for QpackRefusal {
    fn from(why: NoInteger) -> Self {
        match why {
            NoInteger::Cut => Self::Truncated,
            NoInteger::TooLong => Self::Integer,
        }
    }
}

impl From<NoHuffman> for QpackRefusal {
    fn from(_: NoHuffman) -> Self {
        Self::Huffman
    }
}

#[cfg(test)]
mod tests;
