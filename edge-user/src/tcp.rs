//! TCP, for those who do not speak QUIC, or not yet: HTTP/2 and HTTP/1.1 over TLS, answers to
//! certificate authorities, and the way to https.
//!
//! TLS is served by the workers, each with a listener of its own at the port that it has for QUIC,
//! among which the kernel spreads connections. HTTP in clear has a thread of its own, without a
//! capability.
//!
//! | module | job |
//! |---|---|
//! | [`group`] | the listeners of the workers |
//! | [`listener`] | one of them: connections from their handshake on |
//! | [`connections`] | how many there are, what each waits for, and who makes way |
//! | `counted` | what a socket gives, counted below TLS |
//! | `stream` | what a connection reads and writes, watched |
//! | `clear` | HTTP in clear: HTTP-01 (RFC 8555 section 8.3), all else is sent to https |
//! | `room` | the connections of that port |
//! | [`tally`] | what came of all of them |
//!
//! The handshake itself is in [`crate::tls::accept`], HTTP in [`crate::http`].

mod clear;
pub mod connections;
mod counted;
pub mod group;
pub mod listener;
mod room;
pub(crate) mod stream;
pub mod tally;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::config::Listen;
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

/// What HTTP in clear answers from.
#[derive(Clone, Debug)]
pub struct Answers {
    /// What authorities are answered.
    pub challenges: Arc<Challenges>,
    /// Nobody is sent to a name that these do not have.
    pub certificates: Arc<Live>,
    /// What came of it.
    pub tally: Arc<Tally>,
}

/// The port of HTTP in clear, bound. Whoever connects waits until it is served.
#[derive(Debug)]
pub struct ClearPort {
    listener: std::net::TcpListener,
    https_port: u16,
}

impl ClearPort {
    /// Listens at the port that `listen` names, in both families, where it names one.
    ///
    /// # Errors
    /// Where it is taken, or needs a privilege.
    pub fn bind(listen: &Listen) -> Result<Option<Self>, BindError> {
        let Some(port) = listen.http_port else { return Ok(None) };
        let bound = dual_stack(port, false).and_then(listening);
        let listener = bound.map_err(|error| BindError { port, error })?;
        Ok(Some(Self { listener, https_port: listen.port }))
    }

    /// Serves it on a thread of its own for as long as the process runs.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn serve(self, answers: Answers) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            sandbox::keep_no_capability();
            if let Err(error) = runtime.block_on(self.run(answers)) {
                tracing::error!(%error, "the port of HTTP in clear cannot be served");
            }
        };
        std::thread::Builder::new().name("tcp".into()).spawn(run).map(drop)
    }

    async fn run(self, answers: Answers) -> io::Result<()> {
        let Answers { challenges, certificates, tally } = answers;
        let clear = Clear { challenges, certificates, tally, https_port: self.https_port };
        let clear = Arc::new(clear);
        let room = Room::new(limits::MAX_HTTP_CONNECTIONS, Refusal::HttpCrowdedOut);
        let serve = |stream| Arc::clone(&clear).connection(stream);
        accept(self.listener, room, &clear.tally, serve).await
    }
}

/// A socket at `port` in both families, which others of ours may share.
fn dual_stack(port: u16, shared: bool) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    // Connections of a process that has ended do not keep this one waiting.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}

fn listening(socket: socket2::Socket) -> io::Result<std::net::TcpListener> {
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

async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    timeout(time, future).await.ok()
}

#[cfg(test)]
mod tests;
