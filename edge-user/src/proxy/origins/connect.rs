//! From a server to a connection: addresses, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::Failure;
use crate::http::Version;
use crate::proxy::files::read::Permit;
use crate::tls::origin::{Connector, TlsStream};

/// A connection to a server, on which HTTP may begin.
pub(super) struct Connected {
    pub(super) transport: Transport,
    pub(super) version: Version,
    /// For its file.
    pub(super) permit: Permit,
}

/// Bytes to a server and from it.
pub(super) enum Transport {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Tries one address after the other, each for its part of the time: one that is silent keeps nobody
/// from the next.
pub(super) async fn first_of(
    addresses: &[SocketAddr],
    within: Duration,
    tls: Option<(&Connector, &str)>,
    clear: Version,
) -> Result<(Transport, Version), Failure> {
    let each = within / addresses.len().max(1) as u32;
    let mut why = Failure::Resolve;
    for address in addresses {
        match timeout(each, reach(address, tls, clear)).await {
            Ok(Ok(reached)) => return Ok(reached),
            Ok(Err(failure)) => why = failure,
            Err(_) => why = Failure::ConnectTimeout,
        }
    }
    Err(why)
}

async fn reach(
    address: &SocketAddr,
    tls: Option<(&Connector, &str)>,
    clear: Version,
) -> Result<(Transport, Version), Failure> {
    let tcp = TcpStream::connect(address).await.map_err(|error| {
        tracing::debug!(%address, %error, "a server cannot be reached");
        Failure::Connect
    })?;
    // Requests and small parts of a body are not held back. What fails costs time only.
    let _ = tcp.set_nodelay(true);
    let Some((connector, name)) = tls else { return Ok((Transport::Clear(tcp), clear)) };
    let (stream, version) = connector.connect(name, tcp).await.map_err(|error| {
        // An operator has to mend it, and the reason that is counted does not say what.
        match connector.complains(Instant::now()) {
            true => tracing::warn!(%address, name, %error, "a server's TLS is not acceptable"),
            false => tracing::debug!(%address, name, %error, "a server's TLS is not acceptable"),
        }
        Failure::Tls
    })?;
    Ok((Transport::Tls(Box::new(stream)), version))
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_silent_keeps_nobody_from_the_next() {
        // Whoever connects to a full backlog is not answered.
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
        full.listen(0).expect("a backlog of one");
        let silent = full.local_addr().ok().and_then(|it| it.as_socket()).expect("an address");
        let mut waiting = Vec::new();
        let soon = Duration::from_millis(500);
        while let Ok(Ok(stream)) = timeout(soon, TcpStream::connect(silent)).await {
            waiting.push(stream);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let good = listener.local_addr().expect("bound");
        let within = Duration::from_secs(2);
        let reached = first_of(&[silent, good], within, None, Version::Http11).await;
        let Ok((Transport::Clear(stream), Version::Http11)) = reached else {
            panic!("the second is there");
        };
        assert_eq!(stream.peer_addr().expect("connected"), good);
        let alone = first_of(&[silent], soon, None, Version::Http11).await;
        assert_eq!(alone.err(), Some(Failure::ConnectTimeout));
        assert_eq!(first_of(&[], soon, None, Version::Http11).await.err(), Some(Failure::Resolve));
    }
}
