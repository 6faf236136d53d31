//! A request stream: a request in, an answer out. It ends early where the request is refused, does
//! not come, or its answer is not taken; dropping the stream stops and resets what is left of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Frame;

use super::content::{self, RefusalNote};
use super::frame;
use super::head::request::RequestHead;
use super::message::{Event, Request};
use super::refusal::{Excess, Refusal, Scope};
use super::tally::Refused;
use crate::http::answer::{self, Body, answer};
use crate::http::check::{Asked, check};
use crate::http::content::Content;
use crate::http::interim::{Interim, Step};
use crate::http::priority::Priority;
use crate::http::websocket::Upgrade;
use crate::http::within::within;
use crate::http::{Place, Version};
use crate::limits;
use crate::quic::engine::StreamFailure;
use crate::quic::streams::{Connection, RequestReader, RequestStream, RequestWriter};

/// Room for the head of an answer, in most cases.
const HEAD_BYTES: usize = 256;

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Gone(#[from] StreamFailure),
    #[error("it took too long")]
    Late,
    #[error("the rest of the answer cannot be had: {0}")]
    Broken(#[from] io::Error),
}

/// What came of a request, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered, or the connection is no more.
    Over,
    /// The client gave it up, or it was no request.
    Nothing,
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Refused(_) | Failure::Gone(StreamFailure::Terminated(_)) => Self::Nothing,
            Failure::Gone(_) | Failure::Late | Failure::Broken(_) => Self::Over,
        }
    }
}

/// Serves it.
pub(super) async fn serve(
    stream: RequestStream,
    connection: &Connection,
    place: &Place,
    updates: &RefCell<BTreeMap<u64, Priority>>,
) -> Outcome {
    let id = stream.id();
    let mut priority = Priority::default();
    let (mut reader, mut writer) = stream.split();
    let mut message = Request::request();
    // Kept to the end: until the client has its answer it is not told that the rest is not wanted.
    let mut content = Content::Empty;
    let head = within(limits::REQUEST_HEAD_WITHIN, read_head(&mut reader, &mut message)).await;
    let (mut head, body) = match head.map_err(|_| Failure::Late).flatten() {
        Ok(head) => {
            place.requests.set(place.requests.get() + 1);
            if let Some(asked) = Priority::of_request(&head.fields) {
                priority = asked;
                writer.set_priority(current(updates, id, priority).of_stream(id));
            }
            let refused = RefusalNote::default();
            match whole(&mut reader, &mut message) {
                Ok(true) => {}
                Ok(false) => {
                    let mut read = content::Content::new(reader, message, refused.clone());
                    read.look_ahead();
                    content = Content::Http3(Box::new(read));
                }
                Err(Failure::Refused(refusal)) => {
                    return refuse(writer, connection, place, refusal);
                }
                Err(failure) => return Outcome::from(&failure),
            }
            if let Some(refusal) = refused.get() {
                return refuse(writer, connection, place, refusal);
            }
            let answered = reply(&head, &mut content, &mut writer, connection, place).await;
            // It turned out to be none while it was answered.
            if let Some(refusal) = refused.get() {
                return refuse(writer, connection, place, refusal);
            }
            match answered {
                Ok(Some(answer)) => answer,
                Ok(None) => return Outcome::Over,
                Err(failure) => return Outcome::from(&failure),
            }
        }
        Err(Failure::Refused(
            refusal @ Refusal::Excess(Excess::FieldSection | Excess::FieldCount),
        )) => {
            count(connection, place, Refused::of(refusal), refusal.rule());
            let Some(client) = connection.client() else { return Outcome::Over };
            answer::fields_too_large(place, client)
        }
        Err(Failure::Refused(refusal)) => {
            reader.stop(refusal.code());
            return refuse(writer, connection, place, refusal);
        }
        Err(failure) => {
            if let Failure::Late = failure {
                count(connection, place, Refused::Slow, "head-late");
            }
            return Outcome::from(&failure);
        }
    };
    place.date.set(head.headers_mut());
    let asked = current(updates, id, priority);
    let said = asked.of_response(head.headers());
    if said != Priority::default() {
        writer.set_priority(said.of_stream(id));
    }
    // A client that takes no more has its reasons.
    let Err(failure) = write(&mut writer, place, &head, body).await else { return Outcome::Over };
    if let Failure::Late = failure {
        count(connection, place, Refused::Stalled, "answer-not-taken");
    }
    Outcome::from(&failure)
}

/// What the client wants: what it said last (RFC 9218 section 10).
fn current(updates: &RefCell<BTreeMap<u64, Priority>>, id: u64, asked: Priority) -> Priority {
    updates.borrow().get(&id).copied().unwrap_or(asked)
}

/// Counts what was refused, and says why to whoever looks for it.
pub(super) fn count(connection: &Connection, place: &Place, refused: Refused, rule: &str) {
    let client = connection.client().map(tracing::field::display);
    tracing::debug!(client, reason = refused.name(), rule, "refused");
    place.refused.count(refused);
}

async fn read_head(
    reader: &mut RequestReader,
    message: &mut Request,
) -> Result<RequestHead, Failure> {
    loop {
        // A head comes before all else, and a stream that ends without one is refused.
        if let Some(Event::Head(head)) = message.poll()? {
            return Ok(head);
        }
        let bytes = poll_fn(|cx| reader.poll_read(cx)).await?;
        content::handle(message, bytes);
    }
}

/// Whether nothing follows the head, as far as has come: of most requests all has.
fn whole(reader: &mut RequestReader, message: &mut Request) -> Result<bool, Failure> {
    let nobody = &mut Context::from_waker(Waker::noop());
    while !message.has_input() {
        match reader.poll_read(nobody)? {
            Poll::Ready(bytes) => content::handle(message, bytes),
            Poll::Pending => return Ok(false),
        }
        if message.is_at_fin() {
            return Ok(matches!(message.poll()?, Some(Event::End)));
        }
    }
    Ok(false)
}

