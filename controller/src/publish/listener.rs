//! TCP and TLS. A connection is handed on once its handshake is done; who is slow with it holds up
//! nobody but themselves, and not for long.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::identity::Peer;
use crate::limits;

/// Who called.
#[derive(Clone, Debug)]
pub struct Caller {
    /// From where.
    pub address: SocketAddr,
    /// By which certificate, if any.
    pub peer: Option<Peer>,
}

/// A connection whose handshake is done.
pub struct Connection {
    tls: TlsStream<TcpStream>,
    caller: Caller,
    /// When it ends, for who has no certificate.
    ends: Option<Pin<Box<Sleep>>>,
    /// Its place among the connections.
    _place: OwnedSemaphorePermit,
}

/// The connections of a listener, from now on.
pub fn accept(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
) -> ReceiverStream<io::Result<Connection>> {
    let (done, connections) = mpsc::channel(limits::MAX_ACCEPTED);
    let acceptor = TlsAcceptor::from(tls);
    tokio::spawn(async move {
        let places = Places::new();
        let handshakes = Arc::new(Semaphore::new(limits::MAX_HANDSHAKES));
        loop {
            // Whoever waits here waits in the kernel's queue, which has a bound.
            let handshake = Arc::clone(&handshakes).acquire_owned().await;
            let handshake = handshake.expect("it is never closed");
            let (tcp, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (acceptor, done, places) = (acceptor.clone(), done.clone(), places.clone());
            tokio::spawn(async move {
                let shaken = timeout(limits::HANDSHAKE_WITHIN, shake(acceptor, tcp, address)).await;
                drop(handshake);
                match shaken {
                    Ok(Ok((tls, caller))) => match places.take(tls, caller) {
                        // Its reader ends with the runtime only.
                        Some(connection) => drop(done.send(Ok(connection)).await),
                        None => tracing::warn!(%address, "too many connections: one is closed"),
                    },
                    Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS connection"),
                    Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
                }
            });
        }
    });
    ReceiverStream::new(connections)
}

/// Room for nodes, and apart from it for who is not one yet.
#[derive(Clone)]
struct Places {
    nodes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Places {
    fn new() -> Self {
        Self {
            nodes: Arc::new(Semaphore::new(limits::MAX_CONNECTIONS)),
            strangers: Arc::new(Semaphore::new(limits::MAX_STRANGERS)),
        }
    }

    fn take(&self, tls: TlsStream<TcpStream>, caller: Caller) -> Option<Connection> {
        let is_node = caller.peer.is_some();
        let room = if is_node { &self.nodes } else { &self.strangers };
        let place = Arc::clone(room).try_acquire_owned().ok()?;
        let ends = (!is_node).then(|| Box::pin(sleep(limits::STRANGER_TIME)));
        Some(Connection { tls, caller, ends, _place: place })
    }
}

async fn shake(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    address: SocketAddr,
) -> io::Result<(TlsStream<TcpStream>, Caller)> {
    tcp.set_nodelay(true)?;
    let tls = acceptor.accept(tcp).await?;
    let certificates = tls.get_ref().1.peer_certificates();
    let peer = certificates.and_then(|chain| Peer::of(chain.first()?));
    Ok((tls, Caller { address, peer }))
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ends) = &mut self.ends
            && ends.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.tls).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}
