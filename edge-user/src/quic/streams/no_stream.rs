//! What h3 knows of request streams.

use std::task::{Context, Poll};

use bytes::Bytes;
use h3::quic::{self, StreamErrorIncoming, WriteBuf};

/// A client's stream for h3: there is none.
pub enum NoStream {}

impl quic::SendStream<Bytes> for NoStream {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        match *self {}
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, _: T) -> Result<(), StreamErrorIncoming> {
        match *self {}
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        match *self {}
    }

    fn reset(&mut self, _: u64) {
        match *self {}
    }

    fn send_id(&self) -> quic::StreamId {
        match *self {}
    }
}

impl quic::RecvStream for NoStream {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        match *self {}
    }

    fn stop_sending(&mut self, _: u64) {
        match *self {}
    }

    fn recv_id(&self) -> quic::StreamId {
        match *self {}
    }
}
