//! HPACK's tables (RFC 7541 section 2.3), as far as they are followed: how long the parts of each
//! entry are, and which rules ask for it.

use std::collections::VecDeque;

use super::Fault;
use crate::limits;

/// The name begins with a colon.
pub(super) const PSEUDO: u8 = 1;
/// It is `:path`.
pub(super) const PATH: u8 = 2;
/// It is, and the value has a number sign.
pub(super) const FRAGMENT: u8 = 4;

/// A field, as far as it is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) traits: u8,
}

impl Field {
    /// RFC 7541 section 4.1.
    pub(super) const fn size(self) -> u32 {
        self.name_bytes + self.value_bytes + 32
    }
}

/// What a name is.
pub(super) const fn traits(name: &[u8]) -> u8 {
    match name {
        b":path" => PSEUDO | PATH,
        [b':', ..] => PSEUDO,
        _ => 0,
    }
}

/// An entry of the dynamic table, in four bytes: neither part is longer than twelve bits say.
#[derive(Clone, Copy, Debug)]
struct Entry(u32);

const _: () = assert!(limits::HEADER_TABLE_BYTES < (1 << 12) + 32);

impl From<Field> for Entry {
    fn from(field: Field) -> Self {
        Self(field.name_bytes << 20 | field.value_bytes << 8 | u32::from(field.traits))
    }
}

impl From<Entry> for Field {
    fn from(Entry(bits): Entry) -> Self {
        Self { name_bytes: bits >> 20, value_bytes: bits >> 8 & 0xfff, traits: bits as u8 }
    }
}

/// The dynamic table of a connection, and the static one before it.
#[derive(Debug)]
pub(super) struct Table {
    /// The newest first. It holds nothing before there is one.
    entries: VecDeque<Entry>,
    bytes: u32,
    most_bytes: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, most_bytes: limits::HEADER_TABLE_BYTES }
    }
}

impl Table {
    /// RFC 7541 section 2.3.3.
    pub(super) fn field(&self, index: usize) -> Result<Field, Fault> {
        let field = match index.checked_sub(1).ok_or(Fault::Index)? {
            row @ 0..ROWS => Some(FIELDS[row]),
            further => self.entries.get(further - ROWS).map(|entry| Field::from(*entry)),
        };
        field.ok_or(Fault::Index)
    }

    /// RFC 7541 section 4.4. One that is larger than the table leaves it empty.
    pub(super) fn insert(&mut self, field: Field) {
        let size = field.size();
        self.shrink(self.most_bytes.saturating_sub(size));
        if size <= self.most_bytes {
            self.bytes += size;
            self.entries.push_front(field.into());
        }
    }

    /// RFC 7541 section 4.3.
    pub(super) fn resize(&mut self, most_bytes: usize) -> Result<(), Fault> {
        let most_bytes = u32::try_from(most_bytes).map_err(|_| Fault::TableSize)?;
        if most_bytes > limits::HEADER_TABLE_BYTES {
            return Err(Fault::TableSize);
        }
        self.most_bytes = most_bytes;
        self.shrink(most_bytes);
        Ok(())
    }

    fn shrink(&mut self, most_bytes: u32) {
        while self.bytes > most_bytes
            && let Some(oldest) = self.entries.pop_back()
        {
            self.bytes -= Field::from(oldest).size();
        }
    }

    /// The sizes of its entries, the newest first, and their sum.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (Vec<u32>, u32) {
        (self.entries.iter().map(|entry| Field::from(*entry).size()).collect(), self.bytes)
    }
}

const ROWS: usize = 61;

static FIELDS: [Field; ROWS] = fields();

const fn fields() -> [Field; ROWS] {
    let mut fields = [Field { name_bytes: 0, value_bytes: 0, traits: 0 }; ROWS];
    let mut row = 0;
    while row < ROWS {
        let (name, value) = STATIC[row];
        fields[row] = Field {
            name_bytes: name.len() as u32,
            value_bytes: value.len() as u32,
            traits: traits(name.as_bytes()),
        };
        row += 1;
    }
    fields
}

/// RFC 7541 appendix A.
const STATIC: [(&str, &str); ROWS] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
