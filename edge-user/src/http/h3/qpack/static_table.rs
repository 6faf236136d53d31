//! The static table (RFC 9204 section 3.1 and appendix A), read by index and by name.

use http::{HeaderName, HeaderValue};

/// A pseudo-header field (RFC 9114 section 4.3, RFC 9220).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pseudo {
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:protocol`
    Protocol,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
}

impl Pseudo {
    /// Its name, with the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Protocol => ":protocol",
            Self::Scheme => ":scheme",
            Self::Status => ":status",
        }
    }

    /// The one of this name.
    #[must_use]
    pub const fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b":authority" => Self::Authority,
            b":method" => Self::Method,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":scheme" => Self::Scheme,
            b":status" => Self::Status,
            _ => return None,
        })
    }
}

/// The name of an entry.
#[derive(Debug)]
pub enum EntryName {
    /// Of a pseudo-header field.
    Pseudo(Pseudo),
    /// Of a regular field.
    Field(HeaderName),
}

/// A row of the table.
#[derive(Debug)]
pub struct Entry {
    /// The name, as a type.
    pub name: EntryName,
    /// The name.
    pub name_text: &'static str,
    /// The value, as a type.
    pub value: HeaderValue,
    /// The value.
    pub value_text: &'static str,
}

/// Each row gives a text for look-ups and an entry for readers.
macro_rules! rows {
    ($($name:literal, $value:literal;)*) => {
        const TEXTS: [(&str, &str); ROWS] = [$(($name, $value)),*];
        static TABLE: [Entry; ROWS] = [$(entry_of($name, $value)),*];
    };
}

/// Rows of the table.
const ROWS: usize = 99;

rows! {
    ":authority", "";
    ":path", "/";
    "age", "0";
    "content-disposition", "";
    "content-length", "0";
    "cookie", "";
    "date", "";
    "etag", "";
    "if-modified-since", "";
    "if-none-match", "";
    "last-modified", "";
    "link", "";
    "location", "";
    "referer", "";
    "set-cookie", "";
    ":method", "CONNECT";
    ":method", "DELETE";
    ":method", "GET";
    ":method", "HEAD";
    ":method", "OPTIONS";
    ":method", "POST";
    ":method", "PUT";
    ":scheme", "http";
    ":scheme", "https";
    ":status", "103";
    ":status", "200";
    ":status", "304";
    ":status", "404";
    ":status", "503";
    "accept", "*/*";
    "accept", "application/dns-message";
    "accept-encoding", "gzip, deflate, br";
    "accept-ranges", "bytes";
    "access-control-allow-headers", "cache-control";
    "access-control-allow-headers", "content-type";
    "access-control-allow-origin", "*";
    "cache-control", "max-age=0";
    "cache-control", "max-age=2592000";
    "cache-control", "max-age=604800";
    "cache-control", "no-cache";
    "cache-control", "no-store";
    "cache-control", "public, max-age=31536000";
    "content-encoding", "br";
    "content-encoding", "gzip";
    "content-type", "application/dns-message";
    "content-type", "application/javascript";
    "content-type", "application/json";
    "content-type", "application/x-www-form-urlencoded";
    "content-type", "image/gif";
    "content-type", "image/jpeg";
    "content-type", "image/png";
    "content-type", "text/css";
    "content-type", "text/html; charset=utf-8";
    "content-type", "text/plain";
    "content-type", "text/plain;charset=utf-8";
    "range", "bytes=0-";
    "strict-transport-security", "max-age=31536000";
    "strict-transport-security", "max-age=31536000; includesubdomains";
    "strict-transport-security", "max-age=31536000; includesubdomains; preload";
    "vary", "accept-encoding";
    "vary", "origin";
    "x-content-type-options", "nosniff";
    "x-xss-protection", "1; mode=block";
    ":status", "100";
    ":status", "204";
    ":status", "206";
    ":status", "302";
    ":status", "400";
    ":status", "403";
    ":status", "421";
    ":status", "425";
    ":status", "500";
    "accept-language", "";
    "access-control-allow-credentials", "FALSE";
    "access-control-allow-credentials", "TRUE";
    "access-control-allow-headers", "*";
    "access-control-allow-methods", "get";
    "access-control-allow-methods", "get, post, options";
    "access-control-allow-methods", "options";
    "access-control-expose-headers", "content-length";
    "access-control-request-headers", "content-type";
    "access-control-request-method", "get";
    "access-control-request-method", "post";
    "alt-svc", "clear";
    "authorization", "";
    "content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'";
    "early-data", "1";
    "expect-ct", "";
    "forwarded", "";
    "if-range", "";
    "origin", "";
    "purpose", "prefetch";
    "server", "";
    "timing-allow-origin", "*";
    "upgrade-insecure-requests", "1";
    "user-agent", "";
    "x-forwarded-for", "";
    "x-frame-options", "deny";
    "x-frame-options", "sameorigin";
}

const fn entry_of(name: &'static str, value: &'static str) -> Entry {
    let entry_name = match Pseudo::of(name.as_bytes()) {
        Some(pseudo) => EntryName::Pseudo(pseudo),
        None => EntryName::Field(HeaderName::from_static(name)),
    };
    Entry {
        name: entry_name,
        name_text: name,
        value: HeaderValue::from_static(value),
        value_text: value,
    }
}

/// The row of this index.
#[must_use]
pub fn entry(index: u64) -> Option<&'static Entry> {
    TABLE.get(usize::try_from(index).ok()?)
}

/// Slots of [`NAMES`]: several times as many as there are names, so that few look further.
const SLOTS: usize = 256;
/// What is no row.
const NONE: u8 = u8::MAX;

/// Where names are: a table of hashes, and from each row to the next one of its name.
struct Names {
    slots: [u8; SLOTS],
    next: [u8; ROWS],
}

static NAMES: Names = names();

const fn hash(name: &[u8]) -> usize {
    // Length and three bytes tell nearly all names apart.
    let length = name.len();
    let (first, middle, last) = (name[0], name[length / 2], name[length - 1]);
    (length * 59 + first as usize * 5 + middle as usize * 23 + last as usize * 97) % SLOTS
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

const fn names() -> Names {
    let mut names = Names { slots: [NONE; SLOTS], next: [NONE; ROWS] };
    let mut row = 0;
    while row < ROWS {
        let name = TEXTS[row].0.as_bytes();
        let mut slot = hash(name);
        while names.slots[slot] != NONE
            && !is_same(TEXTS[names.slots[slot] as usize].0.as_bytes(), name)
        {
            slot = (slot + 1) % SLOTS;
        }
        if names.slots[slot] == NONE {
            names.slots[slot] = row as u8;
        } else {
            let mut last = names.slots[slot] as usize;
            while names.next[last] != NONE {
                last = names.next[last] as usize;
            }
            names.next[last] = row as u8;
        }
        row += 1;
    }
    names
}

/// Where a field is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Name and value, at this index.
    Field(u8),
    /// The name, at this index.
    Name(u8),
}

/// Looks for a field: by name and value, or else by name.
#[must_use]
pub fn find(name: &[u8], value: &[u8]) -> Option<Found> {
    if name.is_empty() {
        return None;
    }
    let mut slot = hash(name);
    let first = loop {
        let row = NAMES.slots[slot];
        if row == NONE {
            return None;
        }
        if TABLE[usize::from(row)].name_text.as_bytes() == name {
            break row;
        }
        slot = (slot + 1) % SLOTS;
    };
    let mut row = first;
    while row != NONE {
        if TABLE[usize::from(row)].value_text.as_bytes() == value {
            return Some(Found::Field(row));
        }
        row = NAMES.next[usize::from(row)];
    }
    Some(Found::Name(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9204 appendix A: one row of each run of names, and both ends.
    #[test]
    fn rows_are_those_of_the_appendix() {
        for (index, name, value) in [
            (0, ":authority", ""),
            (1, ":path", "/"),
            (2, "age", "0"),
            (14, "set-cookie", ""),
            (15, ":method", "CONNECT"),
            (17, ":method", "GET"),
            (21, ":method", "PUT"),
            (23, ":scheme", "https"),
            (24, ":status", "103"),
            (25, ":status", "200"),
            (31, "accept-encoding", "gzip, deflate, br"),
            (41, "cache-control", "public, max-age=31536000"),
            (52, "content-type", "text/html; charset=utf-8"),
            (57, "strict-transport-security", "max-age=31536000; includesubdomains"),
            (62, "x-xss-protection", "1; mode=block"),
            (71, ":status", "500"),
            (77, "access-control-allow-methods", "get, post, options"),
            (
                85,
                "content-security-policy",
                "script-src 'none'; object-src 'none'; base-uri 'none'",
            ),
            (92, "server", ""),
            (98, "x-frame-options", "sameorigin"),
        ] {
            let entry = entry(index).expect("a row");
            assert_eq!((entry.name_text, entry.value_text), (name, value), "{index}");
        }
        assert!(entry(99).is_none());
        assert!(entry(u64::MAX).is_none());
    }

    #[test]
    fn each_row_is_found_by_its_field_and_by_its_name() {
        for (index, row) in TABLE.iter().enumerate() {
            let found = find(row.name_text.as_bytes(), row.value_text.as_bytes());
            assert_eq!(found, Some(Found::Field(index as u8)), "{row:?}");
            let Some(Found::Name(first)) = find(row.name_text.as_bytes(), b"of no row") else {
                panic!("{row:?}")
            };
            assert_eq!(TABLE[usize::from(first)].name_text, row.name_text);
            assert!(usize::from(first) <= index);
        }
        for strange in ["", "x", "accepts", ":protocol", "content-typf", "x-forwarded-host"] {
            assert_eq!(find(strange.as_bytes(), b""), None, "{strange}");
        }
    }

    #[test]
    fn names_and_values_are_one_text_and_one_type() {
        for row in &TABLE {
            match &row.name {
                EntryName::Pseudo(pseudo) => assert_eq!(pseudo.name(), row.name_text),
                EntryName::Field(name) => assert_eq!(name.as_str(), row.name_text),
            }
            assert_eq!(row.value, row.value_text);
        }
    }
}
