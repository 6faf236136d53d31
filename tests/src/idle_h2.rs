//! Many connections of HTTP/2 that had one answer and then rest, by hand: frames over TLS, nothing
//! for what is not asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::credentials::{SERVER_NAME, client_tls};
use crate::http2::{ACK, END_STREAM, frame, get, kind};

/// Handshakes at one time: few enough that no server minds.
const AT_ONCE: usize = 8;
/// Connections from one address: there are some 28,000 ports of an address that the kernel gives.
const FROM_ONE_ADDRESS: usize = 5_000;
/// The status 200 in HPACK's static table (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

/// A connection that rests.
pub type Held = TlsStream<TcpStream>;

/// Makes connections from addresses of the loopback, and asks for `path` once on each.
///
/// # Errors
/// Where a handshake fails, or the answer is not 200 and whole.
pub async fn connect(
    server: SocketAddr,
    certificate: &Path,
    count: usize,
    path: &str,
) -> Result<Vec<Held>> {
    let mut tls = client_tls(&CertificateDer::from_pem_file(certificate)?)?;
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(tls));
    let one = |index| one(&connector, server, from(index), path);
    stream::iter(0..count).map(one).buffered(AT_ONCE).try_collect().await
}

/// How many the server has ended: they held nothing any more. On the runtime that made them.
pub async fn ended(held: &mut [Held]) -> usize {
    // What has happened to the sockets is heard of now.
    tokio::task::yield_now().await;
    let has_ended = |stream: &mut Held| loop {
        // What is there (tickets, frames about the connection) does not matter.
        match stream.read(&mut [0; 64]).now_or_never() {
            None => return false,
            Some(Ok(0) | Err(_)) => return true,
            Some(Ok(_)) => {}
        }
    };
    held.iter_mut().map(has_ended).filter(|ended| *ended).count()
}

/// An address of the loopback.
fn from(index: usize) -> SocketAddr {
    let host = u8::try_from(2 + index / FROM_ONE_ADDRESS % 200).expect("it is less than 202");
    (Ipv4Addr::new(127, 0, 1, host), 0).into()
}

async fn one(
    connector: &TlsConnector,
    server: SocketAddr,
    from: SocketAddr,
    path: &str,
) -> Result<Held> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let stream = socket.connect(server).await.context("TCP")?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(SERVER_NAME.try_into()?, stream).await.context("TLS")?;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let settings = [frame(kind::SETTINGS, 0, 0, &[]), frame(kind::SETTINGS, ACK, 0, &[])].concat();
    stream.write_all(&[preface, settings, get(1, path)].concat()).await?;
    answer(&mut stream).await.context("the answer")?;
    Ok(stream)
}

/// Reads frames to the end of the first stream.
async fn answer(stream: &mut Held) -> Result<()> {
    let mut is_good = false;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        match kind {
            kind::GOAWAY | kind::RST_STREAM => bail!("it was ended: {payload:02x?}"),
            // A change of the table's size may stand before it (RFC 7541 section 6.3).
            kind::HEADERS => is_good = payload.iter().take(4).any(|byte| *byte == STATUS_200),
            _ => {}
        }
        if matches!(kind, kind::DATA | kind::HEADERS) && flags & END_STREAM != 0 {
            return if is_good { Ok(()) } else { bail!("it is not 200") };
        }
    }
}
