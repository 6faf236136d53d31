//! The lines of a header block (RFC 7541 section 6), read for what has to be kept of them.

use super::table::{FRAGMENT, Field, PATH, Table, traits};
use super::{Block, Fault};
use crate::http::primitive::{huffman, integer};

/// A field that is an entry (RFC 7541 section 6.1).
const INDEXED: u8 = 0x80;
/// A literal that becomes an entry (section 6.2.1).
const INCREMENTAL: u8 = 0x40;
/// The bits of a change of the table's size, and what they are (section 6.3).
const OF_RESIZE: u8 = 0xe0;
const RESIZE: u8 = 0x20;
/// In the length of a string: it is Huffman code (section 5.2).
const HUFFMAN: u8 = 0x80;
/// As many bytes of a name say what it is: one more than `:path` has.
const TELLING_BYTES: usize = 6;

impl Table {
    /// Follows whole lines, and says how many bytes they had.
    pub(super) fn follow(&mut self, bytes: &[u8], block: &mut Block) -> Result<usize, Fault> {
        let mut followed = 0;
        while followed < bytes.len() {
            let mut at = followed;
            match self.line(bytes, &mut at, block) {
                Ok(()) => followed = at,
                Err(Fault::Cut) => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(followed)
    }

    fn line(&mut self, bytes: &[u8], at: &mut usize, block: &mut Block) -> Result<(), Fault> {
        let first = bytes[*at];
        if first & INDEXED != 0 {
            block.add(self.field(integer::read_short(bytes, at, 7)?)?);
            return Ok(());
        }
        if first & OF_RESIZE == RESIZE {
            let most_bytes = integer::read_short(bytes, at, 5)?;
            if block.has_begun {
                return Err(Fault::LateTableSize);
            }
            block.changes_table = true;
            return self.resize(most_bytes);
        }
        let becomes_entry = first & INCREMENTAL != 0;
        let (name_bytes, name) =
            match integer::read_short(bytes, at, if becomes_entry { 6 } else { 4 })? {
                0 => name(string(bytes, at)?)?,
                index => {
                    let Field { name_bytes, traits, .. } = self.field(index)?;
                    (name_bytes, traits & !FRAGMENT)
                }
            };
        let (value_bytes, has_fragment) = value(string(bytes, at)?, name & PATH != 0)?;
        if name_bytes == 0 {
            return Err(Fault::NoName);
        }
        let traits = if has_fragment { name | FRAGMENT } else { name };
        let field = Field { name_bytes, value_bytes, traits };
        if becomes_entry {
            block.changes_table = true;
            self.insert(field);
        }
        block.add(field);
        Ok(())
    }
}

/// A string as it came.
enum Text<'a> {
    Plain(&'a [u8]),
    Coded(&'a [u8]),
}

fn string<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Text<'a>, Fault> {
    let first = *bytes.get(*at).ok_or(Fault::Cut)?;
    let length = integer::read_short(bytes, at, 7)?;
    let text = bytes[*at..].get(..length).ok_or(Fault::Cut)?;
    *at += length;
    Ok(if first & HUFFMAN == 0 { Text::Plain(text) } else { Text::Coded(text) })
}

/// How long it is, and what.
fn name(text: Text<'_>) -> Result<(u32, u8), Fault> {
    match text {
        Text::Plain(text) => Ok((text.len() as u32, traits(text))),
        Text::Coded(coded) => {
            let (mut length, mut start) = (0, [0; TELLING_BYTES]);
            huffman::each(coded, |byte| {
                if let Some(place) = start.get_mut(length) {
                    *place = byte;
                }
                length += 1;
            })?;
            Ok((length as u32, traits(&start[..length.min(TELLING_BYTES)])))
        }
    }
}

/// How long it is, and whether it has a fragment, where that matters.
fn value(text: Text<'_>, is_path: bool) -> Result<(u32, bool), Fault> {
    match text {
        Text::Plain(text) => Ok((text.len() as u32, is_path && text.contains(&b'#'))),
        Text::Coded(coded) => {
            let (mut length, mut has_fragment) = (0, false);
            huffman::each(coded, |byte| {
                has_fragment |= byte == b'#';
                length += 1;
            })?;
            Ok((length, is_path && has_fragment))
        }
    }
}
