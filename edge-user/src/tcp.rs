//! TCP, for those who do not speak QUIC: the way to https, and answers to certificate authorities.
//!
//! Both ports are served by one thread of its own, without a capability. Whoever floods them delays
//! neither a worker nor the control runtime. Each port has room for so many connections; where it is
//! full, the oldest makes way, so that who keeps connections and says nothing does not keep an
//! authority out.
//!
//! | module | job |
//! |---|---|
//! | `clear` | HTTP in clear: HTTP-01 (RFC 8555 section 8.3), all else is sent to https |
//! | `host` | whom a request is for |
//! | `room` | the connections of a port |
//! | [`tally`] | what came of them |
//!
//! TLS itself, TLS-ALPN-01 (RFC 8737), is in [`crate::tls::alpn01`].

mod clear;
mod host;
mod room;
pub mod tally;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::config::Listen;
use crate::tls::alpn01::{Meeting, Responder};
use crate::tls::{Challenges, Live};
use crate::{limits, sandbox};
use clear::Clear;
use room::Room;
use tally::{Refusal, Tally};

/// A port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("TCP port {port} cannot be bound: {error}")]
pub struct BindError {
    port: u16,
    #[source]
    error: io::Error,
}

/// What the listeners answer from.
#[derive(Clone, Debug)]
pub struct Answers {
    /// What authorities are answered.
    pub challenges: Arc<Challenges>,
    /// Nobody is sent to a name that these do not have.
    pub certificates: Arc<Live>,
    /// What came of it.
    pub tally: Arc<Tally>,
}

/// The ports, bound. Whoever connects waits until they are served.
#[derive(Debug)]
pub struct Ports {
    http: Option<std::net::TcpListener>,
    tls: Option<std::net::TcpListener>,
    https_port: u16,
}

impl Ports {
    /// Listens at the ports that `listen` names, in both families.
    ///
    /// # Errors
    /// Where one is taken, or needs a privilege.
    pub fn bind(listen: &Listen) -> Result<Self, BindError> {
        let bind = |port| dual_stack(port).map_err(|error| BindError { port, error });
        Ok(Self {
            http: listen.http_port.map(bind).transpose()?,
            tls: listen.tcp.then(|| bind(listen.port)).transpose()?,
            https_port: listen.port,
        })
    }

    /// Serves them on a thread of its own for as long as the process runs.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn serve(self, answers: Answers) -> io::Result<()> {
        if self.http.is_none() && self.tls.is_none() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            sandbox::keep_no_capability();
            if let Err(error) = runtime.block_on(self.run(answers)) {
                tracing::error!(%error, "the TCP ports cannot be served");
            }
        };
        std::thread::Builder::new().name("tcp".into()).spawn(run).map(drop)
    }

    async fn run(self, answers: Answers) -> io::Result<()> {
        let Answers { challenges, certificates, tally } = answers;
        let responder = Arc::new(Responder::new(&challenges));
        let clear = Clear { challenges, certificates, tally, https_port: self.https_port };
        let clear = Arc::new(clear);
        let tally = &clear.tally;
        let http = async {
            let Some(listener) = self.http else { return Ok(()) };
            let room = Room::new(limits::MAX_HTTP_CONNECTIONS, Refusal::HttpCrowdedOut);
            accept(listener, room, tally, |stream| Arc::clone(&clear).connection(stream)).await
        };
        let tls = async {
            let Some(listener) = self.tls else { return Ok(()) };
            let room = Room::new(limits::MAX_TCP_HANDSHAKES, Refusal::TlsCrowdedOut);
            let meet = |stream| meet(Arc::clone(&responder), Arc::clone(tally), stream);
            accept(listener, room, tally, meet).await
        };
        tokio::try_join!(http, tls).map(drop)
    }
}

fn dual_stack(port: u16) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    // Connections of a process that has ended do not keep this one waiting.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(limits::TCP_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Takes connections for ever, each to its own task.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: std::net::TcpListener,
    mut room: Room,
    tally: &Tally,
    serve: impl Fn(TcpStream) -> F,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => room.admit(tokio::spawn(serve(stream)).abort_handle(), tally),
            Err(error) => {
                // Out of file descriptors, most likely: the next one would fail at once.
                tracing::warn!(%error, "a TCP connection cannot be taken");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn meet(responder: Arc<Responder>, tally: Arc<Tally>, stream: TcpStream) {
    match within(limits::TCP_HANDSHAKE_WITHIN, responder.meet(stream)).await {
        // Counted where the answer is given.
        Some(Meeting::Answered | Meeting::UnknownName) => {}
        Some(Meeting::OtherProtocol) => tally.count(Refusal::TlsProtocol),
        Some(Meeting::Failed) => tally.count(Refusal::TlsFailed),
        None => tally.count(Refusal::TlsSlow),
    }
}

async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    timeout(time, future).await.ok()
}

#[cfg(test)]
mod tests;
