//! One request of HTTP/2, and its answer.

use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use tokio::time::timeout;

use crate::http::Version;
use crate::http::answer::Body;
use crate::http::client::Client;
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
    let (head, mut content) = request.into_parts();
    let (head, body) = client.answer(Version::Http2, &head).await;
    let Ok(mut stream) = respond.send_response(head, body.left() == 0) else { return };
    if send(&mut stream, body, &client).await {
        discard(&mut content).await;
    }
}

/// Each part waits until the client has room for it, but not for ever. Whether all was taken.
async fn send(stream: &mut SendStream<Bytes>, mut body: Body, client: &Client) -> bool {
    while let Some(chunk) = body.next_chunk().await {
        let Ok(chunk) = chunk else {
            // The client shall see that this is not all.
            stream.send_reset(Reason::INTERNAL_ERROR);
            return false;
        };
        let last = body.left() == 0;
        // Whole: a byte now and then is no progress.
        match within(limits::PROGRESS_WITHIN, send_chunk(stream, chunk, last)).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => {
                client.refuse(Refusal::HttpsStalled, &"an answer is not taken");
                stream.send_reset(Reason::CANCEL);
                return false;
            }
        }
    }
    true
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
/// on the connection has the same one (RFC 9113 section 5.2).
async fn discard(content: &mut RecvStream) {
    if content.is_end_stream() {
        return;
    }
    let mut left = limits::MAX_DISCARDED_BYTES;
    let read = async {
        while let Some(Ok(data)) = content.data().await {
            // A stream that was reset has no window.
            let _ = content.flow_control().release_capacity(data.len());
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever is slower is told that it was enough.
    let _ = timeout(limits::DISCARD_WITHIN, read).await;
}
