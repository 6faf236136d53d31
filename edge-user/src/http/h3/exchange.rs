//! A request stream: a request in, an answer out. It ends early where the request is refused, does
//! not come, or its answer is not taken; dropping the stream stops and resets what is left of it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::Response;

use super::frame;
use super::head::request::RequestHead;
use super::message::{Event, Request};
use super::refusal::{Excess, Refusal, Scope};
use super::within;
use crate::http::Place;
use crate::http::answer::{self, Body, answer};
use crate::limits;
use crate::quic::engine::StreamFailure;
use crate::quic::streams::{Connection, RequestStream};

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

/// Serves it.
pub(super) async fn serve(mut stream: RequestStream, connection: &Connection, place: &Place) {
    let mut request = Request::request();
    let (head, body) = match read(&mut stream, &mut request).await {
        Ok(head) => {
            place.requests.set(place.requests.get() + 1);
            let Some(reply) = reply(&head, connection, place).await else { return };
            reply
        }
        Err(Failure::Refused(Refusal::Excess(Excess::FieldSection | Excess::FieldCount))) => {
            answer::fields_too_large()
        }
        Err(Failure::Refused(refusal)) => return refuse(stream, connection, refusal),
        Err(Failure::Gone(_) | Failure::Late | Failure::Broken(_)) => return,
    };
    // A client that takes no more has its reasons.
    let _ = write(&mut stream, place, &head, body).await;
}

/// Reads the head, and of what follows as much as has come: it is not wanted, but it may show that
/// the request is none.
async fn read(stream: &mut RequestStream, request: &mut Request) -> Result<RequestHead, Failure> {
    let head = within(limits::REQUEST_HEAD_WITHIN, read_head(stream, request));
    let head = head.await.map_err(|_| Failure::Late)??;
    let nobody = &mut Context::from_waker(Waker::noop());
    loop {
        while let Some(event) = request.poll()? {
            if matches!(event, Event::End) {
                return Ok(head);
            }
        }
        match stream.poll_read(nobody)? {
            Poll::Ready(bytes) => handle(request, bytes),
            Poll::Pending => return Ok(head),
        }
    }
}

async fn read_head(
    stream: &mut RequestStream,
    request: &mut Request,
) -> Result<RequestHead, Failure> {
    loop {
        // A head comes before all else, and a stream that ends without one is refused.
        if let Some(Event::Head(head)) = request.poll()? {
            return Ok(head);
        }
        let bytes = poll_fn(|cx| stream.poll_read(cx)).await?;
        handle(request, bytes);
    }
}

fn handle(request: &mut Request, bytes: Option<Bytes>) {
    let fin = bytes.is_none();
    request.handle_bytes(bytes.unwrap_or_default(), fin);
}

fn refuse(stream: RequestStream, connection: &Connection, refusal: Refusal) {
    log::debug!("request refused by the rule {}", refusal.rule());
    if let Refusal::Excess(Excess::HeadersFrame | Excess::UnknownFrame) = refusal {
        connection.count_refused_frame();
    }
    if refusal.scope() == Scope::Connection {
        connection.close(refusal.code(), refusal.rule().as_bytes());
    }
    stream.reject(refusal.code());
}

async fn reply(
    head: &RequestHead,
    connection: &Connection,
    place: &Place,
) -> Option<(Response<()>, Body)> {
    let line = head.line();
    let request = answer::Request {
        method: &head.method,
        authority: line.authority,
        path: head.path(),
        query: line.path.and_then(|path| path.split_once('?')).map(|(_, query)| query),
        headers: &head.fields,
        protocol: "h3",
        client: connection.client()?,
    };
    Some(answer(place, &request).await)
}

/// Each chunk waits until the one before is in the client's window, but not for ever. A short one
/// that is there at once shares a write with the head before it.
async fn write(
    stream: &mut RequestStream,
    place: &Place,
    head: &Response<()>,
    mut body: Body,
) -> Result<(), Failure> {
    let first = poll_fn(|cx| Poll::Ready(body.poll_chunk(cx))).await;
    let together = match &first {
        Poll::Ready(Some(Ok(chunk))) if chunk.len() <= limits::WRITE_TOGETHER_BYTES => chunk.len(),
        _ => 0,
    };
    let mut out = BytesMut::with_capacity(HEAD_BYTES + together);
    frame::put_headers(&mut out, |out| {
        place.encoder.borrow_mut().response(head.status(), head.headers(), out);
    });
    let mut next = match first {
        Poll::Ready(next) => next.transpose()?,
        Poll::Pending => {
            write_all(stream, out.split().freeze()).await?;
            body.next_chunk().await.transpose()?
        }
    };
    while let Some(mut chunk) = next {
        frame::put_head(frame::DATA, chunk.len() as u64, &mut out);
        if chunk.len() <= limits::WRITE_TOGETHER_BYTES {
            out.extend_from_slice(&chunk);
            chunk.clear();
        }
        write_all(stream, out.split().freeze()).await?;
        write_all(stream, chunk).await?;
        next = body.next_chunk().await.transpose()?;
    }
    write_all(stream, out.freeze()).await?;
    Ok(stream.finish()?)
}

async fn write_all(stream: &mut RequestStream, mut bytes: Bytes) -> Result<(), Failure> {
    let written = poll_fn(|cx| stream.poll_write(&mut bytes, cx));
    Ok(within(limits::PROGRESS_WITHIN, written).await.map_err(|_| Failure::Late)??)
}
