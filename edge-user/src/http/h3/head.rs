//! Field sections as messages: the checks of RFC 9114 sections 4.1 to 4.3, on the way into a
//! [`HeaderMap`].
//!
//! A message that two readers could take for different things is refused here, because everything
//! behind this, down to an origin that speaks HTTP/1.1, trusts what it is given.
//!
//! | module | job |
//! |---|---|
//! | [`request`] | the head of a request |
//! | [`response`] | the head of a response |
//! | `target` | authorities and paths |

pub mod request;
pub mod response;
mod target;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::qpack::static_table::{EntryName, Pseudo};
use super::qpack::{Line, Lines};
use super::refusal::{Excess, Malformed, Refusal};
use crate::limits;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Another head: this one is interim (1xx).
    Interim,
    /// Content of this length, or of any where none was declared.
    Content(Option<u64>),
    /// No content, whatever length was declared (RFC 9110 section 6.4.1).
    NoContent,
    /// Bytes of a tunnel, and no trailers (RFC 9114 section 4.4).
    Tunnel,
}

/// The head of a message of one direction.
pub trait Head: Sized {
    /// What its reader has to know beside the section.
    type Context;

    /// Reads it from a field section.
    ///
    /// # Errors
    /// Where the section is malformed, or too large.
    fn read(section: Bytes, context: &Self::Context) -> Result<Self, Refusal>;

    /// What follows it.
    fn framing(&self, context: &Self::Context) -> Framing;

    /// What is wrong with a stream that ends before a final head.
    fn missing(interim_seen: bool) -> Refusal;
}

/// Which part of a message a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Request,
    Response,
    Trailers,
}

/// Reads trailers.
///
/// # Errors
/// Where the section is malformed, or too large.
pub fn trailers(section: Bytes) -> Result<HeaderMap, Refusal> {
    let fields = read(section, Part::Trailers, |_, _| Err(Malformed::MisplacedPseudo))?;
    Ok(fields.map)
}

/// Reads a section; `pseudo` is shown its pseudo-header fields, which all come first.
fn read(
    section: Bytes,
    part: Part,
    mut pseudo: impl FnMut(Pseudo, Bytes) -> Result<(), Malformed>,
) -> Result<Fields, Refusal> {
    let mut lines = Lines::new(section)?;
    let mut fields = Fields::new(part);
    while let Some(line) = lines.next_line()? {
        fields.count(&line)?;
        match line {
            Line::Indexed(row) => match &row.name {
                EntryName::Pseudo(kind) => {
                    fields.no_regular_yet()?;
                    pseudo(*kind, Bytes::from_static(row.value_text.as_bytes()))?;
                }
                EntryName::Field(name) => fields.take(name.clone(), row.value.clone())?,
            },
            Line::NameReference { name, value, never_indexed } => match &name.name {
                EntryName::Pseudo(kind) => {
                    fields.no_regular_yet()?;
                    pseudo(*kind, value)?;
                }
                EntryName::Field(name) => {
                    fields.take(name.clone(), field_value(value, never_indexed)?)?;
                }
            },
            Line::Literal { name, value, never_indexed } => {
                if name.first() == Some(&b':') {
                    fields.no_regular_yet()?;
                    pseudo(Pseudo::of(&name).ok_or(Malformed::UnknownPseudo)?, value)?;
                } else {
                    fields.take(field_name(&name)?, field_value(value, never_indexed)?)?;
                }
            }
        }
    }
    fields.finish();
    Ok(fields)
}

/// RFC 9114 sections 4.2 and 10.3: a token (RFC 9110 section 5.6.2) without upper case. The library
/// takes a quotation mark besides.
fn field_name(name: &[u8]) -> Result<HeaderName, Malformed> {
    if name.contains(&b'"') {
        return Err(Malformed::Name);
    }
    HeaderName::from_lowercase(name).map_err(|_| Malformed::Name)
}

