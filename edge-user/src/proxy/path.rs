//! The one form of a path in which paths are compared (RFC 3986 section 6.2.2).
//!
//! Who asks for `/a/../b`, `/%62` or `/a/%2e%2e/b` asks for `/b`, and meets the behaviour of `/b`.
//! What two programs behind each other may read in two ways is refused, because the one that
//! decides and the one that answers must not differ: an escaped `/` or `\`, an empty segment, a
//! dot segment with parameters, a control character, bytes that are no UTF-8, and `..` at the root.
//! Upper and lower case differ.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::limits;

/// A path in normal form: it begins with `/`, and no segment is empty (but the last may be), `.` or
/// `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    plain: Cow<'a, str>,
    escaped: Cow<'a, str>,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// RFC 9110 section 4.2.2: an empty one is sent as `/`, too.
    #[error("it does not begin with /")]
    Relative,
    /// More than [`limits::MAX_PATH_BYTES`].
    #[error("it is longer than 8192 bytes")]
    Long,
    /// `//`: some programs take several for one, others do not.
    #[error("it has an empty segment (//)")]
    EmptySegment,
    /// `..` at the root. RFC 3986 section 5.2.4 ignores it, which no honest client relies on.
    #[error("it leads above the root (..)")]
    AboveRoot,
    /// `..;x`: some programs take the parameters off first, and then have a dot segment.
    #[error("a dot segment has parameters (..;)")]
    DotParameters,
    /// `%` without two hexadecimal digits.
    #[error("an escape is not % and two hexadecimal digits")]
    Escape,
    /// `\`, `%5C` or `%2F`: data to some programs, `/` to others.
    #[error("it has a \\ or an escaped / or \\")]
    Separator,
    /// A control character, escaped or not.
    #[error("it has a control character")]
    Control,
    /// What RFC 3986 knows in no URI, and no browser sends.
    #[error("it has a character that must be escaped")]
    Unescaped,
    /// Overlong forms among them, in which some programs see a dot or a slash.
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl<'a> Path<'a> {
    /// Of a request's target, without its query. Nothing is copied where it is in normal form, as
    /// most are.
    ///
    /// # Errors
    /// Where it is no path, or two programs may read it in two ways.
    pub fn parse(sent: &'a str) -> Result<Self, Odd> {
        if sent.len() > limits::MAX_PATH_BYTES {
            return Err(Odd::Long);
        }
        let segments = sent.strip_prefix('/').ok_or(Odd::Relative)?;
        if is_normal(segments.as_bytes()) {
            return Ok(Self { plain: sent.into(), escaped: sent.into() });
        }
        let mut segments = segments.split('/').peekable();
        let mut path = Segments::default();
        while let Some(segment) = segments.next() {
            path.take(&unescaped(segment)?, segments.peek().is_none())?;
        }
        path.into_path()
    }

    /// With escapes resolved: to be compared with names, and never to be resolved again.
    #[must_use]
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// As it may stand in a URI. Escapes are resolved where they mean the same as what they stand
    /// for (RFC 3986 section 2.3), and in upper case.
    #[must_use]
    pub fn escaped(&self) -> &str {
        &self.escaped
    }

    /// [`Self::escaped`] without its first `count` segments: empty, or from a `/` on.
    #[must_use]
    pub fn after_segments(&self, count: usize) -> &str {
        let mut slashes = self.escaped.match_indices('/').skip(count);
        slashes.next().map_or("", |(at, _)| &self.escaped[at..])
    }
}

/// Whether all of it stands for itself. `.` and `;` are looked at more closely where they begin a
/// segment, and where a dot came before.
fn is_normal(segments: &[u8]) -> bool {
    let mut last = b'/';
    segments.iter().all(|&byte| {
        let good = match byte {
            b'/' | b'.' => last != b'/',
            _ => is_unreserved(byte) || is_delimiter(byte),
        };
        last = byte;
        good
    })
}

/// The segments of a path that were taken so far.
#[derive(Default)]
struct Segments {
    plain: Vec<u8>,
    escaped: String,
    /// Where each of them begins, in both: at its `/`.
    begins: Vec<(usize, usize)>,
}

impl Segments {
    fn take(&mut self, segment: &[u8], is_last: bool) -> Result<(), Odd> {
        match segment {
            // RFC 3986 section 5.2.4: at the end a dot segment leaves its slash.
            b"." if is_last => self.push(b""),
            b"." => {}
            b".." => {
                let (plain, escaped) = self.begins.pop().ok_or(Odd::AboveRoot)?;
                self.plain.truncate(plain);
                self.escaped.truncate(escaped);
                if is_last {
                    self.push(b"");
                }
            }
            b"" if !is_last => return Err(Odd::EmptySegment),
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => return Err(Odd::DotParameters),
            _ if segment.iter().any(|byte| byte.is_ascii_control()) => return Err(Odd::Control),
            _ if segment.iter().any(|byte| matches!(byte, b'/' | b'\\')) => {
                return Err(Odd::Separator);
            }
            _ => self.push(segment),
        }
        Ok(())
    }

    fn push(&mut self, segment: &[u8]) {
        self.begins.push((self.plain.len(), self.escaped.len()));
        self.plain.push(b'/');
        self.plain.extend_from_slice(segment);
        self.escaped.push('/');
        escape(segment, &mut self.escaped);
    }

    fn into_path<'a>(self) -> Result<Path<'a>, Odd> {
        let plain = String::from_utf8(self.plain).map_err(|_| Odd::NotUtf8)?;
        Ok(Path { plain: plain.into(), escaped: self.escaped.into() })
    }
}

/// With escapes resolved (RFC 3986 section 2.1).
fn unescaped(segment: &str) -> Result<Vec<u8>, Odd> {
    let mut bytes = segment.bytes();
    let mut plain = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || hex(bytes.next()?);
                let (high, low) = (digit().ok_or(Odd::Escape)?, digit().ok_or(Odd::Escape)?);
                high << 4 | low
            }
            b'\\' => return Err(Odd::Separator),
            _ if byte.is_ascii_control() => return Err(Odd::Control),
            b' ' | b'?' | b'#' | 0x80.. => return Err(Odd::Unescaped),
            // The rest of what is visible: browsers send some of it as it is.
            _ => byte,
        });
    }
    Ok(plain)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Appends `plain` with everything escaped that a segment has to escape.
fn escape(plain: &[u8], escaped: &mut String) {
    for &byte in plain {
        if is_unreserved(byte) || is_delimiter(byte) {
            escaped.push(byte.into());
        } else {
            write!(escaped, "%{byte:02X}").expect("a String takes any text");
        }
    }
}

/// A query as it may stand in a URI: what must be escaped and is not, is.
#[must_use]
pub fn escaped_query(query: &str) -> Cow<'_, str> {
    let stands = |byte| is_unreserved(byte) || is_delimiter(byte) || b"/?%".contains(&byte);
    if query.bytes().all(stands) {
        return query.into();
    }
    let mut escaped = String::with_capacity(query.len());
    for byte in query.bytes() {
        match stands(byte) {
            true => escaped.push(byte.into()),
            false => write!(escaped, "%{byte:02X}").expect("a String takes any text"),
        }
    }
    escaped.into()
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// What else may stand in a segment (RFC 3986 section 3.3).
fn is_delimiter(byte: u8) -> bool {
    b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests;
