//! TCP and TLS. A connection is handed on once its handshake is done; who is slow with it holds up
//! nobody but themselves, and not for long.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::Publisher;
use super::places::{Hosts, Place, Places};
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
    /// When it ends: a stranger's soon, a node's with its certificate.
    ends: Pin<Box<Sleep>>,
    is_over: bool,
    place: Place,
}

/// The connections of a listener, from now on.
pub(super) fn accept(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    publisher: Publisher,
) -> ReceiverStream<io::Result<Connection>> {
    let (done, connections) = mpsc::channel(limits::MAX_ACCEPTED);
    let shaking = Shaking {
        acceptor: TlsAcceptor::from(tls),
        all: Arc::new(Semaphore::new(limits::MAX_HANDSHAKES)),
        publisher,
        places: Places::new(),
        done,
    };
    tokio::spawn(async move {
        let hosts = Hosts::new(limits::MAX_HANDSHAKES_OF_HOST);
        let waiting = Arc::new(Semaphore::new(limits::MAX_WAITING));
        loop {
            let (tcp, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let host = hosts.of(address.ip());
            if let Ok(of_host) = Arc::clone(&host).try_acquire_owned() {
                // Whoever waits here waits in the kernel's queue, which has a bound: but for
                // others, of which there must be many.
                let handshake = shaking.place().await;
                tokio::spawn(shaking.clone().shake(tcp, address, of_host, handshake));
            } else if let Ok(wait) = Arc::clone(&waiting).try_acquire_owned() {
                // A host that has much to shake waits for itself.
                let shaking = shaking.clone();
                tokio::spawn(async move {
                    let of_host = host.acquire_owned().await.expect("it is never closed");
                    let handshake = shaking.place().await;
                    drop(wait);
                    shaking.shake(tcp, address, of_host, handshake).await;
                });
            } else {
                tracing::debug!(%address, "too many handshakes: a connection is closed");
            }
        }
    });
    ReceiverStream::new(connections)
}

/// What a handshake needs.
#[derive(Clone)]
struct Shaking {
    acceptor: TlsAcceptor,
    all: Arc<Semaphore>,
    publisher: Publisher,
    places: Places,
    done: mpsc::Sender<io::Result<Connection>>,
}

impl Shaking {
    async fn place(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.all).acquire_owned().await.expect("it is never closed")
    }

    async fn shake(
        self,
        tcp: TcpStream,
        address: SocketAddr,
        of_host: OwnedSemaphorePermit,
        handshake: OwnedSemaphorePermit,
    ) {
        let shaken = timeout(limits::HANDSHAKE_WITHIN, shake(self.acceptor.clone(), tcp)).await;
        drop((handshake, of_host));
        match shaken {
            Ok(Ok(tls)) => match self.seat(tls, address) {
                // Its reader ends with the runtime only.
                Some(connection) => drop(self.done.send(Ok(connection)).await),
                None => tracing::warn!(%address, "too many connections: one is closed"),
            },
            Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS connection"),
            Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
        }
    }

    /// A node's place is for who is a node now: a certificate of ours is not enough, as those of
    /// nodes that were removed are good for a day.
    fn seat(&self, tls: TlsStream<TcpStream>, address: SocketAddr) -> Option<Connection> {
        let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let peer = certificate.and_then(Peer::of);
        let (place, time) = match peer.as_ref().filter(|peer| self.publisher.is_node(peer)) {
            Some(node) => (self.places.of_node(node.node)?, left(node)),
            None => (self.places.of_stranger(address.ip())?, limits::STRANGER_TIME),
        };
        let (caller, ends) = (Caller { address, peer }, Box::pin(sleep(time)));
        Some(Connection { tls, caller, ends, is_over: false, place })
    }
}

async fn shake(acceptor: TlsAcceptor, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    tcp.set_nodelay(true)?;
    acceptor.accept(tcp).await
}

/// Until the end of a node's certificate.
fn left(node: &Peer) -> Duration {
    let ends = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(node.ends));
    ends.and_then(|ends| ends.duration_since(SystemTime::now()).ok()).unwrap_or_default()
}

impl Connection {
    /// Whether its time is over, or its place another's; asked before every read and write, so that
    /// neither who says nothing nor who reads nothing stays. From then on all of it fails.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.is_over = self.is_over
            || self.ends.as_mut().poll(context).is_ready()
            || self.place.taken.as_mut().is_some_and(|it| Pin::new(it).poll(context).is_ready());
        self.is_over
    }
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
        if self.is_over(context) {
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
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.tls).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}
