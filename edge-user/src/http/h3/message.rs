//! One direction of a request stream (RFC 9114 section 4.1): bytes in, a message out.
//!
//! Reads no clock and no socket. What waits for how long, and how much is read ahead, is for the
//! caller to decide: nothing is held here but what was given and not yet asked for, and a field
//! section that is not whole.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;

use super::frame::{Decoder, Piece, Role};
use super::head::request::RequestHead;
use super::head::response::{Asked, ResponseHead};
use super::head::{self, Framing, Head};
use super::refusal::{Excess, FrameRefusal, Malformed, Refusal};
use crate::limits;

/// What a message is made of, in this order: interim heads, a head, data, trailers, the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<H> {
    /// An interim response (1xx); another head follows.
    Interim(H),
    /// The head.
    Head(H),
    /// Bytes of the content, or of a tunnel: a slice of what was given, never empty.
    Data(Bytes),
    /// The trailers.
    Trailers(HeaderMap),
    /// The message is whole. Comes once.
    End,
}

/// A request, as a server reads it.
pub type Request = Message<RequestHead>;
/// A response, as a client reads it.
pub type Response = Message<ResponseHead>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the final head.
    Head,
    Body(Framing),
    /// Behind the trailers.
    Trailed,
    Ended,
    Refused(Refusal),
}

/// Reads a message.
#[derive(Debug)]
pub struct Message<H: Head> {
    context: H::Context,
    frames: Decoder,
    stage: Stage,
    /// What was given and not read yet: most often one piece, which needs no queue.
    input: Bytes,
    queued: VecDeque<Bytes>,
    /// Whether the stream ends behind that.
    fin: bool,
    /// Bytes of content that DATA frames have declared so far.
    declared: u64,
    interim: u32,
}

impl Request {
    /// At the start of a stream.
    #[must_use]
    pub fn request() -> Self {
        Self::new(Role::Server, ())
    }
}

impl Response {
    /// At the start of a stream, in answer to a request.
    #[must_use]
    pub fn response(asked: Asked) -> Self {
        Self::new(Role::Client, asked)
    }
}

impl<H: Head> Message<H> {
    fn new(role: Role, context: H::Context) -> Self {
        Self {
            context,
            frames: Decoder::new(role),
            stage: Stage::Head,
            input: Bytes::new(),
            queued: VecDeque::new(),
            fin: false,
            declared: 0,
            interim: 0,
        }
    }

    /// The length of the content, behind a head that declares one.
    pub(super) fn declared_length(&self) -> Option<u64> {
        match self.stage {
            Stage::Body(Framing::Content(length)) => length,
            _ => None,
        }
    }

    /// Takes in the next bytes of the stream, and whether it ends behind them. What comes after the
    /// end is not looked at.
    pub fn handle_bytes(&mut self, bytes: Bytes, fin: bool) {
        if self.fin || matches!(self.stage, Stage::Refused(_)) {
            return;
        }
        self.fin = fin;
        if self.input.is_empty() {
            self.input = bytes;
        } else if !bytes.is_empty() {
            self.queued.push_back(bytes);
        }
    }

    /// Whether there are bytes that were not looked at.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.input.is_empty() || !self.queued.is_empty()
    }

    /// Whether the stream ends behind what was given.
    #[must_use]
    pub fn is_at_fin(&self) -> bool {
        self.fin
    }

    /// Gives what is next; `None` when it needs more bytes, or at the end.
    ///
    /// # Errors
    /// Where the message is refused: from then on always, for the same reason.
    pub fn poll(&mut self) -> Result<Option<Event<H>>, Refusal> {
        if let Stage::Refused(refusal) = self.stage {
            return Err(refusal);
        }
        self.advance().inspect_err(|refusal| {
            self.stage = Stage::Refused(*refusal);
            (self.input, self.queued) = Default::default();
        })
    }

    fn advance(&mut self) -> Result<Option<Event<H>>, Refusal> {
        loop {
            if let Some(piece) = self.frames.next(&mut self.input)? {
                if let Some(event) = self.take(piece)? {
                    return Ok(Some(event));
                }
            } else if let Some(next) = self.queued.pop_front() {
                self.input = next;
            } else if self.fin && self.stage != Stage::Ended {
                self.end()?;
                return Ok(Some(Event::End));
            } else {
                return Ok(None);
            }
        }
    }

    fn take(&mut self, piece: Piece) -> Result<Option<Event<H>>, Refusal> {
        match (piece, self.stage) {
            (Piece::Fields(section), Stage::Head) => self.head(section).map(Some),
            (Piece::Content(_) | Piece::Data(_), Stage::Head) => {
                Err(FrameRefusal::DataFirst.into())
            }
            (Piece::Content(bytes), Stage::Body(framing)) => {
                self.declare(bytes, framing)?;
                Ok(None)
            }
            (Piece::Data(bytes), Stage::Body(_)) => Ok(Some(Event::Data(bytes))),
            (Piece::Fields(_), Stage::Body(Framing::Tunnel)) => Err(FrameRefusal::InTunnel.into()),
            (Piece::Fields(section), Stage::Body(framing)) => {
                let trailers = head::trailers(section)?;
                self.check_length(framing)?;
                self.stage = Stage::Trailed;
                Ok(Some(Event::Trailers(trailers)))
            }
            (_, Stage::Trailed | Stage::Ended | Stage::Refused(_)) => {
                Err(FrameRefusal::AfterTrailers.into())
            }
        }
    }

    fn head(&mut self, section: Bytes) -> Result<Event<H>, Refusal> {
        let head = H::read(section, &self.context)?;
        match head.framing(&self.context) {
            Framing::Interim => {
                self.interim += 1;
                if self.interim > limits::MAX_INTERIM_RESPONSES {
                    return Err(Excess::InterimResponses.into());
                }
                Ok(Event::Interim(head))
            }
            framing => {
                self.stage = Stage::Body(framing);
                Ok(Event::Head(head))
            }
        }
    }

    /// A frame that would make the content too long is refused before a byte of it is passed on.
    fn declare(&mut self, bytes: u64, framing: Framing) -> Result<(), Refusal> {
        // Far below 2^64: every frame but the last was received.
        self.declared = self.declared.saturating_add(bytes);
        match framing {
            Framing::Content(Some(length)) if self.declared > length => {
                Err(Malformed::LengthDiffers.into())
            }
            Framing::NoContent if self.declared > 0 => Err(Malformed::Content.into()),
            _ => Ok(()),
        }
    }

    /// RFC 9114 section 4.1.2: the declared length is the sum of the DATA frames.
    fn check_length(&self, framing: Framing) -> Result<(), Malformed> {
        match framing {
            Framing::Content(Some(length)) if self.declared != length => {
                Err(Malformed::LengthDiffers)
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), Refusal> {
        if !self.frames.is_between_frames() {
            return Err(FrameRefusal::Truncated.into());
        }
        match self.stage {
            Stage::Head => return Err(H::missing(self.interim > 0)),
            Stage::Body(framing) => self.check_length(framing)?,
            Stage::Trailed | Stage::Ended | Stage::Refused(_) => {}
        }
        self.stage = Stage::Ended;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
