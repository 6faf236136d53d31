//! An HTTP/3 client of quinn and h3, for what a test must control finely: sockets, connections
//! that share one, and when each request begins.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Buf as _, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;

use crate::credentials::{SERVER_NAME, client_tls};
use crate::fleet::PORT;

/// What a stream may hold unread: little, so that a slow reader makes a long download.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Longer than any pause of a test on a loaded machine.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A client configuration that trusts `authority` and remembers sessions.
///
/// # Errors
/// Where the certificate is none.
pub fn client_config(authority: &CertificateDer<'static>) -> Result<quinn::ClientConfig> {
    let tls = client_tls(authority)?;
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IDLE_TIMEOUT.try_into()?));
    transport.stream_receive_window(STREAM_WINDOW_BYTES.into());
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// An endpoint on a socket of its own, bound to `local`. Needs tokio.
///
/// # Errors
/// Where no socket can be had.
pub fn endpoint(local: IpAddr, config: quinn::ClientConfig) -> Result<Endpoint> {
    let mut endpoint =
        Endpoint::new(EndpointConfig::default(), None, socket(local)?, Arc::new(TokioRuntime))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

/// A socket on a port nobody had before.
///
/// # Errors
/// Where none can be had.
pub fn socket(local: IpAddr) -> Result<UdpSocket> {
    UdpSocket::bind((local, 0)).with_context(|| format!("bind {local}"))
}

/// SHA-256 of a certificate, in hexadecimal.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = digest(&SHA256, certificate);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The fields.
    pub headers: http::HeaderMap,
    /// The content.
    pub body: Bytes,
}

/// What an edge says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Identity {
    /// Node ID.
    pub node: u16,
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// The worker that answered.
    pub worker: u8,
    /// Node, worker and generation.
    pub owner: String,
    /// Always `h3` here.
    pub protocol: String,
    /// The client's address as the edge saw it.
    pub client: SocketAddr,
}

type Requests = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;
/// A request whose answer is still to come.
pub type Stream = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// One connection.
#[derive(Clone)]
pub struct Http3 {
    connection: quinn::Connection,
    requests: Requests,
}

impl Http3 {
    /// Connects to `anycast`. Needs tokio.
    ///
    /// # Errors
    /// Where the handshake fails.
    pub async fn connect(endpoint: &Endpoint, anycast: IpAddr) -> Result<Self> {
        Self::connect_to(endpoint, SocketAddr::new(anycast, PORT)).await
    }

    /// Connects to `address`, on a port of its own. Needs tokio.
    ///
    /// # Errors
    /// Where the handshake fails.
    pub async fn connect_to(endpoint: &Endpoint, address: SocketAddr) -> Result<Self> {
        let connection = endpoint.connect(address, SERVER_NAME)?.await.context("handshake")?;
        let transport = h3_quinn::Connection::new(connection.clone());
        let (mut driver, requests) = h3::client::new(transport).await.context("HTTP/3")?;
        // Ends with the connection.
        tokio::spawn(async move { driver.wait_idle().await });
        Ok(Self { connection, requests })
    }

    /// SHA-256 of the certificate that the server showed, in hexadecimal.
    ///
    /// # Errors
    /// Where it showed none, as in a handshake that resumed a session of another process.
    pub fn fingerprint(&self) -> Result<String> {
        let identity = self.connection.peer_identity().context("no certificate")?;
        let chain = identity.downcast::<Vec<CertificateDer<'static>>>();
        let chain = chain.ok().context("the identity of TLS is a chain")?;
        Ok(fingerprint(chain.first().context("an empty chain")?))
    }

    /// Sends a GET for `path`.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn send(&self, path: &str) -> Result<Stream> {
        self.send_request(get(path)?).await
    }

    /// Sends the head of a request.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn begin(&self, request: http::Request<()>) -> Result<Stream> {
        Ok(self.requests.clone().send_request(request).await?)
    }

    async fn send_request(&self, request: http::Request<()>) -> Result<Stream> {
        let mut stream = self.begin(request).await?;
        stream.finish().await?;
        Ok(stream)
    }

    /// GETs `path`.
    ///
    /// # Errors
    /// Where the connection, or this request, ends without an answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(get(path)?).await
    }

    /// Sends a request without content, and reads its answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn ask(&self, request: http::Request<()>) -> Result<Answer> {
        let mut stream = self.send_request(request).await?;
        let (head, ()) = stream.recv_response().await?.into_parts();
        let mut body = Vec::new();
        while let Some(mut part) = stream.recv_data().await? {
            body.extend_from_slice(&part.copy_to_bytes(part.remaining()));
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.into() })
    }

    /// Asks who answers.
    ///
    /// # Errors
    /// As [`Self::get`], and where the answer is not the JSON it should be.
    pub async fn identity(&self) -> Result<Identity> {
        let answer = self.get("/").await?;
        serde_json::from_slice(&answer.body)
            .with_context(|| format!("an answer {}: {:?}", answer.status, answer.body))
    }

    /// The connection below.
    #[must_use]
    pub fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// Ends the connection.
    pub fn close(&self) {
        self.connection.close(VarInt::from_u32(0x100), b""); // H3_NO_ERROR (RFC 9114 section 8.1)
    }
}

fn get(path: &str) -> Result<http::Request<()>> {
    Ok(http::Request::get(format!("https://{SERVER_NAME}{path}")).body(())?)
}

impl std::fmt::Debug for Http3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http3").field("connection", &self.connection.stable_id()).finish()
    }
}
