//! The head of a response (RFC 9114 section 4.3.2).

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::super::qpack::static_table::Pseudo;
use super::super::refusal::{Malformed, Refusal};
use super::{Framing, Head, Part, once, read};

/// The head of a response, checked.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    /// The length of the content, where it was declared; with HEAD and 304 that of another response.
    pub length: Option<u64>,
}

/// What a response answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// HEAD: there is no content.
    Head,
    /// CONNECT, extended or not: there is a tunnel if it succeeds.
    Connect,
    /// Anything else.
    Other,
}

impl Asked {
    /// By a request of this method.
    #[must_use]
    pub fn by(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

impl Head for ResponseHead {
    type Context = Asked;

    fn read(section: Bytes, _: &Asked) -> Result<Self, Refusal> {
        let mut status = None;
        let fields = read(section, Part::Response, |kind, value| match kind {
            Pseudo::Status => once(&mut status, value),
            _ => Err(Malformed::MisplacedPseudo),
        })?;
        let status = StatusCode::from_bytes(&status.ok_or(Malformed::MissingPseudo)?);
        let status = status.map_err(|_| Malformed::Status)?;
        // RFC 9114 section 4.5.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Malformed::Status.into());
        }
        // RFC 9110 section 8.6. That of 204 is often 0, which misleads nobody.
        let has_none = status.is_informational() || status == StatusCode::NO_CONTENT;
        let is_misleading = fields.length.is_some_and(|length| length > 0);
        if has_none && is_misleading {
            return Err(Malformed::LengthWithoutContent.into());
        }
        Ok(Self { status, fields: fields.map, length: fields.length })
    }

    fn framing(&self, asked: &Asked) -> Framing {
        // RFC 9110 section 6.4.1.
        let is_empty = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match asked {
            _ if self.status.is_informational() => Framing::Interim,
            Asked::Connect if self.status.is_success() => Framing::Tunnel,
            Asked::Head => Framing::NoContent,
            _ if is_empty => Framing::NoContent,
            _ => Framing::Content(self.length),
        }
    }

    fn missing(interim_seen: bool) -> Refusal {
        if interim_seen { Malformed::NoFinalResponse.into() } else { Refusal::Incomplete }
    }
}
