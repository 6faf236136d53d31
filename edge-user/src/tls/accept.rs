//! Handshakes of TLS over TCP: HTTP for whoever has a name that we serve, answers for authorities.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor as Hello;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::alpn01::{Meeting, Responder, offers_acme};
use super::tickets::FleetTickets;
use super::{Challenges, Live, host_name};
use crate::http::Version;
use crate::limits;

/// What clients of HTTP over TCP offer (RFC 9113 section 3.2, RFC 7301 section 6).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What came of a connection.
pub enum Met<S> {
    /// HTTP may begin.
    Http(Box<Secured<S>>),
    /// An authority was answered, or not.
    Authority(Meeting),
    /// The client offers other protocols alone, and was told so.
    OtherProtocol,
    /// There is no certificate for it, which the resolver has counted.
    UnknownName,
    /// It is no TLS, or the handshake failed.
    Failed,
}

/// A connection whose handshake has ended.
pub struct Secured<S> {
    /// What is read and written in clear.
    pub stream: TlsStream<S>,
    /// By ALPN; HTTP/1.1 where the client offers nothing (RFC 9110 section 4.3.3 asks for no more).
    pub version: Version,
    /// The name that the client asked for by SNI.
    pub name: Option<Box<str>>,
    /// Whether a ticket spared the certificate.
    pub resumed: bool,
}

/// Shakes hands for one worker.
pub struct Acceptor {
    config: Arc<ServerConfig>,
    responder: Responder,
    /// How many may be answered in a turn.
    turn: Semaphore,
}

impl Acceptor {
    /// With the certificates and tickets that QUIC has, and what authorities are answered.
    #[must_use]
    pub fn new(
        certificates: &Arc<Live>,
        tickets: &Arc<FleetTickets>,
        challenges: &Arc<Challenges>,
    ) -> Self {
        Self {
            config: Arc::new(for_tcp(certificates, tickets)),
            responder: Responder::new(challenges),
            turn: Semaphore::new(limits::HANDSHAKES_PER_TURN),
        }
    }

    /// Shakes hands. It may take for ever.
    pub async fn meet<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Met<S> {
        let Ok(start) = LazyConfigAcceptor::new(Hello::default(), stream).await else {
            return Met::Failed;
        };
        // What costs most of it is the answer to the hello: it is given within a budget.
        let turn = self.turn.acquire().await;
        if offers_acme(&start) {
            let answer = self.responder.answer(start);
            next_turn(turn).await;
            return Met::Authority(answer.await);
        }
        let handshake = start.into_stream(Arc::clone(&self.config));
        next_turn(turn).await;
        match handshake.await {
            Ok(stream) => Met::Http(Box::new(secured(stream))),
            Err(error) => match refusal(&error) {
                Some(rustls::Error::NoApplicationProtocol) => Met::OtherProtocol,
                // The resolver had none.
                Some(rustls::Error::General(_)) => Met::UnknownName,
                _ => Met::Failed,
            },
        }
    }
}

/// Gives the permit back when others have had their turn.
async fn next_turn<T>(permit: T) {
    tokio::task::yield_now().await;
    drop(permit);
}

/// For HTTP over TCP: TLS 1.2 and 1.3, in what is left of 1.2 for HTTP/2 (RFC 9113 section 9.2): key
/// exchange with ephemeral keys and authenticated ciphers are all that rustls has, without
/// compression and renegotiation. As for QUIC tickets are those of the fleet, nothing is stored, and
/// there is no early data.
fn for_tcp(certificates: &Arc<Live>, tickets: &Arc<FleetTickets>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates.clone());
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    config.ticketer = tickets.clone();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config
}

fn secured<S>(stream: TlsStream<S>) -> Secured<S> {
    let (_, session) = stream.get_ref();
    let version = match session.alpn_protocol() {
        Some(b"h2") => Version::Http2,
        _ => Version::Http11,
    };
    let name = session.server_name().and_then(host_name);
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Secured { stream, version, name, resumed }
}

/// What rustls says of a handshake that failed.
pub(super) fn refusal(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