/// RFC 9114 section 10.3: no control character. RFC 9110 section 5.5: no whitespace around it.
fn field_value(value: Bytes, never_indexed: bool) -> Result<HeaderValue, Malformed> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_space(value.first()) || is_space(value.last()) {
        return Err(Malformed::ValueSpace);
    }
    let mut value = HeaderValue::from_maybe_shared(value).map_err(|_| Malformed::Value)?;
    value.set_sensitive(never_indexed);
    Ok(value)
}

/// The regular fields of a section, as they are read.
struct Fields {
    part: Part,
    map: HeaderMap,
    /// The declared length of the content.
    length: Option<u64>,
    /// Crumbs of the cookie (RFC 9114 section 4.2.1).
    cookies: Vec<HeaderValue>,
    regular_seen: bool,
    lines: usize,
    bytes: u64,
}

impl Fields {
    fn new(part: Part) -> Self {
        Self {
            part,
            map: HeaderMap::new(),
            length: None,
            cookies: Vec::new(),
            regular_seen: false,
            lines: 0,
            bytes: 0,
        }
    }

    fn count(&mut self, line: &Line) -> Result<(), Excess> {
        self.lines += 1;
        self.bytes += line.size();
        if self.lines > limits::MAX_FIELDS {
            return Err(Excess::FieldCount);
        }
        if self.bytes > limits::MAX_FIELD_SECTION_BYTES {
            return Err(Excess::FieldSection);
        }
        Ok(())
    }

    /// RFC 9114 section 4.3: pseudo-header fields come before regular ones.
    fn no_regular_yet(&self) -> Result<(), Malformed> {
        if self.regular_seen { Err(Malformed::LatePseudo) } else { Ok(()) }
    }

    fn take(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Malformed> {
        self.regular_seen = true;
        match name.as_str() {
            // RFC 9114 section 4.2. What Connection would name is refused along with it.
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
                return Err(Malformed::ConnectionField);
            }
            "te" if self.part != Part::Request
                || !value.as_bytes().eq_ignore_ascii_case(b"trailers") =>
            {
                return Err(Malformed::Te);
            }
            // RFC 9110 section 6.5.1: what says where a message ends, where it goes, or what is to
            // be done with it before its content is read.
            "content-length" | "host" | "trailer" | "expect" | "max-forwards"
                if self.part == Part::Trailers =>
            {
                return Err(Malformed::TrailerField);
            }
            "content-length" => {
                if self.length.is_some() {
                    return Err(Malformed::RepeatedLength);
                }
                self.length = Some(content_length(value.as_bytes()).ok_or(Malformed::Length)?);
            }
            "host" if self.part == Part::Request && self.map.contains_key(header::HOST) => {
                return Err(Malformed::RepeatedHost);
            }
            "cookie" if self.part == Part::Request => {
                self.cookies.push(value);
                return Ok(());
            }
            _ => {}
        }
        self.map.append(name, value);
        Ok(())
    }

    /// RFC 9114 section 4.2.1: whoever reads this needs them in one piece.
    fn finish(&mut self) {
        match self.cookies.len() {
            0 => {}
            1 => drop(self.map.insert(header::COOKIE, self.cookies.remove(0))),
            _ => {
                let crumbs: Vec<_> = self.cookies.iter().map(HeaderValue::as_bytes).collect();
                let whole = Bytes::from(crumbs.join(&b"; "[..]));
                let mut whole =
                    HeaderValue::from_maybe_shared(whole).expect("made of values and `; `");
                whole.set_sensitive(self.cookies.iter().any(HeaderValue::is_sensitive));
                self.map.insert(header::COOKIE, whole);
            }
        }
    }
}

/// RFC 9110 section 8.6: decimal digits, and no sign, space or list.
fn content_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Sets what may be there once (RFC 9114 section 4.3.1).
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Malformed> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::RepeatedPseudo),
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

#[cfg(test)]
mod tests;
