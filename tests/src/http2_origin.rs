//! An origin of HTTP/2, by h2, on a thread of its own.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex, split,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What waits between a library and a stream.
const PIPE_BYTES: usize = 64 << 10;

/// An origin of HTTP/2 at an address of its own. It takes extended CONNECT (RFC 8441).
pub struct Http2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// A certificate, and its authority in PEM.
pub struct OriginTls {
    /// Of a server with that certificate, which speaks HTTP/2 before HTTP/1.1.
    pub server: Arc<ServerConfig>,
    /// Who issued it.
    pub authority: String,
}

impl OriginTls {
    /// For these names, issued by an authority that nobody knows, and speaking these protocols.
    ///
    /// # Panics
    /// Where the cryptographic library refuses.
    #[must_use]
    pub fn of(names: &[&str], protocols: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = || KeyPair::generate().expect("random bytes");
        let authority = CertifiedIssuer::self_signed(authority, key()).expect("an authority");
        let names = names.iter().copied().map(str::to_owned).collect::<Vec<_>>();
        let key = key();
        let certificate = CertificateParams::new(names).expect("names");
        let certificate = certificate.signed_by(&key, &authority).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("known")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("they fit");
        server.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { server: Arc::new(server), authority: authority.pem() }
    }
}

impl Http2Origin {
    /// Does with each request what `answer` says; over TLS, or in clear with prior knowledge.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn start<A: Future<Output = ()> + Send + 'static>(
        tls: Option<&OriginTls>,
        answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Send + Clone + 'static,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let tls = tls.map(|tls| TlsAcceptor::from(Arc::clone(&tls.server)));
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(listen(listener, tls, answer, counted)));
        Ok(Self { address, connections })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that it has taken.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// What a client sends and is sent, as one stream of bytes: that of a WebSocket. Needs tokio.
#[must_use]
pub fn bytes_of(mut content: RecvStream, mut stream: SendStream<Bytes>) -> DuplexStream {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let (mut read, mut write) = split(ours);
    tokio::spawn(async move {
        while let Some(Ok(part)) = content.data().await {
            let _ = content.flow_control().release_capacity(part.len());
            if write.write_all(&part).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let mut bytes = vec![0; PIPE_BYTES];
        while let Ok(length @ 1..) = read.read(&mut bytes).await {
            let mut left = Bytes::copy_from_slice(&bytes[..length]);
            while !left.is_empty() {
                stream.reserve_capacity(left.len());
                let room = poll_fn(|cx| stream.poll_capacity(cx)).await;
                let Some(Ok(room)) = room else { return };
                if stream.send_data(left.split_to(room.min(left.len())), false).is_err() {
                    return;
                }
            }
        }
        let _ = stream.send_data(Bytes::new(), true);
    });
    theirs
}

async fn listen<A: Future<Output = ()> + Send + 'static>(
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Send + Clone + 'static,
    connections: Arc<AtomicUsize>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        let (tls, answer) = (tls.clone(), answer.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, answer).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answer).await;
                    }
                }
            }
        });
    }
}

async fn serve<A: Future<Output = ()> + Send + 'static>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> A,
) {
    let made = Builder::new()
        .initial_window_size(1 << 20)
        .enable_connect_protocol()
        .handshake::<_, Bytes>(stream);
    let Ok(mut connection) = made.await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond));
    }
}
