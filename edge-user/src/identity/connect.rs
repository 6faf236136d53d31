//! From addresses to a connection: name, TCP, TLS, HTTP/2, each with an end to it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncBufReadExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::{AttemptError, ConnectError, ControllerAddress};
use crate::limits;

/// A connection to the first of `addresses` that leads to a controller which `tls` believes, and
/// which takes what `tls` shows it.
pub(super) async fn channel(
    addresses: &[ControllerAddress],
    tls: ClientConfig,
) -> Result<Channel, ConnectError> {
    let connector = TlsConnector::from(Arc::new(tls));
    let mut attempts = Vec::new();
    for address in addresses {
        match attempt(address, &connector).await {
            Ok(channel) => return Ok(channel),
            Err(error) => attempts.push((address.clone(), error)),
        }
    }
    Err(ConnectError::Nowhere(attempts))
}

async fn attempt(
    address: &ControllerAddress,
    connector: &TlsConnector,
) -> Result<Channel, AttemptError> {
    let mut why = None;
    for socket in sockets(address).await? {
        match shake(address, socket, connector).await {
            Ok(stream) => return over(stream).await,
            Err(error) => why = Some(error),
        }
    }
    let none = || AttemptError::Resolve(io::Error::other("it has no address"));
    Err(why.unwrap_or_else(none))
}

/// The addresses behind an address.
async fn sockets(address: &ControllerAddress) -> Result<Vec<SocketAddr>, AttemptError> {
    if let Some(ip) = address.ip() {
        return Ok(vec![SocketAddr::new(ip, address.port())]);
    }
    let lookup = lookup_host((address.name().unwrap_or_default(), address.port()));
    let found = within(limits::CONTROLLER_RESOLVE_WITHIN, "the look-up of the name", lookup);
    let found = found.await?.map_err(AttemptError::Resolve)?;
    Ok(found.take(limits::MAX_RESOLVED_ADDRESSES).collect())
}

/// TCP and TLS, up to the first byte that the controller sends by itself. In TLS 1.3 a client has
/// done its part before the server has looked at its certificate (RFC 8446 section 2); that byte,
/// of its SETTINGS (RFC 9113 section 3.4), says that it takes it.
async fn shake(
    address: &ControllerAddress,
    socket: SocketAddr,
    connector: &TlsConnector,
) -> Result<TlsStream<TcpStream>, AttemptError> {
    let tcp = within(limits::CONTROLLER_TCP_WITHIN, "TCP", TcpStream::connect(socket)).await?;
    let tcp = tcp.map_err(AttemptError::Tcp)?;
    tcp.set_nodelay(true).map_err(AttemptError::Tcp)?;
    let name = match address.name() {
        None => ServerName::IpAddress(socket.ip().into()),
        Some(name) => ServerName::try_from(name.to_owned())
            .map_err(|error| AttemptError::Tls(error.to_string()))?,
    };
    let shaken = async {
        let mut stream = connector.connect(name, tcp).await?;
        match stream.fill_buf().await?.is_empty() {
            false => Ok(stream),
            true => Err(io::Error::other("the controller hangs up: it may have no room")),
        }
    };
    let shaken = within(limits::CONTROLLER_HANDSHAKE_WITHIN, "TLS", shaken).await?;
    shaken.map_err(|error| AttemptError::of_tls(&error))
}

/// HTTP/2 over `stream`, and over no other: where it breaks, the channel is of no use any more.
async fn over(stream: TlsStream<TcpStream>) -> Result<Channel, AttemptError> {
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let hand_over = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or(io::Error::from(io::ErrorKind::NotConnected)))
    });
    // The name is for the header only.
    let endpoint = Endpoint::from_static("http://controller")
        .http2_keep_alive_interval(limits::CONTROLLER_PING_EVERY)
        .keep_alive_timeout(limits::CONTROLLER_PING_WITHIN)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(limits::MAX_CONTROLLER_HEADER_BYTES);
    let connected = endpoint.connect_with_connector(hand_over);
    let connected = within(limits::CONTROLLER_HANDSHAKE_WITHIN, "HTTP/2", connected).await?;
    connected.map_err(|error| AttemptError::Http(error.to_string()))
}

async fn within<T>(
    within: Duration,
    step: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, AttemptError> {
    timeout(within, work).await.map_err(|_| AttemptError::Late { step, within })
}
