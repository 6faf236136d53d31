//! One request of HTTP/2, and its answer.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Request, Response, header};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::http::Version;
use crate::http::answer::Body;
use crate::http::client::Client;
use crate::http::content::{Content, RuleNote};
use crate::http::interim::{Interim, Step};
use crate::http::websocket::Upgrade;
use crate::http::within::within;
use crate::limits;
use crate::tcp::tally::Refusal;

/// Answers, and then reads what the client still sends, within bounds. Dropping the stream before
/// its end asks the client to send no more, without an error (RFC 9113 section 8.1).
pub(super) async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    client: Rc<Client>,
) {
    let (head, stream) = request.into_parts();
    let refused = RuleNote::default();
    let mut content = match stream.is_end_stream() {
        true => Content::Empty,
        false => {
            let length = declared_length(&head.headers);
            Content::Http2(Box::new(super::Content::new(stream, length, Rc::clone(&refused))))
        }
    };
    let Some((head, mut body)) = reply(&head, &mut content, &mut respond, &client).await else {
        return;
    };
    if let Some(rule) = refused.take() {
        client.refuse(Refusal::HttpsMalformed, &rule);
    }
    let Ok(mut stream) = respond.send_response(head, body.is_at_end()) else { return };
    if body.is_at_end() || send(&mut stream, &mut body, &client).await {
        body.sent();
        discard(content).await;
    }
}

/// h2 has seen to it that it is a number, and keeps count.
fn declared_length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is answered. Interim responses are sent meanwhile; where the client gives the request up,
/// so do we.
async fn reply(
    head: &Parts,
    content: &mut Content,
    respond: &mut SendResponse<Bytes>,
    client: &Client,
) -> Option<(Response<()>, Body)> {
    let interim = Interim::default();
    // RFC 8441 section 4.
    let protocol = head.extensions.get::<h2::ext::Protocol>();
    let upgrade = protocol.map(|protocol| Upgrade::connect(protocol.as_str()));
    let answered = {
        let mut answer = pin!(client.answer(Version::Http2, head, upgrade, content, &interim));
        loop {
            let mut next = pin!(interim.next(answer.as_mut()));
            let next = poll_fn(|cx| match next.as_mut().poll(cx) {
                Poll::Ready(step) => Poll::Ready(Some(step)),
                Poll::Pending => respond.poll_reset(cx).map(|_| None),
            });
            match next.await? {
                // One that comes too late is nobody's loss.
                Step::Interim(head) => drop(respond.send_informational(head)),
                Step::Final(answered) => break answered,
            }
        }
    };
    while let Some(head) = interim.take() {
        let _ = respond.send_informational(head);
    }
    Some(answered)
}

/// Each part waits until the client has room for it, but not for ever. Whether all was taken.
async fn send(stream: &mut SendStream<Bytes>, body: &mut Body, client: &Client) -> bool {
    while let Some(part) = next_part(stream, body).await {
        let Ok(part) = part else {
            // The client shall see that this is not all.
            stream.send_reset(Reason::INTERNAL_ERROR);
            return false;
        };
        let chunk = match part.into_data() {
            Ok(chunk) => chunk,
            Err(part) => match part.into_trailers() {
                Ok(trailers) => return stream.send_trailers(trailers).is_ok(),
                Err(_) => continue,
            },
        };
        let last = body.is_at_end();
        // Whole: a byte now and then is no progress.
        match within(limits::PROGRESS_WITHIN, send_chunk(stream, chunk, last)).await {
            Ok(true) if last => return true,
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => {
                client.refuse(Refusal::HttpsStalled, &"an answer is not taken");
                stream.send_reset(Reason::CANCEL);
                return false;
            }
        }
    }
    // That it was the last part was not known with it.
    stream.send_data(Bytes::new(), true).is_ok()
}

/// What is next of an answer. Where the client gives the stream up, nothing is waited for: what is to
/// be had no more is an error like any other.
async fn next_part(
    stream: &mut SendStream<Bytes>,
    body: &mut Body,
) -> Option<io::Result<Frame<Bytes>>> {
    poll_fn(|cx| match body.poll_frame(cx) {
        Poll::Ready(part) => Poll::Ready(part),
        Poll::Pending => {
            let reset = ready!(stream.poll_reset(cx));
            let reason = reset.map_or_else(|error| error.to_string(), |reason| reason.to_string());
            Poll::Ready(Some(Err(io::Error::other(reason))))
        }
    })
    .await
}

/// Sends as much as the client has room for, until all is sent. Not, where the client has reset the
/// stream or is gone.
async fn send_chunk(stream: &mut SendStream<Bytes>, mut chunk: Bytes, last: bool) -> bool {
    while !chunk.is_empty() {
        stream.reserve_capacity(chunk.len());
        let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return false };
        let part = chunk.split_to(room.min(chunk.len()));
        let is_end = last && chunk.is_empty();
        if stream.send_data(part, is_end).is_err() {
            return false;
        }
    }
    true
}

/// Reads to the end, within bounds, and gives the client its window back meanwhile: what others send
/// on the connection has the same one (RFC 9113 section 5.2). Nothing where somebody else has it.
async fn discard(mut content: Content) {
    if content.is_end_stream() {
        return;
    }
    let mut left = limits::MAX_DISCARDED_BYTES;
    let read = async {
        while let Some(Ok(part)) = content.frame().await {
            let Some(rest) = left.checked_sub(part.data_ref().map_or(0, Bytes::len)) else {
                return;
            };
            left = rest;
        }
    };
    // Whoever is slower is told that it was enough.
    let _ = timeout(limits::DISCARD_WITHIN, read).await;
}
