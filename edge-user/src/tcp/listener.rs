//! The listener of a worker: it takes connections, has them shake hands, and gives them to HTTP.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;

use super::connections::{Bounds, Connections, Seat};
use super::counted::Counted;
use super::stream::Stream;
use super::tally::{Refusal, Tally};
use crate::http::client::{Client, Hosting};
use crate::http::{self, Place, Version};
use crate::limits;
use crate::tls::Acceptor;
use crate::tls::accept::{Met, Secured};
use crate::tls::alpn01::Meeting;

/// What a worker serves TCP by.
pub struct Listening {
    /// One of the group at the port.
    pub listener: std::net::TcpListener,
    /// Shakes hands, for this worker alone.
    pub acceptor: Acceptor,
    /// What comes of it.
    pub tally: Arc<Tally>,
    /// This worker's share.
    pub bounds: Bounds,
}

/// What a worker has counted of TCP since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpReport {
    /// Connections now, those in their handshake included.
    pub connections: u64,
    /// Handshakes now.
    pub handshakes_in_progress: u64,
    /// Handshakes that ended well and showed a certificate.
    pub handshakes_full: u64,
    /// Handshakes that ended well by a ticket.
    pub handshakes_resumed: u64,
    /// Requests by HTTP/1.1.
    pub requests_http11: u64,
    /// Requests by HTTP/2.
    pub requests_http2: u64,
}

/// The TCP side of a worker.
pub(crate) struct Reception {
    acceptor: Acceptor,
    hosting: Rc<Hosting>,
    connections: Rc<Connections>,
    full: Cell<u64>,
    resumed: Cell<u64>,
}

impl Reception {
    /// Listens until a drain begins. To be called on the worker's thread, among its local tasks.
    ///
    /// # Errors
    /// Where the runtime does not take the socket.
    pub(crate) fn open(
        listening: Listening,
        place: Rc<Place>,
        drain: watch::Receiver<Option<Instant>>,
    ) -> io::Result<Rc<Self>> {
        let Listening { listener, acceptor, tally, bounds } = listening;
        let port = listener.local_addr()?.port();
        let listener = TcpListener::from_std(listener)?;
        let connections = Connections::new(bounds, Arc::clone(&tally));
        let hosting = Rc::new(Hosting::new(place, tally, port));
        let (full, resumed) = Default::default();
        let reception = Rc::new(Self { acceptor, hosting, connections, full, resumed });
        reception.connections.listens(true);
        spawn_local(Rc::clone(&reception).listen(listener, drain));
        let connections = Rc::clone(&reception.connections);
        spawn_local(async move { connections.watch().await });
        Ok(reception)
    }

    /// Ready when nobody is connected, and nobody can connect.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.connections.poll_over(cx)
    }

    pub(crate) fn report(&self) -> TcpReport {
        TcpReport {
            connections: self.connections.count() as u64,
            handshakes_in_progress: self.connections.handshakes() as u64,
            handshakes_full: self.full.get(),
            handshakes_resumed: self.resumed.get(),
            requests_http11: self.hosting.http11.get(),
            requests_http2: self.hosting.http2.get(),
        }
    }

    async fn listen(
        self: Rc<Self>,
        listener: TcpListener,
        drain: watch::Receiver<Option<Instant>>,
    ) {
        let mut begun = drain.clone();
        let mut taken = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = begun.wait_for(Option::is_some) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address, &drain),
                Err(error) => {
                    // Out of file descriptors, most likely: the next one would fail at once.
                    tracing::warn!(%error, "a TCP connection cannot be taken");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                }
            }
            taken += 1;
            if taken % limits::ACCEPTS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        // What the kernel has taken for us would be reset with the listener.
        for _ in 0..limits::TCP_BACKLOG {
            let Some(Ok((stream, address))) = listener.accept().now_or_never() else { break };
            self.take(stream, address, &drain);
        }
        drop(listener);
        self.connections.listens(false);
    }

    fn take(
        self: &Rc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        drain: &watch::Receiver<Option<Instant>>,
    ) {
        let Some(seat) = self.connections.admit() else { return };
        // A client of IPv4 looks to a socket of both families like one of IPv6.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        // Slower where the kernel refuses, no less right.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(limits::UNSENT_BYTES);
        spawn_local(Rc::clone(self).connection(stream, address, seat, drain.clone()));
    }

    /// A connection from its handshake to its end.
    async fn connection(
        self: Rc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        seat: Seat,
        drain: watch::Receiver<Option<Instant>>,
    ) {
        // On the heap by itself: what comes after it is smaller, and lasts longer.
        let (stream, uncharged) = Counted::new(stream);
        let Secured { stream, version, name, .. } = {
            let shaken = Box::pin(self.shake_hands(stream, &seat)).await;
            let Some(secured) = shaken else { return };
            // Its box ends with this block, and not with the connection.
            *secured
        };
        let stream = Stream::new(stream, seat.pulse(), uncharged);
        let client = Client { hosting: Rc::clone(&self.hosting), address, name };
        drop(self);
        match version {
            Version::Http2 => Box::pin(http::h2::serve(stream, client, seat, drain)).await,
            _ => Box::pin(http::h1::serve(stream, client, seat, drain)).await,
        }
    }

    async fn shake_hands(
        &self,
        stream: Counted<TcpStream>,
        seat: &Seat,
    ) -> Option<Box<Secured<Counted<TcpStream>>>> {
        let met = tokio::select! {
            biased;
            met = self.acceptor.meet(stream) => met,
            // Counted by whoever told it.
            _ = poll_fn(|cx| seat.poll_told(cx)) => return None,
        };
        let tally = &self.hosting.tally;
        match met {
            Met::Http(secured) => {
                let count = if secured.resumed { &self.resumed } else { &self.full };
                count.set(count.get() + 1);
                return Some(secured);
            }
            // Counted where the certificate is looked for.
            Met::UnknownName | Met::Authority(Meeting::Answered | Meeting::UnknownName) => {}
            Met::OtherProtocol => tally.count(Refusal::TlsProtocol),
            Met::Failed | Met::Authority(Meeting::Failed) => tally.count(Refusal::TlsFailed),
        }
        None
    }
}
