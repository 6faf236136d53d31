//! What a line says, in either format. Nothing that a client sends ends a line or looks like another
//! field: what is not plain text is escaped, and what is long is cut.

use std::fmt::Display;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use super::Ended;
use crate::config::LogFormat;
use crate::config::origins::Server;
use crate::http::Version;
use crate::limits;

/// What is known of a request when its answer begins.
pub(super) struct Line<'a> {
    pub(super) time: SystemTime,
    pub(super) client: SocketAddr,
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) version: Version,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) distribution: Option<&'a str>,
    /// The path of the behaviour, and what kind of answer it is.
    pub(super) behaviour: Option<(&'a str, &'static str)>,
    pub(super) origin: Option<&'a str>,
    pub(super) server: Option<&'a Server>,
    pub(super) reason: Option<&'static str>,
    pub(super) request_id: Option<&'a [u8]>,
    /// Of the answer, and how long it took to its head. Nothing where there is none.
    pub(super) answer: Option<(u16, Duration)>,
}

/// What is known when it has ended.
pub(super) struct End {
    pub(super) ended: Ended,
    /// Of content.
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// The status of a request that was given up before there was one: nobody was sent it. The number is
/// nginx's, which readers of its format know.
const CANCELLED: u16 = 499;

impl Line<'_> {
    /// Writes what is known; where in it the rest belongs.
    pub(super) fn begin(&self, format: LogFormat, out: &mut Vec<u8>) -> usize {
        match format {
            LogFormat::Json => {
                self.json(out);
                out.len()
            }
            LogFormat::Text => {
                self.text(out);
                let place = out.len();
                // What follows the number of bytes.
                for (before, field) in [(&b" \""[..], self.referer), (b"\" \"", self.user_agent)] {
                    out.extend_from_slice(before);
                    match field {
                        Some(field) => quoted(field, Escape::Hex, out),
                        None => out.push(b'-'),
                    }
                }
                out.extend_from_slice(b"\"\n");
                place
            }
        }
    }

    fn json(&self, out: &mut Vec<u8>) {
        let now = civil(self.time);
        let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
        let (hour, minute, second) = now.to_hms();
        let milli = now.millisecond();
        // RFC 3339 section 5.6.
        let _ = write!(
            out,
            "{{\"time\":\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z\""
        );
        let _ = write!(out, ",\"client\":\"{}\"", self.client.ip().to_canonical());
        number("port", self.client.port(), out);
        text("method", self.method.as_bytes(), out);
        text("host", self.host.as_bytes(), out);
        out.extend_from_slice(b",\"path\":\"");
        self.target(Escape::Unicode, out);
        out.push(b'"');
        text("version", self.version.name().as_bytes(), out);
        if let Some((status, head)) = self.answer {
            number("status", status, out);
            seconds("head_seconds", head, out);
        }
        let server = self.server.map(ToString::to_string);
        let (behaviour, by) = self.behaviour.unzip();
        for (name, value) in [
            ("distribution", self.distribution.map(str::as_bytes)),
            ("behaviour", behaviour.map(str::as_bytes)),
            ("by", by.map(str::as_bytes)),
            ("origin", self.origin.map(str::as_bytes)),
            ("server", server.as_deref().map(str::as_bytes)),
            ("reason", self.reason.map(str::as_bytes)),
            ("request_id", self.request_id),
            ("referer", self.referer),
            ("user_agent", self.user_agent),
        ] {
            if let Some(value) = value {
                text(name, value, out);
            }
        }
    }

    /// Up to the number of bytes.
    fn text(&self, out: &mut Vec<u8>) {
        let now = civil(self.time);
        let (year, day) = (now.year(), now.day());
        let month = MONTHS[usize::from(u8::from(now.month())) - 1];
        let (hour, minute, second) = now.to_hms();
        let client = self.client.ip().to_canonical();
        let _ = write!(
            out,
            "{client} - - [{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000] \""
        );
        quoted(self.method.as_bytes(), Escape::Hex, out);
        out.push(b' ');
        self.target(Escape::Hex, out);
        let version = match self.version {
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
            Version::Http3 => "HTTP/3.0",
        };
        let status = self.answer.map_or(CANCELLED, |(status, _)| status);
        let _ = write!(out, " {version}\" {status} ");
    }

    /// Path and query; of a CONNECT without a path whom it is for.
    fn target(&self, escape: Escape, out: &mut Vec<u8>) {
        let path = if self.path.is_empty() { self.host } else { self.path };
        quoted(path.as_bytes(), escape, out);
        if let Some(query) = self.query {
            out.push(b'?');
            quoted(query.as_bytes(), escape, out);
        }
    }
}

impl End {
    /// Writes what [`Line::begin`] left out.
    pub(super) fn write(&self, format: LogFormat, out: &mut Vec<u8>) {
        match format {
            LogFormat::Json => {
                number("bytes", self.bytes, out);
                seconds("seconds", self.took, out);
                text("end", self.ended.name().as_bytes(), out);
                out.extend_from_slice(b"}\n");
            }
            LogFormat::Text => {
                let _ = write!(out, "{}", self.bytes);
            }
        }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// In UTC. A clock that stands before 1970, or after 9999, is none.
fn civil(time: SystemTime) -> OffsetDateTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn text(name: &str, value: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, ",\"{name}\":\"");
    quoted(value, Escape::Unicode, out);
    out.push(b'"');
}

fn number(name: &str, value: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, ",\"{name}\":{value}");
}

fn seconds(name: &str, time: Duration, out: &mut Vec<u8>) {
    number(name, format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()), out);
}

/// How what is not plain text is written between quotes.
#[derive(Clone, Copy)]
enum Escape {
    /// `\u` and four digits (RFC 8259 section 7); a byte that is no UTF-8 is U+FFFD.
    Unicode,
    /// `\x` and two digits a byte, as nginx and Apache have it.
    Hex,
}

/// Plain ASCII stays as it is. All else is escaped, so that no reader of either format, nor a terminal
/// that shows it, does anything but show it. Ends with `...` where it was too long.
fn quoted(value: &[u8], escape: Escape, out: &mut Vec<u8>) {
    let kept = &value[..value.len().min(limits::ACCESS_LOG_FIELD_BYTES)];
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if kept.iter().all(is_plain) {
        out.extend_from_slice(kept);
    } else {
        match escape {
            Escape::Hex => kept.iter().for_each(|byte| {
                if is_plain(byte) {
                    out.push(*byte);
                } else {
                    let _ = write!(out, "\\x{byte:02X}");
                }
            }),
            Escape::Unicode => {
                for chunk in kept.utf8_chunks() {
                    chunk.valid().chars().for_each(|letter| unicode(letter, out));
                    if !chunk.invalid().is_empty() {
                        unicode(char::REPLACEMENT_CHARACTER, out);
                    }
                }
            }
        }
    }
    if kept.len() < value.len() {
        out.extend_from_slice(b"...");
    }
}

fn unicode(letter: char, out: &mut Vec<u8>) {
    match letter {
        '"' | '\\' => out.extend_from_slice(&[b'\\', letter as u8]),
        ' '..='~' => out.push(letter as u8),
        _ => letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
            let _ = write!(out, "\\u{unit:04x}");
        }),
    }
}
