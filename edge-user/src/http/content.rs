//! What follows the head of a request, whatever its version: bytes and trailers as they come.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::check::may_be_trailers;
use super::h1::Content as OfHttp11;
use super::h1::upgraded::Content as OfUpgraded;
use super::h2::Content as OfHttp2;
use super::h3::Content as OfHttp3;

/// What follows the head of a request. Each part is read from the client when it is asked for, and
/// the client has no more room than that: nothing is held.
#[derive(Default)]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// Of a request of HTTP/1.1.
    Http11(OfHttp11),
    /// Of a connection that does not speak HTTP/1.1 any more.
    Upgraded(Box<OfUpgraded>),
    /// Of one of HTTP/2.
    Http2(Box<OfHttp2>),
    /// Of one of HTTP/3. Both are large, and most requests have none.
    Http3(Box<OfHttp3>),
}

/// Why a request is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The client gave it up, or is gone.
    #[error("the client has given it up")]
    Gone,
    /// It broke a rule.
    #[error("the request breaks the rule {0}")]
    Refused(&'static str),
    /// It did not go on for too long.
    #[error("the client does not go on")]
    Late,
}

/// Where it is noted by which rule a request over TCP turned out to be none, for whoever counts.
pub(in crate::http) type RuleNote = Rc<Cell<Option<&'static str>>>;

/// h2 and hyper take any field for a trailer.
fn checked(part: Result<Frame<Bytes>, Cut>, note: &RuleNote) -> Result<Frame<Bytes>, Cut> {
    match part?.into_trailers() {
        Ok(trailers) if may_be_trailers(&trailers) => Ok(Frame::trailers(trailers)),
        Ok(_) => {
            let rule = "trailer-field";
            note.set(Some(rule));
            Err(Cut::Refused(rule))
        }
        Err(part) => Ok(part),
    }
}

/// Where it is noted why a request is not whole, for whoever answers.
pub type CutNote = Rc<Cell<Option<Cut>>>;

impl Body for Content {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let (part, note) = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Http11(content) => (content.poll_frame(cx), &content.refused),
            Self::Http2(content) => (content.poll_frame(cx), &content.refused),
            // It has no trailers.
            Self::Upgraded(content) => return content.poll_frame(cx),
            // Our codec has looked at its trailers.
            Self::Http3(content) => return content.poll_frame(cx),
        };
        part.map(|part| part.map(|part| checked(part, note)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http11(content) => content.is_end_stream(),
            Self::Upgraded(_) => false,
            Self::Http2(content) => content.is_end_stream(),
            Self::Http3(content) => content.is_end_stream(),
        }
    }

    /// Only what is certain: a length that was declared is in the head.
    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
