//! From a server to a connection: addresses, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::failure::Failure;
use crate::http::Version;
use crate::tls::origin::{Connector, TlsStream};

/// A connection to a server, on which HTTP may begin.
pub(super) struct Connected {
    pub(super) transport: Transport,
    pub(super) version: Version,
}

/// Bytes to a server and from it.
pub(super) enum Transport {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Tries one address after the other.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    tls: Option<(&Connector, &str)>,
    clear: Version,
) -> Result<Connected, Failure> {
    let mut why = Failure::Resolve;
    for address in addresses {
        let tcp = match TcpStream::connect(address).await {
            Ok(tcp) => tcp,
            Err(error) => {
                tracing::debug!(%address, %error, "a server cannot be reached");
                why = Failure::Connect;
                continue;
            }
        };
        // Requests and small parts of a body are not held back. What fails costs time only.
        let _ = tcp.set_nodelay(true);
        let Some((connector, name)) = tls else {
            return Ok(Connected { transport: Transport::Clear(tcp), version: clear });
        };
        match connector.connect(name, tcp).await {
            Ok((stream, version)) => {
                return Ok(Connected { transport: Transport::Tls(Box::new(stream)), version });
            }
            Err(error) => {
                tracing::debug!(%address, name, %error, "a server's TLS is not acceptable");
                why = Failure::Tls;
            }
        }
    }
    Err(why)
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