fn refuse(
    writer: RequestWriter,
    connection: &Connection,
    place: &Place,
    refusal: Refusal,
) -> Outcome {
    count(connection, place, Refused::of(refusal), refusal.rule());
    if let Refusal::Excess(Excess::HeadersFrame | Excess::UnknownFrame) = refusal {
        connection.count_refused_frame();
    }
    if refusal.scope() == Scope::Connection {
        connection.close(refusal.code(), refusal.rule().as_bytes());
    }
    writer.reset(refusal.code());
    Outcome::Nothing
}

/// What is answered. Interim responses are written meanwhile; where the client gives the request up,
/// so do we. Nothing where the connection is lost.
async fn reply(
    head: &RequestHead,
    content: &mut Content,
    writer: &mut RequestWriter,
    connection: &Connection,
    place: &Place,
) -> Result<Option<(Response<()>, Body)>, Failure> {
    let (asked, name) = (Asked::of_http3(head), connection.server_name());
    let checked = check(&asked, name, &place.certificates, &place.covered);
    let line = head.line();
    let Some(client) = connection.client() else { return Ok(None) };
    let request = answer::Request {
        method: &head.method,
        authority: line.authority,
        path: head.path(),
        query: line.path.and_then(|path| path.split_once('?')).map(|(_, query)| query),
        headers: &head.fields,
        version: Version::Http3,
        client,
        upgrade: line.protocol.map(Upgrade::connect),
    };
    if let Err(rejection) = checked {
        count(connection, place, rejection.refused(), rejection.rule());
        return Ok(Some(answer::refuse(place, &request, rejection)));
    }
    let interim = Interim::default();
    let answered = {
        let mut answer = pin!(answer(place, &request, content, &interim));
        loop {
            let next = {
                let mut next = pin!(interim.next(answer.as_mut()));
                poll_fn(|cx| match next.as_mut().poll(cx) {
                    Poll::Ready(step) => Poll::Ready(Ok(step)),
                    Poll::Pending => writer.poll_stopped(cx).map(Err),
                })
                .await?
            };
            match next {
                Step::Interim(head) => write_interim(writer, place, &head).await?,
                Step::Final(answered) => break answered,
            }
        }
    };
    while let Some(head) = interim.take() {
        write_interim(writer, place, &head).await?;
    }
    if let Content::Http3(content) = content {
        content.discard();
    }
    Ok(Some(answered))
}

async fn write_interim(
    writer: &mut RequestWriter,
    place: &Place,
    head: &Response<()>,
) -> Result<(), Failure> {
    let mut out = BytesMut::with_capacity(HEAD_BYTES);
    frame::put_headers(&mut out, |out| {
        place.encoder.borrow_mut().response(head.status(), head.headers(), out);
    });
    write_all(writer, out.freeze()).await
}

/// Each chunk waits until the one before is in the client's window, but not for ever. A short one
/// that is there at once shares a write with the head before it.
async fn write(
    writer: &mut RequestWriter,
    place: &Place,
    head: &Response<()>,
    mut body: Body,
) -> Result<(), Failure> {
    let first = poll_fn(|cx| Poll::Ready(body.poll_frame(cx))).await;
    let together = match &first {
        Poll::Ready(Some(Ok(part))) => part.data_ref().map_or(0, Bytes::len),
        _ => 0,
    };
    let together = if together <= limits::WRITE_TOGETHER_BYTES { together } else { 0 };
    let mut out = BytesMut::with_capacity(HEAD_BYTES + together);
    frame::put_headers(&mut out, |out| {
        place.encoder.borrow_mut().response(head.status(), head.headers(), out);
    });
    let mut next = match first {
        Poll::Ready(next) => next.transpose()?,
        Poll::Pending => {
            write_all(writer, out.split().freeze()).await?;
            next_part(writer, &mut body).await?
        }
    };
    while let Some(part) = next {
        match part.into_data() {
            Ok(mut chunk) => {
                frame::put_head(frame::DATA, chunk.len() as u64, &mut out);
                if chunk.len() <= limits::WRITE_TOGETHER_BYTES {
                    out.extend_from_slice(&chunk);
                    chunk.clear();
                }
                write_all(writer, out.split().freeze()).await?;
                write_all(writer, chunk).await?;
            }
            Err(part) => {
                if let Ok(trailers) = part.into_trailers() {
                    frame::put_headers(&mut out, |out| {
                        place.encoder.borrow_mut().trailers(&trailers, out);
                    });
                }
            }
        }
        next = next_part(writer, &mut body).await?;
    }
    write_all(writer, out.freeze()).await?;
    writer.finish()?;
    body.sent();
    Ok(())
}

/// What is next of an answer. Where the client gives it up, nothing is waited for.
async fn next_part(
    writer: &mut RequestWriter,
    body: &mut Body,
) -> Result<Option<Frame<Bytes>>, Failure> {
    poll_fn(|cx| match body.poll_frame(cx) {
        Poll::Ready(part) => Poll::Ready(part.transpose().map_err(Failure::Broken)),
        Poll::Pending => writer.poll_stopped(cx).map(|gone| Err(Failure::Gone(gone))),
    })
    .await
}

async fn write_all(writer: &mut RequestWriter, mut bytes: Bytes) -> Result<(), Failure> {
    let written = poll_fn(|cx| writer.poll_write(&mut bytes, cx));
    Ok(within(limits::PROGRESS_WITHIN, written).await.map_err(|_| Failure::Late)??)
}
