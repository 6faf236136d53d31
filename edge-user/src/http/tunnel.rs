//! Bytes of a connection that has ceased to speak HTTP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::limits;

/// The next bytes; `None` at the end.
pub(crate) fn poll_chunk(
    reader: Pin<&mut (impl AsyncRead + ?Sized)>,
    cx: &mut Context<'_>,
) -> Poll<Option<io::Result<Bytes>>> {
    let mut bytes = [0; limits::TUNNEL_CHUNK_BYTES];
    let mut read = ReadBuf::new(&mut bytes);
    match ready!(reader.poll_read(cx, &mut read)) {
        Ok(()) if read.filled().is_empty() => Poll::Ready(None),
        Ok(()) => Poll::Ready(Some(Ok(Bytes::copy_from_slice(read.filled())))),
        Err(error) => Poll::Ready(Some(Err(error))),
    }
}

/// Writes all that comes, and says at its end that there is no more. What cannot be had of it, or
/// cannot be written, is the end, too.
pub(crate) async fn write_all<E>(
    mut writer: impl AsyncWrite + Unpin,
    mut next: impl AsyncFnMut() -> Option<Result<Frame<Bytes>, E>>,
) {
    while let Some(Ok(part)) = next().await {
        let Ok(bytes) = part.into_data() else { continue };
        // What is held back until more comes would be held back from whoever waits for it.
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}
